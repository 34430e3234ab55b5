// Closes the vector section that simd_begin.h opened.
#pragma clang attribute pop
