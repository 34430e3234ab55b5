// The roofs: as many independent multiply-adds as it takes to hide their latency, and plain passes over memory.
#include "peaks.h"

#include "tasks.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

// Twelve chains hide a latency of up to six cycles at two multiply-adds a cycle, and fit sixteen registers.
#define CHAINS 12

// Keeps a register's value alive without storing it.
#if defined(__x86_64__)
#define KEEP(x) __asm__ volatile("" : : "x"(x))
#define KEEP512(x) __asm__ volatile("" : : "v"(x))
#else
#define KEEP(x) __asm__ volatile("" : : "w"(x))
#endif

// A round of CHAINS multiply-adds of `LANES` products each; returns the operations of `rounds` rounds.
#define DEFINE_PEAK(name, attributes, V, LANES, FIRST, STEP, HOLD)                    \
  attributes static int64_t name(int64_t rounds) {                                    \
    V sum[CHAINS];                                                                    \
    for (int i = 0; i < CHAINS; i++) sum[i] = FIRST;                                  \
    for (int64_t round = 0; round < rounds; round++) {                                \
      _Pragma("clang loop unroll(full)") for (int i = 0; i < CHAINS; i++) {           \
        sum[i] = STEP;                                                                \
      }                                                                               \
    }                                                                                 \
    for (int i = 0; i < CHAINS; i++) HOLD(sum[i]);                                    \
    return rounds * CHAINS * (LANES) * 2;                                             \
  }

typedef int64_t (*peak_function)(int64_t rounds);
typedef float f32x4 __attribute__((vector_size(16)));

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define AVX512_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define AMX __attribute__((target("avx512f,amx-tile,amx-bf16,amx-int8")))

DEFINE_PEAK(f32_portable, , f32x4, 4, ((f32x4){i, i, i, i}), sum[i] * 0.5f + 1.0f, KEEP)
DEFINE_PEAK(f32_avx2, AVX2, __m256, 8, _mm256_set1_ps(i),
  _mm256_fmadd_ps(sum[i], _mm256_set1_ps(0.5f), _mm256_set1_ps(1.0f)), KEEP)
DEFINE_PEAK(f32_avx512, AVX512, __m512, 16, _mm512_set1_ps(i),
  _mm512_fmadd_ps(sum[i], _mm512_set1_ps(0.5f), _mm512_set1_ps(1.0f)), KEEP512)
DEFINE_PEAK(bf16_avx512, AVX512_BF16, __m512, 32, _mm512_set1_ps(i),
  _mm512_dpbf16_ps(sum[i], (__m512bh)_mm512_set1_epi16(0x3f80), (__m512bh)_mm512_set1_epi16(0x3f80)), KEEP512)
DEFINE_PEAK(i8_avx512, AVX512_VNNI, __m512i, 64, _mm512_set1_epi32(i),
  _mm512_dpbusd_epi32(sum[i], _mm512_set1_epi8(1), _mm512_set1_epi8(1)), KEEP512)

typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_configuration;

// Six tiles of sums, two of operands: 16 x 16 sums from 16 x 64 bytes.
AMX static void configure_tiles(void) {
  tile_configuration tiles = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    tiles.row_bytes[i] = 64;
    tiles.rows[i] = 16;
  }
  _tile_loadconfig(&tiles);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
}

AMX static int64_t bf16_amx(int64_t rounds) {
  configure_tiles();
  for (int64_t round = 0; round < rounds; round++) {
    _tile_dpbf16ps(0, 6, 7); _tile_dpbf16ps(1, 6, 7); _tile_dpbf16ps(2, 6, 7);
    _tile_dpbf16ps(3, 6, 7); _tile_dpbf16ps(4, 6, 7); _tile_dpbf16ps(5, 6, 7);
  }
  _tile_release();
  return rounds * 6 * (16 * 16 * 32) * 2;
}

AMX static int64_t i8_amx(int64_t rounds) {
  configure_tiles();
  for (int64_t round = 0; round < rounds; round++) {
    _tile_dpbssd(0, 6, 7); _tile_dpbssd(1, 6, 7); _tile_dpbssd(2, 6, 7);
    _tile_dpbssd(3, 6, 7); _tile_dpbssd(4, 6, 7); _tile_dpbssd(5, 6, 7);
  }
  _tile_release();
  return rounds * 6 * (16 * 16 * 64) * 2;
}

static peak_function peak_of(const ck_context *context, ck_type type) {
  switch (type) {
    case CK_F32:
      return context->isa >= CK_AVX512 ? f32_avx512 : context->isa == CK_AVX2 ? f32_avx2 : f32_portable;
    case CK_BF16:
      if (context->isa == CK_AMX) return bf16_amx;
      return context->isa >= CK_AVX512 && context->bf16 ? bf16_avx512 : NULL;
    case CK_I8:
      if (context->isa == CK_AMX) return i8_amx;
      return context->isa >= CK_AVX512 && context->vnni ? i8_avx512 : NULL;
    default: return NULL;
  }
}

#elif defined(__aarch64__)

#define ARM_BF16 __attribute__((target("arch=armv8.2-a+bf16")))
#define ARM_DOT __attribute__((target("arch=armv8.2-a+dotprod")))

DEFINE_PEAK(f32_neon, , float32x4_t, 4, vdupq_n_f32(i), vfmaq_f32(vdupq_n_f32(1.0f), sum[i], vdupq_n_f32(0.5f)), KEEP)
DEFINE_PEAK(bf16_neon, ARM_BF16, float32x4_t, 8, vdupq_n_f32(i),
  vbfdotq_f32(sum[i], (bfloat16x8_t)vdupq_n_u16(0x3f80), (bfloat16x8_t)vdupq_n_u16(0x3f80)), KEEP)
DEFINE_PEAK(i8_neon, ARM_DOT, int32x4_t, 16, vdupq_n_s32(i), vdotq_s32(sum[i], vdupq_n_s8(1), vdupq_n_s8(1)), KEEP)

static peak_function peak_of(const ck_context *context, ck_type type) {
  switch (type) {
    case CK_F32: return f32_neon;
    case CK_BF16: return context->isa == CK_NEON && context->bf16 ? bf16_neon : NULL;
    case CK_I8: return context->isa == CK_NEON && context->vnni ? i8_neon : NULL;
    default: return NULL;
  }
}

#else

DEFINE_PEAK(f32_portable, , f32x4, 4, ((f32x4){i, i, i, i}), sum[i] * 0.5f + 1.0f, KEEP)

static peak_function peak_of(const ck_context *context, ck_type type) {
  (void)context;
  return type == CK_F32 ? f32_portable : NULL;
}

#endif

typedef struct {
  peak_function function;
  int64_t rounds;
} peak_work;

static void peak_task(void *argument, int64_t index, int worker) {
  (void)index;
  (void)worker;
  const peak_work *work = argument;
  work->function(work->rounds);
}

int64_t ck_peak_operations(const ck_context *context, ck_type type, int64_t tasks, int64_t rounds) {
  peak_work work = {peak_of(context, type), rounds};
  if (work.function == NULL || tasks <= 0 || rounds <= 0) return 0;
  ck_run(context, tasks, peak_task, &work);
  return tasks * rounds * work.function(1);
}

// A task passes over this many floats: large enough that claiming it costs nothing.
#define PASS 32768
#define LANES 16

typedef float f32x16 __attribute__((vector_size(64)));

typedef struct {
  ck_stream stream;
  int64_t count;
  const float *a, *b;
  float *c;
} stream_work;

#define DEFINE_PASS(name, attributes)                                                             \
  attributes static void name(const stream_work *w, int64_t first, int64_t last) {                \
    const f32x16 *a = (const f32x16 *)w->a, *b = (const f32x16 *)w->b;                            \
    f32x16 *c = (f32x16 *)w->c;                                                                   \
    f32x16 sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};                                        \
    int64_t i = first / LANES, end = last / LANES;                                                \
    switch (w->stream) {                                                                          \
      case CK_STREAM_READ:                                                                        \
        for (; i + 4 <= end; i += 4) sum0 += a[i], sum1 += a[i + 1], sum2 += a[i + 2], sum3 += a[i + 3]; \
        for (; i < end; i++) sum0 += a[i];                                                        \
        sum0 += sum1 + sum2 + sum3;                                                               \
        __asm__ volatile("" : : "r"(&sum0) : "memory");                                           \
        break;                                                                                    \
      case CK_STREAM_WRITE:                                                                       \
        for (; i < end; i++) __builtin_nontemporal_store(sum0, &c[i]);                            \
        break;                                                                                    \
      case CK_STREAM_COPY:                                                                        \
        for (; i < end; i++) c[i] = a[i];                                                         \
        break;                                                                                    \
      case CK_STREAM_TRIAD:                                                                       \
        for (; i < end; i++) c[i] = a[i] + 0.5f * b[i];                                           \
        break;                                                                                    \
      case CK_STREAM_UPDATE:                                                                      \
        for (; i < end; i++) c[i] += 0.5f * a[i];                                                 \
        break;                                                                                    \
    }                                                                                             \
  }

DEFINE_PASS(pass_portable, )
#if defined(__x86_64__)
DEFINE_PASS(pass_avx2, AVX2)
DEFINE_PASS(pass_avx512, AVX512)
#endif

typedef struct {
  stream_work work;
  void (*pass)(const stream_work *work, int64_t first, int64_t last);
} stream_run;

static void stream_task(void *argument, int64_t index, int worker) {
  (void)worker;
  const stream_run *run = argument;
  int64_t first = index * PASS;
  run->pass(&run->work, first, ck_min(first + PASS, run->work.count));
}

int64_t ck_stream_pass(
    const ck_context *context, ck_stream stream, int64_t count, const float *a, const float *b, float *c) {
  count -= count % LANES;
  stream_run run = {{stream, count, a, b, c}, pass_portable};
#if defined(__x86_64__)
  if (context->isa >= CK_AVX512) run.pass = pass_avx512;
  else if (context->isa == CK_AVX2) run.pass = pass_avx2;
#endif
  if (count <= 0) return 0;
  ck_run(context, ck_ceil_div(count, PASS), stream_task, &run);
  static const int arrays[] = {1, 1, 2, 3, 3};
  return arrays[stream] * count * (int64_t)sizeof(float);
}
