// The fake driver's assembler: a cubin is "CUBIN" and the text. It finds kernels and the sizes of their parameters, and
// writes logs as the real one does.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_state.h"

struct cuda_linker_s {
  char *info;
  size_t info_room;
  char *errors;
  size_t errors_room;
  char *cubin;
  size_t bytes;
};

static char options_text[256];
const char *fake_cuda_options(void) { return options_text; }

static struct cuda_linker_s logs(uint32_t count, const cuda_jit_option *options, void **values) {
  struct cuda_linker_s result = {0};
  options_text[0] = 0;
  for (uint32_t i = 0; i < count; i++) {
    size_t length = strlen(options_text);
    snprintf(options_text + length, sizeof(options_text) - length, "%s%d", i ? " " : "", (int)options[i]);
    switch (options[i]) {
      case CUDA_JIT_INFO_LOG_BUFFER: result.info = values[i]; break;
      case CUDA_JIT_INFO_LOG_BUFFER_SIZE_BYTES: result.info_room = (size_t)values[i]; break;
      case CUDA_JIT_ERROR_LOG_BUFFER: result.errors = values[i]; break;
      case CUDA_JIT_ERROR_LOG_BUFFER_SIZE_BYTES: result.errors_room = (size_t)values[i]; break;
      case CUDA_JIT_TARGET:
        length = strlen(options_text);
        snprintf(options_text + length, sizeof(options_text) - length, "=%zu", (size_t)values[i]);
        break;
      default: break;
    }
  }
  return result;
}

// Texts that were assembled before, as the driver's own cache has them.
static uint64_t known[64];
static int known_count;
static bool is_known(const char *text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char *c = text; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001B3;
  for (int i = 0; i < known_count; i++) {
    if (known[i] == hash) return true;
  }
  if (known_count < 64) known[known_count++] = hash;
  return false;
}

static cuda_result assemble(const char *text, bool is_linked, struct cuda_linker_s *logs) {
  if (fake_cuda.refuses_text || !strstr(text, ".version")) {
    if (logs->errors) {
      snprintf(logs->errors, logs->errors_room, "ptxas application ptx input, line 1; fatal : refused\n");
    }
    return CUDA_ERROR_INVALID_PTX;
  }
  if (!logs->info) return CUDA_SUCCESS;
  bool is_cached = fake_cuda.keeps_code && is_known(text);
  const char *ignored = is_linked && strstr(text, "setmaxnreg")
                          ? "ptxas info    : (C7504) Potential Performance Loss: 'setmaxnreg' ignored to maintain "
                            "compatibility across compilation units.\n"
                          : "";
  if (is_cached) {
    snprintf(logs->info, logs->info_room, "info    : used 8 registers, 0 stack, 0 bytes lmem\n");
  } else {
    const char *sizes = "ptxas info    : 0 bytes gmem\nptxas info    : Compiling entry function 'k'\n";
    snprintf(logs->info, logs->info_room, "%s%s%s", ignored, fake_cuda.notes, sizes);
  }
  return CUDA_SUCCESS;
}

static size_t size_of(const char *type) {
  int bits = 0;
  while (*type && !isdigit((unsigned char)*type)) type++;
  sscanf(type, "%d", &bits);
  return (size_t)bits / 8;
}

// Finds ".entry name(.param [.align n] .type name[count], …)".
static void find_kernels(const char *text, cuda_module module) {
  for (const char *at = strstr(text, ".entry "); at && module->count < 8; at = strstr(at, ".entry ")) {
    at += strlen(".entry ");
    fake_kernel *kernel = &module->kernels[module->count++];
    size_t length = strcspn(at, "( \n");
    snprintf(kernel->name, sizeof(kernel->name), "%.*s", (int)length, at);
    at += strcspn(at, "({");
    if (*at != '(') continue;
    const char *end = strchr(at, ')');
    for (const char *parameter = strstr(at, ".param"); parameter && parameter < end && kernel->count < 8;
         parameter = strstr(parameter, ".param")) {
      parameter += strlen(".param");
      const char *stop = parameter + strcspn(parameter, ",)");
      const char *type = strchr(parameter, '.');
      if (!strncmp(type, ".align", 6)) type = strchr(type + 6, '.');
      const char *count = memchr(type, '[', (size_t)(stop - type));
      kernel->bytes[kernel->count++] = size_of(type) * (count ? strtoul(count + 1, NULL, 10) : 1);
    }
  }
}

cuda_result fake_cuModuleLoadDataEx(
  cuda_module *module, const void *image, uint32_t count, cuda_jit_option *options, void **values) {
  ENTER(cuModuleLoadDataEx);
  NEEDS_CONTEXT();
  const char *text = image;
  if (!strncmp(text, "CUBIN", 5)) {
    text += 5;
    if (!strstr(text, ".version")) return CUDA_ERROR_INVALID_IMAGE;
  } else {
    struct cuda_linker_s buffers = logs(count, options, values);
    cuda_result result = assemble(text, false, &buffers);
    if (result != CUDA_SUCCESS) return result;
  }
  *module = calloc(1, sizeof(struct cuda_module_s));
  find_kernels(text, *module);
  fake_made("modules", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuModuleUnload(cuda_module module) {
  ENTER(cuModuleUnload);
  NEEDS_CONTEXT();
  free(module);
  fake_made("modules", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuModuleGetFunction(cuda_function *function, cuda_module module, const char *name) {
  ENTER(cuModuleGetFunction);
  NEEDS_CONTEXT();
  for (int32_t i = 0; i < module->count; i++) {
    if (!strcmp(module->kernels[i].name, name)) {
      *function = (cuda_function)&module->kernels[i];
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_NOT_FOUND;
}

cuda_result fake_cuModuleGetGlobal(cuda_address *address, size_t *bytes, cuda_module module, const char *name) {
  ENTER(cuModuleGetGlobal);
  NEEDS_CONTEXT();
  if (strcmp(name, "table")) return CUDA_ERROR_NOT_FOUND;
  *address = (cuda_address)(uintptr_t)module;
  *bytes = 64;
  return CUDA_SUCCESS;
}

cuda_result fake_cuLinkCreate(uint32_t count, cuda_jit_option *options, void **values, cuda_linker *linker) {
  ENTER(cuLinkCreate);
  NEEDS_CONTEXT();
  if (!fake_cuda.links) return CUDA_ERROR_INVALID_VALUE;
  *linker = malloc(sizeof(struct cuda_linker_s));
  **linker = logs(count, options, values);
  fake_made("linkers", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuLinkAddData(
  cuda_linker linker, cuda_jit_input input, void *data, size_t bytes, const char *name, uint32_t count,
  cuda_jit_option *options, void **values) {
  ENTER(cuLinkAddData);
  NEEDS_CONTEXT();
  (void)name;
  const char *text = data;
  if (input != CUDA_JIT_INPUT_PTX || text[bytes - 1] || count || options || values) return CUDA_ERROR_INVALID_VALUE;
  cuda_result result = assemble(text, true, linker);
  if (result != CUDA_SUCCESS) return result;
  linker->bytes = bytes + 5;
  linker->cubin = malloc(linker->bytes);
  memcpy(linker->cubin, "CUBIN", 5);
  memcpy(linker->cubin + 5, data, bytes);
  return CUDA_SUCCESS;
}

cuda_result fake_cuLinkComplete(cuda_linker linker, void **cubin, size_t *bytes) {
  ENTER(cuLinkComplete);
  NEEDS_CONTEXT();
  *cubin = linker->cubin;
  *bytes = linker->bytes;
  return CUDA_SUCCESS;
}

cuda_result fake_cuLinkDestroy(cuda_linker linker) {
  ENTER(cuLinkDestroy);
  NEEDS_CONTEXT();
  free(linker->cubin);
  free(linker);
  fake_made("linkers", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuFuncGetAttribute(int32_t *value, cuda_function_attribute attribute, cuda_function function) {
  ENTER(cuFuncGetAttribute);
  NEEDS_CONTEXT();
  (void)function;
  switch (attribute) {
    case CUDA_FUNCTION_MAX_THREADS_PER_BLOCK: *value = 512; break;
    case CUDA_FUNCTION_SHARED_SIZE_BYTES: *value = 1024; break;
    case CUDA_FUNCTION_LOCAL_SIZE_BYTES: *value = 0; break;
    case CUDA_FUNCTION_NUM_REGS: *value = 40; break;
    case CUDA_FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = 48 * 1024 - 1024; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

cuda_result fake_cuFuncSetAttribute(cuda_function function, cuda_function_attribute attribute, int32_t value) {
  ENTER(cuFuncSetAttribute);
  NEEDS_CONTEXT();
  fake_say("set %s %d = %d\n", ((fake_kernel *)function)->name, (int)attribute, value);
  return CUDA_SUCCESS;
}

cuda_result fake_cuOccupancyMaxActiveBlocksPerMultiprocessor(
  int32_t *blocks, cuda_function function, int32_t threads, size_t dynamic_shared_bytes) {
  ENTER(cuOccupancyMaxActiveBlocksPerMultiprocessor);
  NEEDS_CONTEXT();
  (void)function;
  *blocks = (int32_t)(233472 / (dynamic_shared_bytes + 2048));
  if (*blocks > 2048 / threads) *blocks = 2048 / threads;
  return CUDA_SUCCESS;
}

cuda_result fake_cuOccupancyMaxActiveClusters(
  int32_t *clusters, cuda_function function, const cuda_launch_configuration *configuration) {
  ENTER(cuOccupancyMaxActiveClusters);
  NEEDS_CONTEXT();
  (void)function;
  if (configuration->attribute_count < 1) return CUDA_ERROR_INVALID_VALUE;
  *clusters = 132 / (int32_t)configuration->attributes[0].value.cluster.x;
  return CUDA_SUCCESS;
}
