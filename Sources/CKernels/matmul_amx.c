// Matrix products on the AMX tiles of the processor. ck_amx_request must have been granted.
#if defined(__x86_64__)
#include <immintrin.h>

#include "matmul_kernels.h"

#define CK_SIMD_AVX512
#include "simd_begin.h"
#include "matmul_pack.inc"
#include "matmul_epilogue.inc"

#define TILE_TARGET __attribute__((target(CK_SIMD_FEATURES ",amx-tile,amx-bf16,amx-int8")))
#define TILES
#define TILE_ZERO(t) _tile_zero(t);
#define TILE_LOAD(t, p, stride) _tile_loadd(t, p, stride);
#define TILE_STORE(t, p, stride) _tile_stored(t, p, stride);
#define TILE_BF16(c, a, b) _tile_dpbf16ps(c, a, b);
#define TILE_I8(c, a, b) _tile_dpbssd(c, a, b);
#include "matmul_amx.inc"

// All eight tiles are 16 rows of 64 bytes.
TILE_TARGET static void enter(void) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } configuration = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    configuration.bytes[t] = 64;
    configuration.rows[t] = TILE;
  }
  _tile_loadconfig(&configuration);
}

TILE_TARGET static void leave(void) { _tile_release(); }

#include "simd_end.h"

const ck_matmul_kernel ck_matmul_bf16_amx = {
  .rows = ROWS, .columns = COLUMNS, .group = 2, .pack_a = bf16_pack_a, .pack_b = bf16_pack_b, .tile = bf16_tile,
  .finish = finish, .resume = resume, .enter = enter, .leave = leave,
};
const ck_matmul_kernel ck_matmul_i8_amx = {
  .rows = ROWS, .columns = COLUMNS, .group = 4, .pack_a = i8_pack_a, .pack_b = i8_pack_b, .tile = i8_tile,
  .enter = enter, .leave = leave,
};
#endif
