// The kernels over elements, rows, indices and optimizer state against their definitions in double. Their portable
// instance is the NEON one on AArch64, so there is nothing faster to compare it with; see kernels_test.c.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CKernels/convert.h"
#include "CKernels.h"

enum { N = 1037, ROWS = 17, WIDTH = 61 };

static int failures;
static _Alignas(64) float x[N], y[N], g[N], w[WIDTH], expected[N];

static void expect(const char *what, const float *got, int count, double tolerance) {
  for (int i = 0; i < count; i++) {
    double a = got[i], b = expected[i];
    if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= tolerance * (1 + fabs(b))) continue;
    printf("%s: element %d is %.9g, expected %.9g\n", what, i, a, b);
    failures += 1;
    return;
  }
}

static double gelu(double v) { return 0.5 * v * (1 + tanh(0.79788456080286536 * (v + 0.044715 * v * v * v))); }
static double sigmoid(double v) { return 1 / (1 + exp(-v)); }

static void test_unary(const ck_context *context) {
  static const struct { ck_opcode opcode; double (*function)(double); } cases[] = {
    {CK_EXP, exp}, {CK_LOG, log}, {CK_TANH, tanh}, {CK_ERF, erf}, {CK_SIGMOID, sigmoid}, {CK_SQRT, sqrt},
    {CK_UNARY_GELU_TANH, gelu}, {CK_FLOOR, floor}, {CK_ROUND, nearbyint},
  };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    ck_instruction program[] = {
      {.opcode = CK_LOAD}, {.opcode = (uint8_t)cases[k].opcode, .destination = 1}, {.opcode = CK_STORE, .a = 1}};
    ck_elementwise_arguments arguments = {
      .rank = 1, .dimensions = {N}, .inputs = 1, .outputs = 1, .instructions = 3, .input = {x}, .input_type = {CK_F32},
      .input_strides = {{1}}, .output = {y}, .output_type = {CK_F32}, .program = program};
    ck_elementwise(context, &arguments);
    for (int i = 0; i < N; i++) expected[i] = (float)cases[k].function(x[i]);
    expect("unary function", y, N, 1e-6);
  }
}

// To 16 bits and back, and transposed.
static void test_copy(const ck_context *context) {
  static uint16_t half[N];
  for (int f16 = 0; f16 < 2; f16++) {
    ck_type type = f16 ? CK_F16 : CK_BF16;
    ck_copy_arguments there = {
      .rank = 1, .dimensions = {N}, .input = x, .input_type = CK_F32, .input_strides = {1}, .output = half,
      .output_type = type, .output_strides = {1}};
    ck_copy(context, &there);
    ck_copy_arguments back = there;
    back.input = half, back.input_type = type, back.output = y, back.output_type = CK_F32;
    ck_copy(context, &back);
    for (int i = 0; i < N; i++) {
      expected[i] = f16 ? ck_f16_to_f32(ck_f32_to_f16(x[i])) : ck_bf16_to_f32(ck_f32_to_bf16(x[i]));
    }
    expect(f16 ? "f16" : "bf16", y, N, 0);
  }
  ck_copy_arguments transpose = {
    .rank = 2, .dimensions = {WIDTH, ROWS}, .input = x, .input_type = CK_F32, .input_strides = {1, WIDTH}, .output = y,
    .output_type = CK_F32, .output_strides = {ROWS, 1}};
  ck_copy(context, &transpose);
  for (int i = 0; i < ROWS * WIDTH; i++) expected[i] = x[i % ROWS * WIDTH + i / ROWS];
  expect("transpose", y, ROWS * WIDTH, 0);
}

static void test_rows(const ck_context *context) {
  ck_softmax(context, CK_F32, ROWS, WIDTH, x, y);
  for (int r = 0; r < ROWS; r++) {
    double sum = 0;
    for (int i = 0; i < WIDTH; i++) sum += exp(x[r * WIDTH + i]);
    for (int i = 0; i < WIDTH; i++) expected[r * WIDTH + i] = (float)(exp(x[r * WIDTH + i]) / sum);
  }
  expect("softmax", y, ROWS * WIDTH, 1e-6);

  float mean[ROWS], rstd[ROWS];
  ck_layer_norm(context, CK_F32, CK_F32, ROWS, WIDTH, 1e-5, x, w, NULL, y, mean, rstd);
  double dw[WIDTH] = {0};
  static float dx[N];
  for (int r = 0; r < ROWS; r++) {
    double sum = 0, squares = 0, sum_g = 0, sum_gx = 0;
    for (int i = 0; i < WIDTH; i++) sum += x[r * WIDTH + i];
    for (int i = 0; i < WIDTH; i++) squares += pow(x[r * WIDTH + i] - sum / WIDTH, 2);
    double scale = 1 / sqrt(squares / WIDTH + 1e-5), hat[WIDTH];
    for (int i = 0; i < WIDTH; i++) {
      hat[i] = (x[r * WIDTH + i] - sum / WIDTH) * scale;
      expected[r * WIDTH + i] = (float)(hat[i] * w[i]);
      dw[i] += hat[i] * g[r * WIDTH + i];
      sum_g += g[r * WIDTH + i] * w[i] / WIDTH;
      sum_gx += g[r * WIDTH + i] * w[i] * hat[i] / WIDTH;
    }
    for (int i = 0; i < WIDTH; i++) {
      dx[r * WIDTH + i] = (float)(scale * (g[r * WIDTH + i] * w[i] - sum_g - hat[i] * sum_gx));
    }
  }
  expect("layer norm", y, ROWS * WIDTH, 1e-5);
  float dweight[WIDTH], dbias[WIDTH];
  void *scratch = malloc(ck_norm_backward_scratch(context, ROWS, WIDTH));
  ck_layer_norm_backward(
    context, CK_F32, CK_F32, ROWS, WIDTH, x, w, mean, rstd, g, y, dweight, dbias, scratch);
  free(scratch);
  memcpy(expected, dx, sizeof dx);
  expect("layer norm gradient", y, ROWS * WIDTH, 1e-5);
  for (int i = 0; i < WIDTH; i++) expected[i] = (float)dw[i];
  expect("layer norm weight gradient", dweight, WIDTH, 1e-5);
}

static void test_reductions(const ck_context *context) {
  float sums[WIDTH], most;
  void *scratch = malloc(ck_reduce_scratch(context, CK_F32, 1, ROWS, WIDTH) + 64);
  ck_reduce(context, CK_REDUCE_SUM, CK_F32, CK_F32, 1, ROWS, WIDTH, x, sums, scratch);
  ck_reduce(context, CK_REDUCE_MAX, CK_F32, CK_F32, 1, N, 1, x, &most, scratch);
  free(scratch);
  float greatest = x[0];
  for (int i = 0; i < WIDTH; i++) {
    double sum = 0;
    for (int r = 0; r < ROWS; r++) sum += x[r * WIDTH + i];
    expected[i] = (float)sum;
  }
  expect("column sums", sums, WIDTH, 1e-6);
  for (int i = 0; i < N; i++) greatest = fmaxf(greatest, x[i]);
  expected[0] = greatest;
  expect("maximum", &most, 1, 0);

  int32_t places[N], first;
  scratch = malloc(ck_order_scratch(context, 1, N));
  ck_sort(context, CK_F32, 1, N, false, x, y, places, scratch);
  ck_top_k(context, CK_F32, 1, N, 1, x, NULL, &first, scratch);
  free(scratch);
  for (int i = 0; i < N; i++) {
    bool ordered = i == 0 || y[i - 1] < y[i] || (y[i - 1] == y[i] && places[i - 1] < places[i]);
    if (ordered && x[places[i]] == y[i] && x[first] == greatest) continue;
    printf("sort: element %d is out of place\n", i);
    failures += 1;
    return;
  }
}

// The known answer of Random123 for a counter and a key of zeros.
static void test_random(const ck_context *context) {
  static const uint32_t answer[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  uint32_t words[4];
  ck_random(context, CK_RANDOM_BITS, CK_I32, 0, 0, 4, words);
  if (memcmp(words, answer, sizeof answer) != 0) {
    printf("Philox: %08x %08x %08x %08x\n", words[0], words[1], words[2], words[3]);
    failures += 1;
  }
}

static void test_adamw(const ck_context *context) {
  static float p[N], m[N], v[N];
  memcpy(p, x, sizeof p);
  memset(m, 0, sizeof m);
  memset(v, 0, sizeof v);
  ck_adamw_tensor tensor = {N, p, m, v, g, CK_F32, NULL, 0.1f, 1};
  ck_adamw_arguments arguments = {1, &tensor, 1e-2f, 0.9f, 0.95f, 1e-8f, 1, 0.1f, 0.05f};
  ck_adamw(context, &arguments);
  for (int i = 0; i < N; i++) expected[i] = (float)(x[i] * (1 - 1e-3) - 1e-2 * g[i] / (fabs(g[i]) + 1e-8));
  expect("AdamW", p, N, 1e-6);
}

// Runs all with `context`; returns how many failed.
int test_elements(const ck_context *context, uint32_t seed);
int test_elements(const ck_context *context, uint32_t seed) {
  failures = 0;
  uint32_t state = seed;
  for (int i = 0; i < 3 * N + WIDTH; i++) {
    state = state * 1664525u + 1013904223u;
    float value = (float)((int32_t)(state >> 8) - (1 << 23)) * 0x1p-21f;
    *(i < N ? &x[i] : i < 2 * N ? &g[i - N] : i < 3 * N ? &y[i - 2 * N] : &w[i - 3 * N]) = value;
  }
  test_unary(context);
  test_copy(context);
  test_rows(context);
  test_reductions(context);
  test_random(context);
  test_adamw(context);
  return failures;
}
