// Attention to keys and values that lie in blocks of a pool, found through a table: a batch of rows of many sequences.
//
// Position s of sequence n lies in slot tables[n][s / block_size] * block_size + s % block_size of the pool. Row i, at
// positions[i] = p of sequence row_sequences[i], sees the positions s <= p of it (its own among them), of those the last
// `window` if window > 0:
//
//   O[i,h] = sum_s softmax_s(cap(scale * Q[i,h]·K[slot,g])) V[slot,g],   g = h / (heads / kv_heads)
//
// with cap and sinks as in attention.h. A row whose sequence is not in 0..<sequences or whose position is negative sees
// nothing and gives 0; positions beyond the table are not seen; a block that the pool does not have is read as zeros.
//
// A row's result has the same bits whatever the other rows are, however many there are, and whichever blocks it lies in:
// keys are summed over in chunks and segments that are cut by position alone, each in one arithmetic for any number of rows.
// Papers: Kwon et al., PagedAttention (2023), arXiv:2309.06180; Dao, FlashAttention-2 (2023), arXiv:2307.08691.
#ifndef CK_PAGED_ATTENTION_H
#define CK_PAGED_ATTENTION_H

#include "context.h"

// q and o are [rows, heads, head_size], k and v [blocks * block_size, kv_heads, head_size]; v may be k.
typedef struct {
  ck_type type;                      // of q, k, v, o: f32, bf16 (f16 and f64 by the portable path)
  const float *k_scales, *v_scales;  // [blocks * block_size, kv_heads]: k and v are then int8; or NULL
  int64_t rows, heads, kv_heads, head_size;
  int64_t blocks, block_size;        // of the pool
  int64_t sequences, table_blocks;
  const int32_t *positions, *row_sequences;  // [rows]
  const int32_t *tables;             // [sequences, table_blocks]
  float scale;
  int64_t window;                    // 0: no limit
  float softcap;                     // 0: none
  const float *sinks;                // [heads], or NULL
  const void *q, *k, *v;
  void *o;
} ck_paged_attention_arguments;

size_t ck_paged_attention_scratch(const ck_context *context, const ck_paged_attention_arguments *arguments);
void ck_paged_attention(const ck_context *context, const ck_paged_attention_arguments *arguments, void *scratch);

#endif
