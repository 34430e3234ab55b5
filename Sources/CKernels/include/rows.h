// Kernels over rows: softmax, norms, rotary embedding, and their gradients; column sums.
// Float types f32, bf16, f16, f64 throughout; arithmetic in f32 (f64 for f64). x, y and their gradients share `type`.
#ifndef CK_ROWS_H
#define CK_ROWS_H

#include "context.h"

// y = softmax(x) along rows of `width`. dx = y * (dy - sum(y * dy)).
void ck_softmax(const ck_context *context, ck_type type, int64_t rows, int64_t width, const void *x, void *y);
void ck_softmax_backward(
  const ck_context *context, ck_type type, int64_t rows, int64_t width, const void *y, const void *dy, void *dx);

// y = x * r * weight, r = 1 / sqrt(mean(x^2) + epsilon). weight may be NULL (all ones). rstd: [rows] f32 (f64 for f64), or NULL.
void ck_rms_norm(
  const ck_context *context, ck_type type, ck_type type_weight, int64_t rows, int64_t width, double epsilon,
  const void *x, const void *weight, void *y, void *rstd);
// dweight ([width], type_weight) may be NULL. rstd as written by the forward.
size_t ck_norm_backward_scratch(const ck_context *context, int64_t rows, int64_t width);
void ck_rms_norm_backward(
  const ck_context *context, ck_type type, ck_type type_weight, int64_t rows, int64_t width,
  const void *x, const void *weight, const void *rstd, const void *dy, void *dx, void *dweight, void *scratch);

// y = (x - mean) * rstd * weight + bias; weight and bias may be NULL.
void ck_layer_norm(
  const ck_context *context, ck_type type, ck_type type_weight, int64_t rows, int64_t width, double epsilon,
  const void *x, const void *weight, const void *bias, void *y, void *mean, void *rstd);
void ck_layer_norm_backward(
  const ck_context *context, ck_type type, ck_type type_weight, int64_t rows, int64_t width,
  const void *x, const void *weight, const void *mean, const void *rstd, const void *dy, void *dx, void *dweight,
  void *dbias, void *scratch);

// Rotary embedding: x, y are [batch, positions, heads, head_size]; cosines and sines are f32 [positions, head_size / 2]
// (table_batch = 0) or [batch, positions, head_size / 2] (table_batch = positions * head_size / 2).
// interleaved: pairs (2i, 2i+1), otherwise (i, i + head_size/2). inverse rotates by the negative angle (the gradient).
typedef struct {
  ck_type type;
  int64_t batch, positions, heads, head_size, table_batch;
  bool interleaved, inverse;
  const void *x;
  void *y;
  const float *cosines, *sines;
} ck_rotary_arguments;
void ck_rotary(const ck_context *context, const ck_rotary_arguments *arguments);

#endif
