// Products with weights in blocks: the choice between integers and floats, and how the work is cut.
#include "block_matmul_internal.h"

#include "convert.h"
#include "elementwise.h"
#include "matmul.h"
#include "tasks.h"

#include <math.h>

enum { TILE = 32 };                 // weight rows that become floats at a time
// Weights in a task for few rows of x: long stretches, because memory is read fastest in few long streams.
enum { TASK_BYTES_LEAST = 64 * 1024, TASK_BYTES_MOST = 1024 * 1024 };
enum { PANELS_FROM = 16, FLOAT_TILES_FROM = 16 };  // rows of x from which on tiles are faster

static bool in_integers(const ck_block_matmul_arguments *a) {
  return !a->exact && ck_block_layout_of(a->format).sub > 0;
}

static size_t aligned(int64_t bytes) { return (size_t)ck_round_up(bytes, 64); }

// Columns of a task for few rows of x. Each is computed by itself, so the cut may depend on the number of threads.
static int64_t columns_per_task(const ck_context *context, const ck_block_matmul_arguments *a) {
  int64_t row_bytes = ck_max(1, ck_block_row_bytes(a->format, a->k));
  int64_t share = ck_ceil_div(a->n * row_bytes, 2 * ck_threads(context));
  return ck_ceil_div(ck_max(TASK_BYTES_LEAST, ck_min(TASK_BYTES_MOST, share)), row_bytes);
}

// Integers

#define CK_TEMPLATE "block_matmul.inc"
#include "instances.h"

typedef void (*ck_block_quantize)(
  const ck_block_matmul_arguments *arguments, int64_t begin, int64_t count, const ck_block_activations *out);

typedef struct {
  const ck_block_matmul_arguments *arguments;
  ck_block_kernel kernel;
  ck_block_quantize quantize;
  ck_block_columns columns;
  ck_block_activations x;
  int64_t per_task;
  char *scratch;  // of the workers
  size_t scratch_per_worker;
} integer_plan;

static ck_block_kernel kernel_for(const ck_context *context, const ck_block_matmul_arguments *a) {
  ck_block_kernel kernel = {.rows = CK_PICK(context, block_columns), .half = 16};
  int sub = ck_block_layout_of(a->format).sub;
  for (int b = 0; b < CK_BLOCK_CLASSES; b++) kernel.places[b] = b * sub;
#if defined(__x86_64__)
  if (context->isa >= CK_AVX512 && context->vnni) {
    ck_block_kernel own;
    if (ck_block_kernel_avx512(a->format, a->k, &own)) return own;
  }
#endif
  return kernel;
}

// The plan without addresses; returns the bytes that activations need.
static size_t plan_integers(const ck_context *context, const ck_block_matmul_arguments *a, integer_plan *plan) {
  int sub = ck_block_layout_of(a->format).sub;
  *plan = (integer_plan){
    .arguments = a, .kernel = kernel_for(context, a), .quantize = CK_PICK(context, block_quantize),
  };
  ck_block_activations *x = &plan->x;
  x->panels = a->m >= PANELS_FROM && plan->kernel.tiles != NULL;
  x->rows = x->panels ? ck_round_up(a->m, CK_BLOCK_PANEL) : a->m;
  x->sub = sub;
  x->width = ck_round_up(a->k, CK_BLOCK_CLASSES * sub);
  x->subs = x->width / sub;
  x->half = plan->kernel.half;
  memcpy(x->places, plan->kernel.places, sizeof x->places);
  x->readers = ck_block_readers_for(context);
  plan->columns = x->panels ? plan->kernel.tiles : plan->kernel.rows;
  plan->scratch_per_worker = x->panels ? aligned((int64_t)ck_block_tile_bytes(x)) : 0;
  return aligned(x->rows * x->width) + 3 * aligned(x->rows * x->subs * 4);
}

static void quantize_task(void *argument, int64_t index, int worker) {
  (void)worker;
  const integer_plan *p = argument;
  int64_t begin = index * p->per_task;
  p->quantize(p->arguments, begin, ck_min(p->per_task, p->x.rows - begin), &p->x);
}

static void columns_task(void *argument, int64_t index, int worker) {
  const integer_plan *p = argument;
  int64_t begin = index * p->per_task;
  p->columns(
    p->arguments, &p->x, begin, ck_min(p->per_task, p->arguments->n - begin),
    p->scratch + (size_t)worker * p->scratch_per_worker);
}

static void integer_product(const ck_context *context, const ck_block_matmul_arguments *a, void *scratch) {
  integer_plan plan;
  plan_integers(context, a, &plan);
  ck_block_activations *x = &plan.x;
  size_t scales = aligned(x->rows * x->subs * 4);
  char *p = scratch;
  x->codes = (int8_t *)p;
  p += aligned(x->rows * x->width);
  x->scales = (float *)p;
  x->offsets = (int32_t *)(p + scales);
  x->sums = (float *)(p + 2 * scales);
  plan.scratch = p + 3 * scales;

  plan.per_task = ck_rows_per_task(a->k, CK_GRAIN);
  ck_run(context, ck_ceil_div(x->rows, plan.per_task), quantize_task, &plan);
  if (x->panels) {
    plan.per_task = ck_block_tile_columns(x);
  } else {
    plan.per_task = columns_per_task(context, a);
  }
  ck_run(context, ck_ceil_div(a->n, plan.per_task), columns_task, &plan);
}

// Floats

typedef struct {
  const ck_context *context;
  const ck_block_matmul_arguments *arguments;
  const ck_block_readers *readers;
  ck_type type;    // of x and weights in the product
  bool few;        // few rows: without tiles
  const void *x;   // as `type`, dense; or as given
  int64_t per_task;
  char *scratch;   // of the workers
  size_t scratch_per_worker, scratch_x;
} float_plan;

// The product with `rows` rows of weights that have become floats.
static ck_matmul_arguments tile_product(const float_plan *p, int64_t column, int64_t rows) {
  const ck_block_matmul_arguments *a = p->arguments;
  ck_matmul_arguments tile = {
    .type_a = p->type, .type_b = p->type, .type_c = a->type_y, .batch = 1, .m = a->m, .n = rows, .k = a->k,
    .a = p->x, .lda = a->k, .ldb = a->k, .ldc = a->ldy, .transpose_b = true,
    .c = (char *)a->y + column * ck_type_size(a->type_y),
  };
  return tile;
}

static size_t tile_bytes(const float_plan *p) { return aligned(TILE * p->arguments->k * ck_type_size(p->type)); }

static void plan_floats(const ck_context *context, const ck_block_matmul_arguments *a, float_plan *p) {
  *p = (float_plan){.context = context, .arguments = a, .readers = ck_block_readers_for(context), .type = CK_F32};
#if defined(__x86_64__)
  p->few = a->m < FLOAT_TILES_FROM && context->isa >= CK_AVX512;
#endif
  // What meets bf16 may be bf16.
  if (!p->few && !a->exact && context->bf16 && a->type_x == CK_BF16) p->type = CK_BF16;
  p->scratch_x = aligned(a->m * a->k * ck_type_size(p->type));
  if (p->few) {
    p->per_task = columns_per_task(context, a);
  } else {
    ck_matmul_arguments tile = tile_product(p, 0, TILE);
    p->scratch_per_worker = tile_bytes(p) + aligned((int64_t)ck_matmul_serial_scratch(context, &tile));
    p->per_task = TILE;
  }
}

static void float_task(void *argument, int64_t index, int worker) {
  const float_plan *p = argument;
  const ck_block_matmul_arguments *a = p->arguments;
  int64_t column = index * p->per_task, rows = ck_min(p->per_task, a->n - column);
#if defined(__x86_64__)
  if (p->few) {
    ck_block_floats_avx512(a, p->readers, p->x, column, rows);
    return;
  }
#endif
  char *scratch = p->scratch + (size_t)worker * p->scratch_per_worker;
  const uint8_t *blocks = (const uint8_t *)a->blocks + column * ck_block_row_bytes(a->format, a->k);
  p->readers->rows(a->format, rows, a->k, blocks, p->type, scratch);
  ck_matmul_arguments tile = tile_product(p, column, rows);
  tile.b = scratch;
  ck_matmul_serial(p->context, &tile, scratch + tile_bytes(p));
}

static void float_product(const ck_context *context, const ck_block_matmul_arguments *a, void *scratch) {
  float_plan plan;
  plan_floats(context, a, &plan);
  ck_copy_arguments copy = {
    .rank = 2, .dimensions = {a->m, a->k}, .input_type = a->type_x, .input = a->x, .input_strides = {a->ldx, 1},
    .output_type = plan.type, .output = scratch, .output_strides = {a->k, 1},
  };
  ck_copy(context, &copy);
  plan.x = scratch;
  plan.scratch = (char *)scratch + plan.scratch_x;
  ck_run(context, ck_ceil_div(a->n, plan.per_task), float_task, &plan);
}

size_t ck_block_matmul_scratch(const ck_context *context, const ck_block_matmul_arguments *arguments) {
  size_t workers = (size_t)ck_threads(context);
  if (in_integers(arguments)) {
    integer_plan plan;
    size_t activations = plan_integers(context, arguments, &plan);
    return activations + plan.scratch_per_worker * workers;
  }
  float_plan plan;
  plan_floats(context, arguments, &plan);
  return plan.scratch_x + plan.scratch_per_worker * workers;
}

void ck_block_matmul(const ck_context *context, const ck_block_matmul_arguments *arguments, void *scratch) {
  if (arguments->m == 0 || arguments->n == 0) return;
  if (in_integers(arguments)) {
    integer_product(context, arguments, scratch);
  } else {
    float_product(context, arguments, scratch);
  }
}
