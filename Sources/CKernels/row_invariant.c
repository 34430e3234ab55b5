// Products in integers sum in one order for any number of rows (block_matmul.h). Those in floats have a kernel for few rows,
// whose order is another than that of tiles: so few rows are filled up to as many as tiles take.
#include "row_invariant.h"

#include <string.h>

#include "tasks.h"

enum { TILE_ROWS = 16 };  // from which on the bits of a product in floats are those of tiles

static bool in_integers(const ck_block_matmul_arguments *a) {
  return !a->exact && a->format.kind != CK_NF4 && a->format.kind != CK_FP8_E4M3;
}

static bool is_filled_up(const ck_context *context, const ck_block_matmul_arguments *a) {
  return context->row_invariant && a->m > 0 && a->m < TILE_ROWS && !in_integers(a);
}

// The product of as many rows as tiles take; returns the bytes of scratch in front of its own.
static size_t fill_up(const ck_block_matmul_arguments *a, char *scratch, ck_block_matmul_arguments *filled) {
  size_t x = (size_t)ck_round_up(TILE_ROWS * a->k * ck_type_size(a->type_x), 64);
  size_t y = (size_t)ck_round_up(TILE_ROWS * a->n * ck_type_size(a->type_y), 64);
  *filled = *a;
  filled->m = TILE_ROWS;
  filled->ldx = a->k;
  filled->ldy = a->n;
  filled->x = scratch;
  filled->y = scratch + x;
  return x + y;
}

size_t ck_row_block_matmul_scratch(const ck_context *context, const ck_block_matmul_arguments *arguments) {
  ck_block_matmul_arguments filled;
  if (!is_filled_up(context, arguments)) return ck_block_matmul_scratch(context, arguments);
  size_t used = fill_up(arguments, NULL, &filled);
  return used + ck_block_matmul_scratch(context, &filled);
}

void ck_row_block_matmul(const ck_context *context, const ck_block_matmul_arguments *arguments, void *scratch) {
  const ck_block_matmul_arguments *a = arguments;
  ck_block_matmul_arguments filled;
  if (!is_filled_up(context, a)) {
    ck_block_matmul(context, a, scratch);
    return;
  }
  size_t used = fill_up(a, scratch, &filled);
  int64_t size_x = ck_type_size(a->type_x), size_y = ck_type_size(a->type_y);
  memset(scratch, 0, (size_t)(TILE_ROWS * a->k * size_x));
  for (int64_t row = 0; row < a->m; row++) {
    memcpy((char *)scratch + row * a->k * size_x, (const char *)a->x + row * a->ldx * size_x, (size_t)(a->k * size_x));
  }
  ck_block_matmul(context, &filled, (char *)scratch + used);
  for (int64_t row = 0; row < a->m; row++) {
    memcpy((char *)a->y + row * a->ldy * size_y, (const char *)filled.y + row * a->n * size_y, (size_t)(a->n * size_y));
  }
}
