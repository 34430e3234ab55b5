// The matrix products of matmul_amx.c with the tile registers as memory, so that their logic is tested on machines
// without AMX. Only for tests: it is slow.
#if defined(__x86_64__)
#include <immintrin.h>

#include "matmul_kernels.h"

#define CK_SIMD_AVX512
#include "simd_begin.h"
#include "matmul_pack.inc"
#include "matmul_epilogue.inc"

typedef struct {
  uint32_t row[16][16];
} tile_register;

static void tile_load(tile_register *t, const void *p, int64_t stride) {
  for (int i = 0; i < 16; i++) memcpy(t->row[i], (const char *)p + i * stride, 64);
}

static void tile_store(const tile_register *t, void *p, int64_t stride) {
  for (int i = 0; i < 16; i++) memcpy((char *)p + i * stride, t->row[i], 64);
}

// Row i of C gains, for each pair (quadruple) s, the products of A's pair s with the pair s of each column of B.
static void tile_bf16(tile_register *c, const tile_register *a, const tile_register *b) {
  for (int i = 0; i < 16; i++) {
    vf sum = vf_load((const float *)c->row[i]);
    for (int s = 0; s < 16; s++) {
      vu columns;
      memcpy(&columns, b->row[s], sizeof columns);
      sum = vf_fma((vf)vu_set(a->row[i][s] << 16), (vf)(columns << 16), sum);
      sum = vf_fma((vf)vu_set(a->row[i][s] & 0xffff0000u), (vf)(columns & 0xffff0000u), sum);
    }
    vf_store((float *)c->row[i], sum);
  }
}

static void tile_i8(tile_register *c, const tile_register *a, const tile_register *b) {
  for (int i = 0; i < 16; i++) {
    for (int s = 0; s < 16; s++) {
      for (int j = 0; j < 16; j++) {
        for (int g = 0; g < 32; g += 8) {
          c->row[i][j] += (uint32_t)((int8_t)(a->row[i][s] >> g) * (int8_t)(b->row[s][j] >> g));
        }
      }
    }
  }
}

#define TILE_TARGET
#define TILES tile_register tiles[8];
#define TILE_ZERO(t) memset(&tiles[t], 0, sizeof tiles[t]);
#define TILE_LOAD(t, p, stride) tile_load(&tiles[t], p, stride);
#define TILE_STORE(t, p, stride) tile_store(&tiles[t], p, stride);
#define TILE_BF16(c, a, b) tile_bf16(&tiles[c], &tiles[a], &tiles[b]);
#define TILE_I8(c, a, b) tile_i8(&tiles[c], &tiles[a], &tiles[b]);
#include "matmul_amx.inc"

#include "simd_end.h"

const ck_matmul_kernel ck_matmul_bf16_amx_emulated = {
  .rows = ROWS, .columns = COLUMNS, .group = 2, .pack_a = bf16_pack_a, .pack_b = bf16_pack_b, .tile = bf16_tile,
  .finish = finish, .resume = resume,
};
const ck_matmul_kernel ck_matmul_i8_amx_emulated = {
  .rows = ROWS, .columns = COLUMNS, .group = 4, .pack_a = i8_pack_a, .pack_b = i8_pack_b, .tile = i8_tile,
};
#endif
