// Cumulative sums along an axis. Floats of up to 32 bits are summed in f64: a running sum has no partial sums to keep
// its error small.
#include "blocks.h"
#include "reduce.h"
#include "tasks.h"

#define TILE 256

typedef struct {
  const ck_blocks *blocks;
  ck_type type;
  int64_t outer, count, inner, tiles, units_per_task;
  bool reverse, exclusive;
  const void *input;
  void *output;
} scan_plan;

// Columns of one tile walked together.
static void scan_columns(const scan_plan *plan, int64_t unit) {
  int64_t outer = unit / plan->tiles, column = unit % plan->tiles * TILE, width = ck_min(TILE, plan->inner - column);
  ck_class class_ = ck_class_of(plan->type) == CK_CLASS_I64 ? CK_CLASS_I64 : CK_CLASS_F64;
  union { double real[TILE]; uint64_t integer[TILE]; } sum = {{0}}, x, *result;
  for (int64_t step = 0; step < plan->count; step++) {
    int64_t row = plan->reverse ? plan->count - 1 - step : step;
    int64_t at = (outer * plan->count + row) * plan->inner + column;
    plan->blocks->load[class_](plan->type, ck_at(plan->input, plan->type, at), 1, width, &x);
    result = &sum;
    for (int64_t i = 0; i < width; i++) {
      if (class_ == CK_CLASS_I64) {
        uint64_t before = sum.integer[i];
        sum.integer[i] += x.integer[i];
        x.integer[i] = before;
      } else {
        double before = sum.real[i];
        sum.real[i] += x.real[i];
        x.real[i] = before;
      }
    }
    if (plan->exclusive) result = &x;
    plan->blocks->store[class_](plan->type, ck_at_mutable(plan->output, plan->type, at), 1, width, result);
  }
}

// One row (inner == 1), by pieces.
static void scan_row(const scan_plan *plan, int64_t row) {
  ck_class class_ = ck_class_of(plan->type) == CK_CLASS_I64 ? CK_CLASS_I64 : CK_CLASS_F64;
  union { double real[TILE]; uint64_t integer[TILE]; } x;
  double real = 0;
  uint64_t integer = 0;
  int64_t stride = plan->reverse ? -1 : 1;
  for (int64_t step = 0; step < plan->count; step += TILE) {
    int64_t width = ck_min(TILE, plan->count - step);
    int64_t at = row * plan->count + (plan->reverse ? plan->count - 1 - step : step);
    plan->blocks->load[class_](plan->type, ck_at(plan->input, plan->type, at), stride, width, &x);
    if (class_ == CK_CLASS_I64) {
      for (int64_t i = 0; i < width; i++) {
        uint64_t before = integer;
        integer += x.integer[i];
        x.integer[i] = plan->exclusive ? before : integer;
      }
    } else {
      for (int64_t i = 0; i < width; i++) {
        double before = real;
        real += x.real[i];
        x.real[i] = plan->exclusive ? before : real;
      }
    }
    plan->blocks->store[class_](plan->type, ck_at_mutable(plan->output, plan->type, at), stride, width, &x);
  }
}

static void scan_task(void *argument, int64_t index, int worker) {
  (void)worker;
  const scan_plan *plan = argument;
  int64_t last = ck_min(plan->outer * plan->tiles, (index + 1) * plan->units_per_task);
  for (int64_t unit = index * plan->units_per_task; unit < last; unit++) {
    if (plan->inner == 1) {
      scan_row(plan, unit);
    } else {
      scan_columns(plan, unit);
    }
  }
}

void ck_cumulative_sum(
  const ck_context *context, ck_type type, int64_t outer, int64_t count, int64_t inner, bool reverse, bool exclusive,
  const void *input, void *output
) {
  if (outer == 0 || count == 0 || inner == 0) return;
  scan_plan plan = {
    .blocks = ck_blocks_for(context), .type = type, .outer = outer, .count = count, .inner = inner,
    .tiles = ck_ceil_div(inner, TILE), .reverse = reverse, .exclusive = exclusive, .input = input, .output = output,
  };
  plan.units_per_task = ck_rows_per_task(count * ck_min(inner, TILE), CK_GRAIN / 4);
  ck_run(context, ck_ceil_div(outer * plan.tiles, plan.units_per_task), scan_task, &plan);
}
