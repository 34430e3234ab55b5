// Products with weights in blocks for many rows of x, in VNNI instructions: columns are taken apart once into a tile whose
// lanes are columns, and multiplied with panels of rows.
//
// An element's sums are those of block_dot_avx512.c: each of the 16 classes in rising order of its sub-blocks, then the
// classes as a tree, whose pending halves wait on a stack.
#if defined(__x86_64__)
#include "block_steps_avx512.h"

enum { PANEL = CK_BLOCK_PANEL, COLUMNS = CK_BLOCK_COLUMNS, LANES = 16, VECTORS = COLUMNS / LANES };

// Registers are chosen when the program is compiled: loops over them have to be unrolled.
#define UNROLL _Pragma("clang loop unroll(full)")

// COLUMNS columns: codes [turn][step][4 codes][column][code], then scales and minimums [turn][step][column].
typedef struct {
  uint8_t *codes;
  float *scales, *minimums;
} tile;

static tile tile_at(void *scratch, const ck_block_activations *x) {
  int64_t codes = COLUMNS * x->width, scales = COLUMNS * x->subs * 4;
  uint8_t *p = scratch;
  return (tile){p, (float *)(p + codes), (float *)(p + codes + scales)};
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
  __m512i codes[LANES][8];
  __m512 scales[LANES], minimums[LANES];
} stage;

CK_BLOCK_INLINE void pack_step(
    const stage *from, ck_block_kind kind, int sub, bool minimums, const tile *to, int64_t vector,
    int64_t step, int64_t steps) {
  int fours = sub / 4;
  __m512i m[16];
#pragma clang loop unroll(disable)
  for (int v = 0; v < sub / 4; v++) {
    for (int c = 0; c < LANES; c++) m[c] = from->codes[c][v];
    transpose(m);
    UNROLL
    for (int t = 0; t < 16; t++) {
      int block = sub == 32 ? block_at(kind, v / 2, t / 4) : block_at(kind, v, t / 4);
      int four = (sub == 32 ? v % 2 * 4 : 0) + t % 4;
      int64_t at = (ck_block_turn(block) * steps + step) * fours + four;
      _mm512_store_si512(to->codes + (at * VECTORS + vector) * 64, m[t]);
    }
  }
  for (int c = 0; c < LANES; c++) m[c] = _mm512_castps_si512(from->scales[c]);
  transpose(m);
  UNROLL
  for (int b = 0; b < 16; b++) {
    _mm512_store_si512(to->scales + ((ck_block_turn(b) * steps + step) * VECTORS + vector) * LANES, m[b]);
  }
  if (!minimums) return;
  for (int c = 0; c < LANES; c++) m[c] = _mm512_castps_si512(from->minimums[c]);
  transpose(m);
  UNROLL
  for (int b = 0; b < 16; b++) {
    _mm512_store_si512(to->minimums + ((ck_block_turn(b) * steps + step) * VECTORS + vector) * LANES, m[b]);
  }
}

// The rows of a panel that there are, of the columns that there are.
static void store_rows(const ck_block_matmul_arguments *a, int64_t row, int64_t column, const float (*sums)[COLUMNS]) {
  int64_t columns = ck_min(COLUMNS, a->n - column);
  for (int64_t r = 0; r < ck_min(PANEL, a->m - row); r++) {
    if (a->type_y == CK_F32) {
      memcpy((float *)a->y + (row + r) * a->ldy + column, sums[r], (size_t)columns * sizeof(float));
      continue;
    }
    for (int64_t c = 0; c < columns; c++) ck_block_store(a, row + r, column + c, sums[r][c]);
  }
}

// One tile and one panel, whose sums stay in registers for a class.
CK_BLOCK_INLINE void multiply(
    const ck_block_matmul_arguments *a, const ck_block_activations *x, int sub, bool minimums, const tile *w,
    int64_t panel, int64_t column) {
  int fours = sub / 4;
  int64_t steps = x->subs / 16, subs = ck_ceil_div(a->k, sub);
  const uint8_t *codes_w = w->codes;
  const float *scales_w = w->scales, *minimums_w = w->minimums;
  const int8_t *codes_x = x->codes + panel * PANEL * x->width;
  const float *scales_x = x->scales + panel * PANEL * x->subs, *sums_x = x->sums + panel * PANEL * x->subs;
  const int32_t *offsets_x = x->offsets + panel * PANEL * x->subs;
  float stack[5][PANEL][COLUMNS] __attribute__((aligned(64)));
  for (int turn = 0; turn < CK_BLOCK_CLASSES; turn++) {
    __m512 total[PANEL][VECTORS];
    UNROLL
    for (int r = 0; r < PANEL; r++) {
      UNROLL
      for (int v = 0; v < VECTORS; v++) total[r][v] = _mm512_setzero_ps();
    }
    // Where the last step is not whole, the last classes have nothing in it.
    int64_t full = (subs - ck_block_turn(turn) + 15) / 16, empty = steps - full;
    for (int64_t step = 0; step < full; step++) {
      __m512i dots[PANEL][VECTORS];
      UNROLL
      for (int r = 0; r < PANEL; r++) {
        __m512i offset = _mm512_set1_epi32(offsets_x[r]);
        UNROLL
        for (int v = 0; v < VECTORS; v++) dots[r][v] = offset;
      }
#pragma clang loop unroll(disable)
      for (int four = 0; four < fours; four++) {
        __m512i weights[VECTORS];
        UNROLL
        for (int v = 0; v < VECTORS; v++) weights[v] = _mm512_load_si512(codes_w + 64 * (four * VECTORS + v));
        UNROLL
        for (int r = 0; r < PANEL; r++) {
          int32_t four_codes;
          memcpy(&four_codes, codes_x + 4 * (four * PANEL + r), 4);
          __m512i activations = _mm512_set1_epi32(four_codes);
          UNROLL
          for (int v = 0; v < VECTORS; v++) dots[r][v] = _mm512_dpbusd_epi32(dots[r][v], weights[v], activations);
        }
      }
      UNROLL
      for (int r = 0; r < PANEL; r++) {
        __m512 scale = _mm512_set1_ps(scales_x[r]);
        UNROLL
        for (int v = 0; v < VECTORS; v++) {
          __m512 both = _mm512_mul_ps(_mm512_load_ps(scales_w + LANES * v), scale);
          total[r][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r][v]), both, total[r][v]);
        }
        if (!minimums) continue;
        __m512 sum = _mm512_set1_ps(sums_x[r]);
        UNROLL
        for (int v = 0; v < VECTORS; v++) {
          total[r][v] = _mm512_fmadd_ps(_mm512_load_ps(minimums_w + LANES * v), sum, total[r][v]);
        }
      }
      codes_w += 64 * fours * VECTORS;
      scales_w += COLUMNS;
      minimums_w += COLUMNS;
      codes_x += 4 * fours * PANEL;
      scales_x += PANEL;
      sums_x += PANEL;
      offsets_x += PANEL;
    }
    codes_w += empty * 64 * fours * VECTORS;
    scales_w += empty * COLUMNS;
    minimums_w += empty * COLUMNS;
    codes_x += empty * 4 * fours * PANEL;
    scales_x += empty * PANEL;
    sums_x += empty * PANEL;
    offsets_x += empty * PANEL;
    int level = 0;
    for (; turn >> level & 1; level++) {
      UNROLL
      for (int r = 0; r < PANEL; r++) {
        UNROLL
        for (int v = 0; v < VECTORS; v++) {
          total[r][v] = _mm512_add_ps(_mm512_load_ps(stack[level][r] + LANES * v), total[r][v]);
        }
      }
    }
    UNROLL
    for (int r = 0; r < PANEL; r++) {
      UNROLL
      for (int v = 0; v < VECTORS; v++) _mm512_store_ps(stack[level][r] + LANES * v, total[r][v]);
    }
  }
  store_rows(a, panel * PANEL, column, stack[4]);
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
    static const ck_walk walk = {kind_, group_, sub_, sub_ / 16, bytes_, head_, minimums_};                   \
    int64_t row_bytes = ck_block_row_bytes(a->format, a->k), steps = x->subs / 16;                            \
    tile w = tile_at(scratch, x);                                                                             \
    for (int64_t vector = 0; vector < VECTORS; vector++) {                                                    \
      int64_t columns = ck_min(LANES, count - vector * LANES);                                                \
      stage room;                                                                                             \
      if (columns < LANES) memset(&room, 0, sizeof room);                                                     \
      for (int64_t at = 0; at < steps; at++) {                                                                \
        for (int64_t c = 0; c < columns; c++) {                                                               \
          const uint8_t *row = (const uint8_t *)a->blocks + (begin + vector * LANES + c) * row_bytes;         \
          const uint8_t *p = row + walk.head + at * walk.step_bytes;                                          \
          for (int64_t line = 0; line < walk.step_bytes; line += 64) {                                        \
            _mm_prefetch((const char *)p + LANES * row_bytes + line, _MM_HINT_T0);                            \
          }                                                                                                   \
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
        pack_step(&room, kind_, sub_, minimums_, &w, vector, at, steps);                                      \
      }                                                                                                       \
    }                                                                                                         \
    for (int64_t panel = 0; panel < ck_ceil_div(a->m, PANEL); panel++) {                                      \
      if (sub_ == 32 && minimums_) multiply_32_minimums(a, x, &w, panel, begin);                              \
      if (sub_ == 32 && !minimums_) multiply_32(a, x, &w, panel, begin);                                      \
      if (sub_ == 16 && minimums_) multiply_16_minimums(a, x, &w, panel, begin);                              \
      if (sub_ == 16 && !minimums_) multiply_16(a, x, &w, panel, begin);                                      \
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
#endif
