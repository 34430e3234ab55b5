// Weights in blocks for one instruction set against plain C: dequantisation to the bit, products within the rounding of
// their sums, and the same bits of a row for any number of rows. Usage: see kernels_test.c.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

static const ck_block_format formats[] = {
  {CK_Q4_0, 0}, {CK_Q4_1, 0}, {CK_Q5_0, 0}, {CK_Q5_1, 0}, {CK_Q8_0, 0}, {CK_Q2_K, 0}, {CK_Q3_K, 0}, {CK_Q4_K, 0},
  {CK_Q5_K, 0}, {CK_Q6_K, 0}, {CK_IQ4_NL, 0}, {CK_IQ4_XS, 0}, {CK_MXFP4, 0}, {CK_INT4, 32}, {CK_INT4, 128},
  {CK_INT8, 32}, {CK_INT8, 128}, {CK_NF4, 0}, {CK_FP8_E4M3, 128},
};
enum { FORMATS = sizeof formats / sizeof *formats, COLUMNS = 53 };

static uint32_t state;
static int failures;

static uint32_t draw(void) {
  state = state * 1664525 + 1013904223;
  return state >> 8;
}

static void set_half(uint8_t *p) {
  uint32_t bits = 0x2000 + draw() % 0x800 + (draw() & 1) * 0x8000;  // about 0.01
  p[0] = (uint8_t)bits, p[1] = (uint8_t)(bits >> 8);
}
static void set_float(uint8_t *p, uint32_t zero) {
  float value = 0.01f * (float)(1 + draw() % 8);
  uint32_t bits;
  memcpy(&bits, &value, 4);
  bits = (bits & ~0x1ffu) | zero;
  memcpy(p, &bits, 4);
}

// Codes of all values, scales of ordinary size.
static void fill(ck_block_format format, uint8_t *blocks, int64_t bytes) {
  int64_t size = ck_block_layout_of(format).bytes;
  for (int64_t i = 0; i < bytes; i++) blocks[i] = (uint8_t)draw();
  for (int64_t i = 0; i < bytes; i += size) {
    uint8_t *p = blocks + i;
    switch (format.kind) {
      case CK_Q2_K: set_half(p + 80), set_half(p + 82); break;
      case CK_Q3_K: set_half(p + 108); break;
      case CK_Q6_K: set_half(p + 208); break;
      case CK_Q4_1: case CK_Q5_1: case CK_Q4_K: case CK_Q5_K: set_half(p), set_half(p + 2); break;
      case CK_MXFP4: p[0] = (uint8_t)(118 + draw() % 8); break;
      case CK_INT4: case CK_INT8: set_float(p, draw() % (format.kind == CK_INT4 ? 17 : 257)); break;
      case CK_NF4: set_float(p, 0); break;
      case CK_FP8_E4M3:
        set_float(p, 0);
        for (int64_t j = 4; j < size; j++) p[j] = (p[j] & 0x7f) == 0x7f ? 1 : p[j];
        break;
      default: set_half(p);
    }
  }
}

static float *product(
    const ck_context *context, ck_block_format format, int64_t m, int64_t k, const float *x, const uint8_t *blocks) {
  float *y = calloc((size_t)(m * COLUMNS), sizeof(float));
  ck_block_matmul_arguments a = {
    .format = format, .type_x = CK_F32, .type_y = CK_F32, .m = m, .n = COLUMNS, .k = k, .x = x, .blocks = blocks,
    .y = y, .ldx = k, .ldy = COLUMNS,
  };
  void *scratch = aligned_alloc(64, (ck_block_matmul_scratch(context, &a) + 127) / 64 * 64);
  ck_block_matmul(context, &a, scratch);
  free(scratch);
  return y;
}

int test_blocks(const ck_context *context, uint32_t seed) {
  ck_context reference = {.pool = context->pool, .isa = CK_PORTABLE};
  state = seed;
  failures = 0;
  for (int f = 0; f < FORMATS; f++) {
    ck_block_format format = formats[f];
    // Whole chunks, and a row that ends within one where blocks are short.
    int64_t unit = ck_block_layout_of(format).elements, k = 256 * (1 + draw() % 5);
    if (unit < 256 && draw() % 2) k += 32 * (1 + draw() % 7);
    k = (k + unit - 1) / unit * unit;
    int64_t rows = 33, bytes = COLUMNS * ck_block_row_bytes(format, k);
    uint8_t *blocks = malloc((size_t)bytes);
    fill(format, blocks, bytes);
    float *expected = calloc((size_t)(COLUMNS * k), 4), *got = calloc((size_t)(COLUMNS * k), 4);
    ck_dequantize(&reference, format, COLUMNS, k, blocks, CK_F32, expected);
    ck_dequantize(context, format, COLUMNS, k, blocks, CK_F32, got);
    if (memcmp(expected, got, (size_t)(COLUMNS * k) * 4) != 0) {
      printf("blocks: format %d: other bits than plain C\n", (int)format.kind);
      failures += 1;
    }
    float *x = malloc((size_t)(rows * k) * 4);
    for (int64_t i = 0; i < rows * k; i++) x[i] = (float)draw() / (float)(1 << 23) - 1;
    float *plain = product(&reference, format, rows, k, x, blocks), *many = product(context, format, rows, k, x, blocks);
    for (int64_t i = 0; i < rows * COLUMNS; i++) {
      double size = 0;
      for (int64_t j = 0; j < k; j++) size += fabs(x[i / COLUMNS * k + j] * expected[i % COLUMNS * k + j]);
      // Products of few and many rows in floats differ in their order.
      if (fabs(plain[i] - many[i]) <= 1e-5 * size) continue;
      printf("blocks: format %d, k %d, element %d: %g, expected %g\n", (int)format.kind, (int)k, (int)i, many[i], plain[i]);
      failures += 1;
      break;
    }
    for (int64_t m = 1; m < 6 && ck_block_layout_of(format).sub > 0; m++) {
      float *few = product(context, format, m, k, x, blocks);
      if (memcmp(few, many, (size_t)(m * COLUMNS) * 4) != 0) {
        printf("blocks: format %d: the bits of a row depend on the rows, %d here\n", (int)format.kind, (int)m);
        failures += 1;
      }
      free(few);
    }
    free(blocks), free(expected), free(got), free(x), free(plain), free(many);
  }
  return failures;
}
