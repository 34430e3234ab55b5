// Inside of products with weights in blocks: activations as int8, and what an instruction set brings.
#ifndef CK_BLOCK_MATMUL_INTERNAL_H
#define CK_BLOCK_MATMUL_INTERNAL_H

#include "block_codes.h"
#include "block_matmul.h"

enum { CK_BLOCK_CLASSES = 16 };  // sums that a row is spread over: sub-block b belongs to sum b % 16

// Rows of x as int8. Arrays have `width` codes and `subs` scales a row, multiples of 16 sub-blocks, zeros after the last.
typedef struct {
  int64_t width, subs;
  int sub;
  int8_t *codes;
  float *scales;
  int32_t *offsets;  // the format's zero times the sum of the codes
  float *sums;       // scale times the sum of the codes
  const ck_block_readers *readers;
} ck_block_activations;

// Rows begin ..< begin + count of x into `out`.
typedef void (*ck_block_quantize)(
  const ck_block_matmul_arguments *arguments, int64_t begin, int64_t count, const ck_block_activations *out);

// Columns begin ..< begin + count of y, for all rows of x.
typedef void (*ck_block_columns)(
  const ck_block_matmul_arguments *arguments, const ck_block_activations *x, int64_t begin, int64_t count);

#endif
