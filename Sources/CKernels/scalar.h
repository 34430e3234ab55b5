// One element of any float type to and from double, for the reference kernels and for odd ends.
#ifndef CK_SCALAR_H
#define CK_SCALAR_H

#include "convert.h"
#include "include/context.h"

static inline double ck_load_scalar(ck_type type, const void *base, int64_t index) {
  switch (type) {
    case CK_F64: return ((const double *)base)[index];
    case CK_F32: return ((const float *)base)[index];
    case CK_BF16: return ck_bf16_to_f32(((const uint16_t *)base)[index]);
    default: return ck_f16_to_f32(((const uint16_t *)base)[index]);
  }
}

static inline void ck_store_scalar(ck_type type, void *base, int64_t index, double value) {
  switch (type) {
    case CK_F64: ((double *)base)[index] = value; break;
    case CK_F32: ((float *)base)[index] = (float)value; break;
    case CK_BF16: ((uint16_t *)base)[index] = ck_f32_to_bf16((float)value); break;
    default: ((uint16_t *)base)[index] = ck_f32_to_f16((float)value); break;
  }
}

#endif
