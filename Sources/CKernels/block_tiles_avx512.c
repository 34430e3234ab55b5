// Products with weights in blocks for many rows of x, in VNNI instructions: 16 columns are taken apart once into a tile
// whose lanes are columns, and multiplied with panels of rows.
//
// An element's sums are those of block_dot_avx512.c: each of the 16 classes in rising order of its sub-blocks, then the
// classes as a tree, whose pending halves wait on a stack.
#if defined(__x86_64__)
#include "block_steps_avx512.h"

enum { PANEL = CK_BLOCK_PANEL, COLUMNS = CK_BLOCK_COLUMNS };

// 16 columns: codes [turn][step][4 codes][column][code], then scales and minimums [turn][step][column].
typedef struct {
  uint8_t *codes;
  float *scales, *minimums;
} tile;

static tile tile_at(void *scratch, int64_t index, const ck_block_activations *x) {
  int64_t codes = COLUMNS * x->width, scales = COLUMNS * x->subs * 4;
  uint8_t *p = (uint8_t *)scratch + index * (codes + 2 * scales);
  return (tile){p, (float *)(p + codes), (float *)(p + codes + scales)};
}

// Columns of a task: as many tiles as stay in the second-level cache.
int64_t ck_block_tile_columns(const ck_block_activations *x) {
  int64_t bytes = COLUMNS * (x->width + 8 * x->subs);
  return COLUMNS * ck_max(1, ck_min(4, 384 * 1024 / ck_max(1, bytes)));
}

size_t ck_block_tile_bytes(const ck_block_activations *x) {
  return (size_t)(ck_block_tile_columns(x) * (x->width + 8 * x->subs));
}

// Rows become columns of a 16 x 16 matrix of 32 bits.
CK_BLOCK_INLINE void transpose(__m512i m[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(m[i], m[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(m[i], m[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    m[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    m[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    m[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    m[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    __m512i a = _mm512_shuffle_i32x4(m[i], m[i + 4], 0x88), b = _mm512_shuffle_i32x4(m[i], m[i + 4], 0xdd);
    __m512i c = _mm512_shuffle_i32x4(m[i + 8], m[i + 12], 0x88), d = _mm512_shuffle_i32x4(m[i + 8], m[i + 12], 0xdd);
    t[i] = _mm512_shuffle_i32x4(a, c, 0x88);
    t[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
    t[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
  for (int i = 0; i < 16; i++) m[i] = t[i];
}

// One step of 16 columns, taken apart.
typedef struct {
  __m512i codes[COLUMNS][8];
  __m512 scales[COLUMNS], minimums[COLUMNS];
} stage;

CK_BLOCK_INLINE void pack_step(
    const stage *from, ck_block_kind kind, int sub, bool minimums, const tile *to, int64_t step, int64_t steps) {
  int fours = sub / 4;
  __m512i m[16];
  for (int v = 0; v < sub / 4; v++) {
    for (int c = 0; c < COLUMNS; c++) m[c] = from->codes[c][v];
    transpose(m);
    for (int t = 0; t < 16; t++) {
      int block = sub == 32 ? block_at(kind, v / 2, t / 4) : block_at(kind, v, t / 4);
      int four = (sub == 32 ? v % 2 * 4 : 0) + t % 4;
      int64_t at = (ck_block_turn(block) * steps + step) * fours + four;
      _mm512_store_si512(to->codes + at * 64, m[t]);
    }
  }
  for (int c = 0; c < COLUMNS; c++) m[c] = _mm512_castps_si512(from->scales[c]);
  transpose(m);
  for (int b = 0; b < 16; b++) _mm512_store_si512(to->scales + (ck_block_turn(b) * steps + step) * 16, m[b]);
  if (!minimums) return;
  for (int c = 0; c < COLUMNS; c++) m[c] = _mm512_castps_si512(from->minimums[c]);
  transpose(m);
  for (int b = 0; b < 16; b++) _mm512_store_si512(to->minimums + (ck_block_turn(b) * steps + step) * 16, m[b]);
}

CK_BLOCK_INLINE void store_row(const ck_block_matmul_arguments *a, int64_t row, int64_t column, __m512 value) {
  __mmask16 mask = (__mmask16)((1u << ck_min(16, a->n - column)) - 1);
  int64_t at = row * a->ldy + column;
  if (a->type_y == CK_F32) {
    _mm512_mask_storeu_ps((float *)a->y + at, mask, value);
    return;
  }
  float room[16];
  uint16_t *y = (uint16_t *)a->y + at;
  _mm512_storeu_ps(room, value);
  for (int i = 0; i < 16 && column + i < a->n; i++) {
    y[i] = a->type_y == CK_BF16 ? ck_f32_to_bf16(room[i]) : ck_f32_to_f16(room[i]);
  }
}

// One tile and one panel.
CK_BLOCK_INLINE void multiply(
    const ck_block_matmul_arguments *a, const ck_block_activations *x, int sub, bool minimums, const tile *w,
    int64_t panel, int64_t column) {
  int fours = sub / 4;
  int64_t steps = x->subs / 16;
  const uint8_t *codes_w = w->codes;
  const float *scales_w = w->scales, *minimums_w = w->minimums;
  const int8_t *codes_x = x->codes + panel * PANEL * x->width;
  const float *scales_x = x->scales + panel * PANEL * x->subs, *sums_x = x->sums + panel * PANEL * x->subs;
  const int32_t *offsets_x = x->offsets + panel * PANEL * x->subs;
  __m512 stack[4][PANEL];
  for (int turn = 0; turn < CK_BLOCK_CLASSES; turn++) {
    __m512 total[PANEL];
    for (int r = 0; r < PANEL; r++) total[r] = _mm512_setzero_ps();
    for (int64_t step = 0; step < steps; step++) {
      __m512i dots[PANEL];
      for (int r = 0; r < PANEL; r++) dots[r] = _mm512_set1_epi32(offsets_x[r]);
      for (int four = 0; four < fours; four++) {
        __m512i weights = _mm512_load_si512(codes_w + 64 * four);
        for (int r = 0; r < PANEL; r++) {
          int32_t activations;
          memcpy(&activations, codes_x + 4 * (four * PANEL + r), 4);
          dots[r] = _mm512_dpbusd_epi32(dots[r], weights, _mm512_set1_epi32(activations));
        }
      }
      __m512 scales = _mm512_load_ps(scales_w);
      for (int r = 0; r < PANEL; r++) {
        __m512 both = _mm512_mul_ps(scales, _mm512_set1_ps(scales_x[r]));
        total[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r]), both, total[r]);
      }
      if (minimums) {
        __m512 least = _mm512_load_ps(minimums_w);
        for (int r = 0; r < PANEL; r++) total[r] = _mm512_fmadd_ps(least, _mm512_set1_ps(sums_x[r]), total[r]);
        minimums_w += 16;
        sums_x += PANEL;
      }
      codes_w += 64 * fours;
      scales_w += 16;
      codes_x += 4 * fours * PANEL;
      scales_x += PANEL;
      offsets_x += PANEL;
    }
    int level = 0;
    for (; turn >> level & 1; level++) {
      for (int r = 0; r < PANEL; r++) total[r] = _mm512_add_ps(stack[level][r], total[r]);
    }
    if (turn == CK_BLOCK_CLASSES - 1) {
      for (int r = 0; r < PANEL && panel * PANEL + r < a->m; r++) store_row(a, panel * PANEL + r, column, total[r]);
    } else {
      for (int r = 0; r < PANEL; r++) stack[level][r] = total[r];
    }
  }
}

#define MULTIPLY(sub_, minimums_, name)                                                                       \
  CK_BLOCK_TARGET static __attribute__((noinline)) void multiply_##name(                                      \
      const ck_block_matmul_arguments *a, const ck_block_activations *x, const tile *w, int64_t panel,        \
      int64_t column) {                                                                                       \
    multiply(a, x, sub_, minimums_, w, panel, column);                                                        \
  }
MULTIPLY(32, false, 32)
MULTIPLY(32, true, 32_minimums)
MULTIPLY(16, false, 16)
MULTIPLY(16, true, 16_minimums)

#define TILES(name, kind_, group_, sub_, bytes_, head_, minimums_)                                            \
  CK_BLOCK_TARGET static void tiles_##name(                                                                   \
      const ck_block_matmul_arguments *a, const ck_block_activations *x, int64_t begin, int64_t count,        \
      void *scratch) {                                                                                        \
    static const ck_walk walk = {kind_, group_, sub_, sub_ / 16, bytes_, head_, minimums_};                    \
    int64_t row_bytes = ck_block_row_bytes(a->format, a->k), steps = x->subs / 16;                            \
    for (int64_t column = 0; column < count; column += COLUMNS) {                                             \
      tile w = tile_at(scratch, column / COLUMNS, x);                                                         \
      stage room;                                                                                             \
      memset(&room, 0, sizeof room);                                                                          \
      for (int64_t at = 0; at < steps; at++) {                                                                \
        for (int64_t c = 0; c < ck_min(COLUMNS, count - column); c++) {                                       \
          const uint8_t *row = (const uint8_t *)a->blocks + (begin + column + c) * row_bytes;                 \
          const uint8_t *p = row + walk.head + at * walk.step_bytes;                                          \
          int64_t rest = a->k - at * 16 * walk.sub;                                                           \
          ck_step s;                                                                                          \
          if (rest >= 16 * walk.sub) {                                                                        \
            step_##name(p, row, &s);                                                                          \
          } else {                                                                                            \
            uint8_t padded[CK_STEP_BYTES_MOST] = {0};                                                         \
            memcpy(padded, p, (size_t)(rest * walk.step_bytes / (16 * walk.sub)));                            \
            step_##name(padded, row, &s);                                                                     \
          }                                                                                                   \
          for (int v = 0; v < walk.sub / 4; v++) room.codes[c][v] = s.codes[v];                               \
          room.scales[c] = s.scales;                                                                          \
          if (walk.minimums) room.minimums[c] = s.minimums;                                                   \
        }                                                                                                     \
        pack_step(&room, kind_, sub_, minimums_, &w, at, steps);                                              \
      }                                                                                                       \
    }                                                                                                         \
    for (int64_t panel = 0; panel < ck_ceil_div(a->m, PANEL); panel++) {                                      \
      for (int64_t column = 0; column < count; column += COLUMNS) {                                           \
        tile w = tile_at(scratch, column / COLUMNS, x);                                                       \
        if (sub_ == 32 && minimums_) multiply_32_minimums(a, x, &w, panel, begin + column);                   \
        if (sub_ == 32 && !minimums_) multiply_32(a, x, &w, panel, begin + column);                           \
        if (sub_ == 16 && minimums_) multiply_16_minimums(a, x, &w, panel, begin + column);                   \
        if (sub_ == 16 && !minimums_) multiply_16(a, x, &w, panel, begin + column);                           \
      }                                                                                                       \
    }                                                                                                         \
  }
CK_WALKS(TILES)

ck_block_columns ck_block_tiles_avx512(ck_block_format format, int64_t k) {
  int64_t group = format.group == k ? 0 : format.group;
#define CHOOSE(name, kind_, group_, sub_, bytes_, head_, minimums_)                                 \
  if (format.kind == kind_ && group == group_ && (head_ > 0) == (format.group > 0 && group == 0))    \
    return tiles_##name;
  CK_WALKS(CHOOSE)
#undef CHOOSE
  return NULL;
}
#else
#include "block_matmul_internal.h"
int64_t ck_block_tile_columns(const ck_block_activations *x) { return CK_BLOCK_COLUMNS; }
size_t ck_block_tile_bytes(const ck_block_activations *x) { return 0; }
#endif
