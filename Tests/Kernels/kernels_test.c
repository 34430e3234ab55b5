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

// A tensor of attention: its values, and room for what a context writes in its place.
static void *copy_of(ck_type type, const void *values, int64_t count) {
  void *copy = zeros(type, count);
  return memcpy(copy, values, (size_t)(count * ck_type_size(type)));
}

static void test_attention(void) {
  static const ck_type types[] = {CK_F32, CK_BF16, CK_F16};
  static const int64_t head_sizes[] = {1, 16, 24, 40, 64, 128};
  for (int round = 0; round < 40; round++) {
    ck_attention_arguments a = {.type = types[below(3)], .batch = 1 + below(2), .kv_heads = 1 + below(2)};
    a.heads = a.kv_heads * (1 + below(3)), a.head_size = head_sizes[below(6)];
    a.keys = below(4) == 0 ? 200 + below(100) : size(), a.queries = below(2) ? a.keys : below(5) == 0 ? 150 : size();
    a.scale = 0.3f, a.causal = below(2), a.window = below(3) == 0 ? 1 + below(50) : 0;
    a.softcap = below(3) == 0 ? 1.5f : 0;
    int64_t queries = a.batch * a.queries * a.heads * a.head_size, keys = a.batch * a.keys * a.kv_heads * a.head_size;
    int32_t *segments = calloc((size_t)(a.batch * a.keys) + 1, 4);
    for (int64_t i = 1; i < a.batch * a.keys; i++) segments[i] = segments[i - 1] + (below(9) == 0);
    if (a.queries == a.keys && below(3) == 0) a.segments = segments;
    float sinks[6] = {0.1f, -1, 1, 0, 2, 0.5f}, d_sinks[2][6];
    bool with_sinks = below(3) == 0;
    if (with_sinks) a.sinks = sinks;
    void *q = random_values(a.type, queries), *k = random_values(a.type, keys), *v = random_values(a.type, keys);
    void *d_o = random_values(a.type, queries), *zero_q = zeros(a.type, queries), *zero_k = zeros(a.type, keys);
    a.q = q, a.k = k, a.v = v, a.d_o = d_o;
    a.q_row = a.o_row = a.do_row = a.dq_row = a.heads * a.head_size;
    a.k_row = a.v_row = a.dk_row = a.dv_row = a.kv_heads * a.head_size;
    a.q_batch = a.o_batch = a.do_batch = a.dq_batch = a.queries * a.q_row;
    a.k_batch = a.v_batch = a.dk_batch = a.dv_batch = a.keys * a.k_row;
    void *written[2][4];
    float *logsumexp[2];
    for (int i = 0; i < 2; i++) {
      const ck_context *context = i == 0 ? &reference : &tested;
      logsumexp[i] = a.logsumexp = zeros(CK_F32, a.batch * a.heads * a.queries);
      a.o = written[i][0] = copy_of(a.type, zero_q, queries), a.d_q = written[i][1] = copy_of(a.type, zero_q, queries);
      a.d_k = written[i][2] = copy_of(a.type, zero_k, keys), a.d_v = written[i][3] = copy_of(a.type, zero_k, keys);
      a.d_sinks = with_sinks ? d_sinks[i] : NULL;
      void *scratch = scratch_of(ck_attention_scratch(context, &a));
      ck_attention(context, &a, scratch);
      free(scratch);
      scratch = scratch_of(ck_attention_backward_scratch(context, &a));
      ck_attention_backward(context, &a, scratch);
      free(scratch);
    }
    // bf16 and f16 round O, from which the backward pass takes its row sums: errors of the size of a few roundings of |q|.
    double scale = a.type == CK_F32 ? 60 : 12;
    compare("attention", a.type, written[1][0], written[0][0], queries, scale);
    compare("attention logsumexp", CK_F32, logsumexp[1], logsumexp[0], a.batch * a.heads * a.queries, 20);
    compare("attention dq", a.type, written[1][1], written[0][1], queries, 2 * scale);
    compare("attention dk", a.type, written[1][2], written[0][2], keys, 4 * scale);
    compare("attention dv", a.type, written[1][3], written[0][3], keys, 2 * scale);
    if (with_sinks) compare("attention sinks", CK_F32, d_sinks[1], d_sinks[0], a.heads, a.type == CK_F32 ? 1e3 : 1e6);
    for (int i = 0; i < 2; i++) {
      for (int n = 0; n < 4; n++) free(written[i][n]);
      free(logsumexp[i]);
    }
    free(q), free(k), free(v), free(d_o), free(zero_q), free(zero_k), free(segments);
  }
}

static void test_cross_entropy(void) {
  static const ck_type types[] = {CK_F32, CK_BF16, CK_F16};
  for (int round = 0; round < 20; round++) {
    ck_cross_entropy_arguments a = {.type = types[below(3)], .rows = size(), .width = size(), .vocabulary = size() + 70};
    a.type_dx = a.type_dw = below(2) ? CK_F32 : a.type;
    a.softcap = below(2) ? 2 : 0;
    void *x = random_values(a.type, a.rows * a.width), *w = random_values(a.type, a.vocabulary * a.width);
    float *d_loss = random_values(CK_F32, a.rows), *loss[2], *logsumexp[2];
    int32_t *targets = calloc((size_t)a.rows, 4);
    for (int64_t i = 0; i < a.rows; i++) targets[i] = (int32_t)below(a.vocabulary + 1) - 1;
    a.x = x, a.w = w, a.d_loss = d_loss, a.targets = targets;
    void *dx[2], *dw[2];
    for (int i = 0; i < 2; i++) {
      const ck_context *context = i == 0 ? &reference : &tested;
      a.loss = loss[i] = zeros(CK_F32, a.rows), a.logsumexp = logsumexp[i] = zeros(CK_F32, a.rows);
      a.dx = dx[i] = zeros(a.type_dx, a.rows * a.width), a.dw = dw[i] = zeros(a.type_dw, a.vocabulary * a.width);
      void *scratch = scratch_of(ck_cross_entropy_scratch(context, &a));
      ck_cross_entropy(context, &a, scratch);
      free(scratch);
    }
    // bf16 logits may round to either side.
    double scale = a.type == CK_BF16 ? 2e5 : 100;
    compare("cross-entropy", CK_F32, loss[1], loss[0], a.rows, scale);
    compare("cross-entropy logsumexp", CK_F32, logsumexp[1], logsumexp[0], a.rows, scale);
    double gradient = a.type_dx == CK_F32 ? scale : 4;
    compare("cross-entropy dx", a.type_dx, dx[1], dx[0], a.rows * a.width, gradient);
    compare("cross-entropy dw", a.type_dw, dw[1], dw[0], a.vocabulary * a.width, gradient);
    for (int i = 0; i < 2; i++) free(loss[i]), free(logsumexp[i]), free(dx[i]), free(dw[i]);
    free(x), free(w), free(d_loss), free(targets);
  }
}

// Of elements_test.c.
int test_elements(const ck_context *context, uint32_t seed);
// Of blocks_test.c.
int test_blocks(const ck_context *context, uint32_t seed);

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
    tested.vbmi = native && ck_has_vbmi();
    test_matmul();
    test_attention();
    test_cross_entropy();
    failures += test_elements(&tested, draw());
    failures += test_blocks(&tested, draw());
  }
  ck_pool_destroy(tested.pool);
  printf(failures == 0 ? "passed\n" : "%d failed\n", failures);
  return failures == 0 ? 0 : 1;
}
