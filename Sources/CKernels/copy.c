// Strided copies with conversion of type, and fills.
//
// Dimensions are sorted and merged first, so that every contiguous, broadcast or row-wise copy becomes a few long
// moves. A copy whose input and output are adjacent along different axes is a transpose and goes by tiles (copy.inc).
#include "elementwise.h"
#include "blocks.h"
#include "tasks.h"

#include <string.h>

typedef struct {
  const ck_blocks *blocks;
  int rank;                 // of the outer loops
  int64_t size[CK_MAX_RANK], from[CK_MAX_RANK], to[CK_MAX_RANK];  // outer loops: strides in elements
  int64_t outer;            // product of size
  int64_t count, from_stride, to_stride;   // the inner loop
  int64_t rows, row_from, row_to;          // a transpose's second loop: adjacent in the input; 0 if none
  const char *input;
  char *output;
  ck_type input_type, output_type;
  int64_t pieces, piece;    // an inner loop is cut into `pieces` of `piece` elements (a transpose: of its rows)
  int64_t units, units_per_task;
} copy_plan;

#define CK_TEMPLATE "copy.inc"
#include "instances.h"

static void swap(int64_t *a, int64_t *b) {
  int64_t old = *a;
  *a = *b;
  *b = old;
}

// Loops ordered by falling output stride (equal ones by input stride), neighbours merged where both sides allow it.
static int64_t collapse(copy_plan *plan, const ck_copy_arguments *arguments) {
  int64_t total = 1;
  int rank = 0;
  for (int d = 0; d < arguments->rank; d++) {
    total *= arguments->dimensions[d];
    if (arguments->dimensions[d] == 1) continue;
    plan->size[rank] = arguments->dimensions[d];
    plan->from[rank] = arguments->input_strides[d];
    plan->to[rank++] = arguments->output_strides[d];
  }
  for (int i = 1; i < rank; i++) {
    for (int j = i; j > 0 && plan->to[j - 1] < plan->to[j]; j--) {
      swap(&plan->size[j - 1], &plan->size[j]);
      swap(&plan->from[j - 1], &plan->from[j]);
      swap(&plan->to[j - 1], &plan->to[j]);
    }
  }
  int merged = 0;
  for (int d = 0; d < rank; d++) {
    if (merged > 0 && plan->from[merged - 1] == plan->from[d] * plan->size[d]
        && plan->to[merged - 1] == plan->to[d] * plan->size[d]) {
      plan->size[merged - 1] *= plan->size[d];
    } else {
      plan->size[merged++] = plan->size[d];
    }
    plan->from[merged - 1] = plan->from[d];
    plan->to[merged - 1] = plan->to[d];
  }
  plan->rank = merged;
  return total;
}

// Takes loop d out of the outer loops.
static void take(copy_plan *plan, int d, int64_t *size, int64_t *from, int64_t *to) {
  *size = plan->size[d];
  *from = plan->from[d];
  *to = plan->to[d];
  plan->rank--;
  for (int i = d; i < plan->rank; i++) {
    plan->size[i] = plan->size[i + 1];
    plan->from[i] = plan->from[i + 1];
    plan->to[i] = plan->to[i + 1];
  }
}

void ck_copy(const ck_context *context, const ck_copy_arguments *arguments) {
  copy_plan plan = {
    .blocks = ck_blocks_for(context), .input = arguments->input, .output = arguments->output,
    .input_type = arguments->input_type, .output_type = arguments->output_type,
    .count = 1, .from_stride = 1, .to_stride = 1,
  };
  int64_t total = collapse(&plan, arguments);
  if (total == 0) return;
  if (plan.rank > 0) take(&plan, plan.rank - 1, &plan.count, &plan.from_stride, &plan.to_stride);
  bool moves = plan.input_type == plan.output_type;
  if (moves && plan.from_stride != 1 && plan.from_stride != 0 && plan.to_stride == 1) {
    for (int d = 0; d < plan.rank; d++) {
      if (plan.from[d] != 1) continue;
      take(&plan, d, &plan.rows, &plan.row_from, &plan.row_to);
      break;
    }
  }
  plan.outer = 1;
  for (int d = 0; d < plan.rank; d++) plan.outer *= plan.size[d];
  if (plan.rows > 0) {
    // Strips of rows of the output; each strip reads whole lines of the input.
    plan.piece = 64;
    plan.pieces = ck_ceil_div(plan.rows, plan.piece);
    plan.units_per_task = ck_max(1, CK_GRAIN / (plan.piece * plan.count));
  } else {
    plan.piece = ck_min(plan.count, CK_GRAIN);
    plan.pieces = ck_ceil_div(plan.count, plan.piece);
    plan.units_per_task = ck_max(1, CK_GRAIN / plan.piece);
  }
  plan.units = plan.outer * plan.pieces;
  ck_run(context, ck_ceil_div(plan.units, plan.units_per_task), CK_PICK(context, copy_task), &plan);
}

void ck_fill(const ck_context *context, void *output, int64_t count, ck_type type, const void *pattern) {
  ck_copy_arguments copy = {
    .rank = 1, .dimensions = {count}, .input = pattern, .input_type = type, .input_strides = {0},
    .output = output, .output_type = type, .output_strides = {1},
  };
  ck_copy(context, &copy);
}
