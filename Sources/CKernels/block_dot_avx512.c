// Products with weights in blocks for few rows of x, in VNNI instructions: codes go from memory through registers.
#if defined(__x86_64__)
#include "block_steps_avx512.h"

// Adds one step's products with one row of x to its 16 sums.
CK_BLOCK_INLINE __m512 add_step(
    const ck_step *s, int sub, bool minimums, __m512i order, const ck_block_activations *x, int64_t row, int64_t step,
    __m512 total) {
  const int8_t *codes = x->codes + row * x->width + step * 16 * sub;
  int64_t at = row * x->subs + step * 16;
  __m512i dots[4];
  for (int i = 0; i < 4; i++) {
    __m512i zero = _mm512_setzero_si512();
    if (sub == 32) {
      __m512i first = _mm512_dpbusd_epi32(zero, s->codes[2 * i], _mm512_loadu_si512(codes + 128 * i));
      dots[i] = _mm512_dpbusd_epi32(first, s->codes[2 * i + 1], _mm512_loadu_si512(codes + 128 * i + 64));
    } else {
      dots[i] = _mm512_dpbusd_epi32(zero, s->codes[i], _mm512_loadu_si512(codes + 64 * i));
    }
  }
  __m512i sums = _mm512_add_epi32(step_sums(dots, order), _mm512_loadu_si512(x->offsets + at));
  __m512 scales = _mm512_mul_ps(s->scales, _mm512_loadu_ps(x->scales + at));
  total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scales, total);
  return minimums ? _mm512_fmadd_ps(s->minimums, _mm512_loadu_ps(x->sums + at), total) : total;
}

// The 16 sums as a tree: halves are added to halves.
CK_BLOCK_INLINE float tree(__m512 sums) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

enum { AHEAD = 8192 };  // bytes between what is read and what is fetched

#define ROWS(name, walk, count_, first)                                                                   \
  do {                                                                                                    \
    __m512 totals[count_];                                                                                \
    for (int r = 0; r < (count_); r++) totals[r] = _mm512_setzero_ps();                                   \
    CK_WALK(name, walk, row, a->k, end, {                                                                   \
      if ((first) == 0) {                                                                                 \
        for (int64_t line = 0; line < (walk).step_bytes; line += 64) {                                    \
          _mm_prefetch((const char *)p_ + AHEAD + line, _MM_HINT_T0);                                     \
        }                                                                                                 \
      }                                                                                                   \
      for (int r = 0; r < (count_); r++) {                                                                \
        totals[r] = add_step(&s, (walk).sub, (walk).minimums, order, x, (first) + r, step, totals[r]);     \
      }                                                                                                   \
    });                                                                                                   \
    for (int r = 0; r < (count_); r++) ck_block_store(a, (first) + r, column, tree(totals[r]));            \
  } while (0)

#define COLUMNS(name, kind_, group_, sub_, bytes_, head_, minimums_)                                      \
  CK_BLOCK_TARGET static void columns_##name(                                                             \
      const ck_block_matmul_arguments *a, const ck_block_activations *x, int64_t begin, int64_t count,    \
      void *scratch) {                                                                                    \
    static const ck_walk walk = {kind_, group_, sub_, sub_ / 16, bytes_, head_, minimums_};                \
    (void)scratch;                                                                                        \
    int64_t row_bytes = ck_block_row_bytes(a->format, a->k);                                              \
    const uint8_t *end = (const uint8_t *)a->blocks + a->n * row_bytes;                                   \
    __m512i order = step_order(kind_);                                                                    \
    for (int64_t column = begin; column < begin + count; column++) {                                      \
      const uint8_t *row = (const uint8_t *)a->blocks + column * row_bytes;                               \
      int64_t first = 0;                                                                                  \
      for (; first + 4 <= a->m; first += 4) ROWS(name, walk, 4, first);                                   \
      for (; first + 2 <= a->m; first += 2) ROWS(name, walk, 2, first);                                   \
      for (; first < a->m; first++) ROWS(name, walk, 1, first);                                           \
    }                                                                                                     \
  }
CK_WALKS(COLUMNS)

bool ck_block_kernel_avx512(ck_block_format format, int64_t k, ck_block_kernel *kernel) {
  int64_t group = format.group == k ? 0 : format.group;
  kernel->rows = NULL;
#define CHOOSE(name, kind_, group_, sub_, bytes_, head_, minimums_) \
  if (format.kind == kind_ && group == group_ && (head_ > 0) == (format.group > 0 && group == 0)) \
    kernel->rows = columns_##name;
  CK_WALKS(CHOOSE)
#undef CHOOSE
  if (kernel->rows == NULL) return false;
  kernel->tiles = ck_block_tiles_avx512(format, k);
  int sub = ck_block_layout_of(format).sub;
  for (int i = 0; i < 4; i++) {
    for (int lane = 0; lane < 4; lane++) kernel->places[block_at(format.kind, i, lane)] = 4 * sub * i + 16 * lane;
  }
  kernel->half = 64;
  return true;
}
#endif
