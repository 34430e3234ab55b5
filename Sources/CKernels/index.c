// Moves by index: gather, scatter-add, update, take and its transpose.
//
// Scatter-add is deterministic without atomics: the updates of each output row are found by a counting sort of the
// indices, so that one task sums them in rising order.
#include "blocks.h"
#include "reduce.h"
#include "tasks.h"

#include <string.h>

#define PIECE 512

typedef struct {
  const ck_blocks *blocks;
  ck_type type, type_out, type_index;
  int64_t outer, entries, count, inner;
  const void *source, *indices;
  void *output;
  const int32_t *starts, *order;
  int64_t units, units_per_task;
} index_plan;

// Index j, or -1 if it lies outside.
static int64_t index_at(const index_plan *plan, int64_t j) {
  int64_t index;
  switch (plan->type_index) {
    case CK_I64: index = ((const int64_t *)plan->indices)[j]; break;
    case CK_I8: index = ((const int8_t *)plan->indices)[j]; break;
    case CK_U8: case CK_BOOL: index = ((const uint8_t *)plan->indices)[j]; break;
    default: index = ((const int32_t *)plan->indices)[j];
  }
  return index >= 0 && index < plan->entries ? index : -1;
}

static void move_element(void *output, const void *source, int64_t size) {
  switch (size) {
    case 1: memcpy(output, source, 1); break;
    case 2: memcpy(output, source, 2); break;
    case 4: memcpy(output, source, 4); break;
    default: memcpy(output, source, 8);
  }
}

static void gather_task(void *argument, int64_t task, int worker) {
  (void)worker;
  const index_plan *plan = argument;
  int64_t size = ck_type_size(plan->type), bytes = plan->inner * size;
  int64_t last = ck_min(plan->units, (task + 1) * plan->units_per_task);
  for (int64_t unit = task * plan->units_per_task; unit < last; unit++) {
    int64_t outer = unit / plan->count, index = index_at(plan, unit - outer * plan->count);
    char *output = (char *)plan->output + unit * bytes;
    const char *source = (const char *)plan->source + (outer * plan->entries + index) * bytes;
    if (index < 0) {
      memset(output, 0, (size_t)bytes);
    } else if (plan->inner == 1) {
      move_element(output, source, size);
    } else {
      memcpy(output, source, (size_t)bytes);
    }
  }
}

void ck_gather(
  const ck_context *context, ck_type type, ck_type type_index, int64_t outer, int64_t entries, int64_t count,
  int64_t inner, const void *table, const void *indices, void *output
) {
  index_plan plan = {
    .type = type, .type_index = type_index, .outer = outer, .entries = entries, .count = count, .inner = inner,
    .source = table, .indices = indices, .output = output, .units = outer * count,
  };
  if (plan.units == 0 || inner == 0) return;
  plan.units_per_task = ck_rows_per_task(inner, CK_GRAIN);
  ck_run(context, ck_ceil_div(plan.units, plan.units_per_task), gather_task, &plan);
}

typedef struct {
  int64_t entries, count, run, bytes, units_per_index, units, units_per_task;  // a unit: one row of `bytes`
  const char *rows;
  const int32_t *index;
  char *output;
} update_plan;

static void update_task(void *argument, int64_t task, int worker) {
  (void)worker;
  const update_plan *plan = argument;
  int64_t last = ck_min(plan->units, (task + 1) * plan->units_per_task);
  for (int64_t unit = task * plan->units_per_task; unit < last; unit++) {
    int64_t outer = unit / plan->count, entry = plan->index[unit / plan->units_per_index] + unit % plan->run;
    if (entry < 0 || entry >= plan->entries) continue;
    const char *row = plan->rows + unit * plan->bytes;
    memcpy(plan->output + (outer * plan->entries + entry) * plan->bytes, row, (size_t)plan->bytes);
  }
}

void ck_update(
  const ck_context *context, ck_type type, int64_t outer, int64_t entries, int64_t count, int64_t inner,
  const void *rows, const int32_t *index, int64_t places, void *output
) {
  update_plan plan = {
    .entries = entries, .count = count, .bytes = inner * ck_type_size(type), .units = outer * count, .rows = rows,
    .index = index, .output = output,
  };
  if (plan.units == 0 || inner == 0) return;
  plan.units_per_index = plan.units / places;
  plan.run = ck_min(count, plan.units_per_index);
  plan.units_per_task = ck_rows_per_task(inner, CK_GRAIN);
  ck_run(context, ck_ceil_div(plan.units, plan.units_per_task), update_task, &plan);
}

#define CK_TEMPLATE "index.inc"
#include "instances.h"

size_t ck_scatter_add_scratch(const ck_context *context, int64_t entries, int64_t count) {
  (void)context;
  return (size_t)(entries + 1 + count) * sizeof(int32_t);
}

void ck_scatter_add(
  const ck_context *context, ck_type type, ck_type type_out, ck_type type_index, int64_t outer, int64_t entries,
  int64_t count, int64_t inner, const void *updates, const void *indices, void *output, void *scratch
) {
  index_plan plan = {
    .blocks = ck_blocks_for(context), .type = type, .type_out = type_out, .type_index = type_index, .outer = outer,
    .entries = entries, .count = count, .inner = inner, .source = updates, .indices = indices, .output = output,
    .units = outer * entries,
  };
  if (plan.units == 0 || inner == 0) return;
  // starts[e]: where the updates of row e begin in `order`, itself in rising order.
  int32_t *starts = scratch, *order = starts + entries + 1;
  memset(starts, 0, (size_t)(entries + 1) * sizeof(int32_t));
  for (int64_t j = 0; j < count; j++) {
    int64_t e = index_at(&plan, j);
    if (e >= 0) starts[e + 1]++;
  }
  for (int64_t e = 0; e < entries; e++) starts[e + 1] += starts[e];
  // Filling moves each start to its end; afterwards they are moved one row on.
  for (int64_t j = 0; j < count; j++) {
    int64_t e = index_at(&plan, j);
    if (e >= 0) order[starts[e]++] = (int32_t)j;
  }
  memmove(starts + 1, starts, (size_t)entries * sizeof(int32_t));
  starts[0] = 0;
  plan.starts = starts;
  plan.order = order;
  plan.units_per_task = ck_rows_per_task(inner, CK_GRAIN);
  ck_class class_ = ck_class_of(type);
  ck_task task = class_ == CK_CLASS_F32   ? CK_PICK(context, scatter_task_f32)
                 : class_ == CK_CLASS_F64 ? CK_PICK(context, scatter_task_f64)
                                          : CK_PICK(context, scatter_task_i64);
  ck_run(context, ck_ceil_div(plan.units, plan.units_per_task), task, &plan);
}

static void take_task(void *argument, int64_t task, int worker) {
  (void)worker;
  const index_plan *plan = argument;
  int64_t size = ck_type_size(plan->type);
  int64_t last = ck_min(plan->units, (task + 1) * plan->units_per_task);
  for (int64_t row = task * plan->units_per_task; row < last; row++) {
    const char *table = (const char *)plan->source + row * plan->entries * size;
    char *output = (char *)plan->output + row * plan->count * size;
    for (int64_t j = 0; j < plan->count; j++) {
      int64_t index = index_at(plan, row * plan->count + j);
      if (index < 0) {
        memset(output + j * size, 0, (size_t)size);
      } else {
        move_element(output + j * size, table + index * size, size);
      }
    }
  }
}

void ck_take(
  const ck_context *context, ck_type type, ck_type type_index, int64_t rows, int64_t entries, int64_t count,
  const void *table, const void *indices, void *output
) {
  index_plan plan = {
    .type = type, .type_index = type_index, .entries = entries, .count = count, .source = table, .indices = indices,
    .output = output, .units = rows, .units_per_task = ck_rows_per_task(count, CK_GRAIN / 4),
  };
  if (rows == 0 || count == 0) return;
  ck_run(context, ck_ceil_div(rows, plan.units_per_task), take_task, &plan);
}

void ck_take_add(
  const ck_context *context, ck_type type, ck_type type_index, int64_t rows, int64_t entries, int64_t count,
  const void *updates, const void *indices, void *output
) {
  index_plan plan = {
    .blocks = ck_blocks_for(context), .type = type, .type_out = type, .type_index = type_index, .entries = entries,
    .count = count, .source = updates, .indices = indices, .output = output, .units = rows,
    .units_per_task = ck_rows_per_task(ck_max(count, entries), CK_GRAIN / 2),
  };
  if (rows == 0 || entries == 0) return;
  ck_class class_ = ck_class_of(type);
  ck_task task = class_ == CK_CLASS_F32   ? CK_PICK(context, take_add_task_f32)
                 : class_ == CK_CLASS_F64 ? CK_PICK(context, take_add_task_f64)
                                          : CK_PICK(context, take_add_task_i64);
  ck_run(context, ck_ceil_div(rows, plan.units_per_task), task, &plan);
}
