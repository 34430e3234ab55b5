// Chooses the instance of a float template (float_types.inc) for a context's instruction set and a float type.
#ifndef CK_FLOAT_TYPES_H
#define CK_FLOAT_TYPES_H

#include "context.h"

#define CK_PICK_FLOAT(context, type, name)             \
  ((type) == CK_F64 ? CK_PICK(context, name##_f64)     \
   : (type) == CK_BF16 ? CK_PICK(context, name##_bf16) \
   : (type) == CK_F16 ? CK_PICK(context, name##_f16)   \
                      : CK_PICK(context, name##_f32))

#endif
