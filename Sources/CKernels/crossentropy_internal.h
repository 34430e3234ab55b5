// The passes over one row of logits, one variant per instruction set (crossentropy_rows.inc).
#ifndef CK_CROSSENTROPY_INTERNAL_H
#define CK_CROSSENTROPY_INTERNAL_H

#include "include/crossentropy.h"

// The logsumexp of `count` capped logits, and its gradient in place of the logits:
//   logits[i] = d_loss * (softmax[i] - (i == target)) * cap'(logits[i])
// `rounded` is bf16, else the logits are f32.
typedef struct {
  float (*logsumexp)(const void *logits, bool rounded, int64_t count, float softcap);
  void (*differentiate)(
      void *logits, bool rounded, int64_t count, float softcap, float logsumexp, int64_t target, float d_loss);
  void (*round)(const float *from, uint16_t *to, int64_t count);  // to bf16
} ck_cross_entropy_rows;

extern const ck_cross_entropy_rows ck_cross_entropy_rows_portable;
#if defined(__x86_64__)
extern const ck_cross_entropy_rows ck_cross_entropy_rows_avx2, ck_cross_entropy_rows_avx512;
#elif defined(__aarch64__)
extern const ck_cross_entropy_rows ck_cross_entropy_rows_neon;
#endif

#endif
