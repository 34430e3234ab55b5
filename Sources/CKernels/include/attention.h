// Attention by tiles: the T x T matrix of scores is never held.
//
//   O[b,t,h] = sum_s softmax_s(cap(scale * Q[b,t,h]·K[b,s,g])) V[b,s,g],   g = h / (heads / kv_heads)
//
// over the positions s < length of batch b that t, standing at p = length - queries + t, may see: s <= p if causal;
// p - s < window if window > 0 and causal, |p - s| <= window if not causal; and segment[b,s] == segment[b,t] if segments
// are given (packed sequences; then queries == keys). The length is `keys`, or less where lengths are given (a cache that
// is not full): what a kernel reads and does depends on lengths and window, not on keys.
// cap(x) = softcap * tanh(x / softcap) if softcap > 0. A sink (one logit per head) takes part in the softmax's
// denominator and adds nothing to the sum. A row that sees nothing gives 0.
// Keys and values may be int8 with a factor for each position and head (a quantised cache): they are read as they are.
// Papers: Dao, FlashAttention-2 (2023), arXiv:2307.08691; sinks: Xiao et al. (2023), arXiv:2309.17453.
#ifndef CK_ATTENTION_H
#define CK_ATTENTION_H

#include "context.h"

// q, o, dO, dQ are [batch, queries, heads, head_size]; k, v, dK, dV are [batch, keys, kv_heads, head_size]: elements of
// a head are adjacent, heads head_size apart; `..._row` elements between positions, `..._batch` between batches.
typedef struct {
  ck_type type;                  // of q, k, v, o and their gradients: f32, bf16 (f16 and f64 by the portable path)
  const float *k_scales, *v_scales;  // [batch, keys, kv_heads]: k and v are then int8 (both, forward only); or NULL
  int64_t batch, queries, keys, heads, kv_heads, head_size;
  float scale;
  bool causal;
  int64_t window;                // 0: no limit
  const int32_t *lengths;        // [batch]: how many keys there are, cut to 0...keys (forward only); or NULL
  float softcap;                 // 0: none
  const int32_t *segments;       // [batch, keys], or NULL
  const float *sinks;            // [heads], or NULL
  const void *q, *k, *v;
  int64_t q_row, q_batch, k_row, k_batch, v_row, v_batch;
  void *o;
  int64_t o_row, o_batch;
  float *logsumexp;              // [batch, heads, queries]: log of the softmax's denominator (sink included)
  // Backward only (o and logsumexp are then inputs). A row that sees nothing has logsumexp = -inf.
  const void *d_o;
  int64_t do_row, do_batch;
  void *d_q, *d_k, *d_v;
  int64_t dq_row, dq_batch, dk_row, dk_batch, dv_row, dv_batch;
  float *d_sinks;                // [heads], or NULL
} ck_attention_arguments;

size_t ck_attention_scratch(const ck_context *context, const ck_attention_arguments *arguments);
void ck_attention(const ck_context *context, const ck_attention_arguments *arguments, void *scratch);
size_t ck_attention_backward_scratch(const ck_context *context, const ck_attention_arguments *arguments);
void ck_attention_backward(const ck_context *context, const ck_attention_arguments *arguments, void *scratch);

#endif
