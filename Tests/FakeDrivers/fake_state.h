// What the parts of the fake driver share.
#ifndef FAKE_STATE_H
#define FAKE_STATE_H

#include <pthread.h>
#include <stdbool.h>

#include "fake_cuda.h"

struct cuda_context_s {
  int32_t device;
  int32_t retained;
};

// Work of a stream or of a graph.
typedef struct operation {
  enum { OPERATION_COPY, OPERATION_FILL8, OPERATION_FILL32, OPERATION_LAUNCH } kind;
  cuda_address to, from;
  size_t bytes;
  uint32_t value;
  fake_cuda_launch launch;
  struct operation *next;
} operation;

struct cuda_graph_s {
  operation *first, *last;
  size_t count;
};

struct cuda_stream_s {
  cuda_context context;
  cuda_graph capture;  // NULL: not capturing
};

// The parameters of the kernels in a text of PTX.
typedef struct {
  char name[64];
  int32_t count;
  size_t bytes[8];
} fake_kernel;

struct cuda_module_s {
  int32_t count;
  fake_kernel kernels[8];
};

extern fake_cuda_settings fake_cuda;
extern fake_cuda_launch fake_last;
extern pthread_mutex_t fake_lock;
extern _Thread_local cuda_context fake_current;

// Counts a call; true if it is to fail, with `result`.
bool fake_enter(const char *function, cuda_result *result);
void fake_leave(const int *token);
void fake_made(const char *kind, int32_t change);
void fake_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Memory: of a device (`device` >= 0) or of the host.
void *fake_allocate(int32_t device, size_t bytes);
bool fake_free(void *memory);
// Whether the bytes are within one allocation of a device, or anywhere on the host.
bool fake_is_device_memory(cuda_address address, size_t bytes);
size_t fake_used(int32_t device);
void fake_forget_memory(void);

// Runs or keeps an operation.
cuda_result fake_start(cuda_stream stream, operation operation);
void fake_run(const operation *operation);

// The beginning of each function; its lock is held until it returns.
#define ENTER(name)                                                                                                    \
  pthread_mutex_lock(&fake_lock);                                                                                      \
  __attribute__((cleanup(fake_leave))) int token = 0;                                                                  \
  (void)token;                                                                                                         \
  cuda_result failure;                                                                                                 \
  if (fake_enter(#name, &failure)) return failure
#define NEEDS_CONTEXT()                                                                                                \
  if (!fake_current || fake_current->retained < 1) return CUDA_ERROR_INVALID_CONTEXT

#define NEEDS_STREAM(stream)                                                                                           \
  NEEDS_CONTEXT();                                                                                                     \
  if ((stream)->context != fake_current) return CUDA_ERROR_INVALID_CONTEXT

#define DECLARE(name, parameters) cuda_result fake_##name parameters;
CUDA_DRIVER_FUNCTIONS(DECLARE)
#undef DECLARE

#endif
