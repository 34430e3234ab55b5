// RMS norm (Zhang and Sennrich 2019, arXiv:1910.07467) and layer norm (Ba et al. 2016, arXiv:1607.06450) along rows,
// and their gradients.
//
// The gradients of weight and bias are sums over rows: each block of rows (cut by the number of rows alone) sums into
// its own strip of the scratch, and strips are added in block order, so any number of threads gives the same bits.
#include "blocks.h"
#include "float_types.h"
#include "rows.h"
#include "tasks.h"

#include <math.h>
#include <string.h>

// Rows handled together, so that a piece of the weights is converted once for all of them.
#define GROUP 8
// Columns of a piece.
#define PIECE 1024
#define MOST_BLOCKS 64

typedef struct {
  const ck_blocks *blocks;
  bool centred;  // layer norm
  ck_type type_weight;
  int64_t rows, width, rows_per_task, tasks;
  double epsilon;
  const void *x, *weight, *bias, *dy;
  void *y, *mean, *rstd;
  const void *mean_in, *rstd_in;
  void *dx, *dweight, *dbias, *scratch;
} norm_plan;

#define CK_TEMPLATE "norms.inc"
#include "instances.h"

static int64_t backward_rows(int64_t rows) { return ck_round_up(ck_max(1, ck_ceil_div(rows, MOST_BLOCKS)), GROUP); }

static void forward(const ck_context *context, ck_type type, norm_plan plan) {
  if (plan.rows == 0 || plan.width == 0) return;
  plan.blocks = ck_blocks_for(context);
  plan.rows_per_task = ck_round_up(ck_rows_per_task(plan.width, CK_GRAIN / 2), GROUP);
  int64_t tasks = ck_ceil_div(plan.rows, plan.rows_per_task);
  ck_run(context, tasks, CK_PICK_FLOAT(context, type, norm_task), &plan);
}

static void backward(const ck_context *context, ck_type type, norm_plan plan) {
  if (plan.width == 0) return;
  plan.blocks = ck_blocks_for(context);
  plan.rows_per_task = backward_rows(plan.rows);
  plan.tasks = ck_ceil_div(plan.rows, plan.rows_per_task);
  ck_context serial = *context;
  serial.pool = NULL;
  const ck_context *runner = plan.rows * plan.width < CK_GRAIN / 2 ? &serial : context;
  ck_run(runner, plan.tasks, CK_PICK_FLOAT(context, type, norm_backward_task), &plan);
  if (!plan.dweight && !plan.dbias) return;
  ck_run(runner, ck_ceil_div(plan.width, PIECE), CK_PICK_FLOAT(context, type, norm_combine_task), &plan);
}

void ck_rms_norm(
  const ck_context *context, ck_type type, ck_type type_weight, int64_t rows, int64_t width, double epsilon,
  const void *x, const void *weight, void *y, void *rstd
) {
  forward(context, type, (norm_plan){
    .type_weight = type_weight, .rows = rows, .width = width, .epsilon = epsilon, .x = x, .weight = weight, .y = y,
    .rstd = rstd,
  });
}

void ck_layer_norm(
  const ck_context *context, ck_type type, ck_type type_weight, int64_t rows, int64_t width, double epsilon,
  const void *x, const void *weight, const void *bias, void *y, void *mean, void *rstd
) {
  forward(context, type, (norm_plan){
    .centred = true, .type_weight = type_weight, .rows = rows, .width = width, .epsilon = epsilon, .x = x,
    .weight = weight, .bias = bias, .y = y, .mean = mean, .rstd = rstd,
  });
}

size_t ck_norm_backward_scratch(const ck_context *context, int64_t rows, int64_t width) {
  (void)context;
  return (size_t)(ck_ceil_div(rows, backward_rows(rows)) * 2 * width) * sizeof(double);
}

void ck_rms_norm_backward(
  const ck_context *context, ck_type type, ck_type type_weight, int64_t rows, int64_t width,
  const void *x, const void *weight, const void *rstd, const void *dy, void *dx, void *dweight, void *scratch
) {
  backward(context, type, (norm_plan){
    .type_weight = type_weight, .rows = rows, .width = width, .x = x, .weight = weight, .rstd_in = rstd, .dy = dy,
    .dx = dx, .dweight = dweight, .scratch = scratch,
  });
}

void ck_layer_norm_backward(
  const ck_context *context, ck_type type, ck_type type_weight, int64_t rows, int64_t width,
  const void *x, const void *weight, const void *mean, const void *rstd, const void *dy, void *dx, void *dweight,
  void *dbias, void *scratch
) {
  backward(context, type, (norm_plan){
    .centred = true, .type_weight = type_weight, .rows = rows, .width = width, .x = x, .weight = weight,
    .mean_in = mean, .rstd_in = rstd, .dy = dy, .dx = dx, .dweight = dweight, .dbias = dbias, .scratch = scratch,
  });
}
