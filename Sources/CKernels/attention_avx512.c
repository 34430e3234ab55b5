// Attention for AVX-512: every type but f64 is computed in f32.
#include "paged_attention_internal.h"
#include "scalar.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)

#define CK_(name) name##_avx512
#define CK_LANES 16
#define CK_VECTORS 4
#define CK_PAIRS 0
#define CK_DOT(c, a, b) ((c) + (a) * (b))
#define CK_SCALE(p, n) __builtin_bit_cast(CK_(vector), _mm512_scalef_ps((__m512)(p), (__m512)(n)))

#include "attention_tiles.inc"
#include "attention_forward.inc"
#include "attention_decode.inc"
#include "attention_backward.inc"
#include "attention_schedule.inc"
#include "attention_paged.inc"

#pragma clang attribute pop
#endif
