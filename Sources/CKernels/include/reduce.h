// Reductions, scans, ordering, and moves by index. All element types; floats of 16 bits are summed in f32.
#ifndef CK_REDUCE_H
#define CK_REDUCE_H

#include "context.h"

typedef enum {
  CK_REDUCE_SUM = 0,
  CK_REDUCE_PRODUCT = 1,
  CK_REDUCE_MAX = 2,
  CK_REDUCE_MIN = 3,
  CK_REDUCE_SUM_SQUARES = 4,
  CK_REDUCE_ALL = 5,             // bool: and
  CK_REDUCE_ANY = 6,             // bool: or
} ck_reduction;

// output[o, i] = reduction over r of input[o, r, i]; any contiguous group of axes is of that form. An empty reduction
// gives the identity (max: -inf or the lowest integer).
size_t ck_reduce_scratch(const ck_context *context, ck_type type, int64_t outer, int64_t reduced, int64_t inner);
void ck_reduce(
  const ck_context *context, ck_reduction reduction, ck_type type, ck_type type_out, int64_t outer, int64_t reduced,
  int64_t inner, const void *input, void *output, void *scratch);

// indices[o, i] (i32) = first r with the largest input[o, r, i]; NaN counts as the largest.
void ck_arg_max(
  const ck_context *context, ck_type type, int64_t outer, int64_t reduced, int64_t inner, const void *input,
  int32_t *indices);

// Along rows: the k largest in falling order (equal values: lower index first). values may be NULL. k <= width.
size_t ck_order_scratch(const ck_context *context, int64_t rows, int64_t width);
void ck_top_k(
  const ck_context *context, ck_type type, int64_t rows, int64_t width, int64_t k, const void *input, void *values,
  int32_t *indices, void *scratch);
// Along rows, stable; NaN sorts as the largest.
void ck_sort(
  const ck_context *context, ck_type type, int64_t rows, int64_t width, bool descending, const void *input,
  void *values, int32_t *indices, void *scratch);

// output[o, index + j, i] = rows[o, j, i] for j in 0..<count where index + j lies in 0..<entries; the rest of output stays.
// `places` indices: one, or one for each `outer / places` of o; or, if outer is 1, one for each j (then without + j).
void ck_update(
  const ck_context *context, ck_type type, int64_t outer, int64_t entries, int64_t count, int64_t inner,
  const void *rows, const int32_t *index, int64_t places, void *output);

// output[o, r, i] = sum of input[o, 0...r, i] (reverse: r...). exclusive leaves out r itself.
void ck_cumulative_sum(
  const ck_context *context, ck_type type, int64_t outer, int64_t count, int64_t inner, bool reverse, bool exclusive,
  const void *input, void *output);

// output[o, j, i] = table[o, indices[j], i] for j in 0..<count. An index outside 0..<entries gives zeros.
void ck_gather(
  const ck_context *context, ck_type type, ck_type type_index, int64_t outer, int64_t entries, int64_t count,
  int64_t inner, const void *table, const void *indices, void *output);
// output[o, e, i] = sum over j with indices[j] == e of updates[o, j, i], in rising j. Indices outside are left out.
// type is of updates, type_out of output (f32 sums of bf16 updates, say).
size_t ck_scatter_add_scratch(const ck_context *context, int64_t entries, int64_t count);
void ck_scatter_add(
  const ck_context *context, ck_type type, ck_type type_out, ck_type type_index, int64_t outer, int64_t entries,
  int64_t count, int64_t inner, const void *updates, const void *indices, void *output, void *scratch);
// Along rows: output[r, j] = table[r, indices[r, j]]  (take along the last axis), and its transpose (output zeroed first).
void ck_take(
  const ck_context *context, ck_type type, ck_type type_index, int64_t rows, int64_t entries, int64_t count,
  const void *table, const void *indices, void *output);
void ck_take_add(
  const ck_context *context, ck_type type, ck_type type_index, int64_t rows, int64_t entries, int64_t count,
  const void *updates, const void *indices, void *output);

// Counter-based random bits: Philox 4x32-10, Salmon et al. (2011), doi:10.1145/2063384.2063405. Element i of stream
// (key, stream) takes word i % 4 of block i / 4: counter = (i/4 low, i/4 high, stream low, stream high), key = (key low, key high).
typedef enum { CK_RANDOM_BITS = 0, CK_RANDOM_UNIFORM = 1, CK_RANDOM_NORMAL = 2 } ck_distribution;
// bits: u32 as i32 or i64; uniform: (word >> 8) * 2^-24, in [0, 1); normal: Box-Muller of the words in pairs (2j, 2j+1) of a block:
// u = ((w0 >> 8) + 1) * 2^-24, v = (w1 >> 8) * 2^-24, r = sqrt(-2 ln u), element 2j = r cos(2 pi v), 2j+1 = r sin(2 pi v).
void ck_random(
  const ck_context *context, ck_distribution distribution, ck_type type, uint64_t key, uint64_t stream, int64_t count,
  void *output);

#endif
