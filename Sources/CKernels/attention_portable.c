// Attention row by row in double: the living definition that the tiled variants are tested against.
// One row of scores is held at a time; a task is one head (forward) or one key-value head (backward), so that every
// output is summed by one task in a fixed order.
#include "attention_internal.h"
#include "scalar.h"

typedef struct {
  const ck_attention_arguments *arguments;
  char *scratch;
  size_t worker_bytes;
  float *sink_partial;  // [batch, heads]
} region;

static const void *at(const ck_attention_arguments *a, const void *base, int64_t element) {
  return (const char *)base + element * ck_type_size(a->type);
}

static bool sees(const ck_attention_arguments *a, int64_t b, int64_t t, int64_t s) {
  return !a->segments || a->segments[b * a->keys + t] == a->segments[b * a->keys + s];
}

static double dot(ck_type type, const void *x, const void *y, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += ck_load_scalar(type, x, i) * ck_load_scalar(type, y, i);
  return sum;
}

// Element i of position s of the keys or values of a head: of `base`, with the factors of an int8 cache.
static double cached(
    const ck_attention_arguments *a, const void *base, const float *scales, int64_t first, int64_t b, int64_t s,
    int64_t g, int64_t i) {
  int64_t element = first + g * a->head_size + i;
  if (!scales) return ck_load_scalar(a->type, base, element);
  return (double)((const int8_t *)base)[element] * scales[ck_attention_scale(a, b, s, g)];
}

// Fills scores[0..<keys] with the capped scores of row t (-inf where it may not see) and returns the logarithm of the
// softmax's denominator, -inf if the row sees nothing.
static double row_scores(const ck_attention_arguments *a, int64_t b, int64_t h, int64_t t, double *scores) {
  int64_t g = h / (a->heads / a->kv_heads), d = a->head_size;
  int64_t first = ck_attention_first_key(a, b, t), end = ck_attention_end_key(a, b, t);
  const void *q = at(a, a->q, b * a->q_batch + t * a->q_row + h * d);
  double maximum = -INFINITY;
  bool nothing = true;
  for (int64_t s = 0; s < a->keys; s++) {
    scores[s] = -INFINITY;
    if (s < first || s >= end || !sees(a, b, t, s)) continue;
    double score = 0;
    int64_t k = b * a->k_batch + s * a->k_row;
    for (int64_t i = 0; i < d; i++) score += ck_load_scalar(a->type, q, i) * cached(a, a->k, a->k_scales, k, b, s, g, i);
    score *= a->scale;
    if (a->softcap > 0) score = a->softcap * tanh(score / a->softcap);
    scores[s] = score;
    if (nothing || score > maximum) maximum = score;
    nothing = false;
  }
  if (nothing) return a->sinks ? a->sinks[h] : -INFINITY;
  double sink = a->sinks ? a->sinks[h] : -INFINITY;
  if (sink > maximum) maximum = sink;
  double sum = a->sinks ? exp(sink - maximum) : 0;
  for (int64_t s = 0; s < a->keys; s++) {
    if (scores[s] != -INFINITY) sum += exp(scores[s] - maximum);
  }
  return maximum + log(sum);
}

static size_t forward_worker_bytes(const ck_attention_arguments *a) {
  return ((size_t)(a->keys + a->head_size) * sizeof(double) + 63) & ~(size_t)63;
}

static void forward_head(void *argument, int64_t index, int worker) {
  const region *r = argument;
  const ck_attention_arguments *a = r->arguments;
  int64_t b = index / a->heads, h = index % a->heads, g = h / (a->heads / a->kv_heads), d = a->head_size;
  double *scores = (double *)(r->scratch + (size_t)worker * r->worker_bytes), *sum = scores + a->keys;
  for (int64_t t = 0; t < a->queries; t++) {
    double logsumexp = row_scores(a, b, h, t, scores);
    for (int64_t i = 0; i < d; i++) sum[i] = 0;
    for (int64_t s = 0; s < a->keys; s++) {
      if (scores[s] == -INFINITY) continue;
      double p = exp(scores[s] - logsumexp);
      int64_t v = b * a->v_batch + s * a->v_row;
      for (int64_t i = 0; i < d; i++) sum[i] += p * cached(a, a->v, a->v_scales, v, b, s, g, i);
    }
    for (int64_t i = 0; i < d; i++) ck_store_scalar(a->type, a->o, b * a->o_batch + t * a->o_row + h * d + i, sum[i]);
    if (a->logsumexp) a->logsumexp[(b * a->heads + h) * a->queries + t] = (float)logsumexp;
  }
}

static size_t forward_scratch(const ck_context *context, const ck_attention_arguments *a) {
  return (size_t)ck_threads(context) * forward_worker_bytes(a);
}

static void forward(const ck_context *context, const ck_attention_arguments *a, void *scratch) {
  region r = {a, scratch, forward_worker_bytes(a), NULL};
  ck_run(context, a->batch * a->heads, forward_head, &r);
}

// Per worker: scores and d_p [keys], d_q [head_size], d_k and d_v [keys, head_size].
static size_t backward_worker_bytes(const ck_attention_arguments *a) {
  return ((size_t)(2 * a->keys + a->head_size + 2 * a->keys * a->head_size) * sizeof(double) + 63) & ~(size_t)63;
}

static void backward_head(const region *r, int64_t b, int64_t h, double *room) {
  const ck_attention_arguments *a = r->arguments;
  int64_t g = h / (a->heads / a->kv_heads), d = a->head_size, n = a->keys;
  double *scores = room, *d_p = scores + n, *d_q = d_p + n, *d_k = d_q + d, *d_v = d_k + n * d, d_sink = 0;
  for (int64_t t = 0; t < a->queries; t++) {
    double logsumexp = row_scores(a, b, h, t, scores), delta = 0;
    const void *q = at(a, a->q, b * a->q_batch + t * a->q_row + h * d);
    const void *d_o = at(a, a->d_o, b * a->do_batch + t * a->do_row + h * d);
    for (int64_t s = 0; s < n; s++) {
      if (scores[s] == -INFINITY) continue;
      d_p[s] = dot(a->type, d_o, at(a, a->v, b * a->v_batch + s * a->v_row + g * d), d);
      delta += exp(scores[s] - logsumexp) * d_p[s];
    }
    if (a->sinks) d_sink -= exp(a->sinks[h] - logsumexp) * delta;
    for (int64_t i = 0; i < d; i++) d_q[i] = 0;
    for (int64_t s = 0; s < n; s++) {
      if (scores[s] == -INFINITY) continue;
      double p = exp(scores[s] - logsumexp), d_s = p * (d_p[s] - delta) * a->scale;
      if (a->softcap > 0) d_s *= 1 - (scores[s] / a->softcap) * (scores[s] / a->softcap);
      const void *k = at(a, a->k, b * a->k_batch + s * a->k_row + g * d);
      for (int64_t i = 0; i < d; i++) {
        d_q[i] += d_s * ck_load_scalar(a->type, k, i);
        d_k[s * d + i] += d_s * ck_load_scalar(a->type, q, i);
        d_v[s * d + i] += p * ck_load_scalar(a->type, d_o, i);
      }
    }
    for (int64_t i = 0; i < d; i++) {
      ck_store_scalar(a->type, a->d_q, b * a->dq_batch + t * a->dq_row + h * d + i, d_q[i]);
    }
  }
  if (r->sink_partial) r->sink_partial[b * a->heads + h] = (float)d_sink;
}

static void backward_kv_head(void *argument, int64_t index, int worker) {
  const region *r = argument;
  const ck_attention_arguments *a = r->arguments;
  int64_t b = index / a->kv_heads, g = index % a->kv_heads, d = a->head_size, group = a->heads / a->kv_heads;
  double *room = (double *)(r->scratch + (size_t)worker * r->worker_bytes);
  double *d_k = room + 2 * a->keys + d, *d_v = d_k + a->keys * d;
  for (int64_t i = 0; i < a->keys * d; i++) d_k[i] = d_v[i] = 0;
  for (int64_t h = g * group; h < (g + 1) * group; h++) backward_head(r, b, h, room);
  for (int64_t s = 0; s < a->keys; s++) {
    for (int64_t i = 0; i < d; i++) {
      ck_store_scalar(a->type, a->d_k, b * a->dk_batch + s * a->dk_row + g * d + i, d_k[s * d + i]);
      ck_store_scalar(a->type, a->d_v, b * a->dv_batch + s * a->dv_row + g * d + i, d_v[s * d + i]);
    }
  }
}

static size_t sink_bytes(const ck_attention_arguments *a) {
  return ((size_t)(a->batch * a->heads) * sizeof(float) + 63) & ~(size_t)63;
}

static size_t backward_scratch(const ck_context *context, const ck_attention_arguments *a) {
  return sink_bytes(a) + (size_t)ck_threads(context) * backward_worker_bytes(a);
}

static void backward(const ck_context *context, const ck_attention_arguments *a, void *scratch) {
  bool sinks = a->sinks && a->d_sinks;
  region r = {a, (char *)scratch + sink_bytes(a), backward_worker_bytes(a), sinks ? scratch : NULL};
  ck_run(context, a->batch * a->kv_heads, backward_kv_head, &r);
  if (sinks) ck_attention_sum_sinks(a, scratch);
}

const ck_attention_variant ck_attention_portable = {forward_scratch, forward, backward_scratch, backward};
