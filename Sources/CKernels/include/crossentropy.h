// Linear layer and cross-entropy in one, without ever holding all logits.
//
//   logits[i] = cap(x[i] · w^T)                    x: [rows, width], w: [vocabulary, width]
//   loss[i]   = logsumexp(logits[i]) - logits[i][targets[i]]         (0 where targets[i] < 0)
//   dx, dw    = the gradients of sum_i d_loss[i] * loss[i]
//
// One function for all three uses; what is NULL is not computed:
//   forward              loss and logsumexp out
//   forward + backward   loss, logsumexp, dx, dw out; d_loss in     (each chunk of logits is made once)
//   backward             dx, dw out; d_loss in
// A target outside 0..<vocabulary counts as negative (the Swift side checks inputs where it can).
#ifndef CK_CROSSENTROPY_H
#define CK_CROSSENTROPY_H

#include "context.h"

typedef struct {
  ck_type type;                  // of x, w: f32 or bf16 (f16, f64 by the portable path)
  ck_type type_dx, type_dw;      // f32, or `type`
  int64_t rows, width, vocabulary;
  float softcap;                 // 0: none
  const void *x, *w;             // dense
  const int32_t *targets;        // [rows]
  float *loss;                   // [rows] or NULL
  float *logsumexp;              // [rows] or NULL
  const float *d_loss;           // [rows] or NULL
  void *dx;                      // [rows, width] or NULL
  void *dw;                      // [vocabulary, width] or NULL
} ck_cross_entropy_arguments;

size_t ck_cross_entropy_scratch(const ck_context *context, const ck_cross_entropy_arguments *arguments);
void ck_cross_entropy(const ck_context *context, const ck_cross_entropy_arguments *arguments, void *scratch);

#endif
