// A CUDA driver for tests: it has the functions of the real one, keeps memory on the heap, runs one kernel, and writes
// down what is asked of it.
//
// It is stricter than the real one where that finds mistakes: a call without the right context current on its thread
// fails, and so does a copy that leaves an allocation. There is one such driver in a process, so its tests run one after
// the other.
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

#include <stddef.h>
#include <stdint.h>

#include "cuda_driver.h"
#include "nvml.h"
#include "nvtx.h"

// What the driver is like; `fake_cuda_reset` sets the defaults.
typedef struct {
  int32_t version;              // 13000
  int32_t devices;              // 2
  int32_t capability;           // 90
  int32_t has_pools;            // 1
  int32_t can_reach_peers;      // 1
  int32_t has_old_entries_only; // 0; 1: cuTensorMapEncodeTiled is missing
  int32_t links;                // 1; 0: the linker refuses everything
  int32_t refuses_text;         // 0; 1: the assembler refuses everything
  int32_t keeps_code;           // 0; 1: code that was assembled before is taken from a cache, and its log has no notes
  size_t memory;                // bytes of each device, 1 << 20
  const char *notes;            // "": lines that the assembler adds to its log
} fake_cuda_settings;

// To be changed before the driver is opened.
fake_cuda_settings *fake_cuda_set(void);

// Forgets everything.
void fake_cuda_reset(void);
// The n-th call of a function from here on, from 1, does nothing but return `result`.
void fake_cuda_fail(const char *function, int32_t n, cuda_result result);
// Finds functions, as the driver's cuGetProcAddress does.
cuda_result fake_cuda_get(const char *name, void **function, int32_t version, uint64_t flags, uint32_t *status);

// How often a function was called.
int32_t fake_cuda_calls(const char *function);
// Contexts, streams, events, pools, allocations, host, modules, linkers, graphs, executables that were made and not
// given back.
int32_t fake_cuda_live(const char *kind);
// Everything that took effect on a device, a line each.
const char *fake_cuda_log(void);
// The options of the last cuLinkCreate or cuModuleLoadDataEx, as "3 4 5 6 12 9=65626".
const char *fake_cuda_options(void);

// The last launch that was asked for, also while capturing.
typedef struct {
  char kernel[64];
  cuda_launch_configuration configuration;
  cuda_launch_attribute attributes[4];
  int32_t parameter_count;
  size_t parameter_bytes[8];
  unsigned char parameters[8][128];
} fake_cuda_launch;
fake_cuda_launch fake_cuda_last_launch(void);

// A management library and a tools extension, which write down what is asked of them: "push a;pop;".
nvml_library fake_nvml(void);
nvtx_library fake_nvtx(void);
const char *fake_nvtx_log(void);

#endif
