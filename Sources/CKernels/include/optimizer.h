// Optimizer updates over many tensors in one pass. Loshchilov and Hutter, AdamW (2019), arXiv:1711.05101.
//
//   g = gradient * gradient_scale
//   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
//   p = p - rate * (m / c1 / (sqrt(v / c2) + epsilon) + weight_decay * p),    c = 1 - beta^step
//
// with the decay taken from p before the step, as torch.optim.AdamW does (p *= 1 - rate * weight_decay first).
#ifndef CK_OPTIMIZER_H
#define CK_OPTIMIZER_H

#include "context.h"

typedef struct {
  int64_t count;
  float *parameter, *m, *v;      // updated in place
  const void *gradient;
  ck_type type_gradient;         // f32 or bf16
  void *working;                 // the parameter rounded to bf16 for the next step's arithmetic, or NULL
  float weight_decay;
  float rate_scale;              // multiplies the learning rate for this tensor
} ck_adamw_tensor;

typedef struct {
  int64_t tensors;
  const ck_adamw_tensor *tensor;
  float rate, beta1, beta2, epsilon, gradient_scale;
  float correction1, correction2;  // 1 - beta^step
} ck_adamw_arguments;

void ck_adamw(const ck_context *context, const ck_adamw_arguments *arguments);

#endif
