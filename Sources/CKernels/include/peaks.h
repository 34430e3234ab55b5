// What the machine can do at most: multiply-adds on registers, and bytes moved by plain passes over memory. These are
// the roofs of a roofline: Williams, Waterman, Patterson (2009), doi:10.1145/1498765.1498785. The caller has the watch.
#ifndef CK_PEAKS_H
#define CK_PEAKS_H

#include "context.h"

// Runs the widest multiply-add that the context's instruction set has for `type` (f32; bf16 and i8 with 32-bit sums) on
// registers alone: `tasks` tasks of `rounds` rounds. Returns the operations done, a multiply-add counted as two; 0 if
// there is no instruction for that type.
int64_t ck_peak_operations(const ck_context *context, ck_type type, int64_t tasks, int64_t rounds);

typedef enum {
  CK_STREAM_READ = 0,   // sum of a
  CK_STREAM_WRITE = 1,  // c = a constant, past the caches
  CK_STREAM_COPY = 2,   // c = a
  CK_STREAM_TRIAD = 3,  // c = a + s b
  CK_STREAM_UPDATE = 4, // c = c + s a
} ck_stream;

// One pass over `count` floats; returns the bytes that the program moved (not those of reading a line before it is
// written). Pointers that the pass does not use may be NULL; all are 64-byte aligned.
int64_t ck_stream_pass(
  const ck_context *context, ck_stream stream, int64_t count, const float *a, const float *b, float *c);

#endif
