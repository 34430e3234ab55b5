// Matrix products for AArch64: f32 by NEON, bf16 by bfdot (bf16 extension), int8 by sdot (dotprod extension).
// A tile of 8 x 12 takes 24 of the 32 registers for sums.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "matmul_kernels.h"

#define CK_SIMD_NEON
#include "simd_begin.h"
#include "matmul_pack.inc"
#include "matmul_epilogue.inc"

enum { ROWS = 8, COLUMNS = 12 };

#define MICRO(name) f32_##name
#define MICRO_ROWS 8
#define MICRO_VECTORS 3
#define MICRO_TARGET
#define MICRO_ACC vf
#define MICRO_STEP(sum, a, b) vf_fma((vf)(a), (vf)(b), sum)
#define MICRO_SUMS 0
#include "matmul_micro.inc"

#define MICRO(name) bf16_##name
#define MICRO_ROWS 8
#define MICRO_VECTORS 3
#define MICRO_TARGET __attribute__((target("arch=armv8.2-a+bf16")))
#define MICRO_ACC vf
#define MICRO_STEP(sum, a, b) (vf)vbfdotq_f32((float32x4_t)(sum), (bfloat16x8_t)(a), (bfloat16x8_t)(b))
#define MICRO_SUMS 0
#include "matmul_micro.inc"

#define MICRO(name) i8_##name
#define MICRO_ROWS 8
#define MICRO_VECTORS 3
#define MICRO_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define MICRO_ACC vi
#define MICRO_STEP(sum, a, b) (vi)vdotq_s32((int32x4_t)(sum), (int8x16_t)(a), (int8x16_t)(b))
#define MICRO_SUMS 0
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
  pack_lines(panel, o, index, count, k, depth, ROWS, STEP_I8, CK_I8, 0, false);
}
static void i8_pack_b(uint32_t *panel, const ck_operand *o, int64_t index, int64_t count, int64_t k, int64_t depth) {
  pack_steps(panel, o, index, count, k, depth, COLUMNS, STEP_I8, CK_I8);
}

#define STREAM(name) f32_stream_##name
#define STREAM_TARGET
#define STREAM_ROWS ROWS
#define STREAM_PAIRS 0
#define STREAM_STEP(sum, a, b) vf_fma((vf)(a), (vf)(b), sum)
#include "matmul_stream.inc"

#define STREAM(name) bf16_stream_##name
#define STREAM_TARGET __attribute__((target("arch=armv8.2-a+bf16")))
#define STREAM_ROWS ROWS
#define STREAM_PAIRS 1
#define STREAM_STEP(sum, a, b) (vf)vbfdotq_f32((float32x4_t)(sum), (bfloat16x8_t)(a), (bfloat16x8_t)(b))
#include "matmul_stream.inc"

#include "simd_end.h"

const ck_matmul_kernel ck_matmul_f32_neon = {
  .rows = ROWS, .columns = COLUMNS, .group = 1, .pack_a = f32_pack_a, .pack_b = f32_pack_b, .tile = f32_tile,
  .finish = finish, .resume = resume, .stream = f32_stream_columns,
};
const ck_matmul_kernel ck_matmul_bf16_neon = {
  .rows = ROWS, .columns = COLUMNS, .group = 2, .pack_a = bf16_pack_a, .pack_b = bf16_pack_b, .tile = bf16_tile,
  .finish = finish, .resume = resume, .stream = bf16_stream_columns,
};
const ck_matmul_kernel ck_matmul_i8_neon = {
  .rows = ROWS, .columns = COLUMNS, .group = 4, .pack_a = i8_pack_a, .pack_b = i8_pack_b, .tile = i8_tile,
};
#endif
