// Products of a few rows with a matrix whose rows run along k, as in decoding: who takes which columns.
//
// The time is that of reading B once, so B is neither packed nor copied; A is packed by the caller, before the region.
// A task is a run of columns, which lie one after another in memory.
#include <string.h>

#include "matmul_kernels.h"

// Tasks for each thread, and the least bytes of B in one. A task asks for what it reads next while it computes, but not for
// what another task begins with, so the first columns of each come late: tasks are as long as may be.
enum { TASKS = 2, LEAST_BYTES = 64 << 10 };
// Bytes of B below which no other thread is told to help.
#define SERIAL_BYTES ((int64_t)96 << 10)
enum { COLUMNS = 16 };

typedef struct {
  const ck_matmul_kernel *kernel;
  const ck_matmul_arguments *m;
  const uint32_t *a;
  int64_t columns;  // of a task
} stream;

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool ck_matmul_streams(const ck_matmul_kernel *kernel, const ck_matmul_arguments *m) {
  int rows = kernel->rows < CK_STREAM_ROWS ? CK_STREAM_ROWS / 2 : CK_STREAM_ROWS;
  return kernel->stream != NULL && m->batch == 1 && m->transpose_b && m->m <= rows && m->k > 0 && !m->accumulate;
}

static int64_t packed_bytes(const ck_matmul_kernel *kernel, int64_t k) {
  return divide_up(k, CK_LINE * kernel->group) * CK_LINE * kernel->rows * 4;
}

size_t ck_matmul_stream_scratch(const ck_matmul_kernel *kernel, const ck_matmul_arguments *m) {
  return (size_t)packed_bytes(kernel, m->k);
}

static void task(void *argument, int64_t index, int worker) {
  (void)worker;
  const stream *s = argument;
  int64_t first = index * s->columns, end = first + s->columns;
  s->kernel->stream(s->m, s->a, first, end < s->m->n ? end : s->m->n);
}

void ck_matmul_stream(const ck_matmul_kernel *kernel, ck_pool *pool, const ck_matmul_arguments *m, void *scratch) {
  ck_operand a = {.data = m->a, .ld = m->lda, .extent = m->m, .type = m->type_a, .along = !m->transpose_a};
  if ((m->m & (m->m - 1)) != 0) memset(scratch, 0, (size_t)packed_bytes(kernel, m->k));
  kernel->pack_a(scratch, &a, 0, m->m, 0, m->k);
  int64_t column_bytes = m->k * ck_type_size(m->type_b), bytes = m->n * column_bytes;
  if (bytes < SERIAL_BYTES) pool = NULL;
  int64_t wanted = bytes / (TASKS * ck_pool_threads(pool));
  if (wanted < LEAST_BYTES) wanted = LEAST_BYTES;
  int64_t groups = wanted / (COLUMNS * column_bytes);
  stream s = {.kernel = kernel, .m = m, .a = scratch, .columns = (groups < 1 ? 1 : groups) * COLUMNS};
  ck_pool_run(pool, divide_up(m->n, s.columns), task, &s);
}
