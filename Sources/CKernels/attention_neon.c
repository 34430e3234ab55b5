// Attention for AArch64: every type but f64 is computed in f32.
#include "paged_attention_internal.h"
#include "scalar.h"

#if defined(__aarch64__)

#define CK_(name) name##_neon
#define CK_LANES 4
#define CK_VECTORS 4
#define CK_PAIRS 0
#define CK_DOT(c, a, b) ((c) + (a) * (b))

#include "attention_tiles.inc"
#include "attention_forward.inc"
#include "attention_decode.inc"
#include "attention_backward.inc"
#include "attention_schedule.inc"
#include "attention_paged.inc"

#endif
