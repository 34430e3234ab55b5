// The passes of cross-entropy over a row of logits: AVX-512.
#include <math.h>

#include "crossentropy_internal.h"

#if defined(__x86_64__)
#define CK_SIMD_AVX512
#include "simd_begin.h"
#include "crossentropy_rows.inc"
#include "simd_end.h"
#endif
