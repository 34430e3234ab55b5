// Matrix products for AVX-512: f32 by FMA, bf16 by vdpbf16ps (AVX512-BF16), int8 by vpdpbusd (AVX512-VNNI).
// A tile of 14 x 32 takes 28 of the 32 registers for sums, 2 for B and 1 for A.
#if defined(__x86_64__)
#include <immintrin.h>

#include "matmul_kernels.h"

#define CK_SIMD_AVX512
#include "simd_begin.h"
#include "matmul_pack.inc"
#include "matmul_epilogue.inc"

enum { ROWS = 14, COLUMNS = 32 };

#define MICRO(name) f32_##name
#define MICRO_ROWS 14
#define MICRO_VECTORS 2
#define MICRO_TARGET
#define MICRO_ACC vf
#define MICRO_STEP(sum, a, b) vf_fma((vf)(a), (vf)(b), sum)
#define MICRO_SUMS 0
#include "matmul_micro.inc"

#define MICRO(name) bf16_##name
#define MICRO_ROWS 14
#define MICRO_VECTORS 2
#define MICRO_TARGET __attribute__((target(CK_SIMD_FEATURES ",avx512bf16")))
#define MICRO_ACC vf
#define MICRO_STEP(sum, a, b) (vf)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b))
#define MICRO_SUMS 0
#include "matmul_micro.inc"

// vpdpbusd multiplies unsigned by signed: A is packed with 128 added (its top bits flipped), and 128 times the sums
// over the columns of B are taken off. All modulo 2^32, as the sums themselves.
#define MICRO(name) i8_##name
#define MICRO_ROWS 14
#define MICRO_VECTORS 2
#define MICRO_TARGET __attribute__((target(CK_SIMD_FEATURES ",avx512vnni")))
#define MICRO_ACC vi
#define MICRO_STEP(sum, a, b) (vi)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b))
#define MICRO_SUMS 1
#define MICRO_SUMS_TIMES 128
#include "matmul_micro.inc"

PACK_F32(f32_pack_a, pack_lines, ROWS, 0, false)
PACK_F32(f32_pack_b, pack_steps, COLUMNS)

static void bf16_pack_a(
    uint32_t *panel, const ck_operand *o, int64_t index, int64_t count, int64_t k, int64_t depth) {
  pack_lines(panel, o, index, count, k, depth, ROWS, STEP_BF16, CK_BF16, 0, false);
}
static void bf16_pack_b(
    uint32_t *panel, const ck_operand *o, int64_t index, int64_t count, int64_t k, int64_t depth) {
  pack_steps(panel, o, index, count, k, depth, COLUMNS, STEP_BF16, CK_BF16);
}
static void i8_pack_a(uint32_t *panel, const ck_operand *o, int64_t index, int64_t count, int64_t k, int64_t depth) {
  pack_lines(panel, o, index, count, k, depth, ROWS, STEP_I8, CK_I8, 0x80808080u, false);
}
static void i8_pack_b(uint32_t *panel, const ck_operand *o, int64_t index, int64_t count, int64_t k, int64_t depth) {
  pack_steps(panel, o, index, count, k, depth, COLUMNS, STEP_I8, CK_I8);
  sum_columns(panel, (depth + 3) / 4, COLUMNS);
}

#define STREAM(name) f32_stream_##name
#define STREAM_TARGET
#define STREAM_ROWS ROWS
#define STREAM_PAIRS 0
#define STREAM_STEP(sum, a, b) vf_fma((vf)(a), (vf)(b), sum)
#include "matmul_stream.inc"

#define STREAM(name) bf16_stream_##name
#define STREAM_TARGET __attribute__((target(CK_SIMD_FEATURES ",avx512bf16")))
#define STREAM_ROWS ROWS
#define STREAM_PAIRS 1
#define STREAM_STEP(sum, a, b) (vf)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b))
#include "matmul_stream.inc"

#include "simd_end.h"

const ck_matmul_kernel ck_matmul_f32_avx512 = {
  .rows = ROWS, .columns = COLUMNS, .group = 1, .pack_a = f32_pack_a, .pack_b = f32_pack_b, .tile = f32_tile,
  .finish = finish, .resume = resume, .stream = f32_stream_columns,
};
const ck_matmul_kernel ck_matmul_bf16_avx512 = {
  .rows = ROWS, .columns = COLUMNS, .group = 2, .pack_a = bf16_pack_a, .pack_b = bf16_pack_b, .tile = bf16_tile,
  .finish = finish, .resume = resume, .stream = bf16_stream_columns,
};
const ck_matmul_kernel ck_matmul_i8_avx512 = {
  .rows = ROWS, .columns = COLUMNS, .group = 4, .column_sums = true, .pack_a = i8_pack_a, .pack_b = i8_pack_b,
  .tile = i8_tile,
};
#endif
