// Inside of the kernels of block formats: rows taken apart into codes, scales and minimums.
#ifndef CK_BLOCK_CODES_H
#define CK_BLOCK_CODES_H

#include "block_formats.h"

// Elements that are taken apart at a time: a multiple of every block's.
enum { CK_BLOCK_CHUNK = 256 };

// A stretch of a row; arrays of one element per code, and per sub-block.
typedef struct {
  uint8_t codes[CK_BLOCK_CHUNK];
  float scales[CK_BLOCK_CHUNK / 16];
  float minimums[CK_BLOCK_CHUNK / 16];
} ck_block_codes;

typedef struct {
  // Elements first ..< first + count of a row of an integer format; both are multiples of min(block, CK_BLOCK_CHUNK).
  void (*codes)(ck_block_format format, const uint8_t *row, int64_t first, int64_t count, ck_block_codes *out);
  // The same elements of any format as numbers.
  void (*floats)(ck_block_format format, const uint8_t *row, int64_t first, int64_t count, float *out);
  // Whole rows, `type` as ck_dequantize.
  void (*rows)(
    ck_block_format format, int64_t rows, int64_t columns, const uint8_t *blocks, ck_type type, void *out);
} ck_block_readers;

// The codes of the 16 values of IQ4_NL, and of those of E2M1 doubled.
extern const uint8_t ck_iq4_codes[16], ck_e2m1_codes[16];
extern const float ck_nf4_values[16];

const ck_block_readers *ck_block_readers_for(const ck_context *context);

#endif
