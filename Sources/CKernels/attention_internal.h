// What the variants of attention share: who sees whom, how scratch is cut up, and the table of variants.
#ifndef CK_ATTENTION_INTERNAL_H
#define CK_ATTENTION_INTERNAL_H

#include <math.h>
#include <string.h>

#include "include/attention.h"
#include "tasks.h"

// The keys that batch `b` has.
static inline int64_t ck_attention_length(const ck_attention_arguments *arguments, int64_t b) {
  if (!arguments->lengths) return arguments->keys;
  int64_t length = arguments->lengths[b];
  return length < 0 ? 0 : length > arguments->keys ? arguments->keys : length;
}

// Row `t` of batch `b` may see the keys first..<end (and of those, the keys of its own segment). Both limits grow with t.
static inline int64_t ck_attention_first_key(const ck_attention_arguments *arguments, int64_t b, int64_t t) {
  if (arguments->window <= 0) return 0;
  int64_t length = ck_attention_length(arguments, b);
  int64_t first = t + length - arguments->queries - arguments->window + (arguments->causal ? 1 : 0);
  return first < 0 ? 0 : first > length ? length : first;
}

static inline int64_t ck_attention_end_key(const ck_attention_arguments *arguments, int64_t b, int64_t t) {
  int64_t length = ck_attention_length(arguments, b);
  if (!arguments->causal && arguments->window <= 0) return length;
  int64_t end = t + length - arguments->queries + (arguments->causal ? 0 : arguments->window) + 1;
  return end < 0 ? 0 : end > length ? length : end;
}

// The type of keys and values, and the place of the factors of a position.
static inline ck_type ck_attention_key_type(const ck_attention_arguments *arguments) {
  return arguments->k_scales ? CK_I8 : arguments->type;
}

static inline int64_t ck_attention_scale(const ck_attention_arguments *arguments, int64_t b, int64_t s, int64_t g) {
  return (b * arguments->keys + s) * arguments->kv_heads + g;
}

// Scratch is handed out from the front in multiples of 64 bytes. A cutter with a NULL base only counts.
typedef struct {
  char *base;
  size_t used;
} ck_cutter;

static inline void *ck_cut(ck_cutter *cutter, size_t bytes) {
  void *piece = cutter->base ? cutter->base + cutter->used : NULL;
  cutter->used += (bytes + 63) & ~(size_t)63;
  return piece;
}

typedef struct {
  size_t (*forward_scratch)(const ck_context *, const ck_attention_arguments *);
  void (*forward)(const ck_context *, const ck_attention_arguments *, void *);
  size_t (*backward_scratch)(const ck_context *, const ck_attention_arguments *);
  void (*backward)(const ck_context *, const ck_attention_arguments *, void *);
} ck_attention_variant;

extern const ck_attention_variant ck_attention_portable;
#if defined(__x86_64__)
extern const ck_attention_variant ck_attention_avx2, ck_attention_avx512, ck_attention_avx512_bf16;
#elif defined(__aarch64__)
extern const ck_attention_variant ck_attention_neon;
#endif

// d_sinks[h] = the sum over batches, in order, of partial[batch][h].
static inline void ck_attention_sum_sinks(const ck_attention_arguments *arguments, const float *partial) {
  for (int64_t h = 0; h < arguments->heads; h++) {
    double sum = 0;
    for (int64_t b = 0; b < arguments->batch; b++) sum += partial[b * arguments->heads + h];
    arguments->d_sinks[h] = (float)sum;
  }
}

#endif
