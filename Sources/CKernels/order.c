// Ordering along rows: top-k and stable sort. Rows are the tasks.
//
// Every element becomes one unsigned integer: its value mapped so that unsigned order is the order wanted, above its
// place in the row (mapped so that the earlier of equal values comes first). All entries of a row then differ, so any
// sorting algorithm is stable. -0 equals +0; NaN is the largest. Values of up to 32 bits make entries of 64 bits, the
// others of 128.
#include "blocks.h"
#include "reduce.h"
#include "tasks.h"

#include <string.h>

typedef unsigned __int128 wide_entry;

// Elements whose keys are made together.
#define KEYS 256
// The keys of `count` elements, at most KEYS; those of 32 bits in the low half. Returns the greatest.
typedef uint64_t (*key_loader)(const ck_blocks *blocks, ck_type type, const void *input, int64_t count, uint64_t *keys);

typedef struct {
  const ck_blocks *blocks;
  key_loader load_keys;
  ck_type type;
  int64_t rows, width, k;
  bool descending;
  const void *input;
  void *values;
  int32_t *indices;
  char *scratch;
  int64_t rows_per_task;
} order_plan;

static bool is_wide(ck_type type) { return type == CK_F64 || type == CK_I64; }


#define CK_TEMPLATE "order_keys.inc"
#include "instances.h"

static uint64_t load_keys(const order_plan *plan, int64_t at, int64_t count, uint64_t *keys) {
  return plan->load_keys(plan->blocks, plan->type, ck_at(plan->input, plan->type, at), count, keys);
}

// Two arrays of entries for each thread.
static int64_t scratch_of_thread(int64_t width) { return ck_round_up(2 * width * (int64_t)sizeof(wide_entry), 64); }

#define ENTRY uint64_t
#define KEY_BITS 32
#define NAMED(name) name##_narrow
#include "order.inc"
#undef ENTRY
#undef KEY_BITS
#undef NAMED

#define ENTRY wide_entry
#define KEY_BITS 64
#define NAMED(name) name##_wide
#include "order.inc"
#undef ENTRY
#undef KEY_BITS
#undef NAMED

size_t ck_order_scratch(const ck_context *context, int64_t rows, int64_t width) {
  (void)rows;
  return (size_t)(ck_threads(context) * scratch_of_thread(width));
}

static void order(const ck_context *context, order_plan plan, ck_task task) {
  if (plan.rows == 0 || plan.width == 0 || plan.k == 0) return;
  plan.blocks = ck_blocks_for(context);
  plan.load_keys = CK_PICK(context, load_keys);
  plan.rows_per_task = ck_rows_per_task(plan.width, CK_GRAIN / 16);
  ck_run(context, ck_ceil_div(plan.rows, plan.rows_per_task), task, &plan);
}

void ck_top_k(
  const ck_context *context, ck_type type, int64_t rows, int64_t width, int64_t k, const void *input, void *values,
  int32_t *indices, void *scratch
) {
  order_plan plan = {
    .type = type, .rows = rows, .width = width, .k = k, .descending = true, .input = input, .values = values,
    .indices = indices, .scratch = scratch,
  };
  order(context, plan, is_wide(type) ? top_k_task_wide : top_k_task_narrow);
}

void ck_sort(
  const ck_context *context, ck_type type, int64_t rows, int64_t width, bool descending, const void *input,
  void *values, int32_t *indices, void *scratch
) {
  order_plan plan = {
    .type = type, .rows = rows, .width = width, .k = width, .descending = descending, .input = input,
    .values = values, .indices = indices, .scratch = scratch,
  };
  order(context, plan, is_wide(type) ? sort_task_wide : sort_task_narrow);
}
