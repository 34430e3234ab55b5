// Products with weights in blocks (block_formats.h):  y = x · wᵀ,  x: [m, k], w: [n, k] in blocks, y: [m, n].
//
// Integer formats are multiplied in integers unless `exact`: each 32 elements of a row of x become int8 with a scale
// (the largest magnitude / 127), codes are multiplied with codes and summed in int32 over a sub-block, and these sums
// are scaled and added up in f32: sub-block b goes to sum b % 16, in rising b, and the 16 sums are added as a tree. So
// an element of y has the same bits for any m, any number of threads, and whatever the other rows are.
//
// `exact`, and NF4 and FP8 in any case: the weights become f32 and so does x, sums are kept in f32; many rows of bf16
// meet NF4 and FP8 weights that were rounded to bf16. Here the bits of a row may depend on m.
#ifndef CK_BLOCK_MATMUL_H
#define CK_BLOCK_MATMUL_H

#include "block_formats.h"

typedef struct {
  ck_block_format format;
  ck_type type_x, type_y;  // f32, bf16 or f16
  int64_t m, n, k;
  const void *x;
  const void *blocks;
  void *y;
  int64_t ldx, ldy;
  bool exact;
} ck_block_matmul_arguments;

size_t ck_block_matmul_scratch(const ck_context *context, const ck_block_matmul_arguments *arguments);
void ck_block_matmul(const ck_context *context, const ck_block_matmul_arguments *arguments, void *scratch);

// Several products with the same x (pointer, type, m, k, ldx), the bits of each as if alone. Up to CK_BLOCK_MATMULS integer
// products share one region, and the int8 rows of x where their formats agree about them.
enum { CK_BLOCK_MATMULS = 4 };
size_t ck_block_matmuls_scratch(const ck_context *context, int64_t count, const ck_block_matmul_arguments *arguments);
void ck_block_matmuls(
  const ck_context *context, int64_t count, const ck_block_matmul_arguments *arguments, void *scratch);

#endif
