// Steps of rows in blocks as AVX-512 vectors (block_steps_avx512.h): blocks of any stride brought into vectors whose
// 128-bit lanes are sub-blocks, and codes of 4, 5 and 8 bits in them. Nothing is read beyond the blocks of a step.
#ifndef CK_BLOCK_LOADS_AVX512_H
#define CK_BLOCK_LOADS_AVX512_H
#if defined(__x86_64__)

#include "block_matmul_internal.h"
#include "convert.h"
#include "tasks.h"

#include <immintrin.h>
#include <string.h>

#define CK_BLOCK_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c,bmi2")))
#define CK_BLOCK_INLINE static inline __attribute__((always_inline, unused)) CK_BLOCK_TARGET

// 16 sub-blocks taken apart.
typedef struct {
  __m512i codes[8];
  __m512 scales, minimums;
} ck_step;

// Four blocks of `stride` bytes, at most 128 in all: the first 64 bytes, and the last 64.
typedef struct {
  __m512i first, last;
} four_blocks;

CK_BLOCK_INLINE four_blocks load_four(const uint8_t *p, int64_t stride) {
  return (four_blocks){_mm512_loadu_si512(p), _mm512_loadu_si512(p + 4 * stride - 64)};
}

// Byte j of a lane is byte at + j * scale / 8 of the lane's block; scale 8: neighbours, 1: eight times the same.
CK_BLOCK_INLINE __m512i picked(four_blocks blocks, int64_t stride, int at, int scale) {
  uint8_t index[64];
  for (int j = 0; j < 64; j++) {
    int byte = (int)(j / 16 * stride) + at + j % 16 * scale / 8;
    index[j] = (uint8_t)(byte < 64 ? byte : 64 + byte - (int)(4 * stride - 64));
  }
  return _mm512_permutex2var_epi8(blocks.first, _mm512_loadu_si512(index), blocks.last);
}

// The 16-bit words at byte `at` of 16 blocks, of which each of `four` holds four.
CK_BLOCK_INLINE __m256i picked_words(const four_blocks four[4], int64_t stride, int at) {
  // Up to a stride of 20 all four lie in the first 64 bytes.
  uint16_t index[32];
  bool near = 3 * stride + at + 2 <= 64;
  for (int j = 0; j < 32; j++) {
    int byte = (int)(j % 4 * stride) + at;
    if (near) {
      index[j] = (uint16_t)(byte / 2 + (j % 8 < 4 ? 0 : 32));
    } else {
      index[j] = (uint16_t)(byte < 64 ? byte / 2 : 32 + (byte - (int)(4 * stride - 64)) / 2);
    }
  }
  __m512i places = _mm512_loadu_si512(index);
  if (near) {
    __m256i low = _mm512_castsi512_si256(_mm512_permutex2var_epi16(four[0].first, places, four[1].first));
    __m256i high = _mm512_castsi512_si256(_mm512_permutex2var_epi16(four[2].first, places, four[3].first));
    return _mm256_inserti128_si256(low, _mm256_castsi256_si128(high), 1);
  }
  __m128i q[4];
  for (int i = 0; i < 4; i++) {
    q[i] = _mm512_castsi512_si128(_mm512_permutex2var_epi16(four[i].first, places, four[i].last));
  }
  return _mm256_set_m128i(_mm_unpacklo_epi64(q[2], q[3]), _mm_unpacklo_epi64(q[0], q[1]));
}

CK_BLOCK_INLINE __m512i two_halves(const uint8_t *p, int64_t stride) {
  return _mm512_inserti64x4(
    _mm512_castsi256_si512(_mm256_loadu_si256((const void *)p)), _mm256_loadu_si256((const void *)(p + stride)), 1);
}

CK_BLOCK_INLINE __m512i repeated_half(const uint8_t *p) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)p));
}

// `low` in the lower half, `high` in the upper one, in each 16 bits.
CK_BLOCK_INLINE __m512i halves_16(short low, short high) {
  return _mm512_inserti64x4(_mm512_set1_epi16(low), _mm256_set1_epi16(high), 1);
}
CK_BLOCK_INLINE __m512i halves_8(char low, char high) {
  return _mm512_inserti64x4(_mm512_set1_epi8(low), _mm256_set1_epi8(high), 1);
}

CK_BLOCK_INLINE uint16_t bits_16(const uint8_t *p) {
  uint16_t value;
  memcpy(&value, p, sizeof value);
  return value;
}
CK_BLOCK_INLINE uint32_t bits_32(const uint8_t *p) {
  uint32_t value;
  memcpy(&value, p, sizeof value);
  return value;
}
CK_BLOCK_INLINE uint64_t bits_64(const uint8_t *p) {
  uint64_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

// 16 floats of 16 bits.
CK_BLOCK_INLINE __m512 strided_f16(const uint8_t *p, int64_t stride) {
#define CK_AT(i) (short)bits_16(p + (i) * stride)
  __m256i bits = _mm256_setr_epi16(
    CK_AT(0), CK_AT(1), CK_AT(2), CK_AT(3), CK_AT(4), CK_AT(5), CK_AT(6), CK_AT(7), CK_AT(8), CK_AT(9), CK_AT(10),
    CK_AT(11), CK_AT(12), CK_AT(13), CK_AT(14), CK_AT(15));
#undef CK_AT
  return _mm512_cvtph_ps(bits);
}

// The lower 8 lanes of one float, the upper 8 of another.
CK_BLOCK_INLINE __m512 two_f16(const uint8_t *low, const uint8_t *high) {
  __m512 both = _mm512_castsi512_ps(_mm512_inserti64x4(
    _mm512_castps_si512(_mm512_set1_ps(_cvtsh_ss(bits_16(low)))),
    _mm256_castps_si256(_mm256_set1_ps(_cvtsh_ss(bits_16(high)))), 1));
  return both;
}

CK_BLOCK_INLINE __m512 bytes_as_floats(uint64_t low, uint64_t high) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_set_epi64x((long long)high, (long long)low)));
}

// Codes

CK_BLOCK_INLINE void split_nibbles(__m512i raw, __m512i *low, __m512i *high) {
  __m512i mask = _mm512_set1_epi8(15);
  *low = _mm512_and_si512(raw, mask);
  *high = _mm512_and_si512(_mm512_srli_epi16(raw, 4), mask);
}

// Nibbles at byte `at` of 16 blocks, and `fifth` bits at byte `bits` where that is not negative.
CK_BLOCK_INLINE void strided_nibbles(
    const uint8_t *p, int64_t stride, int at, int bits, four_blocks *four, ck_step *s) {
  __m512i each_bit = _mm512_set1_epi64((long long)0x8040201008040201), sixteen = _mm512_set1_epi8(16);
  for (int i = 0; i < 4; i++) {
    four[i] = load_four(p + 4 * i * stride, stride);
    __m512i *codes = s->codes + 2 * i;
    split_nibbles(picked(four[i], stride, at, 8), &codes[0], &codes[1]);
    for (int half = 0; bits >= 0 && half < 2; half++) {
      __mmask64 set = _mm512_test_epi8_mask(picked(four[i], stride, bits + 2 * half, 1), each_bit);
      codes[half] = _mm512_mask_add_epi8(codes[half], set, codes[half], sixteen);
    }
  }
}

CK_BLOCK_INLINE void look_up(const uint8_t table[16], ck_step *s) {
  __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table));
  for (int i = 0; i < 8; i++) s->codes[i] = _mm512_shuffle_epi8(values, s->codes[i]);
}

// First and second halves of four neighbouring sub-blocks of 32 bytes.
CK_BLOCK_INLINE void first_and_second(__m512i a, __m512i b, __m512i *first, __m512i *second) {
  *first = _mm512_shuffle_i64x2(a, b, 0x88);
  *second = _mm512_shuffle_i64x2(a, b, 0xdd);
}

CK_BLOCK_INLINE void strided_bytes(const uint8_t *p, int64_t stride, ck_step *s) {
  for (int i = 0; i < 4; i++) {
    const uint8_t *at = p + 4 * i * stride;
    first_and_second(
      two_halves(at, stride), two_halves(at + 2 * stride, stride), &s->codes[2 * i], &s->codes[2 * i + 1]);
  }
}

#endif
#endif
