// The readers of block formats for each instruction set, and dequantisation of whole matrices.
#include "block_codes.h"

#include "convert.h"
#include "tasks.h"

#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

ck_block_layout ck_block_layout_of(ck_block_format format) {
  int64_t group = format.group;
  switch (format.kind) {
    case CK_Q4_0: return (ck_block_layout){32, 18, 32, 8, false};
    case CK_Q4_1: return (ck_block_layout){32, 20, 32, 0, true};
    case CK_Q5_0: return (ck_block_layout){32, 22, 32, 16, false};
    case CK_Q5_1: return (ck_block_layout){32, 24, 32, 0, true};
    case CK_Q8_0: return (ck_block_layout){32, 34, 32, 128, false};
    case CK_Q2_K: return (ck_block_layout){256, 84, 16, 0, true};
    case CK_Q3_K: return (ck_block_layout){256, 110, 16, 4, false};
    case CK_Q4_K: return (ck_block_layout){256, 144, 32, 0, true};
    case CK_Q5_K: return (ck_block_layout){256, 176, 32, 0, true};
    case CK_Q6_K: return (ck_block_layout){256, 210, 16, 32, false};
    case CK_IQ4_NL: return (ck_block_layout){32, 18, 32, 128, false};
    case CK_IQ4_XS: return (ck_block_layout){256, 136, 32, 128, false};
    case CK_MXFP4: return (ck_block_layout){32, 17, 32, 12, false};
    case CK_INT4: return (ck_block_layout){group, 4 + group / 2, 32, 8, true};
    case CK_INT8: return (ck_block_layout){group, 4 + group, 32, 128, true};
    case CK_NF4: return (ck_block_layout){64, 36, 0, 0, false};
    case CK_FP8_E4M3: return (ck_block_layout){group, 4 + group, 0, 0, false};
  }
  return (ck_block_layout){1, 0, 0, 0, false};
}

int64_t ck_block_row_bytes(ck_block_format format, int64_t columns) {
  ck_block_layout layout = ck_block_layout_of(format);
  return columns / layout.elements * layout.bytes;
}

// Values moved up to be codes, by the format's zero.
const uint8_t ck_iq4_codes[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
const uint8_t ck_e2m1_codes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
// Quantiles of the normal distribution, as bitsandbytes has them.
const float ck_nf4_values[16] = {
  -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
  -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
  0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f,
};

#define CK_TEMPLATE "block_codes.inc"
#include "instances.h"

const ck_block_readers *ck_block_readers_for(const ck_context *context) { return CK_PICK(context, &ck_block_readers); }

typedef struct {
  const ck_block_readers *readers;
  ck_block_format format;
  int64_t rows, columns, row_bytes, rows_per_task;
  const uint8_t *blocks;
  ck_type type;
  char *out;
} dequantize_plan;

static void dequantize_task(void *argument, int64_t index, int worker) {
  (void)worker;
  const dequantize_plan *p = argument;
  int64_t begin = index * p->rows_per_task, count = ck_min(p->rows_per_task, p->rows - begin);
  p->readers->rows(
    p->format, count, p->columns, p->blocks + begin * p->row_bytes, p->type,
    p->out + begin * p->columns * ck_type_size(p->type));
}

void ck_dequantize(
    const ck_context *context, ck_block_format format, int64_t rows, int64_t columns, const void *blocks, ck_type type,
    void *out) {
  if (rows == 0 || columns == 0) return;
  dequantize_plan plan = {
    ck_block_readers_for(context), format, rows, columns, ck_block_row_bytes(format, columns),
    ck_rows_per_task(columns, CK_GRAIN / 2), blocks, type, out,
  };
  ck_run(context, ck_ceil_div(rows, plan.rows_per_task), dequantize_task, &plan);
}
