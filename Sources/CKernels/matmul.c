// The entry of matrix products: picks the path for the types and the instruction set.
#include "matmul.h"

#include "matmul_kernels.h"
#include "matmul_plain.h"

static bool is_f32_or_less(ck_type type) { return type == CK_F32 || type == CK_BF16 || type == CK_F16; }

// Whether the vector epilogues know everything that is asked for.
static bool is_float_product(const ck_matmul_arguments *m) {
  return is_f32_or_less(m->type_a) && is_f32_or_less(m->type_b) && is_f32_or_less(m->type_c)
    && (m->bias == NULL || is_f32_or_less(m->type_bias))
    && (m->residual == NULL || is_f32_or_less(m->type_residual));
}

static bool is_int8_product(const ck_matmul_arguments *m) {
  return m->type_a == CK_I8 && m->type_b == CK_I8 && m->type_c == CK_I32 && m->bias == NULL
    && m->pre_activation == NULL && m->activation == CK_IDENTITY && m->residual == NULL;
}

// NULL: the plain path.
static const ck_matmul_kernel *choose(const ck_context *context, const ck_matmul_arguments *m) {
  bool floats = is_float_product(m), int8 = is_int8_product(m);
  bool bf16 = floats && m->type_a == CK_BF16 && m->type_b == CK_BF16;
  if (!floats && !int8) return NULL;
#if defined(__x86_64__)
  switch (context->isa) {
    case CK_AVX2: return floats ? &ck_matmul_f32_avx2 : NULL;
    case CK_AVX512:
      if (int8) return context->vnni ? &ck_matmul_i8_avx512 : NULL;
      return bf16 && context->bf16 ? &ck_matmul_bf16_avx512 : &ck_matmul_f32_avx512;
    case CK_AMX: return int8 ? &ck_matmul_i8_amx : bf16 ? &ck_matmul_bf16_amx : &ck_matmul_f32_avx512;
    case CK_AMX_EMULATED:
      return int8 ? &ck_matmul_i8_amx_emulated : bf16 ? &ck_matmul_bf16_amx_emulated : &ck_matmul_f32_avx512;
    default: return NULL;
  }
#elif defined(__aarch64__)
  if (context->isa != CK_NEON) return NULL;
  if (int8) return context->vnni ? &ck_matmul_i8_neon : NULL;
  return bf16 && context->bf16 ? &ck_matmul_bf16_neon : &ck_matmul_f32_neon;
#else
  (void)context;
  return NULL;
#endif
}

// A batch that shares B and whose rows of A and C follow on from one another is one taller product.
static ck_matmul_arguments flatten(const ck_matmul_arguments *arguments) {
  ck_matmul_arguments m = *arguments;
  bool joined = m.batch > 1 && m.stride_b == 0 && !m.transpose_a && m.stride_a == m.m * m.lda
    && m.stride_c == m.m * m.ldc && (m.residual == NULL || m.stride_r == m.m * m.ldr);
  if (joined) {
    m.m *= m.batch;
    m.batch = 1;
  }
  return m;
}

static size_t scratch_for(const ck_context *context, int threads, const ck_matmul_arguments *arguments) {
  ck_matmul_arguments m = flatten(arguments);
  const ck_matmul_kernel *kernel = choose(context, &m);
  if (kernel == NULL || m.batch <= 0 || m.m <= 0 || m.n <= 0) return 0;
  if (ck_matmul_streams(kernel, &m)) return ck_matmul_stream_scratch(kernel, &m);
  return ck_matmul_blocked_scratch(kernel, threads, &m);
}

static void multiply(
    const ck_context *context, ck_pool *pool, const ck_matmul_arguments *arguments, void *scratch) {
  ck_matmul_arguments m = flatten(arguments);
  if (m.batch <= 0 || m.m <= 0 || m.n <= 0) return;
  const ck_matmul_kernel *kernel = choose(context, &m);
  if (kernel == NULL) {
    ck_matmul_plain(pool, &m);
  } else if (ck_matmul_streams(kernel, &m)) {
    ck_matmul_stream(kernel, pool, &m, scratch);
  } else {
    ck_matmul_blocked(kernel, pool, &m, scratch);
  }
}

size_t ck_matmul_scratch(const ck_context *context, const ck_matmul_arguments *arguments) {
  return scratch_for(context, ck_pool_threads(context->pool), arguments);
}

void ck_matmul(const ck_context *context, const ck_matmul_arguments *arguments, void *scratch) {
  multiply(context, context->pool, arguments, scratch);
}

size_t ck_matmul_serial_scratch(const ck_context *context, const ck_matmul_arguments *arguments) {
  return scratch_for(context, 1, arguments);
}

void ck_matmul_serial(const ck_context *context, const ck_matmul_arguments *arguments, void *scratch) {
  multiply(context, NULL, arguments, scratch);
}
