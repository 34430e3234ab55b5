// Grouped products as one matrix product a group, each parallel in itself: experts are large enough to keep all threads
// busy, with a few rows (their weights are then streamed) as well as with many.
#include "groups.h"

#include <string.h>

#include "row_invariant.h"
#include "tasks.h"

// The rows of a group from `start` on.
static int64_t rows_of(const int32_t *counts, int64_t group, int64_t start, int64_t rows) {
  return ck_min(ck_max(counts[group], 0), rows - start);
}

static ck_matmul_arguments matmul_of(const ck_grouped_matmul_arguments *g) {
  return (ck_matmul_arguments){
    .type_a = g->type_x, .type_b = g->type_w, .type_c = g->type_y, .batch = 1, .n = g->n, .k = g->k, .lda = g->k,
    .ldb = g->transposed ? g->k : g->n, .ldc = g->n, .ldr = g->n, .transpose_b = g->transposed,
  };
}

static ck_block_matmul_arguments block_matmul_of(const ck_grouped_matmul_arguments *g) {
  return (ck_block_matmul_arguments){
    .format = g->format, .type_x = g->type_x, .type_y = g->type_y, .n = g->n, .k = g->k, .ldx = g->k, .ldy = g->n,
    .exact = g->exact,
  };
}

size_t ck_grouped_matmul_scratch(const ck_context *context, const ck_grouped_matmul_arguments *arguments) {
  ck_matmul_arguments m = matmul_of(arguments);
  ck_block_matmul_arguments in_blocks = block_matmul_of(arguments);
  size_t most = 0;
  for (int64_t rows = 1; rows <= arguments->rows; rows++) {
    m.m = in_blocks.m = rows;
    size_t bytes =
      arguments->in_blocks ? ck_row_block_matmul_scratch(context, &in_blocks) : ck_matmul_scratch(context, &m);
    if (bytes > most) most = bytes;
  }
  return most;
}

void ck_grouped_matmul(const ck_context *context, const ck_grouped_matmul_arguments *arguments, void *scratch) {
  const ck_grouped_matmul_arguments *g = arguments;
  ck_matmul_arguments m = matmul_of(g);
  ck_block_matmul_arguments in_blocks = block_matmul_of(g);
  int64_t size_x = ck_type_size(g->type_x), size_y = ck_type_size(g->type_y);
  int64_t bytes_w = g->n * (g->in_blocks ? ck_block_row_bytes(g->format, g->k) : g->k * ck_type_size(g->type_w));
  int64_t row = 0;
  for (int64_t group = 0; group < g->groups; group++) {
    int64_t rows = rows_of(g->counts, group, row, g->rows);
    if (rows == 0) continue;
    const void *x = (const char *)g->x + row * g->k * size_x, *w = (const char *)g->w + group * bytes_w;
    void *y = (char *)g->y + row * g->n * size_y;
    if (g->in_blocks) {
      in_blocks.m = rows, in_blocks.x = x, in_blocks.blocks = w, in_blocks.y = y;
      ck_row_block_matmul(context, &in_blocks, scratch);
    } else {
      m.m = rows, m.a = x, m.b = w, m.c = y;
      ck_matmul(context, &m, scratch);
    }
    row += rows;
  }
  memset((char *)g->y + row * g->n * size_y, 0, (size_t)((g->rows - row) * g->n * size_y));
}

static ck_matmul_arguments matmul_of_outer(const ck_grouped_outer_arguments *g) {
  return (ck_matmul_arguments){
    .type_a = g->type_a, .type_b = g->type_b, .type_c = g->type_c, .batch = 1, .m = g->m, .n = g->n, .lda = g->m,
    .ldb = g->n, .ldc = g->n, .ldr = g->n, .transpose_a = true,
  };
}

size_t ck_grouped_outer_scratch(const ck_context *context, const ck_grouped_outer_arguments *arguments) {
  ck_matmul_arguments m = matmul_of_outer(arguments);
  size_t most = 0;
  for (m.k = 0; m.k <= arguments->rows; m.k++) {
    size_t bytes = ck_matmul_scratch(context, &m);
    if (bytes > most) most = bytes;
  }
  return most;
}

void ck_grouped_outer(const ck_context *context, const ck_grouped_outer_arguments *arguments, void *scratch) {
  const ck_grouped_outer_arguments *g = arguments;
  ck_matmul_arguments m = matmul_of_outer(g);
  int64_t size_a = ck_type_size(g->type_a), size_b = ck_type_size(g->type_b), size_c = ck_type_size(g->type_c);
  int64_t row = 0;
  for (int64_t group = 0; group < g->groups; group++) {
    m.k = rows_of(g->counts, group, row, g->rows);
    m.a = (const char *)g->a + row * g->m * size_a;
    m.b = (const char *)g->b + row * g->n * size_b;
    m.c = (char *)g->c + group * g->m * g->n * size_c;
    ck_matmul(context, &m, scratch);
    row += m.k;
  }
}
