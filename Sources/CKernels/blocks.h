// Loading and storing blocks of elements of any stored type to and from the arithmetic classes f32, f64 and i64.
// The other kernels reach memory of mixed types through this table.
#ifndef CK_BLOCKS_H
#define CK_BLOCKS_H

#include "elementwise.h"

// block[0..<count] = source[0, stride, 2 stride, ...] (elements of `type`), converted to the table's class.
typedef void (*ck_load_block)(ck_type type, const void *source, int64_t stride, int64_t count, void *block);
// destination[0, stride, 2 stride, ...] = block[0..<count], converted to `type`.
typedef void (*ck_store_block)(ck_type type, void *destination, int64_t stride, int64_t count, const void *block);

typedef struct {
  ck_load_block load[3];    // by ck_class
  ck_store_block store[3];  // by ck_class
} ck_blocks;

const ck_blocks *ck_blocks_for(const ck_context *context);

// The class in which a type is computed, and whether its stored form is already that of the class.
static inline ck_class ck_class_of(ck_type type) {
  switch (type) {
    case CK_F64: return CK_CLASS_F64;
    case CK_F32: case CK_BF16: case CK_F16: return CK_CLASS_F32;
    default: return CK_CLASS_I64;
  }
}
static inline bool ck_is_native(ck_type type) { return type == CK_F32 || type == CK_F64 || type == CK_I64; }
static inline int64_t ck_class_size(ck_class class_) { return class_ == CK_CLASS_F32 ? 4 : 8; }
static inline const void *ck_at(const void *base, ck_type type, int64_t element) {
  return (const char *)base + element * ck_type_size(type);
}
static inline void *ck_at_mutable(void *base, ck_type type, int64_t element) {
  return (char *)base + element * ck_type_size(type);
}

#endif
