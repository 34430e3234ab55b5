// How one fused expression runs: dimensions collapsed, blocks cut, and for every instruction whether it touches memory
// directly. Made once per call by elementwise.c, read by the instances of elementwise.inc.
#ifndef CK_ELEMENTWISE_PLAN_H
#define CK_ELEMENTWISE_PLAN_H

#include "blocks.h"

// Bytes of a thread's register file: all registers of a block stay in the first-level cache.
#define CK_REGISTER_FILE 32768
#define CK_LARGEST_BLOCK 4096

typedef enum {
  CK_INPUT_DENSE,    // laid out as the outputs are: a block is contiguous in it
  CK_INPUT_SPLAT,    // one element for all
  CK_INPUT_STRIDED,  // anything else: gathered row by row
} ck_input_layout;

typedef enum {
  CK_STEP_RUN,       // as it stands
  CK_STEP_ONCE,      // the same for all blocks: before the first one only
  CK_STEP_ALIAS,     // a load whose register may point straight into the input
  CK_STEP_DIRECT,    // its result is written straight into output `direct`
  CK_STEP_SKIP,      // a store that a direct step has made needless
} ck_step;

typedef struct {
  const ck_elementwise_arguments *arguments;
  const ck_blocks *conversions;
  int rank;                       // after collapsing, at least 1
  int64_t dimensions[CK_MAX_RANK];
  int64_t strides[CK_MAX_INPUTS][CK_MAX_RANK];
  ck_input_layout layout[CK_MAX_INPUTS];
  uint8_t step[CK_MAX_INSTRUCTIONS];
  uint8_t direct[CK_MAX_INSTRUCTIONS];
  int slot[CK_MAX_REGISTERS];     // place in the register file, or -1
  int64_t register_size;          // bytes per element of every place
  int64_t rows, inner;            // all but the last dimension, and the last
  int64_t total;
  // A block is part of one row (`block` elements, fewer at the row's end); for short rows, `rows_per_block` rows.
  bool within_rows;
  int64_t block, rows_per_block, blocks_per_row;
  int64_t blocks, blocks_per_task;
} ck_elementwise_plan;

// True if every block of input `i` is contiguous in memory.
static inline bool ck_points_into_input(const ck_elementwise_plan *plan, int i) {
  return plan->layout[i] == CK_INPUT_DENSE
    || (plan->layout[i] == CK_INPUT_STRIDED && plan->within_rows && plan->strides[i][plan->rank - 1] == 1);
}

#endif
