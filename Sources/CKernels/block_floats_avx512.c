// Products with weights in blocks for few rows of x, in floats: the formats that are no integers, and exact products.
// Weights become floats in registers (NF4, FP8) or in a stretch of 256 that stays in the first-level cache.
#if defined(__x86_64__)
#include "block_matmul_internal.h"
#include "convert.h"
#include "tasks.h"

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { STEP = 32, CHAINS = 4, AHEAD = 8192 };

// 32 elements without their scale.
INLINE void step_nf4(const uint8_t *p, __m512 w[2]) {
  // Only the low four bits of an index count.
  __m512i codes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
  __m512 values = _mm512_loadu_ps(ck_nf4_values);
  w[0] = _mm512_permutexvar_ps(codes, values);
  w[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(codes, 4), values);
}

// E4M3 is the middle of f16 with an exponent that is 8 less.
INLINE void step_fp8(const uint8_t *p, __m512 w[2]) {
  __m512i wide = _mm512_slli_epi16(_mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)p)), 7);
  __m512i magnitude = _mm512_and_si512(wide, _mm512_set1_epi16(0x3f80));
  __m512i half = _mm512_and_si512(wide, _mm512_set1_epi16((short)0xbf80));
  __mmask32 nan = _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x3f80));
  half = _mm512_mask_mov_epi16(half, nan, _mm512_set1_epi16(0x7e00));
  w[0] = _mm512_cvtph_ps(_mm512_castsi512_si256(half));
  w[1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(half, 1));
}

INLINE float load_float(const uint8_t *p) {
  float value;
  memcpy(&value, p, sizeof value);
  return value;
}

// Where the next elements lie, and what they are multiplied with.
typedef struct {
  const uint8_t *p;
  int64_t left;  // elements up to the next scale
  __m512 scale;
} reader;

// The next 32 elements with their scale.
INLINE void next_step(reader *r, ck_block_kind kind, int64_t group, __m512 w[2]) {
  bool nf4 = kind == CK_NF4;
  if (r->left == 0) {
    r->scale = _mm512_set1_ps(load_float(r->p) * (nf4 ? 1 : 256));
    r->p += 4;
    r->left = group;
  }
  _mm_prefetch((const char *)r->p + AHEAD, _MM_HINT_T0);
  if (nf4) {
    step_nf4(r->p, w);
  } else {
    step_fp8(r->p, w);
  }
  r->p += nf4 ? STEP / 2 : STEP;
  r->left -= STEP;
  w[0] = _mm512_mul_ps(w[0], r->scale);
  w[1] = _mm512_mul_ps(w[1], r->scale);
}

// Each row has CHAINS sums, so that multiply-adds need not wait for one another.
INLINE void multiply_rows(
    const ck_block_matmul_arguments *a, const ck_block_readers *readers, ck_block_kind kind, const float *x,
    int64_t row, int rows, int64_t column) {
  __m512 totals[2][2 * CHAINS];
  for (int r = 0; r < rows; r++) {
    for (int c = 0; c < 2 * CHAINS; c++) totals[r][c] = _mm512_setzero_ps();
  }
  const uint8_t *blocks = (const uint8_t *)a->blocks + column * ck_block_row_bytes(a->format, a->k);
  bool direct = kind == CK_NF4 || kind == CK_FP8_E4M3;
  reader next = {blocks, 0, _mm512_setzero_ps()};
  for (int64_t first = 0; first < a->k; first += CK_BLOCK_CHUNK) {
    float room[CK_BLOCK_CHUNK];
    int64_t count = ck_min(CK_BLOCK_CHUNK, a->k - first);
    if (!direct) readers->floats(a->format, blocks, first, count, room);
    for (int64_t i = 0; i < count; i += CHAINS * STEP) {
#pragma clang loop unroll(full)
      for (int c = 0; c < CHAINS; c++) {
        int64_t within = i + c * STEP, at = first + within;
        if (within >= count) break;
        __m512 w[2];
        if (direct) {
          next_step(&next, kind, kind == CK_NF4 ? 64 : a->format.group, w);
        } else {
          w[0] = _mm512_loadu_ps(room + within);
          w[1] = _mm512_loadu_ps(room + within + 16);
        }
        for (int r = 0; r < rows; r++) {
          const float *own = x + (row + r) * a->k + at;
          totals[r][2 * c] = _mm512_fmadd_ps(w[0], _mm512_loadu_ps(own), totals[r][2 * c]);
          totals[r][2 * c + 1] = _mm512_fmadd_ps(w[1], _mm512_loadu_ps(own + 16), totals[r][2 * c + 1]);
        }
      }
    }
  }
  for (int r = 0; r < rows; r++) {
    for (int half = CHAINS; half > 0; half /= 2) {
      for (int c = 0; c < half; c++) totals[r][c] = _mm512_add_ps(totals[r][c], totals[r][c + half]);
    }
    ck_block_store(a, row + r, column, _mm512_reduce_add_ps(totals[r][0]));
  }
}

INLINE void multiply_columns(
    const ck_block_matmul_arguments *a, const ck_block_readers *readers, ck_block_kind kind, const float *x,
    int64_t begin, int64_t count) {
  for (int64_t column = begin; column < begin + count; column++) {
    int64_t row = 0;
    for (; row + 2 <= a->m; row += 2) multiply_rows(a, readers, kind, x, row, 2, column);
    if (row < a->m) multiply_rows(a, readers, kind, x, row, 1, column);
  }
}

TARGET void ck_block_floats_avx512(
    const ck_block_matmul_arguments *a, const ck_block_readers *readers, const float *x, int64_t begin,
    int64_t count) {
  // The compiler makes a copy for each kind that is named.
  switch (a->format.kind) {
    case CK_NF4: multiply_columns(a, readers, CK_NF4, x, begin, count); return;
    case CK_FP8_E4M3: multiply_columns(a, readers, CK_FP8_E4M3, x, begin, count); return;
    default: multiply_columns(a, readers, CK_Q8_0, x, begin, count);
  }
}
#endif
