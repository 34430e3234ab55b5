// The kernels of one instruction set against the portable ones, in plain C, so that it can be cross-compiled and run
// under an emulator (Scripts/test-arm-kernels). Usage: kernels_test [neon|avx2|avx512|amx-emulated] [seed]
//
// One function per family of kernels; each draws random cases, runs them with both contexts, and calls `compare`.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../Sources/CKernels/convert.h"
#include "CKernels.h"

static ck_context reference, tested;
static uint64_t state;
static int failures;

// PCG's multiplier; only the high bits are used.
static uint32_t draw(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}
static int64_t below(int64_t limit) { return draw() % limit; }
static int64_t size(void) {
  static const int64_t sizes[] = {1, 2, 3, 5, 7, 8, 9, 12, 13, 16, 17, 31, 33, 64, 65};
  return sizes[below(sizeof sizes / sizeof *sizes)];
}

static void store(void *p, ck_type type, int64_t i, double value) {
  switch (type) {
    case CK_F64: ((double *)p)[i] = value; break;
    case CK_F32: ((float *)p)[i] = (float)value; break;
    case CK_BF16: ((uint16_t *)p)[i] = ck_f32_to_bf16((float)value); break;
    case CK_F16: ((uint16_t *)p)[i] = ck_f32_to_f16((float)value); break;
    case CK_I8: ((int8_t *)p)[i] = (int8_t)(value * 127); break;
    case CK_I32: ((int32_t *)p)[i] = (int32_t)(value * 1000); break;
    default: abort();
  }
}
static double load(const void *p, ck_type type, int64_t i) {
  switch (type) {
    case CK_F64: return ((const double *)p)[i];
    case CK_F32: return ((const float *)p)[i];
    case CK_BF16: return ck_bf16_to_f32(((const uint16_t *)p)[i]);
    case CK_F16: return ck_f16_to_f32(((const uint16_t *)p)[i]);
    case CK_I8: return ((const int8_t *)p)[i];
    case CK_I32: return ((const int32_t *)p)[i];
    default: abort();
  }
}

// `count` random values in -1...1; the caller frees.
static void *random_values(ck_type type, int64_t count) {
  void *values = malloc((size_t)(count * ck_type_size(type)) + 1);
  for (int64_t i = 0; i < count; i++) store(values, type, i, draw() / (double)(1u << 30) - 1);
  return values;
}
static void *zeros(ck_type type, int64_t count) { return calloc((size_t)count + 1, (size_t)ck_type_size(type)); }
static void *scratch_of(size_t bytes) { return aligned_alloc(64, (bytes + 64) / 64 * 64); }

// Largest difference allowed, relative to 1 + |expected| and times `scale` (about the number of terms summed).
static void compare(const char *what, ck_type type, const void *got, const void *expected, int64_t count, double scale) {
  double unit = type == CK_F64 ? 1e-15 : type == CK_F32 ? 2e-7 : type == CK_BF16 ? 8e-3 : type == CK_F16 ? 1e-3 : 0;
  for (int64_t i = 0; i < count; i++) {
    double a = load(got, type, i), b = load(expected, type, i);
    bool same = a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= unit * scale * (1 + fabs(b));
    if (!same) {
      printf("%s: element %lld is %.9g, expected %.9g\n", what, (long long)i, a, b);
      failures += 1;
      return;
    }
  }
}

static void test_matmul(void) {
  static const ck_type floats[] = {CK_F32, CK_BF16, CK_F16};
  for (int round = 0; round < 150; round++) {
    bool int8 = below(5) == 0;
    ck_matmul_arguments m = {.batch = 1 + below(3), .m = size(), .n = size(), .k = below(12) == 0 ? 0 : size()};
    m.type_a = int8 ? CK_I8 : floats[below(3)];
    m.type_b = int8 ? CK_I8 : below(2) == 0 ? m.type_a : floats[below(3)];
    m.type_c = int8 ? CK_I32 : floats[below(3)];
    m.transpose_a = below(2), m.transpose_b = below(2);
    m.lda = (m.transpose_a ? m.m : m.k) + below(3), m.ldb = (m.transpose_b ? m.k : m.n) + below(3);
    m.ldc = m.n + below(3), m.ldr = m.n + below(3);
    m.stride_a = (m.transpose_a ? m.k : m.m) * m.lda;
    m.stride_b = below(2) * (m.transpose_b ? m.n : m.k) * m.ldb;
    m.stride_c = m.m * m.ldc, m.stride_r = below(2) * m.m * m.ldr;
    int64_t count = m.batch * m.stride_c;
    void *a = random_values(m.type_a, m.batch * m.stride_a);
    void *b = random_values(m.type_b, m.batch * (m.transpose_b ? m.n : m.k) * m.ldb);
    m.a = a, m.b = b;
    m.type_bias = floats[below(3)], m.type_residual = floats[below(3)];
    void *bias = random_values(m.type_bias, m.n), *residual = random_values(m.type_residual, m.batch * m.m * m.ldr);
    void *expected = random_values(m.type_c, count), *got = malloc((size_t)(count * ck_type_size(m.type_c)) + 1);
    memcpy(got, expected, (size_t)(count * ck_type_size(m.type_c)));
    void *before_expected = zeros(m.type_c, count), *before_got = zeros(m.type_c, count);
    m.accumulate = !int8 && below(4) == 0;
    bool fused = !int8 && !m.accumulate;
    if (fused && below(2)) m.bias = bias;
    if (fused && below(2)) m.residual = residual;
    if (fused) m.activation = (ck_activation)below(6);

    m.c = expected, m.pre_activation = fused ? before_expected : NULL;
    ck_matmul(&reference, &m, NULL);
    m.c = got, m.pre_activation = fused ? before_got : NULL;
    void *scratch = scratch_of(ck_matmul_scratch(&tested, &m));
    ck_matmul(&tested, &m, scratch);
    compare("matmul", m.type_c, got, expected, count, m.type_c == CK_F32 ? 4.0 * (double)(m.k + 4) : 2);
    compare("matmul before activation", m.type_c, before_got, before_expected, count,
            m.type_c == CK_F32 ? 4.0 * (double)(m.k + 4) : 2);
    free(a), free(b), free(bias), free(residual), free(expected), free(got), free(scratch);
    free(before_expected), free(before_got);
  }
}

int main(int count, char **arguments) {
  const char *name = count > 1 ? arguments[1] : "neon";
  state = count > 2 ? strtoull(arguments[2], NULL, 10) : (uint64_t)time(NULL);
  printf("kernels_test %s %llu\n", name, (unsigned long long)state);
  tested.isa = CK_PORTABLE;
  for (int isa = 0; isa <= CK_AMX_EMULATED; isa++) {
    if (strcmp(name, ck_isa_name((ck_isa)isa)) == 0) tested.isa = (ck_isa)isa;
  }
  if (tested.isa == CK_PORTABLE || !ck_isa_available(tested.isa)) {
    printf("this machine has no %s\n", name);
    return 2;
  }
  reference.pool = tested.pool = ck_pool_create(3, 100);
  if (tested.pool == NULL) return 2;
  // With the native 16-bit and 8-bit dot products where the processor has them, and without.
  for (int native = 0; native < 2; native++) {
    tested.bf16 = native && ck_has_bf16();
    tested.vnni = native && ck_has_vnni();
    test_matmul();
  }
  ck_pool_destroy(tested.pool);
  printf(failures == 0 ? "passed\n" : "%d failed\n", failures);
  return failures == 0 ? 0 : 1;
}
