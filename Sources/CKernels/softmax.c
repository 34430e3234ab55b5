// Softmax along rows and its gradient. Rows are independent tasks.
#include "float_types.h"
#include "rows.h"
#include "tasks.h"

#include <math.h>

typedef struct {
  int64_t rows, width, rows_per_task;
  const void *x, *y, *dy;
  void *output;
} softmax_plan;

// Double goes through the C library, whose loops stay scalar.
#pragma clang diagnostic ignored "-Wpass-failed"
#define CK_TEMPLATE "softmax.inc"
#include "instances.h"

void ck_softmax(const ck_context *context, ck_type type, int64_t rows, int64_t width, const void *x, void *y) {
  if (rows == 0 || width == 0) return;
  softmax_plan plan = {rows, width, ck_rows_per_task(width, CK_GRAIN / 4), .x = x, .output = y};
  ck_run(context, ck_ceil_div(rows, plan.rows_per_task), CK_PICK_FLOAT(context, type, softmax_task), &plan);
}

void ck_softmax_backward(
  const ck_context *context, ck_type type, int64_t rows, int64_t width, const void *y, const void *dy, void *dx
) {
  if (rows == 0 || width == 0) return;
  softmax_plan plan = {rows, width, ck_rows_per_task(width, CK_GRAIN / 2), .y = y, .dy = dy, .output = dx};
  ck_run(context, ck_ceil_div(rows, plan.rows_per_task), CK_PICK_FLOAT(context, type, softmax_backward_task), &plan);
}
