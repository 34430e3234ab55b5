// Opens a vector section for one instruction set. A kernel's template (x.inc) is compiled once per set, each in its own
// file, so that names need no suffix and the compiler may use what the set has:
//
//   #include "the headers first"
//   #define CK_SIMD_AVX512          (or CK_SIMD_AVX2, CK_SIMD_NEON, CK_SIMD_PORTABLE)
//   #include "simd_begin.h"         defines CK_SIMD_NAME(f), CK_V_BYTES, CK_V_FMA, and all of vector_math.h
//   #include "x.inc"                whose entry points are named CK_SIMD_NAME(x): x_avx512, ...
//   #include "simd_end.h"
//
// Guard the file's whole contents with #if defined(__x86_64__) (or __aarch64__) where the set needs it.
// A function may ask for more with target(CK_SIMD_FEATURES ",avx512bf16") (its own attribute replaces the section's).
// System headers must come before: their functions must not get the target attribute.
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <stdint.h>
#include <string.h>

#if defined(CK_SIMD_AVX512)
#define CK_SIMD_NAME(name) name##_avx512
#define CK_SIMD_FEATURES "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"
#define CK_V_BYTES 64
#define CK_V_FMA 1
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#elif defined(CK_SIMD_AVX2)
#define CK_SIMD_NAME(name) name##_avx2
#define CK_SIMD_FEATURES "avx2,fma,f16c"
#define CK_V_BYTES 32
#define CK_V_FMA 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#elif defined(CK_SIMD_NEON)
#define CK_SIMD_NAME(name) name##_neon
#define CK_V_BYTES 16
#define CK_V_FMA 1
#pragma clang attribute push(__attribute__((target("arch=armv8-a"))), apply_to = function)
#elif defined(CK_SIMD_PORTABLE)
#define CK_SIMD_NAME(name) name##_portable
#define CK_V_BYTES 16
#define CK_V_FMA 0
#pragma clang attribute push(__attribute__((annotate("portable"))), apply_to = function)
#else
#error "define CK_SIMD_AVX512, CK_SIMD_AVX2, CK_SIMD_NEON or CK_SIMD_PORTABLE before simd_begin.h"
#endif

#include "vector_math.h"
