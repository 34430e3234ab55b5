// Dot products of codes of block formats with int8 activations for AVX2: by pairs of 16 bits (vpmaddubsw), which cannot
// overflow because one factor has 7 bits, or in one instruction where the processor has AVX-VNNI.
#if defined(__x86_64__)
#include "block_matmul_internal.h"

#include <immintrin.h>

#define INLINE(target_) static inline __attribute__((always_inline, target(target_)))

// Sums of four products, in 8 lanes; `unsigned_` has at most 7 bits, or 8 of which the highest stands alone.
INLINE("avx2") __m256i fours_avx2(__m256i unsigned_, __m256i signed_) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned_, signed_), _mm256_set1_epi16(1));
}
INLINE("avx2,avxvnni") __m256i fours_avx_vnni(__m256i unsigned_, __m256i signed_) {
  return _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), unsigned_, signed_);
}

// Eight vectors of 32 products, whose halves are sub-blocks of 16, become 16 or 8 sums. They are stored as they will be
// read, in whole vectors, else reading waits until the stores are done.
INLINE("avx2") void store_sums(const __m256i fours[8], int sub, int32_t *dots) {
  __m256i halves[2];  // the first halves of four vectors, then the second ones
  for (int i = 0; i < 2; i++) {
    const __m256i *v = fours + 4 * i;
    halves[i] = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  }
  if (sub == 32) {
    __m256i first = _mm256_permute2x128_si256(halves[0], halves[1], 0x20);
    __m256i second = _mm256_permute2x128_si256(halves[0], halves[1], 0x31);
    _mm256_storeu_si256((void *)dots, _mm256_add_epi32(first, second));
    return;
  }
  for (int i = 0; i < 2; i++) {
    __m256i second = _mm256_permute4x64_epi64(halves[i], 0x4e);
    __m256i low = _mm256_unpacklo_epi32(halves[i], second), high = _mm256_unpackhi_epi32(halves[i], second);
    _mm256_storeu_si256((void *)(dots + 8 * i), _mm256_permute2x128_si256(low, high, 0x20));
  }
}

#define DOTS(name, target_)                                                                                  \
  INLINE(target_) void rows_##name(                                                                          \
      const uint8_t *codes, const int8_t *x, int64_t stride, int64_t rows, int sub, bool wide,               \
      int32_t dots[][CK_BLOCK_CHUNK / 16]) {                                                                 \
    __m256i weights[8], signs[8];                                                                            \
    for (int v = 0; v < 8; v++) {                                                                            \
      weights[v] = _mm256_loadu_si256((const void *)(codes + 32 * v));                                       \
      if (!wide) continue;                                                                                   \
      signs[v] = _mm256_xor_si256(weights[v], _mm256_set1_epi8((char)CK_BLOCK_WIDE));                        \
      weights[v] = _mm256_abs_epi8(signs[v]);                                                                \
    }                                                                                                        \
    for (int64_t r = 0; r < rows; r++, x += stride) {                                                        \
      __m256i fours[8];                                                                                      \
      for (int v = 0; v < 8; v++) {                                                                          \
        __m256i own = _mm256_loadu_si256((const void *)(x + 32 * v));                                        \
        fours[v] = fours_##name(weights[v], wide ? _mm256_sign_epi8(own, signs[v]) : own);                   \
      }                                                                                                      \
      store_sums(fours, sub, dots[r]);                                                                       \
    }                                                                                                        \
  }                                                                                                          \
  __attribute__((target(target_))) void ck_block_dots_##name(                                                \
      const uint8_t *codes, const int8_t *x, int64_t stride, int64_t rows, int sub, bool wide,               \
      int32_t dots[][CK_BLOCK_CHUNK / 16]) {                                                                 \
    if (wide) {                                                                                              \
      rows_##name(codes, x, stride, rows, sub, true, dots);                                                  \
    } else {                                                                                                 \
      rows_##name(codes, x, stride, rows, sub, false, dots);                                                 \
    }                                                                                                        \
  }
DOTS(avx2, "avx2")
DOTS(avx_vnni, "avx2,avxvnni")
#endif
