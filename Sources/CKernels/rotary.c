// Rotary position embedding. Su et al., RoFormer (2021), arXiv:2104.09864. Positions are independent tasks.
#include "float_types.h"
#include "rows.h"
#include "tasks.h"

#include <math.h>

typedef struct {
  const ck_rotary_arguments *arguments;
  int64_t positions_per_task;
} rotary_plan;

#define CK_TEMPLATE "rotary.inc"
#include "instances.h"

void ck_rotary(const ck_context *context, const ck_rotary_arguments *arguments) {
  int64_t positions = arguments->batch * arguments->positions, width = arguments->heads * arguments->head_size;
  if (positions == 0 || width == 0) return;
  rotary_plan plan = {arguments, ck_rows_per_task(width, CK_GRAIN / 2)};
  int64_t tasks = ck_ceil_div(positions, plan.positions_per_task);
  ck_run(context, tasks, CK_PICK_FLOAT(context, arguments->type, rotary_task), &plan);
}
