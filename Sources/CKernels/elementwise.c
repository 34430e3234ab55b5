// Fused elementwise expressions: planning and dispatch. The arithmetic is in elementwise.inc.
//
// Invariant: a register that points into an input is never read after the buffer behind it has been overwritten by an
// output (outputs may share the buffer of a dense input).
#include "elementwise_plan.h"
#include "tasks.h"

#include <math.h>

#define CK_TEMPLATE "elementwise.inc"
#include "instances.h"

// Drops dimensions of 1 and merges neighbours that every input walks as one. Returns the number of elements.
static int64_t collapse(ck_elementwise_plan *plan) {
  const ck_elementwise_arguments *arguments = plan->arguments;
  int64_t total = 1;
  int rank = 0;
  for (int d = 0; d < arguments->rank; d++) {
    int64_t size = arguments->dimensions[d];
    total *= size;
    if (size == 1) continue;
    bool merge = rank > 0;
    for (int i = 0; merge && i < arguments->inputs; i++) {
      merge = plan->strides[i][rank - 1] == arguments->input_strides[i][d] * size;
    }
    if (!merge) rank++;
    plan->dimensions[rank - 1] = merge ? plan->dimensions[rank - 1] * size : size;
    for (int i = 0; i < arguments->inputs; i++) plan->strides[i][rank - 1] = arguments->input_strides[i][d];
  }
  if (rank == 0) {
    rank = 1;
    plan->dimensions[0] = 1;
    for (int i = 0; i < arguments->inputs; i++) plan->strides[i][0] = 1;
  }
  plan->rank = rank;
  for (int i = 0; i < arguments->inputs; i++) {
    bool splat = true, dense = true;
    int64_t expected = 1;
    for (int d = rank - 1; d >= 0; d--) {
      splat &= plan->strides[i][d] == 0;
      dense &= plan->strides[i][d] == expected;
      expected *= plan->dimensions[d];
    }
    plan->layout[i] = splat ? CK_INPUT_SPLAT : dense ? CK_INPUT_DENSE : CK_INPUT_STRIDED;
  }
  return total;
}

static bool reads(const ck_instruction *instruction, int r) {
  switch (instruction->opcode) {
    case CK_LOAD: case CK_CONSTANT: return false;
    case CK_SELECT: case CK_FMA: return instruction->a == r || instruction->b == r || instruction->c == r;
    case CK_GRAD_RELU: case CK_GRAD_RELU_SQUARED: case CK_GRAD_GELU_TANH: case CK_GRAD_GELU_ERF: case CK_GRAD_SILU:
      return instruction->a == r || instruction->b == r;
    default:
      return instruction->a == r || (instruction->opcode >= CK_ADD && instruction->b == r);
  }
}

// The last instruction that reads the value which instruction `at` leaves in its register (`at` itself if none).
static int last_use(const ck_elementwise_arguments *arguments, int at) {
  int r = arguments->program[at].destination, last = at;
  for (int j = at + 1; j < arguments->instructions; j++) {
    const ck_instruction *instruction = &arguments->program[j];
    if (reads(instruction, r)) last = j;
    if (instruction->opcode != CK_STORE && instruction->destination == r) break;
  }
  return last;
}

// True if a write of output `k` at instruction `at` comes after every use of the inputs that share its buffer.
static bool write_is_late(const ck_elementwise_arguments *arguments, int k, int at) {
  for (int j = 0; j < arguments->instructions; j++) {
    const ck_instruction *load = &arguments->program[j];
    if (load->opcode != CK_LOAD || arguments->input[load->a] != arguments->output[k]) continue;
    if (j >= at || last_use(arguments, j) > at) return false;
  }
  return true;
}

// The instruction whose result the store at `at` could receive directly, or -1.
static int producer(const ck_elementwise_arguments *arguments, int at) {
  const ck_instruction *store = &arguments->program[at];
  int k = store->destination;
  if (!ck_is_native(arguments->output_type[k]) || ck_class_of(arguments->output_type[k]) != store->class_) return -1;
  for (int j = at - 1; j >= 0; j--) {
    const ck_instruction *instruction = &arguments->program[j];
    if (instruction->opcode == CK_STORE || instruction->destination != store->a) continue;
    if (instruction->opcode == CK_LOAD || instruction->opcode == CK_CONSTANT) return -1;
    return write_is_late(arguments, k, j) ? j : -1;
  }
  return -1;
}

// Decides how each instruction runs and which registers need room. Returns the bytes per element of that room.
static int64_t choose_steps(ck_elementwise_plan *plan) {
  const ck_elementwise_arguments *arguments = plan->arguments;
  int definitions[CK_MAX_REGISTERS] = {0};
  for (int j = 0; j < arguments->instructions; j++) {
    plan->step[j] = CK_STEP_RUN;
    if (arguments->program[j].opcode != CK_STORE) definitions[arguments->program[j].destination]++;
  }
  for (int j = 0; j < arguments->instructions; j++) {
    if (arguments->program[j].opcode != CK_STORE) continue;
    int from = producer(arguments, j);
    if (from < 0 || plan->step[from] == CK_STEP_DIRECT) continue;
    plan->step[from] = CK_STEP_DIRECT;
    plan->direct[from] = arguments->program[j].destination;
    plan->step[j] = CK_STEP_SKIP;
  }
  for (int j = 0; j < arguments->instructions; j++) {
    const ck_instruction *instruction = &arguments->program[j];
    bool splat = instruction->opcode == CK_CONSTANT
      || (instruction->opcode == CK_LOAD && plan->layout[instruction->a] == CK_INPUT_SPLAT);
    if (splat && definitions[instruction->destination] == 1) plan->step[j] = CK_STEP_ONCE;
    if (instruction->opcode != CK_LOAD || splat) continue;
    ck_type type = arguments->input_type[instruction->a];
    if (!ck_is_native(type) || ck_class_of(type) != instruction->class_) continue;
    bool safe = true;
    for (int s = 0; safe && s < arguments->instructions; s++) {
      int written = -1;
      if (arguments->program[s].opcode == CK_STORE && plan->step[s] != CK_STEP_SKIP) {
        written = arguments->program[s].destination;
      }
      if (plan->step[s] == CK_STEP_DIRECT) written = plan->direct[s];
      if (written < 0 || arguments->output[written] != arguments->input[instruction->a]) continue;
      safe = last_use(arguments, j) <= s;
    }
    if (safe) plan->step[j] = CK_STEP_ALIAS;
  }
  for (int r = 0; r < CK_MAX_REGISTERS; r++) plan->slot[r] = -1;
  int slots = 0;
  bool wide = false;
  for (int j = 0; j < arguments->instructions; j++) {
    const ck_instruction *instruction = &arguments->program[j];
    if (instruction->opcode == CK_STORE || plan->step[j] == CK_STEP_DIRECT) continue;
    if (plan->step[j] == CK_STEP_ALIAS && ck_points_into_input(plan, instruction->a)) continue;
    if (plan->slot[instruction->destination] < 0) plan->slot[instruction->destination] = slots++;
    wide |= instruction->class_ != CK_CLASS_F32;
  }
  // Registers of one expression are mostly of one width; a mixed one gives every register the larger.
  plan->register_size = wide ? 8 : 4;
  return slots * plan->register_size;
}

// The work of an element relative to moving it: transcendental functions dominate.
static int64_t cost(const ck_elementwise_arguments *arguments) {
  int64_t sum = 8;
  for (int j = 0; j < arguments->instructions; j++) {
    int opcode = arguments->program[j].opcode;
    bool slow = (opcode >= CK_EXP && opcode <= CK_SIGMOID) || (opcode >= CK_UNARY_GELU_TANH && opcode <= CK_UNARY_SILU)
      || (opcode >= CK_GRAD_GELU_TANH && opcode <= CK_GRAD_SILU) || opcode == CK_POW || opcode == CK_MOD;
    sum += slow ? 8 : 1;
  }
  return sum / 8;
}

void ck_elementwise(const ck_context *context, const ck_elementwise_arguments *arguments) {
  ck_elementwise_plan plan;
  plan.arguments = arguments;
  plan.conversions = ck_blocks_for(context);
  plan.total = collapse(&plan);
  if (plan.total == 0) return;
  plan.inner = plan.dimensions[plan.rank - 1];
  plan.rows = plan.total / plan.inner;
  plan.within_rows = plan.inner >= 128 || plan.rows == 1;
  int64_t room = choose_steps(&plan);
  int64_t block = CK_LARGEST_BLOCK;
  if (room > 0) block = ck_min(block, CK_REGISTER_FILE / room / 16 * 16);
  plan.rows_per_block = 0;
  if (plan.within_rows) {
    plan.blocks_per_row = ck_ceil_div(plan.inner, block);
    plan.block = ck_min(ck_round_up(ck_ceil_div(plan.inner, plan.blocks_per_row), 16), block);
    plan.blocks_per_row = ck_ceil_div(plan.inner, plan.block);
    plan.blocks = plan.rows * plan.blocks_per_row;
  } else {
    plan.rows_per_block = ck_min(plan.rows, block / plan.inner);
    plan.block = plan.rows_per_block * plan.inner;
    plan.blocks_per_row = 1;
    plan.blocks = ck_ceil_div(plan.rows, plan.rows_per_block);
  }
  plan.blocks_per_task = ck_max(1, CK_GRAIN / cost(arguments) / plan.block);
  ck_run(context, ck_ceil_div(plan.blocks, plan.blocks_per_task), CK_PICK(context, elementwise_task), &plan);
}
