// Passes over the logits of a vocabulary; see logits.h.
#include "logits.h"

#include <math.h>
#include <string.h>

#define CK_TEMPLATE "logits.inc"
#include "instances.h"

#define PICK(isa, name) CK_PICK(&(ck_context){.isa = isa}, name)

void ck_logit_maxima(ck_isa isa, int64_t count, const float *logits, float *maxima) {
  PICK(isa, logit_maxima)(count, logits, maxima);
}

void ck_logit_copy(
  ck_isa isa, int64_t count, const float *logits, const uint64_t *mask, float *copy, float *maxima
) {
  PICK(isa, logit_copy)(count, logits, mask, copy, maxima);
}

void ck_logit_sums(
  ck_isa isa, int64_t count, const float *logits, const float *maxima, float most, float scale, float cut, float *sums
) {
  PICK(isa, logit_sums)(count, logits, maxima, most, scale, cut, sums);
}

ck_logit_moments_result ck_logit_moments(
  ck_isa isa, int64_t count, const float *logits, const float *maxima, float most
) {
  return PICK(isa, logit_moments)(count, logits, maxima, most);
}
