// Vectors of f32 in clang's vector extension, at the width of the instruction set (CK_V_BYTES: 16, 32 or 64), with the
// transcendental functions that the kernels fuse. Included by simd_begin.h, inside its target attribute; a kernel
// written with these names compiles for every instruction set.
//
// Accuracy, largest error found over all of f32's exponents (units in the last place of the exact result):
//   vf_exp      1 ulp; 0 below -103.97, inf above 88.72; subnormal results are right
//   vf_log      1 ulp (subnormal arguments too); log(0) = -inf, log(negative) = NaN
//   vf_tanh     2 ulp
//   vf_erf      3 ulp
//   vf_sigmoid  3 ulp while the result is a normal number
// NaN in gives NaN out. The coefficients are minimax fits made for this file.
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

// The first `count` lanes (0 <= count <= VF_LANES); the others are 0. Reads nothing beyond them.
CK_INLINE vf vf_load_part(const float *p, int64_t count) {
  vf value = {0};
  memcpy(&value, p, (size_t)count * sizeof(float));
  return value;
}
CK_INLINE void vf_store_part(float *p, vf value, int64_t count) { memcpy(p, &value, (size_t)count * sizeof(float)); }

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
// The sign of `sign` given to a magnitude whose own sign bit is clear. (A general bitwise blend of two values with a
// constant mask is avoided on purpose: clang 21 was seen to miscompile it for AVX-512 when it is hoisted from a loop.)
CK_INLINE vf vf_with_sign(vf magnitude, vf sign) { return (vf)((vu)magnitude | ((vu)sign & 0x80000000u)); }
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
  vh value = {0};
  memcpy(&value, p, (size_t)count * sizeof(uint16_t));
  return value;
}
CK_INLINE void vh_store(uint16_t *p, vh value) { memcpy(p, &value, sizeof value); }
CK_INLINE void vh_store_part(uint16_t *p, vh value, int64_t count) {
  memcpy(p, &value, (size_t)count * sizeof(uint16_t));
}

// f16 as vh, by the arithmetic of convert.h.
CK_INLINE vf vf_from_f16(vh x) {
  vu bits = __builtin_convertvector(x, vu);
  vu sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
  vu finite = (vu)((vf)(magnitude << 13) * 0x1p112f), special = 0x7f800000u | (magnitude << 13);
  vu is_special = (vu)(magnitude >= vu_set(0x7c00u));
  return (vf)(sign | (is_special & special) | (~is_special & finite));
}
CK_INLINE vh vf_to_f16(vf x) {
  vu bits = (vu)x, sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  vu normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  vu subnormal = (vu)((vf)magnitude + 0.5f) - 0x3f000000u;
  vu small = (vu)(magnitude < vu_set(0x38800000u)), big = (vu)(magnitude >= vu_set(0x477ff000u));
  vu nan = (vu)(magnitude > vu_set(0x7f800000u));
  vu result = (small & subnormal) | (~small & normal);
  result = (big & 0x7c00u) | (~big & result);
  result |= nan & (0x200u | ((magnitude >> 13) & 0x3ffu));
  return __builtin_convertvector(sign | result, vh);
}

// x * 2^n for n in -252...252, right for subnormal results.
CK_INLINE vf vf_scale(vf x, vi n) {
  vi half = n >> 1;
  return x * (vf)((half + 127) << 23) * (vf)((n - half + 127) << 23);
}

CK_INLINE vf vf_exp(vf x) {
  // Outside, the result is 0 or inf anyway; NaN fails both comparisons and stays.
  vf limited = vf_select((vi)(x < vf_set(-105.0f)), vf_set(-105.0f), x);
  limited = vf_select((vi)(limited > vf_set(90.0f)), vf_set(90.0f), limited);
  // n = round(x / ln 2): adding 1.5 * 2^23 leaves it in the low bits of the significand.
  vf shifted = vf_fma(limited, vf_set(0x1.715476p0f), vf_set(0x1.8p23f));
  vi n = (vi)shifted - 0x4b400000;
  vf whole = shifted - 0x1.8p23f;
  vf r = vf_fma(whole, vf_set(-0x1.62e4p-1f), limited);
  r = vf_fma(whole, vf_set(-0x1.7f7d1cp-20f), r);
  vf p = vf_set(0x1.6a2352p-10f);
  p = vf_fma(p, r, vf_set(0x1.123a6cp-7f));
  p = vf_fma(p, r, vf_set(0x1.5558f4p-5f));
  p = vf_fma(p, r, vf_set(0x1.55549p-3f));
  p = vf_fma(p, r, vf_set(0x1.fffffcp-2f));
  p = vf_fma(p, r * r, r) + 1.0f;
  return vf_scale(p, n);
}

CK_INLINE vf vf_log(vf x) {
  // Subnormal arguments are brought into the normal range first.
  vi tiny = (vi)(x < vf_set(0x1p-126f));
  vf y = vf_select(tiny, x * 0x1p24f, x);
  vi bits = (vi)y;
  // x = 2^e * (1 + f), 1 + f in [sqrt(1/2), sqrt(2))
  vi e = (bits - 0x3f3504f3) >> 23;
  vf f = (vf)(bits - (e << 23)) - 1.0f;
  vf exponent = __builtin_convertvector(e - (tiny & 24), vf);
  vf p = vf_set(0x1.1457a6p-4f);
  p = vf_fma(p, f, vf_set(-0x1.de3c16p-4f));
  p = vf_fma(p, f, vf_set(0x1.e6f06ap-4f));
  p = vf_fma(p, f, vf_set(-0x1.fc2208p-4f));
  p = vf_fma(p, f, vf_set(0x1.233768p-3f));
  p = vf_fma(p, f, vf_set(-0x1.555c4ep-3f));
  p = vf_fma(p, f, vf_set(0x1.99a4b6p-3f));
  p = vf_fma(p, f, vf_set(-0x1.000006p-2f));
  p = vf_fma(p, f, vf_set(0x1.555548p-2f));
  vf square = f * f;
  // f - f^2 / 2 + f^3 p, small terms first; ln 2 in two parts, the first exact in few bits
  vf low = vf_fma(exponent, vf_set(-0x1.bd0106p-13f), f * square * p);
  low = vf_fma(square, vf_set(-0.5f), low);
  vf result = vf_fma(exponent, vf_set(0x1.63p-1f), low + f);
  result = vf_select((vi)(x == vf_set(__builtin_inff())), x, result);
  result = vf_select((vi)(x == vf_set(0.0f)), vf_set(-__builtin_inff()), result);
  // Negative or NaN
  return vf_select((vi)(x >= vf_set(0.0f)), result, vf_set(__builtin_nanf("")));
}

CK_INLINE vf vf_tanh(vf x) {
  vf magnitude = vf_abs(x), square = x * x;
  vf p = vf_set(-0x1.76ac1ap-8f);
  p = vf_fma(p, square, vf_set(0x1.5256d8p-6f));
  p = vf_fma(p, square, vf_set(-0x1.b84448p-5f));
  p = vf_fma(p, square, vf_set(0x1.110768p-3f));
  p = vf_fma(p, square, vf_set(-0x1.555534p-2f));
  vf small = vf_fma(p * square, x, x);
  vf large = vf_with_sign(1.0f - 2.0f / (vf_exp(magnitude + magnitude) + 1.0f), x);
  return vf_select((vi)(magnitude < vf_set(0.625f)), small, large);
}

CK_INLINE vf vf_erf(vf x) {
  vf magnitude = vf_abs(x), square = x * x;
  vf p = vf_set(0x1.5f953cp-14f);
  p = vf_fma(p, square, vf_set(-0x1.ab105cp-11f));
  p = vf_fma(p, square, vf_set(0x1.54df1ap-8f));
  p = vf_fma(p, square, vf_set(-0x1.b810e8p-6f));
  p = vf_fma(p, square, vf_set(0x1.ce2e24p-4f));
  p = vf_fma(p, square, vf_set(-0x1.812744p-2f));
  p = vf_fma(p, square, vf_set(0x1.20dd76p0f));
  vf small = p * x;
  // 1 - exp(q), q = log(erfc |x|); beyond 4 the result is 1
  vf t = vf_select((vi)(magnitude > vf_set(4.0f)), vf_set(4.0f), magnitude);
  vf q = vf_set(0x1.9ae904p-13f);
  q = vf_fma(q, t, vf_set(-0x1.8ee17p-9f));
  q = vf_fma(q, t, vf_set(0x1.6c2a76p-6f));
  q = vf_fma(q, t, vf_set(-0x1.a9b42ep-4f));
  q = vf_fma(q, t, vf_set(-0x1.463ccp-1f));
  q = vf_fma(q, t, vf_set(-0x1.20af5ap0f));
  q = vf_fma(q, t, vf_set(-0x1.9a5c7p-13f));
  vf large = vf_with_sign(1.0f - vf_exp(q), x);
  return vf_select((vi)(magnitude < vf_set(0.92f)), small, vf_select((vi)(x == x), large, x));
}

CK_INLINE vf vf_sigmoid(vf x) { return 1.0f / (1.0f + vf_exp(-x)); }
