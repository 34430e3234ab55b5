// Matrix products for AVX2 with FMA: everything by f32 tiles of 6 x 16 (12 of the 16 registers for sums).
#if defined(__x86_64__)
#include <immintrin.h>

#include "matmul_kernels.h"

#define CK_SIMD_AVX2
#include "simd_begin.h"
#include "matmul_pack.inc"
#include "matmul_epilogue.inc"

enum { ROWS = 6, COLUMNS = 16 };

#define MICRO(name) f32_##name
#define MICRO_ROWS 6
#define MICRO_VECTORS 2
#define MICRO_TARGET
#define MICRO_ACC vf
#define MICRO_STEP(sum, a, b) vf_fma((vf)(a), (vf)(b), sum)
#define MICRO_SUMS 0
#include "matmul_micro.inc"

PACK_F32(f32_pack_a, pack_lines, ROWS, 0, false)
PACK_F32(f32_pack_b, pack_steps, COLUMNS)

#define STREAM(name) f32_stream_##name
#define STREAM_TARGET
#define STREAM_ROWS ROWS
#define STREAM_PAIRS 0
#define STREAM_STEP(sum, a, b) vf_fma((vf)(a), (vf)(b), sum)
#include "matmul_stream.inc"

#include "simd_end.h"

const ck_matmul_kernel ck_matmul_f32_avx2 = {
  .rows = ROWS, .columns = COLUMNS, .group = 1, .pack_a = f32_pack_a, .pack_b = f32_pack_b, .tile = f32_tile,
  .finish = finish, .resume = resume, .stream = f32_stream_columns,
};
#endif
