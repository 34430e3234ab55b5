// Linear layer and cross-entropy by chunks of rows: the logits of one chunk are made, summed, turned into their own
// gradient in place, and used for dx and dw before the next chunk is made: 6 * rows * width * vocabulary operations.
//
// Logits are held in bf16 if x and w are (as a bf16 linear layer would give them), in f64 if they are, else in f32. The
// chunks depend only on the sizes. dw is summed over chunks in f32 (in f64 if it is f64).
// Papers: Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models (2024), arXiv:2411.09009; Hsu et al.,
// Liger Kernel (2024), arXiv:2410.10989.
#include "include/crossentropy.h"

#include <math.h>
#include <string.h>

#include "crossentropy_internal.h"
#include "include/matmul.h"
#include "scalar.h"
#include "tasks.h"

// Room for a chunk's logits, and the rows that a chunk has even if that is too little: dw is read and written per
// chunk.
#define LOGITS_BYTES (112LL << 20)
#define LEAST_ROWS 256

typedef struct {
  const ck_cross_entropy_arguments *arguments;
  const ck_cross_entropy_rows *rows;
  ck_type type;                 // of the logits
  int64_t chunk, chunks, row;   // rows of a chunk; elements between rows of logits
  bool gradients, sum_apart;    // dx or dw wanted; dw is summed in `sums`, then rounded
  char *logits;
  float *sums;
  void *matmul;
  int64_t first;                // of the chunk in progress
} plan;

static ck_matmul_arguments logits_product(const plan *p, int64_t count) {
  const ck_cross_entropy_arguments *a = p->arguments;
  return (ck_matmul_arguments){
      .type_a = a->type, .type_b = a->type, .type_c = p->type, .batch = 1, .m = count, .n = a->vocabulary,
      .k = a->width,
      .a = (const char *)a->x + p->first * a->width * ck_type_size(a->type), .b = a->w, .c = p->logits,
      .lda = a->width, .ldb = a->width, .ldc = p->row, .transpose_b = true};
}

static ck_matmul_arguments dx_product(const plan *p, int64_t count) {
  const ck_cross_entropy_arguments *a = p->arguments;
  return (ck_matmul_arguments){
      .type_a = p->type, .type_b = a->type, .type_c = a->type_dx, .batch = 1, .m = count, .n = a->width,
      .k = a->vocabulary, .a = p->logits, .b = a->w,
      .c = (char *)a->dx + p->first * a->width * ck_type_size(a->type_dx),
      .lda = p->row, .ldb = a->width, .ldc = a->width};
}

static ck_matmul_arguments dw_product(const plan *p, int64_t count) {
  const ck_cross_entropy_arguments *a = p->arguments;
  return (ck_matmul_arguments){
      .type_a = p->type, .type_b = a->type, .type_c = p->sum_apart ? CK_F32 : a->type_dw, .batch = 1,
      .m = a->vocabulary, .n = a->width, .k = count, .a = p->logits,
      .b = (const char *)a->x + p->first * a->width * ck_type_size(a->type), .c = p->sum_apart ? p->sums : a->dw,
      .lda = p->row, .ldb = a->width, .ldc = a->width, .transpose_a = true, .accumulate = p->first > 0};
}

static size_t make_plan(const ck_context *context, const ck_cross_entropy_arguments *a, void *scratch, plan *p) {
  memset(p, 0, sizeof *p);
  p->arguments = a;
  p->rows = &ck_cross_entropy_rows_portable;
#if defined(__x86_64__)
  if (context->isa == CK_AVX2) p->rows = &ck_cross_entropy_rows_avx2;
  if (context->isa >= CK_AVX512) p->rows = &ck_cross_entropy_rows_avx512;
#elif defined(__aarch64__)
  if (context->isa >= CK_NEON) p->rows = &ck_cross_entropy_rows_neon;
#endif
  p->type = a->type == CK_F16 ? CK_F32 : a->type;
  p->gradients = a->dx || a->dw;
  int64_t size = ck_type_size(p->type);
  p->row = ck_round_up(ck_max(a->vocabulary, 1), 64);
  if (p->row * size % 4096 == 0) p->row += 64;  // rows a page's multiple apart would share few sets of the cache
  int64_t most = ck_max(LOGITS_BYTES / (p->row * size), LEAST_ROWS);
  p->chunks = ck_ceil_div(a->rows, most);
  p->chunk = p->chunks ? ck_min(ck_round_up(ck_ceil_div(a->rows, p->chunks), 32), a->rows) : 0;
  p->chunks = p->chunk ? ck_ceil_div(a->rows, p->chunk) : 0;
  p->sum_apart = a->dw && p->chunks > 1 && (a->type_dw == CK_BF16 || a->type_dw == CK_F16);

  size_t logits = (size_t)ck_round_up(p->chunk * p->row * size, 64);
  size_t sums = p->sum_apart ? (size_t)ck_round_up(a->vocabulary * a->width * 4, 64) : 0, matmul = 0;
  // All chunks but the last, and the last.
  int64_t counts[2] = {p->chunk, a->rows - ck_max(p->chunks - 1, 0) * p->chunk};
  for (int i = 0; i < 2; i++) {
    ck_matmul_arguments products[3] = {
        logits_product(p, counts[i]), dx_product(p, counts[i]), dw_product(p, counts[i])};
    for (int64_t n = 0; n < (p->gradients ? 3 : 1); n++) {
      size_t needed = ck_matmul_scratch(context, &products[n]);
      products[n].accumulate = true;
      size_t accumulating = n == 2 ? ck_matmul_scratch(context, &products[n]) : 0;
      if (needed < accumulating) needed = accumulating;
      if (matmul < needed) matmul = needed;
    }
  }
  p->logits = scratch;
  p->sums = (float *)((char *)scratch + logits);
  p->matmul = (char *)scratch + logits + sums;
  return logits + sums + matmul;
}

// A row in double, in place: the reference, and the path of f64.
static double logsumexp_in_double(const double *logits, int64_t count, double softcap) {
  double maximum = -INFINITY, sum = 0;
  for (int64_t i = 0; i < count; i++) {
    double x = softcap > 0 ? softcap * tanh(logits[i] / softcap) : logits[i];
    maximum = x > maximum ? x : maximum;
  }
  for (int64_t i = 0; i < count; i++) {
    sum += exp((softcap > 0 ? softcap * tanh(logits[i] / softcap) : logits[i]) - maximum);
  }
  return maximum + log(sum);
}

static void differentiate_in_double(
    double *logits, int64_t count, double softcap, double logsumexp, int64_t target, double d_loss) {
  for (int64_t i = 0; i < count; i++) {
    double ratio = softcap > 0 ? tanh(logits[i] / softcap) : 0, x = softcap > 0 ? softcap * ratio : logits[i];
    logits[i] = d_loss * (exp(x - logsumexp) - (i == target)) * (1 - ratio * ratio);
  }
}

static void row_task(void *argument, int64_t index, int worker) {
  const plan *p = argument;
  const ck_cross_entropy_arguments *a = p->arguments;
  int64_t row = p->first + index, n = a->vocabulary, target = a->targets[row];
  void *logits = p->logits + index * p->row * ck_type_size(p->type);
  bool counts = target >= 0 && target < n, rounded = p->type == CK_BF16, wide = p->type == CK_F64;
  (void)worker;
  if (!counts && !a->logsumexp) {
    if (a->loss) a->loss[row] = 0;
    if (p->gradients) memset(logits, 0, (size_t)(n * ck_type_size(p->type)));
    return;
  }
  double logsumexp = wide ? logsumexp_in_double(logits, n, a->softcap)
                          : p->rows->logsumexp(logits, rounded, n, a->softcap);
  if (a->logsumexp) a->logsumexp[row] = (float)logsumexp;
  if (a->loss) {
    double picked = counts ? ck_load_scalar(p->type, logits, target) : 0;
    if (a->softcap > 0) picked = a->softcap * tanh(picked / a->softcap);
    a->loss[row] = counts ? (float)(logsumexp - picked) : 0;
  }
  if (!p->gradients) return;
  float d_loss = counts && a->d_loss ? a->d_loss[row] : 0;
  if (d_loss == 0) memset(logits, 0, (size_t)(n * ck_type_size(p->type)));
  else if (wide) differentiate_in_double(logits, n, a->softcap, logsumexp, target, d_loss);
  else p->rows->differentiate(logits, rounded, n, a->softcap, (float)logsumexp, target, d_loss);
}

static void round_task(void *argument, int64_t index, int worker) {
  const plan *p = argument;
  const ck_cross_entropy_arguments *a = p->arguments;
  const float *from = p->sums + index * a->width;
  uint16_t *to = (uint16_t *)a->dw + index * a->width;
  (void)worker;
  if (a->type_dw == CK_BF16) {
    p->rows->round(from, to, a->width);
  } else {
    for (int64_t i = 0; i < a->width; i++) to[i] = ck_f32_to_f16(from[i]);
  }
}

size_t ck_cross_entropy_scratch(const ck_context *context, const ck_cross_entropy_arguments *arguments) {
  plan p;
  return make_plan(context, arguments, NULL, &p);
}

void ck_cross_entropy(const ck_context *context, const ck_cross_entropy_arguments *a, void *scratch) {
  plan p;
  make_plan(context, a, scratch, &p);
  if (a->dw && a->rows == 0) memset(a->dw, 0, (size_t)(a->vocabulary * a->width * ck_type_size(a->type_dw)));
  for (p.first = 0; p.first < a->rows; p.first += p.chunk) {
    int64_t count = ck_min(p.chunk, a->rows - p.first);
    ck_matmul_arguments logits = logits_product(&p, count), dx = dx_product(&p, count), dw = dw_product(&p, count);
    ck_matmul(context, &logits, p.matmul);
    ck_run(context, count, row_task, &p);
    if (a->dx) ck_matmul(context, &dx, p.matmul);
    if (a->dw) ck_matmul(context, &dw, p.matmul);
  }
  if (p.sum_apart) ck_run(context, a->vocabulary, round_task, &p);
}
