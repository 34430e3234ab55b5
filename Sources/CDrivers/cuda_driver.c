// Finds the driver's functions.
#include "cuda_driver.h"

#include <stdio.h>

#include "library.h"

static const struct {
  const char *name;
  size_t offset;
} functions[] = {
#define CUDA_DRIVER_ENTRY(name, parameters) {#name, offsetof(cuda_driver, name)},
  CUDA_DRIVER_FUNCTIONS(CUDA_DRIVER_ENTRY)
#undef CUDA_DRIVER_ENTRY
};

cuda_open_result cuda_driver_fill(cuda_get_function get, cuda_driver *driver, char *error, size_t room) {
  for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
    void *function = NULL;
    uint32_t status = 0;
    // Flags 0: the default stream is the legacy one; we never use it.
    cuda_result result = get(functions[i].name, &function, CUDA_DRIVER_INTERFACE, 0, &status);
    if (result != CUDA_SUCCESS || !function) {
      if (room > 0) snprintf(error, room, "%s", functions[i].name);
      return CUDA_MISSING_FUNCTION;
    }
    *(void **)((char *)driver + functions[i].offset) = function;
  }
  return CUDA_OPENED;
}

cuda_open_result cuda_driver_open(const char *path, cuda_driver *driver, char *error, size_t room) {
  const char *names[] = {path ? path : "libcuda.so.1"};
  void *library = library_open(names, 1, error, room);
  if (!library) return CUDA_NO_LIBRARY;
  cuda_get_function get = (cuda_get_function)dlsym(library, "cuGetProcAddress_v2");
  if (!get) {
    library_error(error, room);
    return CUDA_NO_ENTRY;
  }
  return cuda_driver_fill(get, driver, error, room);
}
