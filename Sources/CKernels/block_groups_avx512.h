// Steps of int4 and int8 in groups as AVX-512 vectors; see block_steps_avx512.h.
#ifndef CK_BLOCK_GROUPS_AVX512_H
#define CK_BLOCK_GROUPS_AVX512_H
#if defined(__x86_64__)

#include "block_loads_avx512.h"

// Scale and minimum from headers of groups.
CK_BLOCK_INLINE void split_headers(__m512i headers, int zero, ck_step *s) {
  __m512i low = _mm512_set1_epi32(0x1ff);
  s->scales = _mm512_castsi512_ps(_mm512_andnot_si512(low, headers));
  __m512i steps = _mm512_sub_epi32(_mm512_set1_epi32(zero), _mm512_and_si512(headers, low));
  s->minimums = _mm512_mul_ps(s->scales, _mm512_cvtepi32_ps(steps));
}

// 16 headers, each repeated for the sub-blocks of its group of 64 or 128.
CK_BLOCK_INLINE __m512i group_headers(const uint8_t *p, int64_t group, int64_t stride) {
  __m128i four[4];
  for (int i = 0; i < 4; i++) {
    const uint8_t *at = p + 128 / group * i * stride;
    four[i] = group == 128 ? _mm_set1_epi32((int)bits_32(at))
      : _mm_unpacklo_epi64(_mm_set1_epi32((int)bits_32(at)), _mm_set1_epi32((int)bits_32(at + stride)));
  }
  return _mm512_inserti64x4(
    _mm512_castsi256_si512(_mm256_set_m128i(four[1], four[0])), _mm256_set_m128i(four[3], four[2]), 1);
}

CK_BLOCK_INLINE void step_int4_32(const uint8_t *p, const uint8_t *row, ck_step *s) {
  four_blocks four[4];
  strided_nibbles(p, 20, 4, -1, four, s);
  uint32_t index[16];
  for (int j = 0; j < 16; j++) index[j] = (uint32_t)(j % 4 * 5 + (j % 8 < 4 ? 0 : 16));
  __m512i places = _mm512_loadu_si512(index);
  __m512i low = _mm512_permutex2var_epi32(four[0].first, places, four[1].first);
  __m512i high = _mm512_permutex2var_epi32(four[2].first, places, four[3].first);
  split_headers(_mm512_shuffle_i64x2(low, high, 0x44), 8, s);
}

CK_BLOCK_INLINE void step_int4(const uint8_t *p, int64_t group, ck_step *s) {
  int64_t stride = 4 + group / 2;
  for (int i = 0; i < 4; i++) {
    __m512i raw = group == 64 ? two_halves(p + 4 + 2 * i * stride, stride) : _mm512_loadu_si512(p + 4 + i * stride);
    split_nibbles(raw, &s->codes[2 * i], &s->codes[2 * i + 1]);
  }
  split_headers(group_headers(p, group, stride), 8, s);
}
CK_BLOCK_INLINE void step_int4_64(const uint8_t *p, const uint8_t *row, ck_step *s) { step_int4(p, 64, s); }
CK_BLOCK_INLINE void step_int4_128(const uint8_t *p, const uint8_t *row, ck_step *s) { step_int4(p, 128, s); }
CK_BLOCK_INLINE void step_int4_row(const uint8_t *p, const uint8_t *row, ck_step *s) {
  for (int i = 0; i < 4; i++) {
    split_nibbles(_mm512_loadu_si512(p + 64 * i), &s->codes[2 * i], &s->codes[2 * i + 1]);
  }
  split_headers(_mm512_set1_epi32((int)bits_32(row)), 8, s);
}

CK_BLOCK_INLINE void step_int8(const uint8_t *p, int64_t group, ck_step *s) {
  int64_t stride = 4 + group;
  for (int i = 0; i < 4; i++) {
    const uint8_t *at = p + 4 + 128 / group * i * stride;
    first_and_second(
      _mm512_loadu_si512(at), _mm512_loadu_si512(at + (group == 64 ? stride : 64)), &s->codes[2 * i],
      &s->codes[2 * i + 1]);
  }
  split_headers(group_headers(p, group, stride), 128, s);
}
CK_BLOCK_INLINE void step_int8_32(const uint8_t *p, const uint8_t *row, ck_step *s) {
  strided_bytes(p + 4, 36, s);
#define CK_AT(i) (int)bits_32(p + (i) * 36)
  __m512i headers = _mm512_setr_epi32(
    CK_AT(0), CK_AT(1), CK_AT(2), CK_AT(3), CK_AT(4), CK_AT(5), CK_AT(6), CK_AT(7), CK_AT(8), CK_AT(9), CK_AT(10),
    CK_AT(11), CK_AT(12), CK_AT(13), CK_AT(14), CK_AT(15));
#undef CK_AT
  split_headers(headers, 128, s);
}
CK_BLOCK_INLINE void step_int8_64(const uint8_t *p, const uint8_t *row, ck_step *s) { step_int8(p, 64, s); }
CK_BLOCK_INLINE void step_int8_128(const uint8_t *p, const uint8_t *row, ck_step *s) { step_int8(p, 128, s); }
CK_BLOCK_INLINE void step_int8_row(const uint8_t *p, const uint8_t *row, ck_step *s) {
  for (int i = 0; i < 4; i++) {
    first_and_second(
      _mm512_loadu_si512(p + 128 * i), _mm512_loadu_si512(p + 128 * i + 64), &s->codes[2 * i], &s->codes[2 * i + 1]);
  }
  split_headers(_mm512_set1_epi32((int)bits_32(row)), 128, s);
}

#endif
#endif
