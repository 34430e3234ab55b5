// Reductions and arg-max.
//
// The reduced axis is cut into chunks by the shape alone; each chunk leaves one partial result per output element, and
// partial results are combined in chunk order, so any number of threads gives the same bits.
#include "reduce.h"
#include "blocks.h"
#include "tasks.h"

#include <math.h>

// Elements that are converted and reduced at a time, and the width of a tile of columns.
#define PIECE 1024
#define TILE 512

typedef struct {
  const ck_blocks *blocks;
  ck_reduction reduction;
  ck_type type, type_out;
  int64_t outer, reduced, inner;
  int64_t chunk, chunks;        // of the reduced axis
  int64_t tiles;                // of the inner axis
  int64_t units, units_per_task;
  bool along_rows;              // inner == 1
  double identity_real;
  int64_t identity_integer;
  const void *input;
  void *output, *scratch;
  int32_t *indices;
} reduce_plan;

#define CK_TEMPLATE "reduce.inc"
#include "instances.h"

// The neutral element: for max the lowest value of the type, for min the highest.
static void set_identity(reduce_plan *plan) {
  static const int64_t lowest[] = {
    [CK_I8] = INT8_MIN, [CK_U8] = 0, [CK_I32] = INT32_MIN, [CK_I64] = INT64_MIN, [CK_BOOL] = 0};
  static const int64_t highest[] = {
    [CK_I8] = INT8_MAX, [CK_U8] = UINT8_MAX, [CK_I32] = INT32_MAX, [CK_I64] = INT64_MAX, [CK_BOOL] = 1};
  bool integer = ck_class_of(plan->type) == CK_CLASS_I64;
  switch (plan->reduction) {
    case CK_REDUCE_SUM: case CK_REDUCE_SUM_SQUARES: case CK_REDUCE_ANY: break;
    case CK_REDUCE_PRODUCT: case CK_REDUCE_ALL:
      plan->identity_real = 1;
      plan->identity_integer = 1;
      break;
    case CK_REDUCE_MAX:
      plan->identity_real = -INFINITY;
      plan->identity_integer = integer ? lowest[plan->type] : 0;
      break;
    case CK_REDUCE_MIN:
      plan->identity_real = INFINITY;
      plan->identity_integer = integer ? highest[plan->type] : 0;
      break;
  }
}

// Cuts the work; depends on the shape only.
static void cut(reduce_plan *plan, int64_t outer, int64_t reduced, int64_t inner) {
  plan->outer = outer;
  plan->reduced = reduced;
  plan->inner = inner;
  plan->along_rows = inner == 1;
  plan->tiles = ck_ceil_div(inner, TILE);
  if (plan->along_rows) {
    plan->chunk = CK_GRAIN;
  } else if (outer * plan->tiles >= 32) {
    plan->chunk = ck_max(1, reduced);
  } else {
    plan->chunk = ck_max(ck_max(64, CK_GRAIN / 2 / inner), ck_ceil_div(reduced, 64));
  }
  plan->chunks = ck_max(1, ck_ceil_div(reduced, plan->chunk));
  plan->units = outer * plan->tiles * plan->chunks;
  int64_t unit = ck_max(1, ck_min(reduced, plan->chunk)) * ck_min(inner, TILE);
  plan->units_per_task = ck_max(1, CK_GRAIN / unit);
}

size_t ck_reduce_scratch(const ck_context *context, ck_type type, int64_t outer, int64_t reduced, int64_t inner) {
  (void)context;
  (void)type;
  if (outer == 0 || inner == 0) return 0;
  reduce_plan plan;
  cut(&plan, outer, reduced, inner);
  return plan.chunks == 1 ? 0 : (size_t)(outer * plan.chunks * inner) * 8;
}

void ck_reduce(
  const ck_context *context, ck_reduction reduction, ck_type type, ck_type type_out, int64_t outer, int64_t reduced,
  int64_t inner, const void *input, void *output, void *scratch
) {
  if (outer == 0 || inner == 0) return;
  reduce_plan plan = {
    .blocks = ck_blocks_for(context), .reduction = reduction, .type = type, .type_out = type_out, .input = input,
    .output = output, .scratch = scratch,
  };
  set_identity(&plan);
  cut(&plan, outer, reduced, inner);
  ck_class class_ = ck_class_of(type);
  ck_task task = class_ == CK_CLASS_F32   ? CK_PICK(context, reduce_task_f32)
                 : class_ == CK_CLASS_F64 ? CK_PICK(context, reduce_task_f64)
                                          : CK_PICK(context, reduce_task_i64);
  ck_task combine = class_ == CK_CLASS_F32   ? CK_PICK(context, combine_task_f32)
                    : class_ == CK_CLASS_F64 ? CK_PICK(context, combine_task_f64)
                                             : CK_PICK(context, combine_task_i64);
  ck_run(context, ck_ceil_div(plan.units, plan.units_per_task), task, &plan);
  if (plan.chunks > 1) ck_run(context, outer * plan.tiles, combine, &plan);
}

void ck_arg_max(
  const ck_context *context, ck_type type, int64_t outer, int64_t reduced, int64_t inner, const void *input,
  int32_t *indices
) {
  if (outer == 0 || inner == 0) return;
  reduce_plan plan = {.blocks = ck_blocks_for(context), .type = type, .input = input, .indices = indices};
  cut(&plan, outer, reduced, inner);
  // Whole columns: the first of equal values wins, so chunks would gain little.
  plan.units = outer * plan.tiles;
  plan.units_per_task = ck_max(1, CK_GRAIN / 2 / ck_max(1, reduced * ck_min(inner, TILE)));
  ck_class class_ = ck_class_of(type);
  ck_task task = class_ == CK_CLASS_F32   ? CK_PICK(context, arg_max_task_f32)
                 : class_ == CK_CLASS_F64 ? CK_PICK(context, arg_max_task_f64)
                                          : CK_PICK(context, arg_max_task_i64);
  ck_run(context, ck_ceil_div(plan.units, plan.units_per_task), task, &plan);
}
