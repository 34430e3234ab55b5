// Batched matrix products with fused epilogues.
//
//   C[b] = residual[b] + activation(A[b] · B[b] + bias)       (each part optional)
//
// A is m x k (k x m if transpose_a), B is k x n (n x k if transpose_b), C is m x n; rows are lda/ldb/ldc elements apart,
// batches stride_a/b/c elements apart (0 broadcasts an operand). Products of f32, bf16 and f16 accumulate in f32, of f64
// in f64, of integers in i32 (i64 for i64). Any of a's and b's float types may be mixed with any float type of c.
#ifndef CK_MATMUL_H
#define CK_MATMUL_H

#include "context.h"

typedef enum {
  CK_IDENTITY = 0,
  CK_RELU = 1,
  CK_RELU_SQUARED = 2,
  CK_GELU_TANH = 3,
  CK_GELU_ERF = 4,
  CK_SILU = 5,
} ck_activation;

typedef struct {
  ck_type type_a, type_b, type_c;
  int64_t batch, m, n, k;
  const void *a;
  const void *b;
  void *c;
  int64_t lda, ldb, ldc;
  int64_t stride_a, stride_b, stride_c;
  bool transpose_a, transpose_b;
  bool accumulate;               // C += ..., instead of C = ... (epilogue parts must then be absent)
  const void *bias;              // n elements of type_bias, or NULL
  ck_type type_bias;
  ck_activation activation;
  void *pre_activation;          // m x n of type_c with ldc/stride_c: A·B + bias before the activation, or NULL
  const void *residual;          // m x n of type_residual with ldr/stride_r, added after the activation, or NULL
  ck_type type_residual;
  int64_t ldr, stride_r;
} ck_matmul_arguments;

size_t ck_matmul_scratch(const ck_context *context, const ck_matmul_arguments *arguments);
void ck_matmul(const ck_context *context, const ck_matmul_arguments *arguments, void *scratch);

// The same product for use inside a parallel region (one task): no pool is used, `scratch` is the task's own.
size_t ck_matmul_serial_scratch(const ck_context *context, const ck_matmul_arguments *arguments);
void ck_matmul_serial(const ck_context *context, const ck_matmul_arguments *arguments, void *scratch);

#endif
