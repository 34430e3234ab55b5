// Attention to pages: the choice of a variant, and the portable one, row by row in double, which is the living definition
// that the others are tested against.
#include "paged_attention_internal.h"
#include "scalar.h"

typedef struct {
  const ck_paged_attention_arguments *arguments;
  char *scratch;
  size_t worker_bytes;  // scores of all keys, sums of one head
} region;

// Element i of a head of a slot of the keys or values; nowhere: 0.
static double element(
    const ck_paged_attention_arguments *a, const void *base, const float *scales, int64_t slot, int64_t g, int64_t i) {
  if (slot < 0) return 0;
  int64_t at = (slot * a->kv_heads + g) * a->head_size + i;
  if (!scales) return ck_load_scalar(a->type, base, at);
  return (double)((const int8_t *)base)[at] * scales[slot * a->kv_heads + g];
}

static void portable_head(void *argument, int64_t index, int worker) {
  const region *r = argument;
  const ck_paged_attention_arguments *a = r->arguments;
  int64_t row = index / a->heads, h = index % a->heads, g = h / (a->heads / a->kv_heads), d = a->head_size;
  int64_t sequence = a->row_sequences[row];
  ck_key_range keys = ck_paged_keys(a, row);
  double *scores = (double *)(r->scratch + (size_t)worker * r->worker_bytes);
  double *sums = scores + a->table_blocks * a->block_size;
  double maximum = a->sinks ? a->sinks[h] : -INFINITY;
  for (int64_t s = keys.first; s < keys.end; s++) {
    int64_t slot = ck_paged_slot(a, sequence, s);
    double score = 0;
    for (int64_t i = 0; i < d; i++) {
      score += ck_load_scalar(a->type, a->q, (row * a->heads + h) * d + i) * element(a, a->k, a->k_scales, slot, g, i);
    }
    score *= a->scale;
    scores[s] = a->softcap > 0 ? a->softcap * tanh(score / a->softcap) : score;
    if (scores[s] > maximum) maximum = scores[s];
  }
  double base = maximum == -INFINITY ? 0 : maximum, sum = a->sinks ? exp(a->sinks[h] - base) : 0;
  for (int64_t i = 0; i < d; i++) sums[i] = 0;
  for (int64_t s = keys.first; s < keys.end; s++) {
    int64_t slot = ck_paged_slot(a, sequence, s);
    double weight = exp(scores[s] - base);
    sum += weight;
    for (int64_t i = 0; i < d; i++) sums[i] += weight * element(a, a->v, a->v_scales, slot, g, i);
  }
  for (int64_t i = 0; i < d; i++) {
    ck_store_scalar(a->type, a->o, (row * a->heads + h) * d + i, sum == 0 ? 0 : sums[i] / sum);
  }
}

static size_t portable_worker_bytes(const ck_paged_attention_arguments *a) {
  return ((size_t)(a->table_blocks * a->block_size + a->head_size) * sizeof(double) + 63) & ~(size_t)63;
}

static size_t portable_scratch(const ck_context *context, const ck_paged_attention_arguments *a) {
  return (size_t)ck_threads(context) * portable_worker_bytes(a);
}

static void portable(const ck_context *context, const ck_paged_attention_arguments *a, void *scratch) {
  region r = {a, scratch, portable_worker_bytes(a)};
  ck_run(context, a->rows * a->heads, portable_head, &r);
}

const ck_paged_attention_variant ck_paged_attention_portable = {portable_scratch, portable};

static const ck_paged_attention_variant *variant(
    const ck_context *context, const ck_paged_attention_arguments *arguments) {
  if (arguments->type == CK_F64 || context->isa == CK_PORTABLE) return &ck_paged_attention_portable;
#if defined(__x86_64__)
  if (context->isa == CK_AVX2) return &ck_paged_attention_avx2;
  if (arguments->type == CK_BF16 && context->bf16 && !arguments->k_scales) return &ck_paged_attention_avx512_bf16;
  return &ck_paged_attention_avx512;
#elif defined(__aarch64__)
  return &ck_paged_attention_neon;
#else
  return &ck_paged_attention_portable;
#endif
}

size_t ck_paged_attention_scratch(const ck_context *context, const ck_paged_attention_arguments *arguments) {
  return variant(context, arguments)->scratch(context, arguments);
}

void ck_paged_attention(const ck_context *context, const ck_paged_attention_arguments *arguments, void *scratch) {
  variant(context, arguments)->run(context, arguments, scratch);
}
