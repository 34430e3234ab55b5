// One element of any float type to and from double: the plain conversions of the reference kernels.
// Invariant: narrowing rounds to nearest, ties to even; NaN stays NaN.
#ifndef CK_SCALAR_H
#define CK_SCALAR_H

#include <string.h>

#include "include/context.h"

static inline float ck_float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t ck_bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float ck_float_of_bf16(uint16_t half) { return ck_float_of_bits((uint32_t)half << 16); }

static inline uint16_t ck_bf16_of_float(float value) {
  uint32_t bits = ck_bits_of_float(value);
  if (value != value) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float ck_float_of_f16(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7FFF;
  if (magnitude >= 0x7C00) return ck_float_of_bits(sign | 0x7F800000 | (magnitude & 0x3FF) << 13);
  // Scaling by 2^112 moves the exponent's bias and makes subnormal numbers normal.
  float scaled = ck_float_of_bits(magnitude << 13) * 0x1p112f;
  return ck_float_of_bits(sign | ck_bits_of_float(scaled));
}

static inline uint16_t ck_f16_of_float(float value) {
  uint32_t bits = ck_bits_of_float(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00);
  if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);
  if (magnitude < 0x38800000) {
    // Adding 0.5 leaves the subnormal's bits, rounded, at the bottom of the significand.
    float shifted = ck_float_of_bits(magnitude) + 0.5f;
    return (uint16_t)(sign | (ck_bits_of_float(shifted) - 0x3F000000));
  }
  return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13));
}

static inline double ck_load_scalar(ck_type type, const void *base, int64_t index) {
  switch (type) {
    case CK_F64: return ((const double *)base)[index];
    case CK_F32: return ((const float *)base)[index];
    case CK_BF16: return ck_float_of_bf16(((const uint16_t *)base)[index]);
    default: return ck_float_of_f16(((const uint16_t *)base)[index]);
  }
}

static inline void ck_store_scalar(ck_type type, void *base, int64_t index, double value) {
  switch (type) {
    case CK_F64: ((double *)base)[index] = value; break;
    case CK_F32: ((float *)base)[index] = (float)value; break;
    case CK_BF16: ((uint16_t *)base)[index] = ck_bf16_of_float((float)value); break;
    default: ((uint16_t *)base)[index] = ck_f16_of_float((float)value); break;
  }
}

#endif
