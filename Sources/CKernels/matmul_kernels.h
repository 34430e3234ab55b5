// What an instruction set brings to matrix products: a way to pack each operand, a register tile, and the write-out.
// matmul_blocked.c drives them.
//
// Packed operands are made of 32-bit steps along k: one f32, two bf16 or four int8 that are neighbours in k (zeros after
// the last). A panel of A is [steps / 16][rows][16 steps]: each row a cache line, which is also what an AMX tile loads.
// A panel of B is [steps][columns]. Every element of C is summed in rising k in a single accumulator, started from what
// the sum was before, so results depend neither on the blocking, nor on threads, nor on the other rows of the product.
// Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication (2008), doi:10.1145/1356052.1356053.
#ifndef CK_MATMUL_KERNELS_H
#define CK_MATMUL_KERNELS_H

#include "matmul.h"

enum { CK_LINE = 16 };                         // steps in a line of packed A
enum { CK_STREAM_ROWS = 8 };                   // rows up to which B streams past; half of it for small register tiles
enum { CK_TILE_ROWS = 32, CK_TILE_COLUMNS = 32 };  // the largest register tile of any kernel

// One operand, seen the same way for A and B: element (index, k), index being a row of A or a column of B.
typedef struct {
  const char *data;
  int64_t ld;        // elements
  int64_t extent;    // how many indices there are
  ck_type type;
  bool along;        // neighbours in memory are neighbours in k: data[index * ld + k]; otherwise data[k * ld + index]
} ck_operand;

// Packs `count` indices from `index`, and `depth` elements of k from `k`, into a panel.
typedef void (*ck_pack)(
  uint32_t *panel, const ck_operand *operand, int64_t index, int64_t count, int64_t k, int64_t depth);

// out = start + A · B for `rows` rows and all columns of a tile; start is NULL for 0. Rows are out_row/start_row apart.
// Elements are f32, or i32 for int8.
typedef void (*ck_tile)(
  int64_t rows, int64_t steps, const uint32_t *a, const uint32_t *b, const float *start, int64_t start_row,
  float *out, int64_t out_row);

typedef struct {
  int rows, columns;  // of the register tile
  int group;          // elements in a step
  bool column_sums;   // a panel of B is followed by `columns` i32 sums over its k
  ck_pack pack_a, pack_b;
  ck_tile tile;
  // The epilogue of a tile of sums: bias, activation, residual, rounding, into C.
  void (*finish)(
    const ck_matmul_arguments *m, int64_t batch, int64_t row, int64_t column, int64_t rows, int64_t columns,
    const float *sums, int64_t sums_row);
  // C itself as f32, to go on from (accumulate).
  void (*resume)(
    const ck_matmul_arguments *m, int64_t batch, int64_t row, int64_t column, int64_t rows, int64_t columns,
    float *sums, int64_t sums_row);
  // Columns first..<end of a product of at most CK_STREAM_ROWS rows, whose A is packed, straight from B; may be NULL.
  void (*stream)(const ck_matmul_arguments *m, const uint32_t *a, int64_t first, int64_t end);
  // Called by each thread around a run of tiles; may be NULL.
  void (*enter)(void);
  void (*leave)(void);
} ck_matmul_kernel;

#if defined(__x86_64__)
extern const ck_matmul_kernel ck_matmul_f32_avx2;
extern const ck_matmul_kernel ck_matmul_f32_avx512, ck_matmul_bf16_avx512, ck_matmul_i8_avx512;
extern const ck_matmul_kernel ck_matmul_bf16_amx, ck_matmul_i8_amx;
extern const ck_matmul_kernel ck_matmul_bf16_amx_emulated, ck_matmul_i8_amx_emulated;
#elif defined(__aarch64__)
extern const ck_matmul_kernel ck_matmul_f32_neon, ck_matmul_bf16_neon, ck_matmul_i8_neon;
#endif

// The blocked product of one batch element after another, for a kernel that fits the arguments' types.
size_t ck_matmul_blocked_scratch(const ck_matmul_kernel *kernel, int threads, const ck_matmul_arguments *arguments);
void ck_matmul_blocked(
  const ck_matmul_kernel *kernel, ck_pool *pool, const ck_matmul_arguments *arguments, void *scratch);

// The product of a few rows, for arguments of which ck_matmul_streams is true.
bool ck_matmul_streams(const ck_matmul_kernel *kernel, const ck_matmul_arguments *arguments);
size_t ck_matmul_stream_scratch(const ck_matmul_kernel *kernel, const ck_matmul_arguments *arguments);
void ck_matmul_stream(
  const ck_matmul_kernel *kernel, ck_pool *pool, const ck_matmul_arguments *arguments, void *scratch);

#endif
