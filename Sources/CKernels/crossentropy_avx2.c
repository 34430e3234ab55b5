// The passes of cross-entropy over a row of logits: AVX2.
#include <math.h>

#include "crossentropy_internal.h"

#if defined(__x86_64__)
#define CK_SIMD_AVX2
#include "simd_begin.h"
#include "crossentropy_rows.inc"
#include "simd_end.h"
#endif
