// The passes of cross-entropy over a row of logits: NEON.
#include <math.h>

#include "crossentropy_internal.h"

#if defined(__aarch64__)
#define CK_SIMD_NEON
#include "simd_begin.h"
#include "crossentropy_rows.inc"
#include "simd_end.h"
#endif
