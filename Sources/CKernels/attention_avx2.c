// Attention for AVX2 and FMA: every type but f64 is computed in f32, in 16 registers of 8.
#include "paged_attention_internal.h"
#include "scalar.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define CK_(name) name##_avx2
#define CK_LANES 8
#define CK_VECTORS 2
#define CK_PAIRS 0
#define CK_DOT(c, a, b) ((c) + (a) * (b))

#include "attention_tiles.inc"
#include "attention_forward.inc"
#include "attention_decode.inc"
#include "attention_backward.inc"
#include "attention_schedule.inc"
#include "attention_paged.inc"

#pragma clang attribute pop
#endif
