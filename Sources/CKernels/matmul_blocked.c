// The blocked product: what is packed when, by whom, and for whom.
//
// One operand (the one with fewer indices) is packed once into a block that all threads share and that stays in the
// last-level cache; the other is cut into chunks, one task each, that the task packs for itself into its own
// second-level cache and multiplies with the whole shared block. So everything is packed and read once, and no
// thread waits within a phase. Long k is done in parts; between parts the sums stay f32 (in C itself if it is f32).
#include <string.h>

#include "matmul_kernels.h"

// Bytes of k in a part (a row of A, a column of B), of the shared block, and of a task's chunk.
enum { PART_BYTES = 6144, SHARED_BYTES = 8 << 20, CHUNK_BYTES = 384 << 10 };
// Below these a product is done by its caller alone, and an element of a batch by one thread.
#define SERIAL_WORK ((int64_t)1 << 20)
#define BATCH_WORK ((int64_t)1 << 25)
// Rows of B across k are packed this many steps at a time, over all panels of a chunk, so that memory is read in runs.
enum { RUN_STEPS = 64 };

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// One operand in its role: how its indices are cut into panels, and panels into blocks or chunks.
typedef struct {
  ck_operand operand;
  ck_pack pack;
  int64_t width;         // indices that a panel has room for
  int64_t used;          // indices in a panel; rows in even shares, since a last panel of few rows would be slow
  int64_t panels;
  int64_t panel_words;   // 32-bit words of a panel of one part
  int64_t group_panels;  // panels in the shared block, or in a chunk
} side;

typedef struct {
  const ck_matmul_kernel *kernel;
  const ck_matmul_arguments *m;
  int64_t batch;
  side shared, own;
  bool own_is_b;
  bool plain;            // C takes the sums as they are: f32 or i32, nothing fused
  int64_t part;          // elements of k in a part
  int64_t parts;
  // In the scratch
  uint32_t *shared_panels;
  uint32_t *own_panels;  // one chunk per worker
  float *sums;           // f32 sums between parts where C is not f32; [m][sums_row]
  int64_t sums_row;
  size_t own_words;
  // The current phase
  int64_t shared_first, shared_count;
  int64_t k, depth;
  bool first, last;
} product;

static void lay_out(product *p, const ck_matmul_kernel *kernel, int threads, const ck_matmul_arguments *m) {
  p->kernel = kernel;
  p->m = m;
  int64_t part_elements = PART_BYTES / 4 * kernel->group, unit = CK_LINE * kernel->group;
  p->parts = most(1, divide_up(m->k, part_elements));
  p->part = round_up(divide_up(most(m->k, 1), p->parts), unit);
  p->parts = most(1, divide_up(m->k, p->part));
  int64_t steps = p->part / kernel->group;
  side a = {
    .operand = {.ld = m->lda, .extent = m->m, .type = m->type_a, .along = !m->transpose_a},
    .pack = kernel->pack_a, .width = kernel->rows, .panels = divide_up(m->m, kernel->rows),
    .panel_words = round_up(kernel->rows * steps, CK_LINE),
    .used = divide_up(m->m, most(1, divide_up(m->m, kernel->rows))),
  };
  side b = {
    .operand = {.ld = m->ldb, .extent = m->n, .type = m->type_b, .along = m->transpose_b},
    .pack = kernel->pack_b, .width = kernel->columns, .panels = divide_up(m->n, kernel->columns),
    .panel_words = round_up(kernel->columns * (steps + (kernel->column_sums ? 1 : 0)), CK_LINE),
    .used = kernel->columns,
  };
  p->own_is_b = m->n >= m->m;
  p->own = p->own_is_b ? b : a;
  p->shared = p->own_is_b ? a : b;
  p->shared.group_panels = most(1, least(p->shared.panels, SHARED_BYTES / (p->shared.panel_words * 4)));
  // Chunks: as large as the cache takes, but several for each thread, and as many for one as for another.
  int64_t chunk = most(1, CHUNK_BYTES / (p->own.panel_words * 4));
  int64_t chunks = most(divide_up(p->own.panels, chunk), least(p->own.panels, 4 * threads));
  p->own.group_panels = most(1, divide_up(p->own.panels, round_up(chunks, threads)));
  p->plain = m->bias == NULL && m->pre_activation == NULL && m->activation == CK_IDENTITY && m->residual == NULL
    && ck_type_size(m->type_c) == 4;
  p->sums_row = ck_type_size(m->type_c) == 4 || p->parts == 1 ? 0 : round_up(m->n, kernel->columns);
  p->own_words = (size_t)(p->own.panel_words * p->own.group_panels);
}

static size_t words(const product *p, int threads) {
  return (size_t)(p->shared.panel_words * p->shared.group_panels) + p->own_words * (size_t)threads
    + (size_t)(p->sums_row * p->m->m);
}

static void place(product *p, int threads, void *scratch) {
  p->shared_panels = scratch;
  p->own_panels = p->shared_panels + p->shared.panel_words * p->shared.group_panels;
  p->sums = (float *)(p->own_panels + p->own_words * (size_t)threads);
}

// Packs `count` panels from `first`, for the current part.
static void pack_panels(const product *p, const side *s, int64_t first, int64_t count, uint32_t *to) {
  int group = p->kernel->group;
  int64_t run = s->operand.along || p->kernel->column_sums ? most(p->depth, 1) : RUN_STEPS * group;
  // Once even when there is nothing: the sums over columns are then 0.
  for (int64_t k = 0; k == 0 || k < p->depth; k += run) {
    for (int64_t i = 0; i < count; i++) {
      int64_t index = (first + i) * s->used;
      s->pack(
        to + i * s->panel_words + k / group * s->width, &s->operand, index, least(s->used, s->operand.extent - index),
        p->k + k, least(run, p->depth - k));
    }
  }
}

static void pack_shared(void *argument, int64_t index, int worker) {
  (void)worker;
  const product *p = argument;
  pack_panels(p, &p->shared, p->shared_first + index, 1, p->shared_panels + index * p->shared.panel_words);
}

static void multiply_tile(
    const product *p, int64_t row_panel, int64_t column_panel, const uint32_t *a, const uint32_t *b) {
  const ck_matmul_kernel *kernel = p->kernel;
  const ck_matmul_arguments *m = p->m;
  int64_t row_used = p->own_is_b ? p->shared.used : p->own.used;
  int64_t row = row_panel * row_used, column = column_panel * kernel->columns;
  int64_t rows = least(row_used, m->m - row), columns = least(kernel->columns, m->n - column);
  int64_t steps = divide_up(p->depth, kernel->group);
  _Alignas(64) float buffer[CK_TILE_ROWS * CK_TILE_COLUMNS];
  int64_t buffer_row = kernel->columns;
  bool whole = columns == kernel->columns;

  // Where the sums are between parts, and whether a tile of them may be read and written in place.
  float *home;
  int64_t home_row;
  if (p->sums_row > 0) {
    home = p->sums + row * p->sums_row + column;
    home_row = p->sums_row;
    whole = true;
  } else {
    home = (float *)m->c + p->batch * m->stride_c + row * m->ldc + column;
    home_row = m->ldc;
  }

  // The lines to be written are asked for now, to be there when the sums are.
  int64_t size = ck_type_size(m->type_c);
  char *target = p->last || p->sums_row == 0
    ? (char *)m->c + (p->batch * m->stride_c + row * m->ldc + column) * size : (char *)home;
  int64_t target_row = (p->last || p->sums_row == 0 ? m->ldc * size : home_row * 4);
  for (int64_t i = 0; i < rows; i++) {
    __builtin_prefetch(target + i * target_row, 1);
    if (columns * size > 64) __builtin_prefetch(target + i * target_row + 64, 1);
  }

  const float *start = NULL;
  int64_t start_row = 0;
  if (p->first && m->accumulate && p->sums_row > 0) {
    kernel->resume(m, p->batch, row, column, rows, columns, buffer, buffer_row);
    start = buffer, start_row = buffer_row;
  } else if (p->first && m->accumulate && ck_type_size(m->type_c) != 4) {
    kernel->resume(m, p->batch, row, column, rows, columns, buffer, buffer_row);
    start = buffer, start_row = buffer_row;
  } else if (!p->first || m->accumulate) {
    if (whole) {
      start = home, start_row = home_row;
    } else {
      for (int64_t i = 0; i < rows; i++) {
        memcpy(buffer + i * buffer_row, home + i * home_row, (size_t)columns * 4);
      }
      start = buffer, start_row = buffer_row;
    }
  }
  bool finish = p->last && !p->plain;
  if (whole && !finish) {
    kernel->tile(rows, steps, a, b, start, start_row, home, home_row);
    return;
  }
  kernel->tile(rows, steps, a, b, start, start_row, buffer, buffer_row);
  if (finish) {
    kernel->finish(m, p->batch, row, column, rows, columns, buffer, buffer_row);
  } else {
    for (int64_t i = 0; i < rows; i++) {
      memcpy(home + i * home_row, buffer + i * buffer_row, (size_t)columns * 4);
    }
  }
}

static void multiply_chunk(void *argument, int64_t index, int worker) {
  const product *p = argument;
  uint32_t *own = p->own_panels + (size_t)worker * p->own_words;
  int64_t first = index * p->own.group_panels, count = least(p->own.group_panels, p->own.panels - first);
  pack_panels(p, &p->own, first, count, own);
  if (p->kernel->enter != NULL) p->kernel->enter();
  for (int64_t s = 0; s < p->shared_count; s++) {
    const uint32_t *shared = p->shared_panels + s * p->shared.panel_words;
    for (int64_t i = 0; i < count; i++) {
      const uint32_t *mine = own + i * p->own.panel_words;
      if (p->own_is_b) {
        multiply_tile(p, p->shared_first + s, first + i, shared, mine);
      } else {
        multiply_tile(p, first + i, p->shared_first + s, mine, shared);
      }
    }
  }
  if (p->kernel->leave != NULL) p->kernel->leave();
}

static void run(product *p, ck_pool *pool, int64_t batch) {
  const ck_matmul_arguments *m = p->m;
  p->batch = batch;
  const char *a = (const char *)m->a + batch * m->stride_a * ck_type_size(m->type_a);
  const char *b = (const char *)m->b + batch * m->stride_b * ck_type_size(m->type_b);
  p->own.operand.data = p->own_is_b ? b : a;
  p->shared.operand.data = p->own_is_b ? a : b;
  int64_t chunks = divide_up(p->own.panels, p->own.group_panels);
  for (int64_t part = 0; part < p->parts; part++) {
    p->k = part * p->part;
    p->depth = least(p->part, m->k - p->k);
    p->first = part == 0;
    p->last = part == p->parts - 1;
    for (p->shared_first = 0; p->shared_first < p->shared.panels; p->shared_first += p->shared.group_panels) {
      p->shared_count = least(p->shared.group_panels, p->shared.panels - p->shared_first);
      // A few panels are packed faster than another thread is told to help.
      bool little = p->shared_count * p->shared.panel_words * 4 < 32 << 10;
      ck_pool_run(little ? NULL : pool, p->shared_count, pack_shared, p);
      ck_pool_run(pool, chunks, multiply_chunk, p);
    }
  }
}

static int64_t work(const ck_matmul_arguments *m) { return m->m * m->n * most(m->k, 1); }

// Whether whole elements of the batch go to single threads.
static bool by_batch(const ck_matmul_arguments *m, int threads) {
  return threads > 1 && m->batch >= threads && work(m) < BATCH_WORK && work(m) * m->batch >= SERIAL_WORK;
}

size_t ck_matmul_blocked_scratch(const ck_matmul_kernel *kernel, int threads, const ck_matmul_arguments *m) {
  product p = {0};
  bool batched = by_batch(m, threads);
  lay_out(&p, kernel, batched ? 1 : threads, m);
  size_t bytes = words(&p, batched ? 1 : threads) * 4;
  return (batched ? (size_t)threads : 1) * ((bytes + 63) / 64 * 64);
}

typedef struct {
  const product *product;
  char *scratch;
  size_t bytes;
} batch_region;

static void run_batch(void *argument, int64_t index, int worker) {
  const batch_region *region = argument;
  product p = *region->product;
  place(&p, 1, region->scratch + (size_t)worker * region->bytes);
  run(&p, NULL, index);
}

void ck_matmul_blocked(
    const ck_matmul_kernel *kernel, ck_pool *pool, const ck_matmul_arguments *m, void *scratch) {
  int threads = ck_pool_threads(pool);
  product p = {0};
  if (by_batch(m, threads)) {
    lay_out(&p, kernel, 1, m);
    batch_region region = {.product = &p, .scratch = scratch, .bytes = (words(&p, 1) * 4 + 63) / 64 * 64};
    ck_pool_run(pool, m->batch, run_batch, &region);
    return;
  }
  lay_out(&p, kernel, threads, m);
  place(&p, threads, scratch);
  bool alone = work(m) < SERIAL_WORK;
  for (int64_t batch = 0; batch < m->batch; batch++) run(&p, alone ? NULL : pool, batch);
}
