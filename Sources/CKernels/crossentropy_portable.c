// The passes of cross-entropy over a row of logits: portable.
#include <math.h>

#include "crossentropy_internal.h"

#define CK_SIMD_PORTABLE
#include "simd_begin.h"
#include "crossentropy_rows.inc"
#include "simd_end.h"
