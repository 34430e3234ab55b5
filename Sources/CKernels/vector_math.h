// Vectors of f32 in clang's vector extension, at the width of the instruction set (CK_V_BYTES: 16, 32 or 64), with the
// functions of elementary.inc (vf_exp, vf_log, vf_tanh, vf_erf, vf_sigmoid), which kernels fuse. Included by
// simd_begin.h, inside its target attribute; a kernel written with these names compiles for every instruction set.
#if !defined(CK_V_BYTES) || !defined(CK_V_FMA)
#error "include simd_begin.h instead"
#endif

#include <stdint.h>
#include <string.h>

enum { VF_LANES = CK_V_BYTES / 4 };

typedef float vf __attribute__((vector_size(CK_V_BYTES)));
typedef int32_t vi __attribute__((vector_size(CK_V_BYTES)));
typedef uint32_t vu __attribute__((vector_size(CK_V_BYTES)));
typedef uint16_t vh __attribute__((vector_size(CK_V_BYTES / 2)));  // as many 16-bit lanes as vf has lanes

#define CK_INLINE static inline __attribute__((always_inline, unused))

CK_INLINE vf vf_set(float value) { return (vf){0} + value; }
CK_INLINE vi vi_set(int32_t value) { return (vi){0} + value; }
CK_INLINE vu vu_set(uint32_t value) { return (vu){0} + value; }
CK_INLINE vf vf_zero(void) { return (vf){0}; }

CK_INLINE vf vf_load(const float *p) {
  vf value;
  memcpy(&value, p, sizeof value);
  return value;
}
CK_INLINE void vf_store(float *p, vf value) { memcpy(p, &value, sizeof value); }

#if CK_V_BYTES == 64
#define CK_LANES(count) ((__mmask16)((1u << (count)) - 1))
#endif

// The first `count` lanes (0 <= count <= VF_LANES); the others are 0. Reads nothing beyond them.
CK_INLINE vf vf_load_part(const float *p, int64_t count) {
#if CK_V_BYTES == 64
  return (vf)_mm512_maskz_loadu_ps(CK_LANES(count), p);
#else
  vf value = {0};
  memcpy(&value, p, (size_t)count * sizeof(float));
  return value;
#endif
}
CK_INLINE void vf_store_part(float *p, vf value, int64_t count) {
#if CK_V_BYTES == 64
  _mm512_mask_storeu_ps(p, CK_LANES(count), (__m512)value);
#else
  memcpy(p, &value, (size_t)count * sizeof(float));
#endif
}

// a * b + c, rounded once where the processor can.
CK_INLINE vf vf_fma(vf a, vf b, vf c) {
#if CK_V_FMA
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

// mask lanes are 0 or -1, as comparisons give.
CK_INLINE vf vf_select(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
CK_INLINE vf vf_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
// A NaN in `a` gives b; in `b`, b: put the value that may be NaN second to keep it.
CK_INLINE vf vf_max(vf a, vf b) { return vf_select((vi)(a > b), a, b); }
CK_INLINE vf vf_min(vf a, vf b) { return vf_select((vi)(a < b), a, b); }

// Sums and maxima of all lanes, halving (a fixed order).
CK_INLINE float vf_sum(vf x) {
  float lanes[VF_LANES];
  memcpy(lanes, &x, sizeof x);
  for (int step = VF_LANES / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; i++) lanes[i] += lanes[i + step];
  }
  return lanes[0];
}
CK_INLINE float vf_max_lane(vf x) {
  float lanes[VF_LANES];
  memcpy(lanes, &x, sizeof x);
  for (int step = VF_LANES / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; i++) lanes[i] = lanes[i] > lanes[i + step] ? lanes[i] : lanes[i + step];
  }
  return lanes[0];
}

// bf16 as vh.
CK_INLINE vf vf_from_bf16(vh x) { return (vf)(__builtin_convertvector(x, vu) << 16); }
CK_INLINE vh vf_to_bf16(vf x) {
  vu bits = (vu)x;
  vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  vu nan = (vu)((bits & 0x7fffffffu) > vu_set(0x7f800000u));
  return __builtin_convertvector((nan & ((bits >> 16) | 0x40u)) | (~nan & rounded), vh);
}
CK_INLINE vh vh_load(const uint16_t *p) {
  vh value;
  memcpy(&value, p, sizeof value);
  return value;
}
CK_INLINE vh vh_load_part(const uint16_t *p, int64_t count) {
#if CK_V_BYTES == 64
  return (vh)_mm256_maskz_loadu_epi16(CK_LANES(count), p);
#else
  vh value = {0};
  memcpy(&value, p, (size_t)count * sizeof(uint16_t));
  return value;
#endif
}
CK_INLINE void vh_store(uint16_t *p, vh value) { memcpy(p, &value, sizeof value); }
CK_INLINE void vh_store_part(uint16_t *p, vh value, int64_t count) {
#if CK_V_BYTES == 64
  _mm256_mask_storeu_epi16(p, CK_LANES(count), (__m256i)value);
#else
  memcpy(p, &value, (size_t)count * sizeof(uint16_t));
#endif
}

// f16 as vh: by instructions, else by the arithmetic of convert.h.
CK_INLINE vf vf_from_f16(vh x) {
#if CK_V_BYTES == 64
  return (vf)_mm512_cvtph_ps((__m256i)x);
#elif CK_V_BYTES == 32
  return (vf)_mm256_cvtph_ps((__m128i)x);
#else
  vu bits = __builtin_convertvector(x, vu);
  vu sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
  vu finite = (vu)((vf)(magnitude << 13) * 0x1p112f), special = 0x7f800000u | (magnitude << 13);
  vu is_special = (vu)(magnitude >= vu_set(0x7c00u));
  return (vf)(sign | (is_special & special) | (~is_special & finite));
#endif
}
CK_INLINE vh vf_to_f16(vf x) {
#if CK_V_BYTES == 64
  return (vh)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif CK_V_BYTES == 32
  return (vh)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  vu bits = (vu)x, sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  vu normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  vu subnormal = (vu)((vf)magnitude + 0.5f) - 0x3f000000u;
  vu small = (vu)(magnitude < vu_set(0x38800000u)), big = (vu)(magnitude >= vu_set(0x477ff000u));
  vu nan = (vu)(magnitude > vu_set(0x7f800000u));
  vu result = (small & subnormal) | (~small & normal);
  result = (big & 0x7c00u) | (~big & result);
  result |= nan & (0x200u | ((magnitude >> 13) & 0x3ffu));
  return __builtin_convertvector(sign | result, vh);
#endif
}

#define F vf
#define I vi
#define U vu
#define EL(name) vf_##name
#define F_SET(x) vf_set(x)
#define U_SET(x) vu_set(x)
#define F_BITS(f) ((vu)(f))
#define F_FROM(u) ((vf)(u))
#define F_CONVERT(i) __builtin_convertvector(i, vf)
#define F_FMA(a, b, c) vf_fma(a, b, c)
#define F_SELECT(condition, yes, no) vf_select((vi)(condition), yes, no)
#include "elementary.inc"
