// Inside of products with weights in blocks: activations as int8, and what an instruction set brings.
#ifndef CK_BLOCK_MATMUL_INTERNAL_H
#define CK_BLOCK_MATMUL_INTERNAL_H

#include "block_codes.h"
#include "block_matmul.h"
#include "convert.h"

enum { CK_BLOCK_CLASSES = 16 };  // sums that a row is spread over: sub-block b belongs to sum b % 16
enum { CK_BLOCK_PANEL = 4 };     // rows of x in a panel
enum { CK_BLOCK_COLUMNS = 48 };  // columns of y in a tile

// Dot products of CK_BLOCK_CHUNK codes with as many of each of `rows` rows of x, `stride` apart, in the order of the
// elements: dots[row][sub-block] in int32. Codes that do not fit 7 bits (`wide`) are taken less 128, others as they are.
typedef void ck_block_dots(
  const uint8_t *codes, const int8_t *x, int64_t stride, int64_t rows, int sub, bool wide,
  int32_t dots[][CK_BLOCK_CHUNK / 16]);

// The zero of formats whose codes are wide, so that these dot products need no offset.
enum { CK_BLOCK_WIDE = 128 };

// Rows of x as int8, zeros after the last element up to whole steps of 16 sub-blocks.
//
// Rows: codes [row][step][...] with sub-block b of a step at places[b], the second half of 32 at places[b] + half;
// scales [row][sub-block].
// Panels, for tiles: rows in groups of CK_BLOCK_PANEL, and each panel in the order in which it is used: codes
// [panel][turn of b][step][4 codes][row][code], scales [panel][turn of b][step][row].
typedef struct {
  int64_t rows, width, subs;
  int sub;
  bool panels;
  int places[CK_BLOCK_CLASSES];
  int half;
  int8_t *codes;
  float *scales;
  int32_t *offsets;  // the format's zero times the sum of the codes, negative
  float *sums;       // scale times the sum of the codes
  const ck_block_readers *readers;
  ck_block_dots *dots;
} ck_block_activations;

// y[row][column] = value.
static inline void ck_block_store(const ck_block_matmul_arguments *a, int64_t row, int64_t column, float value) {
  int64_t at = row * a->ldy + column;
  switch (a->type_y) {
    case CK_F32: ((float *)a->y)[at] = value; return;
    case CK_BF16: ((uint16_t *)a->y)[at] = ck_f32_to_bf16(value); return;
    default: ((uint16_t *)a->y)[at] = ck_f32_to_f16(value);
  }
}

// The order in which tiles add up the 16 sums of an element, so that neighbours are those that a tree adds first.
static inline int ck_block_turn(int class) {
  return (class & 1) << 3 | (class & 2) << 1 | (class & 4) >> 1 | (class & 8) >> 3;
}

// Columns begin ..< begin + count of y, for all rows of x. `scratch` is the task's own.
typedef void (*ck_block_columns)(
  const ck_block_matmul_arguments *arguments, const ck_block_activations *x, int64_t begin, int64_t count,
  void *scratch);

// What an instruction set has for a format.
typedef struct {
  ck_block_columns rows;   // for few rows of x: weights are taken apart for each few of them
  ck_block_columns tiles;  // for many: weights are taken apart once; NULL if there is no such kernel
  int places[CK_BLOCK_CLASSES];
  int half;
} ck_block_kernel;

#if defined(__x86_64__)
// False if there is no kernel for the format.
bool ck_block_kernel_avx512(ck_block_format format, int64_t k, ck_block_kernel *kernel);
ck_block_columns ck_block_tiles_avx512(ck_block_format format, int64_t k);
// Columns of y in floats; x is dense and f32.
void ck_block_floats_avx512(
  const ck_block_matmul_arguments *arguments, const ck_block_readers *readers, const float *x, int64_t begin,
  int64_t count);
ck_block_dots ck_block_dots_avx2, ck_block_dots_avx_vnni;
#elif defined(__aarch64__)
ck_block_dots ck_block_dots_neon, ck_block_dots_neon_dotprod;
#endif

// The room that a tile needs: codes, scales and minimums.
static inline int64_t ck_block_tile_bytes(const ck_block_activations *x) {
  return CK_BLOCK_COLUMNS * (x->width + 8 * x->subs);
}

#endif
