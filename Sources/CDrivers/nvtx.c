// Finds the functions of the tools extension.
#include "nvtx.h"

#include "library.h"

int32_t nvtx_open(const char *path, nvtx_library *library, char *error, size_t room) {
  const char *names[] = {path ? path : "libnvToolsExt.so.1", "libnvtx3interop.so.1"};
  void *handle = library_open(names, path ? 1 : 2, error, room);
  if (!handle) return 1;
  *(void **)&library->nvtxRangePushA = dlsym(handle, "nvtxRangePushA");
  *(void **)&library->nvtxRangePop = dlsym(handle, "nvtxRangePop");
  if (library->nvtxRangePushA && library->nvtxRangePop) return 0;
  library_error(error, room);
  return 1;
}
