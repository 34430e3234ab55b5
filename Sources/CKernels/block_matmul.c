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
enum { PANELS_FROM = 8, FLOAT_TILES_FROM = 16 };  // rows of x from which on tiles are faster

static bool in_integers(const ck_block_matmul_arguments *a) {
  return !a->exact && ck_block_layout_of(a->format).sub > 0;
}

static int64_t weight_bytes(const ck_block_matmul_arguments *a) { return a->n * ck_block_row_bytes(a->format, a->k); }

static size_t aligned(int64_t bytes) { return (size_t)ck_round_up(bytes, 64); }

// Columns of a task for few rows of x, `bytes` of weights being read in the region. Each column is computed by itself, so the
// cut may depend on the number of threads.
static int64_t columns_per_task(const ck_context *context, const ck_block_matmul_arguments *a, int64_t bytes) {
  int64_t row_bytes = ck_max(1, ck_block_row_bytes(a->format, a->k));
  int64_t share = ck_ceil_div(bytes, 2 * ck_threads(context));
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

static void dots_portable(
    const uint8_t *codes, const int8_t *x, int64_t stride, int64_t rows, int sub, bool wide,
    int32_t dots[][CK_BLOCK_CHUNK / 16]) {
  uint8_t shift = wide ? CK_BLOCK_WIDE : 0;
  for (int64_t r = 0; r < rows; r++, x += stride) {
    int32_t sixteen[CK_BLOCK_CHUNK / 16];
    for (int i = 0; i < CK_BLOCK_CHUNK / 16; i++) {
      int32_t dot = 0;
      for (int j = 16 * i; j < 16 * i + 16; j++) dot += (int8_t)(codes[j] ^ shift) * x[j];
      sixteen[i] = dot;
    }
    for (int b = 0; b < CK_BLOCK_CHUNK / sub; b++) {
      dots[r][b] = sub == 16 ? sixteen[b] : sixteen[2 * b] + sixteen[2 * b + 1];
    }
  }
}

static ck_block_dots *dots_for(const ck_context *context) {
#if defined(__x86_64__)
  if (context->isa >= CK_AVX2) {
    return context->vnni && __builtin_cpu_supports("avxvnni") ? ck_block_dots_avx_vnni : ck_block_dots_avx2;
  }
#elif defined(__aarch64__)
  if (context->isa == CK_NEON) return context->vnni ? ck_block_dots_neon_dotprod : ck_block_dots_neon;
#endif
  return dots_portable;
}

static ck_block_kernel kernel_for(const ck_context *context, const ck_block_matmul_arguments *a) {
  ck_block_kernel kernel = {.rows = CK_PICK(context, block_columns), .half = 16};
  int sub = ck_block_layout_of(a->format).sub;
  for (int b = 0; b < CK_BLOCK_CLASSES; b++) kernel.places[b] = b * sub;
#if defined(__x86_64__)
  if (context->isa >= CK_AVX512 && context->vnni && context->vbmi) {
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
  x->dots = dots_for(context);
  plan->columns = x->panels ? plan->kernel.tiles : plan->kernel.rows;
  plan->scratch_per_worker = x->panels ? aligned(ck_block_tile_bytes(x)) : 0;
  return aligned(x->rows * x->width) + 3 * aligned(x->rows * x->subs * 4);
}

static void quantize_task(void *argument, int64_t index, int worker) {
  (void)worker;
  const integer_plan *p = argument;
  int64_t begin = index * p->per_task;
  p->quantize(p->arguments, begin, ck_min(p->per_task, p->x.rows - begin), &p->x);
}

// Products with one x in one region: their tasks one after another.
typedef struct {
  int64_t count;
  integer_plan plans[CK_BLOCK_MATMULS];
  int64_t ends[CK_BLOCK_MATMULS];  // tasks up to and with each product
  size_t scratch_x, scratch_per_worker;
} integer_plans;

static void columns_task(void *argument, int64_t index, int worker) {
  const integer_plans *all = argument;
  int product = 0;
  while (index >= all->ends[product]) product += 1;
  const integer_plan *p = &all->plans[product];
  int64_t begin = (index - (product > 0 ? all->ends[product - 1] : 0)) * p->per_task;
  p->columns(
    p->arguments, &p->x, begin, ck_min(p->per_task, p->arguments->n - begin),
    p->scratch + (size_t)worker * all->scratch_per_worker);
}

static bool same_activations(const ck_block_activations *a, const ck_block_activations *b, int zero_a, int zero_b) {
  return a->panels == b->panels && a->sub == b->sub && a->half == b->half && zero_a == zero_b
    && memcmp(a->places, b->places, sizeof a->places) == 0;
}

// The product before `product` whose activations it can use, or itself.
static int64_t owner_of(const integer_plans *all, int64_t product) {
  for (int64_t other = 0; other < product; other++) {
    const integer_plan *p = &all->plans[product], *q = &all->plans[other];
    int zero = ck_block_layout_of(p->arguments->format).zero;
    if (same_activations(&p->x, &q->x, zero, ck_block_layout_of(q->arguments->format).zero)) return other;
  }
  return product;
}

static void plan_all(
    const ck_context *context, int64_t count, const ck_block_matmul_arguments *arguments, integer_plans *all) {
  all->count = count;
  all->scratch_x = all->scratch_per_worker = 0;
  for (int64_t i = 0; i < count; i++) {
    size_t bytes = plan_integers(context, &arguments[i], &all->plans[i]);
    if (owner_of(all, i) == i) all->scratch_x += bytes;
    if (all->plans[i].scratch_per_worker > all->scratch_per_worker) {
      all->scratch_per_worker = all->plans[i].scratch_per_worker;
    }
  }
}

// Places of the activations from `p` on; returns what is behind them.
static char *place_activations(ck_block_activations *x, char *p) {
  size_t scales = aligned(x->rows * x->subs * 4);
  x->codes = (int8_t *)p;
  p += aligned(x->rows * x->width);
  x->scales = (float *)p;
  x->offsets = (int32_t *)(p + scales);
  x->sums = (float *)(p + 2 * scales);
  return p + 3 * scales;
}

static void integer_products(
    const ck_context *context, int64_t count, const ck_block_matmul_arguments *arguments, void *scratch) {
  integer_plans all;
  plan_all(context, count, arguments, &all);
  char *p = scratch;
  int64_t bytes = 0, tasks = 0;
  for (int64_t i = 0; i < count; i++) {
    integer_plan *plan = &all.plans[i];
    bytes += weight_bytes(plan->arguments);
    plan->scratch = (char *)scratch + all.scratch_x;
    int64_t owner = owner_of(&all, i);
    if (owner < i) {
      plan->x = all.plans[owner].x;
      continue;
    }
    p = place_activations(&plan->x, p);
    plan->per_task = ck_rows_per_task(plan->arguments->k, CK_GRAIN);
    ck_run(context, ck_ceil_div(plan->x.rows, plan->per_task), quantize_task, plan);
  }
  for (int64_t i = 0; i < count; i++) {
    integer_plan *plan = &all.plans[i];
    plan->per_task = plan->x.panels ? CK_BLOCK_COLUMNS : columns_per_task(context, plan->arguments, bytes);
    tasks += ck_ceil_div(plan->arguments->n, plan->per_task);
    all.ends[i] = tasks;
  }
  ck_run(context, tasks, columns_task, &all);
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
    p->per_task = columns_per_task(context, a, weight_bytes(a));
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

// Whether the products can be one region.
static bool joined(int64_t count, const ck_block_matmul_arguments *arguments) {
  for (int64_t i = 0; i < count; i++) {
    if (!in_integers(&arguments[i])) return false;
  }
  return count <= CK_BLOCK_MATMULS;
}

size_t ck_block_matmuls_scratch(
    const ck_context *context, int64_t count, const ck_block_matmul_arguments *arguments) {
  size_t workers = (size_t)ck_threads(context), most = 0;
  if (joined(count, arguments)) {
    integer_plans all;
    plan_all(context, count, arguments, &all);
    return all.scratch_x + all.scratch_per_worker * workers;
  }
  for (int64_t i = 0; i < count; i++) {
    size_t bytes = ck_block_matmul_scratch(context, &arguments[i]);
    if (bytes > most) most = bytes;
  }
  return most;
}

void ck_block_matmuls(
    const ck_context *context, int64_t count, const ck_block_matmul_arguments *arguments, void *scratch) {
  if (count == 0 || arguments->m == 0) return;
  if (joined(count, arguments)) {
    integer_products(context, count, arguments, scratch);
  } else {
    for (int64_t i = 0; i < count; i++) ck_block_matmul(context, &arguments[i], scratch);
  }
}

size_t ck_block_matmul_scratch(const ck_context *context, const ck_block_matmul_arguments *arguments) {
  if (in_integers(arguments)) return ck_block_matmuls_scratch(context, 1, arguments);
  float_plan plan;
  plan_floats(context, arguments, &plan);
  return plan.scratch_x + plan.scratch_per_worker * (size_t)ck_threads(context);
}

void ck_block_matmul(const ck_context *context, const ck_block_matmul_arguments *arguments, void *scratch) {
  if (arguments->m == 0 || arguments->n == 0) return;
  if (in_integers(arguments)) {
    integer_products(context, 1, arguments, scratch);
  } else {
    float_product(context, arguments, scratch);
  }
}
