// What the variants of attention share: who sees whom, how scratch is cut up, and the table of variants.
#ifndef CK_ATTENTION_INTERNAL_H
#define CK_ATTENTION_INTERNAL_H

#include <math.h>
#include <string.h>

#include "include/attention.h"
#include "tasks.h"

// Row `t` may see the keys first..<end (and of those, the keys of its own segment). Both limits grow with t.
static inline int64_t ck_attention_first_key(const ck_attention_arguments *arguments, int64_t t) {
  if (arguments->window <= 0) return 0;
  int64_t first = t + arguments->keys - arguments->queries - arguments->window + 1;
  return first < 0 ? 0 : first > arguments->keys ? arguments->keys : first;
}

static inline int64_t ck_attention_end_key(const ck_attention_arguments *arguments, int64_t t) {
  if (!arguments->causal) return arguments->keys;
  int64_t end = t + arguments->keys - arguments->queries + 1;
  return end < 0 ? 0 : end > arguments->keys ? arguments->keys : end;
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
