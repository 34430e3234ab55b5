// Matrix products in plain C, for every combination of types: the reference of the fast paths, and what runs where
// there is none (f64, integers, processors without vectors).
#include "matmul_plain.h"

#include <math.h>

#include "convert.h"

static inline double load_real(const void *p, ck_type type) {
  switch (type) {
    case CK_F64: return *(const double *)p;
    case CK_F32: return *(const float *)p;
    case CK_BF16: return ck_bf16_to_f32(*(const uint16_t *)p);
    case CK_F16: return ck_f16_to_f32(*(const uint16_t *)p);
    case CK_I8: return *(const int8_t *)p;
    case CK_U8: return *(const uint8_t *)p;
    case CK_I32: return *(const int32_t *)p;
    case CK_I64: return (double)*(const int64_t *)p;
    case CK_BOOL: return *(const uint8_t *)p != 0;
  }
  return 0;
}

static inline int64_t load_integer(const void *p, ck_type type) {
  switch (type) {
    case CK_I8: return *(const int8_t *)p;
    case CK_U8: return *(const uint8_t *)p;
    case CK_I32: return *(const int32_t *)p;
    case CK_I64: return *(const int64_t *)p;
    case CK_BOOL: return *(const uint8_t *)p != 0;
    default: return (int64_t)load_real(p, type);
  }
}

static inline void store_integer(void *p, ck_type type, int64_t value) {
  switch (type) {
    case CK_F64: *(double *)p = (double)value; break;
    case CK_F32: *(float *)p = (float)value; break;
    case CK_BF16: *(uint16_t *)p = ck_f32_to_bf16((float)value); break;
    case CK_F16: *(uint16_t *)p = ck_f32_to_f16((float)value); break;
    case CK_I8: *(int8_t *)p = (int8_t)value; break;
    case CK_U8: *(uint8_t *)p = (uint8_t)value; break;
    case CK_I32: *(int32_t *)p = (int32_t)value; break;
    case CK_I64: *(int64_t *)p = value; break;
    case CK_BOOL: *(uint8_t *)p = value != 0; break;
  }
}

static inline void store_real(void *p, ck_type type, double value) {
  switch (type) {
    case CK_F64: *(double *)p = value; break;
    case CK_F32: *(float *)p = (float)value; break;
    case CK_BF16: *(uint16_t *)p = ck_f32_to_bf16((float)value); break;
    case CK_F16: *(uint16_t *)p = ck_f32_to_f16((float)value); break;
    default: store_integer(p, type, (int64_t)value); break;
  }
}

static double activate_real(ck_activation activation, double x) {
  switch (activation) {
    case CK_IDENTITY: return x;
    case CK_RELU: return x < 0 ? 0 : x;
    case CK_RELU_SQUARED: return x < 0 ? 0 : x * x;
    case CK_GELU_TANH: return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case CK_GELU_ERF: return 0.5 * x * (1 + erf(0.7071067811865476 * x));
    case CK_SILU: return x / (1 + exp(-x));
  }
  return x;
}

static int64_t activate_integer(ck_activation activation, int64_t x) {
  switch (activation) {
    case CK_IDENTITY: return x;
    case CK_RELU: return x < 0 ? 0 : x;
    case CK_RELU_SQUARED: return x < 0 ? 0 : x * x;
    default: return (int64_t)activate_real(activation, (double)x);
  }
}

#define PLAIN_ACTIVATE(activation, value) (float)activate_real(activation, value)
#define PLAIN_LOAD(p, type) (float)load_real(p, type)
#define PLAIN_STORE(p, type, value) store_real(p, type, value)
#define ACC float
#define PLAIN(name) f32_##name
#include "matmul_plain.inc"
#undef ACC
#undef PLAIN
#undef PLAIN_LOAD
#undef PLAIN_ACTIVATE

#define PLAIN_LOAD(p, type) load_real(p, type)
#define PLAIN_ACTIVATE(activation, value) activate_real(activation, value)
#define ACC double
#define PLAIN(name) f64_##name
#include "matmul_plain.inc"
#undef ACC
#undef PLAIN
#undef PLAIN_LOAD
#undef PLAIN_STORE
#undef PLAIN_ACTIVATE

// Integer sums wrap, so they are done without sign.
#define PLAIN_LOAD(p, type) (uint32_t)load_integer(p, type)
#define PLAIN_STORE(p, type, value) store_integer(p, type, (int32_t)(value))
#define PLAIN_ACTIVATE(activation, value) (uint32_t)activate_integer(activation, (int32_t)(value))
#define ACC uint32_t
#define PLAIN(name) i32_##name
#include "matmul_plain.inc"
#undef ACC
#undef PLAIN
#undef PLAIN_LOAD
#undef PLAIN_STORE
#undef PLAIN_ACTIVATE

#define PLAIN_LOAD(p, type) (uint64_t)load_integer(p, type)
#define PLAIN_STORE(p, type, value) store_integer(p, type, (int64_t)(value))
#define PLAIN_ACTIVATE(activation, value) (uint64_t)activate_integer(activation, (int64_t)(value))
#define ACC uint64_t
#define PLAIN(name) i64_##name
#include "matmul_plain.inc"

static bool is_float(ck_type type) { return type <= CK_F16; }

void ck_matmul_plain(ck_pool *pool, const ck_matmul_arguments *m) {
  if (m->type_a == CK_F64 || m->type_b == CK_F64) {
    f64_run(pool, m);
  } else if (is_float(m->type_a) || is_float(m->type_b)) {
    f32_run(pool, m);
  } else if (m->type_a == CK_I64 || m->type_b == CK_I64) {
    i64_run(pool, m);
  } else {
    i32_run(pool, m);
  }
}
