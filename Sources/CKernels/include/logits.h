// What choosing a token reads of all logits of a vocabulary, in blocks of 64, so that the rest of the choice looks at few
// blocks only. On the caller's thread: a row is too short to be worth more.
//
// A logit that is NaN counts as -inf. `count` need not be a multiple of the block; there are ceil(count / 64) blocks.
#ifndef CK_LOGITS_H
#define CK_LOGITS_H

#include "context.h"

enum { CK_LOGIT_BLOCK = 64 };

// maxima[b] = the largest logit of block b.
void ck_logit_maxima(ck_isa isa, int64_t count, const float *logits, float *maxima);

// copy[i] = logits[i] where bit i % 64 of mask[i / 64] is set, else -inf; and the maxima of the copy. Without a mask (NULL)
// all are copied. Of blocks whose maximum is -inf nothing is written.
void ck_logit_copy(
  ck_isa isa, int64_t count, const float *logits, const uint64_t *mask, float *copy, float *maxima);

// sums[b] = the sum of exp((x - most) * scale) over the logits x >= cut of block b; 0 where maxima[b] < cut. `most` is the
// largest of all logits and finite, scale > 0.
void ck_logit_sums(
  ck_isa isa, int64_t count, const float *logits, const float *maxima, float most, float scale, float cut, float *sums);

typedef struct {
  double count, sum, squares;
} ck_logit_moments_result;

// Over the logits x > -inf: how many, and the sums of x - most and of its square.
ck_logit_moments_result ck_logit_moments(
  ck_isa isa, int64_t count, const float *logits, const float *maxima, float most);

#endif
