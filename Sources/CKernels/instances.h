// Compiles the template CK_TEMPLATE once for each instruction set: define CK_TEMPLATE (a file name in quotes), include
// this file, then choose with CK_PICK.
//
// A template names each function ISA(name) and holds plain loops (or generic vectors) that the compiler vectorises for
// the target of the surrounding pragma. It may use
//   ISA_NATIVE_F16  1 if conversions between f16 and f32 are instructions
//   ISA_LOOK_UP     1 if 16 bytes can be looked up in a table of 16 by one instruction
// AArch64 always has NEON, so there the portable instance is the NEON one.
#ifndef CK_INSTANCES_H
#define CK_INSTANCES_H

#define CK_TARGET_AVX2 "avx2,fma,f16c,bmi2"
#define CK_TARGET_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2"

#if defined(__x86_64__)
#define CK_PICK(context, name)                                                                    \
  ((context)->isa >= CK_AVX512 ? name##_avx512 : (context)->isa == CK_AVX2 ? name##_avx2 : name##_portable)
#else
#define CK_PICK(context, name) ((void)(context), name##_portable)
#endif

#endif

#define ISA(name) name##_portable
#if defined(__aarch64__)
#define ISA_NATIVE_F16 1
#define ISA_LOOK_UP 1
#else
#define ISA_NATIVE_F16 0
#define ISA_LOOK_UP 0
#endif
#include CK_TEMPLATE
#undef ISA
#undef ISA_NATIVE_F16
#undef ISA_LOOK_UP

#if defined(__x86_64__)
#define ISA_NATIVE_F16 1
#define ISA_LOOK_UP 1

#pragma clang attribute push(__attribute__((target(CK_TARGET_AVX2))), apply_to = function)
#define ISA(name) name##_avx2
#include CK_TEMPLATE
#undef ISA
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target(CK_TARGET_AVX512))), apply_to = function)
#define ISA(name) name##_avx512
#include CK_TEMPLATE
#undef ISA
#pragma clang attribute pop

#undef ISA_NATIVE_F16
#undef ISA_LOOK_UP
#endif

#undef CK_TEMPLATE
