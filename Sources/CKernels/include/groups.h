// Matrix products of rows that belong to groups, each group with a matrix of its own: the experts of a mixture.
//
// Rows stand in the order of their groups: the first counts[0] belong to group 0, and so on; a count below 0 is 0, rows
// beyond `rows` do not exist, rows beyond all groups give zeros. A group without rows costs nothing. Types as in matmul.h.
#ifndef CK_GROUPS_H
#define CK_GROUPS_H

#include "block_matmul.h"
#include "matmul.h"

// y[r] = x[r] · w[group of r];  w[g] is k x n, or n x k if `transposed`, in floats or, n x k, in blocks.
typedef struct {
  ck_type type_x, type_w, type_y;
  int64_t rows, groups, n, k;
  bool transposed;
  bool in_blocks;  // of `format`, with `exact` as in block_matmul.h; type_w does not matter then
  ck_block_format format;
  bool exact;
  const void *x;
  const void *w;
  const int32_t *counts;
  void *y;
} ck_grouped_matmul_arguments;

size_t ck_grouped_matmul_scratch(const ck_context *context, const ck_grouped_matmul_arguments *arguments);
void ck_grouped_matmul(const ck_context *context, const ck_grouped_matmul_arguments *arguments, void *scratch);

// c[g] = the sum over the rows r of group g of a[r]ᵀ · b[r], m x n.
typedef struct {
  ck_type type_a, type_b, type_c;
  int64_t rows, groups, m, n;
  const void *a;
  const void *b;
  const int32_t *counts;
  void *c;
} ck_grouped_outer_arguments;

size_t ck_grouped_outer_scratch(const ck_context *context, const ck_grouped_outer_arguments *arguments);
void ck_grouped_outer(const ck_context *context, const ck_grouped_outer_arguments *arguments, void *scratch);

#endif
