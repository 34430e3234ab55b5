// Conversions between f32 and the 16-bit floats, one value at a time, in integer arithmetic: exact upwards, round to
// nearest even downwards, NaN stays NaN. Vector forms are in vector_math.h.
#ifndef CK_CONVERT_H
#define CK_CONVERT_H

#include <stdint.h>
#include <string.h>

static inline uint32_t ck_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float ck_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float ck_bf16_to_f32(uint16_t value) { return ck_from_bits((uint32_t)value << 16); }

static inline uint16_t ck_f32_to_bf16(float value) {
  uint32_t bits = ck_bits(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float ck_f16_to_f32(uint16_t value) {
  uint32_t sign = (uint32_t)(value & 0x8000) << 16, magnitude = value & 0x7fff;
  if (magnitude >= 0x7c00) return ck_from_bits(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  // Placed 112 binades too low, then scaled: subnormals come out right because f32 has room for them.
  return ck_from_bits(sign | ck_bits(ck_from_bits(magnitude << 13) * 0x1p112f));
}

static inline uint16_t ck_f32_to_f16(float value) {
  uint32_t bits = ck_bits(value);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | (uint16_t)(magnitude >> 13 & 0x3ff);
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // 65520 and above round to infinity
  // Below 2^-14 the result is subnormal: adding 1/2 leaves the rounded multiple of 2^-24 in the low bits.
  if (magnitude < 0x38800000) return sign | (uint16_t)(ck_bits(ck_from_bits(magnitude) + 0.5f) - 0x3f000000);
  return sign | (uint16_t)((magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13);
}

#endif
