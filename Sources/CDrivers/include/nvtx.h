// NVIDIA's tools extension, opened at run time: named ranges of time for a profiler that listens (Nsight Systems).
//
// Names: NVTX 3, nvToolsExt.h; both libraries below export them.
#ifndef CDRIVERS_NVTX_H
#define CDRIVERS_NVTX_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  int32_t (*nvtxRangePushA)(const char *name);  // the depth from 0, or below 0 if nobody listens
  int32_t (*nvtxRangePop)(void);
} nvtx_library;

// Opens the library at `path` (NULL: libnvToolsExt.so.1 or libnvtx3interop.so.1) and fills `library`. 0: done;
// otherwise `error` gets a text.
int32_t nvtx_open(const char *path, nvtx_library *library, char *error, size_t room);

#endif
