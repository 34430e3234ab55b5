// Finds the functions of the management library.
#include "nvml.h"

#include "library.h"

int32_t nvml_open(const char *path, nvml_library *library, char *error, size_t room) {
  const char *names[] = {path ? path : "libnvidia-ml.so.1"};
  void *handle = library_open(names, 1, error, room);
  if (!handle) return 1;
#define NVML_FIND(name, parameters) *(void **)&library->name = dlsym(handle, #name);
  NVML_FUNCTIONS(NVML_FIND)
#undef NVML_FIND
  // Its name before driver 535.
  if (!library->nvmlDeviceGetCurrentClocksEventReasons) {
    *(void **)&library->nvmlDeviceGetCurrentClocksEventReasons =
      dlsym(handle, "nvmlDeviceGetCurrentClocksThrottleReasons");
  }
#define NVML_CHECK(name, parameters)                                                                                   \
  if (!library->name) {                                                                                                \
    if (room > 0) snprintf(error, room, "it has no " #name);                                                           \
    return 1;                                                                                                          \
  }
  NVML_FUNCTIONS(NVML_CHECK)
#undef NVML_CHECK
  return 0;
}
