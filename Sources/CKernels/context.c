// What the processor has, asked once per question; and the request for AMX tiles, which Linux grants per process.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "context.h"

#include <stdatomic.h>
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__x86_64__)

static bool has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) {
  __builtin_cpu_init();
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
    && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool ck_has_bf16(void) { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
bool ck_has_vnni(void) {
  return has_avx512() ? __builtin_cpu_supports("avx512vnni") : has_avx2() && __builtin_cpu_supports("avxvnni");
}
bool ck_has_vbmi(void) { return has_avx512() && __builtin_cpu_supports("avx512vbmi"); }

static bool request_tiles(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-bf16")
      || !__builtin_cpu_supports("amx-int8") || !has_avx512()) {
    return false;
  }
#if defined(__linux__)
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
#else
  return false;
#endif
}

bool ck_amx_request(void) {
  // 0: not asked, 1: granted, 2: refused. Asking twice does no harm, so a race does none.
  static _Atomic int answer = 0;
  int known = atomic_load(&answer);
  if (known == 0) {
    known = request_tiles() ? 1 : 2;
    atomic_store(&answer, known);
  }
  return known == 1;
}

bool ck_isa_available(ck_isa isa) {
  switch (isa) {
    case CK_PORTABLE: return true;
    case CK_AVX2: return has_avx2();
    case CK_AVX512: return has_avx512();
    case CK_AMX: return ck_amx_request();
    case CK_AMX_EMULATED: return has_avx512();
    default: return false;
  }
}

#elif defined(__aarch64__)

#if defined(__APPLE__)
static bool has_feature(const char *name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value != 0;
}
bool ck_has_bf16(void) { return has_feature("hw.optional.arm.FEAT_BF16"); }
bool ck_has_vnni(void) { return has_feature("hw.optional.arm.FEAT_DotProd"); }
#elif defined(__linux__)
// Bits of the auxiliary vector, from the Arm ELF hwcaps document of the Linux kernel.
bool ck_has_bf16(void) { return (getauxval(AT_HWCAP2) >> 14 & 1) != 0; }
bool ck_has_vnni(void) { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }
#else
bool ck_has_bf16(void) { return false; }
bool ck_has_vnni(void) { return false; }
#endif

bool ck_has_vbmi(void) { return false; }
bool ck_amx_request(void) { return false; }
bool ck_isa_available(ck_isa isa) { return isa == CK_PORTABLE || isa == CK_NEON; }

#else

bool ck_has_bf16(void) { return false; }
bool ck_has_vnni(void) { return false; }
bool ck_has_vbmi(void) { return false; }
bool ck_amx_request(void) { return false; }
bool ck_isa_available(ck_isa isa) { return isa == CK_PORTABLE; }

#endif

ck_isa ck_isa_best(void) {
  // The emulated tiles are for tests only.
  for (int isa = CK_AMX; isa > CK_PORTABLE; isa--) {
    if (ck_isa_available((ck_isa)isa)) return (ck_isa)isa;
  }
  return CK_PORTABLE;
}

const char *ck_isa_name(ck_isa isa) {
  switch (isa) {
    case CK_PORTABLE: return "portable";
    case CK_NEON: return "neon";
    case CK_AVX2: return "avx2";
    case CK_AVX512: return "avx512";
    case CK_AMX: return "amx";
    case CK_AMX_EMULATED: return "amx-emulated";
  }
  return "unknown";
}
