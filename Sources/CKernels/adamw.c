// Fused AdamW over many tensors: one pass over parameter, both moments and gradient. Chunks of tensors are the tasks;
// every element is independent.
#include "blocks.h"
#include "optimizer.h"
#include "tasks.h"

#define CHUNK 32768

#define CK_TEMPLATE "adamw.inc"
#include "instances.h"

void ck_adamw(const ck_context *context, const ck_adamw_arguments *arguments) {
  int64_t tasks = 0;
  for (int64_t i = 0; i < arguments->tensors; i++) tasks += ck_ceil_div(arguments->tensor[i].count, CHUNK);
  ck_run(context, tasks, CK_PICK(context, adamw_task), (void *)arguments);
}
