// Dot products of codes of block formats with int8 activations for AArch64: sdot where the processor has it, else by
// products of 16 bits.
#if defined(__aarch64__)
#include "block_matmul_internal.h"

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))
#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))

// 16 products in 4 lanes.
INLINE int32x4_t sixteen_neon(int8x16_t a, int8x16_t b) {
  int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
  return vpadalq_s16(low, vmull_high_s8(a, b));
}
INLINE DOTPROD int32x4_t sixteen_neon_dotprod(int8x16_t a, int8x16_t b) { return vdotq_s32(vdupq_n_s32(0), a, b); }

// The sums of four vectors of lanes.
INLINE int32x4_t four_sums(const int32x4_t v[4]) { return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3])); }

#define DOTS(name, target_)                                                                                  \
  target_ void ck_block_dots_##name(                                                                         \
      const uint8_t *codes, const int8_t *x, int64_t stride, int64_t rows, int sub, bool wide,               \
      int32_t dots[][CK_BLOCK_CHUNK / 16]) {                                                                 \
    uint8x16_t shift = vdupq_n_u8(wide ? CK_BLOCK_WIDE : 0);                                                 \
    for (int64_t r = 0; r < rows; r++, x += stride) {                                                        \
      int32x4_t sums[4];                                                                                     \
      for (int i = 0; i < 4; i++) {                                                                          \
        int32x4_t lanes[4];                                                                                  \
        for (int j = 0; j < 4; j++) {                                                                        \
          int at = 64 * i + 16 * j;                                                                          \
          int8x16_t weights = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes + at), shift));                    \
          lanes[j] = sixteen_##name(weights, vld1q_s8(x + at));                                              \
        }                                                                                                    \
        sums[i] = four_sums(lanes);                                                                          \
      }                                                                                                      \
      if (sub == 32) {                                                                                       \
        vst1q_s32(dots[r], vpaddq_s32(sums[0], sums[1]));                                                    \
        vst1q_s32(dots[r] + 4, vpaddq_s32(sums[2], sums[3]));                                                \
      } else {                                                                                               \
        for (int i = 0; i < 4; i++) vst1q_s32(dots[r] + 4 * i, sums[i]);                                     \
      }                                                                                                      \
    }                                                                                                        \
  }
DOTS(neon, )
DOTS(neon_dotprod, DOTPROD)
#endif
