// What the variants of attention to pages share: which keys a row sees, where they lie, and the table of variants.
#ifndef CK_PAGED_ATTENTION_INTERNAL_H
#define CK_PAGED_ATTENTION_INTERNAL_H

#include "attention_internal.h"
#include "include/paged_attention.h"

typedef struct {
  int64_t first, end;
} ck_key_range;

// The positions of its sequence that a row sees.
static inline ck_key_range ck_paged_keys(const ck_paged_attention_arguments *a, int64_t row) {
  int64_t sequence = a->row_sequences[row], position = a->positions[row];
  if (sequence < 0 || sequence >= a->sequences || position < 0) return (ck_key_range){0, 0};
  int64_t end = ck_min(position + 1, a->table_blocks * a->block_size);
  int64_t first = a->window > 0 ? ck_max(0, position + 1 - a->window) : 0;
  return (ck_key_range){ck_min(first, end), end};
}

// Where a position of a sequence lies in the pool; -1: nowhere.
static inline int64_t ck_paged_slot(const ck_paged_attention_arguments *a, int64_t sequence, int64_t position) {
  int64_t block = a->tables[sequence * a->table_blocks + position / a->block_size];
  return block < 0 || block >= a->blocks ? -1 : block * a->block_size + position % a->block_size;
}

typedef struct {
  size_t (*scratch)(const ck_context *, const ck_paged_attention_arguments *);
  void (*run)(const ck_context *, const ck_paged_attention_arguments *, void *);
} ck_paged_attention_variant;

extern const ck_paged_attention_variant ck_paged_attention_portable;
#if defined(__x86_64__)
extern const ck_paged_attention_variant ck_paged_attention_avx2, ck_paged_attention_avx512,
    ck_paged_attention_avx512_bf16;
#elif defined(__aarch64__)
extern const ck_paged_attention_variant ck_paged_attention_neon;
#endif

#endif
