// Steps of rows in blocks as AVX-512 vectors: 16 sub-blocks at a time, for products in VNNI instructions.
//
// A step's codes are laid out so that four vectors of dot products hold four sub-blocks each, one in each 128-bit lane,
// and `step_sums` brings all 16 sums into one vector. Sub-block of lane l of dot product i: `block_at`.
//  - sub-blocks of 32: codes[2 i + half], lane l: elements 16 half ..< 16 half + 16 of sub-block block_at(i, l);
//  - sub-blocks of 16: codes[i], lane l: sub-block block_at(i, l).
// Activations are laid out alike. Nothing is read beyond the blocks of a step.
#ifndef CK_BLOCK_STEPS_AVX512_H
#define CK_BLOCK_STEPS_AVX512_H
#if defined(__x86_64__)

#include "block_groups_avx512.h"

// How the rows of a format are walked.
typedef struct {
  ck_block_kind kind;
  int64_t group;       // elements of a header, of int4 and int8; 0 where that is the row
  int sub, parts;      // vectors of codes in each dot product
  int64_t step_bytes;  // from one step to the next
  int64_t head;        // bytes before the first step
  bool minimums;
} ck_walk;

// The kinds of walks that there are: the formats, and the groups of int4 and int8. After the kind: group, sub-block,
// bytes of a step, bytes before the first, minimums.
#define CK_WALKS(X)                                                                                      \
  X(q4_0, CK_Q4_0, 0, 32, 288, 0, false) X(q4_1, CK_Q4_1, 0, 32, 320, 0, true)                           \
  X(q5_0, CK_Q5_0, 0, 32, 352, 0, false) X(q5_1, CK_Q5_1, 0, 32, 384, 0, true)                           \
  X(q8_0, CK_Q8_0, 0, 32, 544, 0, false) X(q2_k, CK_Q2_K, 0, 16, 84, 0, true)                            \
  X(q3_k, CK_Q3_K, 0, 16, 110, 0, false) X(q4_k, CK_Q4_K, 0, 32, 288, 0, true)                           \
  X(q5_k, CK_Q5_K, 0, 32, 352, 0, true) X(q6_k, CK_Q6_K, 0, 16, 210, 0, false)                           \
  X(iq4_nl, CK_IQ4_NL, 0, 32, 288, 0, false) X(iq4_xs, CK_IQ4_XS, 0, 32, 272, 0, false)                  \
  X(mxfp4, CK_MXFP4, 0, 32, 272, 0, false) X(int4_32, CK_INT4, 32, 32, 320, 0, true)                     \
  X(int4_64, CK_INT4, 64, 32, 288, 0, true) X(int4_128, CK_INT4, 128, 32, 272, 0, true)                  \
  X(int4_row, CK_INT4, 0, 32, 256, 4, true) X(int8_32, CK_INT8, 32, 32, 576, 0, true)                    \
  X(int8_64, CK_INT8, 64, 32, 544, 0, true) X(int8_128, CK_INT8, 128, 32, 528, 0, true)                  \
  X(int8_row, CK_INT8, 0, 32, 512, 4, true)

enum { CK_STEP_BYTES_MOST = 576 };

// The sub-block in lane l of dot product i. Q4_K and Q5_K keep neighbours in the two halves of a byte, Q2_K and Q3_K
// four pairs of neighbours in its quarters.
static inline int block_at(ck_block_kind kind, int i, int lane) {
  if (kind == CK_Q4_K || kind == CK_Q5_K) return i / 2 * 8 + 2 * lane + i % 2;
  if (kind == CK_Q2_K || kind == CK_Q3_K) return lane / 2 * 8 + 2 * i + lane % 2;
  return 4 * i + lane;
}

// Formats

CK_BLOCK_INLINE void step_q4_0(const uint8_t *p, const uint8_t *row, ck_step *s) {
  four_blocks four[4];
  strided_nibbles(p, 18, 2, -1, four, s);
  s->scales = _mm512_cvtph_ps(picked_words(four, 18, 0));
}

CK_BLOCK_INLINE void step_q4_1(const uint8_t *p, const uint8_t *row, ck_step *s) {
  four_blocks four[4];
  strided_nibbles(p, 20, 4, -1, four, s);
  s->scales = _mm512_cvtph_ps(picked_words(four, 20, 0));
  s->minimums = _mm512_cvtph_ps(picked_words(four, 20, 2));
}

CK_BLOCK_INLINE void step_q5_0(const uint8_t *p, const uint8_t *row, ck_step *s) {
  four_blocks four[4];
  strided_nibbles(p, 22, 6, 2, four, s);
  s->scales = _mm512_cvtph_ps(picked_words(four, 22, 0));
}

CK_BLOCK_INLINE void step_q5_1(const uint8_t *p, const uint8_t *row, ck_step *s) {
  four_blocks four[4];
  strided_nibbles(p, 24, 8, 4, four, s);
  s->scales = _mm512_cvtph_ps(picked_words(four, 24, 0));
  s->minimums = _mm512_cvtph_ps(picked_words(four, 24, 2));
}

CK_BLOCK_INLINE void step_q8_0(const uint8_t *p, const uint8_t *row, ck_step *s) {
  strided_bytes(p + 2, 34, s);
  for (int i = 0; i < 8; i++) s->codes[i] = _mm512_xor_si512(s->codes[i], _mm512_set1_epi8((char)0x80));
  s->scales = strided_f16(p, 34);
}

CK_BLOCK_INLINE void step_iq4_nl(const uint8_t *p, const uint8_t *row, ck_step *s) {
  four_blocks four[4];
  strided_nibbles(p, 18, 2, -1, four, s);
  look_up(ck_iq4_codes, s);
  s->scales = _mm512_cvtph_ps(picked_words(four, 18, 0));
}

CK_BLOCK_INLINE void step_mxfp4(const uint8_t *p, const uint8_t *row, ck_step *s) {
  four_blocks four[4];
  strided_nibbles(p, 17, 1, -1, four, s);
  look_up(ck_e2m1_codes, s);
  // The first bytes of four blocks and four, as 32 bits each.
  uint8_t index[64];
  for (int j = 0; j < 64; j++) index[j] = (uint8_t)(j / 4 % 4 * 17 + (j / 4 % 8 < 4 ? 0 : 64));
  __m512i places = _mm512_loadu_si512(index);
  __m512i low = _mm512_permutex2var_epi8(four[0].first, places, four[1].first);
  __m512i high = _mm512_permutex2var_epi8(four[2].first, places, four[3].first);
  __m512i e = _mm512_and_si512(_mm512_shuffle_i64x2(low, high, 0x44), _mm512_set1_epi32(0xff));
  __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
  __mmask16 least = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
  s->scales = _mm512_castsi512_ps(
    _mm512_mask_sllv_epi32(normal, least, _mm512_set1_epi32(0x00200000), e));
}

// The low two bits of codes, four to a byte: the bytes of both halves of a block are one vector.
CK_BLOCK_INLINE void quarters(const uint8_t *p, ck_step *s) {
  __m512i raw = _mm512_loadu_si512(p), mask = _mm512_set1_epi8(3);
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) s->codes[i] = _mm512_and_si512(_mm512_srli_epi16(raw, (unsigned)(2 * i)), mask);
}

CK_BLOCK_INLINE void step_q2_k(const uint8_t *p, const uint8_t *row, ck_step *s) {
  quarters(p + 16, s);
  __m512i packed = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
  __m512 scales = _mm512_cvtepi32_ps(_mm512_and_si512(packed, _mm512_set1_epi32(15)));
  __m512 minimums = _mm512_cvtepi32_ps(_mm512_srli_epi32(packed, 4));
  // Both floats in turn, the second of them subtracted.
  __m512 floats = _mm512_cvtph_ps(_mm256_set1_epi32((int)(bits_32(p + 80) ^ 0x80000000)));
  s->scales = _mm512_mul_ps(_mm512_moveldup_ps(floats), scales);
  s->minimums = _mm512_mul_ps(_mm512_movehdup_ps(floats), minimums);
}

CK_BLOCK_INLINE void step_q3_k(const uint8_t *p, const uint8_t *row, ck_step *s) {
  __m512i four = _mm512_set1_epi8(4), high = repeated_half(p);
  quarters(p + 32, s);
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    __mmask64 set = _mm512_test_epi8_mask(high, halves_8((char)(1 << i), (char)(16 << i)));
    s->codes[i] = _mm512_mask_add_epi8(s->codes[i], set, s->codes[i], four);
  }
  uint64_t low = bits_64(p + 96), nibbles = 0x0f0f0f0f0f0f0f0f, pairs = 0x3030303030303030;
  uint64_t top = bits_32(p + 104);
  uint64_t first = (low & nibbles) | ((top << 4 | top << 34) & pairs);
  uint64_t second = (low >> 4 & nibbles) | ((top | top >> 2 << 32) & pairs);
  __m512i scales = _mm512_cvtepu8_epi32(_mm_set_epi64x((long long)second, (long long)first));
  __m512 shifted = _mm512_cvtepi32_ps(_mm512_sub_epi32(scales, _mm512_set1_epi32(32)));
  __m512 d = _mm512_cvtph_ps(_mm256_set1_epi16((short)bits_16(p + 108)));
  s->scales = _mm512_mul_ps(d, shifted);
}

// The scales and minimums of two blocks of Q4_K or Q5_K. With a, b, c the three times 32 bits behind the floats, four
// bytes each: scales are a & 63 and c & 15 | a >> 6 << 4, minimums b & 63 and c >> 4 | b >> 6 << 4.
CK_BLOCK_INLINE void scales_k4(const uint8_t *p, int64_t block, ck_step *s) {
  __m256i head = _mm256_inserti128_si256(
    _mm256_castsi128_si256(_mm_loadu_si128((const void *)p)), _mm_loadu_si128((const void *)(p + block)), 1);
  __m256i low = _mm256_shuffle_epi32(head, _MM_SHUFFLE(3, 2, 3, 1));   // a, c, b, c
  __m256i high = _mm256_shuffle_epi32(head, _MM_SHUFFLE(2, 2, 1, 1));  // -, a, -, b
  low = _mm256_and_si256(
    _mm256_srlv_epi32(low, _mm256_setr_epi32(0, 0, 0, 4, 0, 0, 0, 4)), _mm256_set1_epi64x(0x0f0f0f0f3f3f3f3f));
  high = _mm256_and_si256(_mm256_srli_epi32(high, 2), _mm256_set1_epi64x(0x3030303000000000));
  __m256i bytes = _mm256_permute4x64_epi64(_mm256_or_si256(low, high), _MM_SHUFFLE(3, 1, 2, 0));
  __m512 scales = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(bytes)));
  __m512 minimums = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(bytes, 1)));
  // Both scales and both minimums, which are subtracted.
  uint64_t floats = ((uint64_t)bits_32(p + block) << 32 | bits_32(p)) ^ 0x8000000080000000;
  __m512 four = _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi64_si128((long long)floats)));
  __m512i upper = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(2), 1);
  s->scales = _mm512_mul_ps(_mm512_permutexvar_ps(upper, four), scales);
  s->minimums = _mm512_mul_ps(
    _mm512_permutexvar_ps(_mm512_add_epi32(upper, _mm512_set1_epi32(1)), four), minimums);
}

CK_BLOCK_INLINE void nibbles_k4(const uint8_t *p, __m512i codes[4]) {
  __m512i first, second;
  first_and_second(_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64), &first, &second);
  split_nibbles(first, &codes[0], &codes[2]);
  split_nibbles(second, &codes[1], &codes[3]);
}

CK_BLOCK_INLINE void step_q4_k(const uint8_t *p, const uint8_t *row, ck_step *s) {
  for (int i = 0; i < 2; i++) nibbles_k4(p + 144 * i + 16, s->codes + 4 * i);
  scales_k4(p, 144, s);
}

CK_BLOCK_INLINE void step_q5_k(const uint8_t *p, const uint8_t *row, ck_step *s) {
  __m512i sixteen = _mm512_set1_epi8(16);
  __m512i even = _mm512_set_epi64(
    0x4040404040404040, 0x4040404040404040, 0x1010101010101010, 0x1010101010101010, 0x0404040404040404,
    0x0404040404040404, 0x0101010101010101, 0x0101010101010101);
  __m512i odd = _mm512_slli_epi16(even, 1);
  for (int i = 0; i < 2; i++) {
    __m512i *codes = s->codes + 4 * i;
    nibbles_k4(p + 176 * i + 48, codes);
    for (int half = 0; half < 2; half++) {
      __m512i high = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(p + 176 * i + 16 + 16 * half)));
      codes[half] = _mm512_mask_add_epi8(codes[half], _mm512_test_epi8_mask(high, even), codes[half], sixteen);
      codes[2 + half] =
        _mm512_mask_add_epi8(codes[2 + half], _mm512_test_epi8_mask(high, odd), codes[2 + half], sixteen);
    }
  }
  scales_k4(p, 176, s);
}

CK_BLOCK_INLINE void step_q6_k(const uint8_t *p, const uint8_t *row, ck_step *s) {
  __m512i mask = _mm512_set1_epi8(0x30);
  for (int part = 0; part < 2; part++) {
    __m512i low, high, top = repeated_half(p + 128 + 32 * part);
    split_nibbles(_mm512_loadu_si512(p + 64 * part), &low, &high);
    __m512i first = _mm512_and_si512(_mm512_sllv_epi16(top, halves_16(4, 2)), mask);
    __m512i second = _mm512_and_si512(_mm512_srlv_epi16(top, halves_16(0, 2)), mask);
    s->codes[2 * part] = _mm512_or_si512(low, first);
    s->codes[2 * part + 1] = _mm512_or_si512(high, second);
  }
  __m512i scales = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(p + 192)));
  s->scales = _mm512_mul_ps(_mm512_set1_ps(_cvtsh_ss(bits_16(p + 208))), _mm512_cvtepi32_ps(scales));
}

CK_BLOCK_INLINE void step_iq4_xs(const uint8_t *p, const uint8_t *row, ck_step *s) {
  uint64_t scales[2];
  for (int i = 0; i < 2; i++) {
    const uint8_t *block = p + 136 * i;
    for (int j = 0; j < 2; j++) {
      split_nibbles(
        _mm512_loadu_si512(block + 8 + 64 * j), &s->codes[4 * i + 2 * j], &s->codes[4 * i + 2 * j + 1]);
    }
    scales[i] = _pdep_u64(bits_32(block + 4), 0x0f0f0f0f0f0f0f0f) | _pdep_u64(bits_16(block + 2), 0x3030303030303030);
  }
  look_up(ck_iq4_codes, s);
  __m512 shifted = _mm512_sub_ps(bytes_as_floats(scales[0], scales[1]), _mm512_set1_ps(32));
  s->scales = _mm512_mul_ps(two_f16(p, p + 136), shifted);
}

// The sums of four times four sub-blocks, in the order of the sub-blocks.
CK_BLOCK_INLINE __m512i step_sums(const __m512i dots[4], __m512i order) {
  __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(dots[0], dots[1]), _mm512_unpackhi_epi32(dots[0], dots[1]));
  __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(dots[2], dots[3]), _mm512_unpackhi_epi32(dots[2], dots[3]));
  __m512i sums = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  return _mm512_permutexvar_epi32(order, sums);
}

// Where `step_sums` finds each sub-block.
CK_BLOCK_INLINE __m512i step_order(ck_block_kind kind) {
  int32_t order[16];
  for (int i = 0; i < 4; i++) {
    for (int lane = 0; lane < 4; lane++) order[block_at(kind, i, lane)] = 4 * lane + i;
  }
  return _mm512_loadu_si512(order);
}

// The first `count` sub-blocks of a step, the others as zeros.
CK_BLOCK_INLINE void keep_sub_blocks(ck_step *s, int64_t count, bool minimums) {
  __mmask16 kept = (__mmask16)((1u << count) - 1);
  s->scales = _mm512_maskz_mov_ps(kept, s->scales);
  if (minimums) s->minimums = _mm512_maskz_mov_ps(kept, s->minimums);
}

// Walks a row: `body` is run with `step` (its number) and `s` for each step. The last one, where it is not whole, has
// scales of zero behind the row's end; its codes there are those of what follows, up to `end`, behind which nothing is read.
#define CK_WALK(name, walk, row, k, end, body)                                                             \
  do {                                                                                                     \
    int64_t length_ = 16 * (walk).sub, whole_ = (k) / length_, rest_ = (k) % length_;                       \
    const uint8_t *p_ = (row) + (walk).head;                                                               \
    ck_step s;                                                                                             \
    int64_t step = 0;                                                                                      \
    for (; step < whole_; step++, p_ += (walk).step_bytes) {                                               \
      step_##name(p_, (row), &s);                                                                          \
      body                                                                                                 \
    }                                                                                                      \
    if (rest_ > 0) {                                                                                       \
      if ((end) - p_ >= (walk).step_bytes) {                                                               \
        step_##name(p_, (row), &s);                                                                        \
        keep_sub_blocks(&s, rest_ / (walk).sub, (walk).minimums);                                          \
      } else {                                                                                             \
        uint8_t room_[CK_STEP_BYTES_MOST] = {0};                                                           \
        memcpy(room_, p_, (size_t)(rest_ * (walk).step_bytes / length_));                                  \
        step_##name(room_, (row), &s);                                                                     \
      }                                                                                                    \
      body                                                                                                 \
    }                                                                                                      \
  } while (0)

#endif
#endif
