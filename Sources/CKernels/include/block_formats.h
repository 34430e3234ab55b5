// Weights quantised in blocks: the formats of GGUF files as they are, and formats of ours into which other files are
// re-packed. Rows follow one another without gaps, aligned to one byte: a mapped file is computed with where it lies.
//
// In all integer formats an element is scale * (code - zero) + minimum, with a code of at most 8 bits, one zero for the
// format, and a scale and a minimum for each sub-block of 16 or 32 elements. Scales have so few bits that the product
// is exact in f32, so that an element has one value, whatever the order of operations.
//
// Formats of GGUF: ggml-common.h and gguf-py/gguf/quants.py of llama.cpp. MXFP4: OCP Microscaling Formats 1.0 (2023).
// NF4: Dettmers et al., QLoRA (2023), arXiv:2305.14314. E4M3: Micikevicius et al. (2022), arXiv:2209.05433.
#ifndef CK_BLOCK_FORMATS_H
#define CK_BLOCK_FORMATS_H

#include "context.h"

typedef enum {
  CK_Q4_0 = 0,
  CK_Q4_1 = 1,
  CK_Q5_0 = 2,
  CK_Q5_1 = 3,
  CK_Q8_0 = 4,
  CK_Q2_K = 5,
  CK_Q3_K = 6,
  CK_Q4_K = 7,
  CK_Q5_K = 8,
  CK_Q6_K = 9,
  CK_IQ4_NL = 10,
  CK_IQ4_XS = 11,
  CK_MXFP4 = 12,
  // [header][group / 2 bytes]: 16 bytes for each 32 elements, element j in the low nibble of byte j, j + 16 in the high
  // one. The header is 32 bits, little-endian: the high 23 bits of an f32 scale (exact for f16 and bf16 scales), and in
  // the low 9 bits the code that stands for 0 (0...511).
  CK_INT4 = 13,
  // [header as above][group bytes]: a code of 0...255 each.
  CK_INT8 = 14,
  // [f32 absmax][32 bytes]: 64 indices into the code book, nibbles in the order of CK_INT4.
  CK_NF4 = 15,
  // [f32 scale][group bytes]: E4M3 floats without infinities.
  CK_FP8_E4M3 = 16,
} ck_block_kind;

typedef struct {
  ck_block_kind kind;
  int64_t group;  // of CK_INT4, CK_INT8 and CK_FP8_E4M3: elements that share a header, a multiple of 32; else 0
} ck_block_format;

// What the kernels know of a format.
typedef struct {
  int64_t elements, bytes;  // of a block
  int sub;                  // elements that share a scale, 16 or 32; 0: not an integer format
  int zero;                 // the code of 0, before the minimum
  bool minimums;
} ck_block_layout;

ck_block_layout ck_block_layout_of(ck_block_format format);
// The bytes of a row of `columns` elements, which are whole blocks.
int64_t ck_block_row_bytes(ck_block_format format, int64_t columns);

// out[r][c] = element c of row r, rounded to `type` (f32, bf16 or f16).
void ck_dequantize(
  const ck_context *context, ck_block_format format, int64_t rows, int64_t columns, const void *blocks, ck_type type,
  void *out);

#endif
