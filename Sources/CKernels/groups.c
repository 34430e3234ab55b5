// Grouped products as one matrix product a group. Those of large matrices are parallel in themselves: experts keep all threads
// busy, with a few rows (their weights are then streamed) as well as with many. Of small ones, those of low-rank adapters, each
// is one thread's: a region for each would take longer than the product. The bits are the same either way (matmul.h).
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

// The bytes of a matrix, and the rows of a group, up to which the products of several groups are shared out whole.
enum { SMALL_BYTES = 256 << 10, FEW_ROWS = 16 };

static bool is_small(const ck_grouped_matmul_arguments *g) {
  return !g->in_blocks && g->n * g->k * ck_type_size(g->type_w) <= SMALL_BYTES;
}

// Whether there are several groups, each of few rows.
static bool are_few(const ck_grouped_matmul_arguments *g) {
  int64_t row = 0, used = 0;
  for (int64_t group = 0; group < g->groups; group++) {
    int64_t rows = rows_of(g->counts, group, row, g->rows);
    if (rows > FEW_ROWS) return false;
    used += rows > 0;
    row += rows;
  }
  return used > 1;
}

typedef struct {
  const ck_context *context;
  const ck_grouped_matmul_arguments *g;
  char *scratch;
  size_t bytes;  // of scratch for each thread
} small_products;

static void small_product(void *argument, int64_t group, int worker) {
  const small_products *s = argument;
  const ck_grouped_matmul_arguments *g = s->g;
  int64_t row = 0;
  for (int64_t before = 0; before < group; before++) row += rows_of(g->counts, before, row, g->rows);
  ck_matmul_arguments m = matmul_of(g);
  m.m = rows_of(g->counts, group, row, g->rows);
  if (m.m == 0) return;
  m.a = (const char *)g->x + row * g->k * ck_type_size(g->type_x);
  m.b = (const char *)g->w + group * g->n * g->k * ck_type_size(g->type_w);
  m.c = (char *)g->y + row * g->n * ck_type_size(g->type_y);
  ck_matmul_serial(s->context, &m, s->scratch + s->bytes * (size_t)worker);
}

// Scratch of one thread.
static size_t small_scratch(const ck_context *context, const ck_grouped_matmul_arguments *g) {
  ck_matmul_arguments m = matmul_of(g);
  size_t most = 0;
  for (m.m = 1; m.m <= ck_min(g->rows, FEW_ROWS); m.m++) {
    size_t bytes = ck_matmul_serial_scratch(context, &m);
    if (bytes > most) most = bytes;
  }
  return (size_t)ck_round_up((int64_t)most, 64);
}

size_t ck_grouped_matmul_scratch(const ck_context *context, const ck_grouped_matmul_arguments *arguments) {
  ck_matmul_arguments m = matmul_of(arguments);
  ck_block_matmul_arguments in_blocks = block_matmul_of(arguments);
  size_t most = is_small(arguments) ? small_scratch(context, arguments) * (size_t)ck_threads(context) : 0;
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
  if (is_small(g) && are_few(g)) {
    small_products products = {.context = context, .g = g, .scratch = scratch, .bytes = small_scratch(context, g)};
    ck_run(context, g->groups, small_product, &products);
    for (int64_t group = 0; group < g->groups; group++) row += rows_of(g->counts, group, row, g->rows);
    memset((char *)g->y + row * g->n * size_y, 0, (size_t)((g->rows - row) * g->n * size_y));
    return;
  }
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
