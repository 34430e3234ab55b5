// Small helpers that kernels over rows, blocks or chunks share: integer arithmetic and starting a parallel region.
#ifndef CK_TASKS_H
#define CK_TASKS_H

#include "context.h"

static inline int64_t ck_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ck_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ck_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t ck_round_up(int64_t a, int64_t multiple) { return ck_ceil_div(a, multiple) * multiple; }

// Elements below which a region is not worth waking other threads for.
#define CK_GRAIN 32768

// How many rows of `width` elements make one task of about `grain` elements.
static inline int64_t ck_rows_per_task(int64_t width, int64_t grain) { return ck_max(1, grain / ck_max(1, width)); }

static inline int ck_threads(const ck_context *context) { return context->pool ? ck_pool_threads(context->pool) : 1; }

// One task runs on the caller, without a region.
static inline void ck_run(const ck_context *context, int64_t tasks, ck_task task, void *argument) {
  if (tasks > 1 && context->pool) {
    ck_pool_run(context->pool, tasks, task, argument);
  } else {
    for (int64_t i = 0; i < tasks; i++) task(argument, i, 0);
  }
}

#endif
