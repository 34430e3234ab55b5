// Attention for AVX512-BF16: bf16 in pairs (vdpbf16ps); scores, sums and the softmax stay in f32.
#include "paged_attention_internal.h"
#include "scalar.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))), apply_to = function)

#define CK_(name) name##_avx512_bf16
#define CK_LANES 16
#define CK_VECTORS 4
#define CK_PAIRS 1
#define CK_PAIR(x) __builtin_bit_cast(__m512bh, x)
#define CK_DOT(c, a, b) __builtin_bit_cast(CK_(vector), _mm512_dpbf16_ps((__m512)(c), CK_PAIR(a), CK_PAIR(b)))
#define CK_SCALE(p, n) __builtin_bit_cast(CK_(vector), _mm512_scalef_ps((__m512)(p), (__m512)(n)))
#define CK_NARROW(v) __builtin_bit_cast(CK_(halves), _mm512_cvtneps_pbh((__m512)(v)))

#include "attention_tiles.inc"
#include "attention_forward.inc"
#include "attention_decode.inc"
#include "attention_backward.inc"
#include "attention_schedule.inc"
#include "attention_paged.inc"

#pragma clang attribute pop
#endif
