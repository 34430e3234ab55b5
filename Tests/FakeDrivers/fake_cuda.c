// The fake driver's functions but those that assemble.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_state.h"

static struct cuda_context_s contexts[8];
// Milliseconds: a launch takes a quarter of one, whatever it does.
static double now;

struct cuda_event_s {
  double time;
};
struct cuda_memory_pool_s {
  int32_t device;
  uint64_t threshold;
  size_t most;
};

// MARK: Driver and devices

cuda_result fake_cuInit(uint32_t flags) {
  ENTER(cuInit);
  memset(contexts, 0, sizeof(contexts));
  now = 0;
  return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

cuda_result fake_cuDriverGetVersion(int32_t *version) {
  ENTER(cuDriverGetVersion);
  *version = fake_cuda.version;
  return CUDA_SUCCESS;
}

cuda_result fake_cuGetErrorName(cuda_result result, const char **name) {
  switch (result) {
    case CUDA_ERROR_INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case CUDA_ERROR_OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case CUDA_ERROR_NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case CUDA_ERROR_INVALID_PTX: *name = "CUDA_ERROR_INVALID_PTX"; break;
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION: *name = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    default: *name = NULL; return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

cuda_result fake_cuGetErrorString(cuda_result result, const char **string) {
  *string = result == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : NULL;
  return *string ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

cuda_result fake_cuDeviceGetCount(int32_t *count) {
  ENTER(cuDeviceGetCount);
  *count = fake_cuda.devices;
  return CUDA_SUCCESS;
}

cuda_result fake_cuDeviceGet(cuda_device *device, int32_t ordinal) {
  ENTER(cuDeviceGet);
  *device = ordinal;
  return ordinal < fake_cuda.devices ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

cuda_result fake_cuDeviceGetName(char *name, int32_t room, cuda_device device) {
  ENTER(cuDeviceGetName);
  snprintf(name, (size_t)room, "Fake H200 %d", device);
  return CUDA_SUCCESS;
}

cuda_result fake_cuDeviceGetPCIBusId(char *name, int32_t room, cuda_device device) {
  ENTER(cuDeviceGetPCIBusId);
  snprintf(name, (size_t)room, "0000:%02X:00.0", 27 + device);
  return CUDA_SUCCESS;
}

cuda_result fake_cuDeviceTotalMem(size_t *bytes, cuda_device device) {
  ENTER(cuDeviceTotalMem);
  (void)device;
  *bytes = fake_cuda.memory;
  return CUDA_SUCCESS;
}

cuda_result fake_cuDeviceGetAttribute(int32_t *value, cuda_device_attribute attribute, cuda_device device) {
  ENTER(cuDeviceGetAttribute);
  (void)device;
  switch (attribute) {
    case CUDA_DEVICE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CUDA_DEVICE_CLOCK_RATE: *value = 1980000; break;
    case CUDA_DEVICE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CUDA_DEVICE_MEMORY_CLOCK_RATE: *value = 3201000; break;
    case CUDA_DEVICE_GLOBAL_MEMORY_BUS_WIDTH: *value = 6144; break;
    case CUDA_DEVICE_L2_CACHE_SIZE: *value = 50 << 20; break;
    case CUDA_DEVICE_COMPUTE_CAPABILITY_MAJOR: *value = fake_cuda.capability / 10; break;
    case CUDA_DEVICE_COMPUTE_CAPABILITY_MINOR: *value = fake_cuda.capability % 10; break;
    case CUDA_DEVICE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 232448; break;
    case CUDA_DEVICE_MEMORY_POOLS_SUPPORTED: *value = fake_cuda.has_pools; break;
    case CUDA_DEVICE_CLUSTER_LAUNCH: *value = fake_cuda.capability >= 90; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

cuda_result fake_cuDevicePrimaryCtxRetain(cuda_context *context, cuda_device device) {
  ENTER(cuDevicePrimaryCtxRetain);
  contexts[device].device = device;
  contexts[device].retained++;
  fake_made("contexts", 1);
  *context = &contexts[device];
  return CUDA_SUCCESS;
}

cuda_result fake_cuDevicePrimaryCtxRelease(cuda_device device) {
  ENTER(cuDevicePrimaryCtxRelease);
  contexts[device].retained--;
  fake_made("contexts", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuCtxSetCurrent(cuda_context context) {
  ENTER(cuCtxSetCurrent);
  fake_current = context;
  return CUDA_SUCCESS;
}

cuda_result fake_cuCtxSynchronize(void) {
  ENTER(cuCtxSynchronize);
  NEEDS_CONTEXT();
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemGetInfo(size_t *free, size_t *total) {
  ENTER(cuMemGetInfo);
  NEEDS_CONTEXT();
  *total = fake_cuda.memory;
  *free = fake_cuda.memory - fake_used(fake_current->device);
  return CUDA_SUCCESS;
}

cuda_result fake_cuDeviceCanAccessPeer(int32_t *can, cuda_device device, cuda_device peer) {
  ENTER(cuDeviceCanAccessPeer);
  *can = device != peer && fake_cuda.can_reach_peers;
  return CUDA_SUCCESS;
}

// MARK: Streams and events

cuda_result fake_cuStreamCreate(cuda_stream *stream, uint32_t flags) {
  ENTER(cuStreamCreate);
  NEEDS_CONTEXT();
  if (flags != CUDA_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  *stream = calloc(1, sizeof(struct cuda_stream_s));
  (*stream)->context = fake_current;
  fake_made("streams", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuStreamDestroy(cuda_stream stream) {
  ENTER(cuStreamDestroy);
  NEEDS_STREAM(stream);
  free(stream);
  fake_made("streams", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuStreamSynchronize(cuda_stream stream) {
  ENTER(cuStreamSynchronize);
  NEEDS_STREAM(stream);
  return stream->capture ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

cuda_result fake_cuStreamWaitEvent(cuda_stream stream, cuda_event event, uint32_t flags) {
  ENTER(cuStreamWaitEvent);
  NEEDS_STREAM(stream);
  return stream && event && flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

cuda_result fake_cuEventCreate(cuda_event *event, uint32_t flags) {
  ENTER(cuEventCreate);
  NEEDS_CONTEXT();
  (void)flags;
  *event = calloc(1, sizeof(struct cuda_event_s));
  fake_made("events", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuEventDestroy(cuda_event event) {
  ENTER(cuEventDestroy);
  NEEDS_CONTEXT();
  free(event);
  fake_made("events", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuEventRecord(cuda_event event, cuda_stream stream) {
  ENTER(cuEventRecord);
  NEEDS_STREAM(stream);
  event->time = now;
  return CUDA_SUCCESS;
}

cuda_result fake_cuEventQuery(cuda_event event) {
  ENTER(cuEventQuery);
  NEEDS_CONTEXT();
  (void)event;
  return CUDA_SUCCESS;
}

cuda_result fake_cuEventSynchronize(cuda_event event) {
  ENTER(cuEventSynchronize);
  NEEDS_CONTEXT();
  (void)event;
  return CUDA_SUCCESS;
}

cuda_result fake_cuEventElapsedTime(float *milliseconds, cuda_event start, cuda_event end) {
  ENTER(cuEventElapsedTime);
  NEEDS_CONTEXT();
  *milliseconds = (float)(end->time - start->time);
  return CUDA_SUCCESS;
}

// MARK: Memory

cuda_result fake_cuMemPoolCreate(cuda_memory_pool *pool, const cuda_pool_properties *properties) {
  ENTER(cuMemPoolCreate);
  static const unsigned char zeros[54];
  if (properties->allocation != CUDA_ALLOCATION_PINNED || properties->location.type != CUDA_LOCATION_DEVICE ||
      properties->handles != CUDA_SHARED_HANDLE_NONE || properties->max_size || properties->usage ||
      memcmp(properties->reserved, zeros, sizeof(zeros))) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *pool = calloc(1, sizeof(struct cuda_memory_pool_s));
  (*pool)->device = properties->location.id;
  fake_made("pools", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemPoolDestroy(cuda_memory_pool pool) {
  ENTER(cuMemPoolDestroy);
  free(pool);
  fake_made("pools", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemPoolSetAttribute(cuda_memory_pool pool, cuda_pool_attribute attribute, void *value) {
  ENTER(cuMemPoolSetAttribute);
  if (attribute != CUDA_POOL_RELEASE_THRESHOLD) return CUDA_ERROR_INVALID_VALUE;
  memcpy(&pool->threshold, value, 8);
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemPoolGetAttribute(cuda_memory_pool pool, cuda_pool_attribute attribute, void *value) {
  ENTER(cuMemPoolGetAttribute);
  bool is_most = attribute == CUDA_POOL_USED_HIGH || attribute == CUDA_POOL_RESERVED_HIGH;
  uint64_t bytes = is_most ? pool->most : fake_used(pool->device);
  memcpy(value, &bytes, 8);
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemPoolTrimTo(cuda_memory_pool pool, size_t bytes) {
  ENTER(cuMemPoolTrimTo);
  (void)pool, (void)bytes;
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemPoolSetAccess(
  cuda_memory_pool pool, const cuda_access_description *descriptions, size_t count) {
  ENTER(cuMemPoolSetAccess);
  for (size_t i = 0; i < count; i++) {
    fake_say("share %d with %d: %d\n", pool->device, descriptions[i].location.id, (int)descriptions[i].access);
  }
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemAllocFromPoolAsync(
  cuda_address *address, size_t bytes, cuda_memory_pool pool, cuda_stream stream) {
  ENTER(cuMemAllocFromPoolAsync);
  NEEDS_STREAM(stream);
  if (stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (fake_used(pool->device) + bytes > fake_cuda.memory) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = (cuda_address)(uintptr_t)fake_allocate(pool->device, bytes);
  if (fake_used(pool->device) > pool->most) pool->most = fake_used(pool->device);
  fake_made("allocations", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemFreeAsync(cuda_address address, cuda_stream stream) {
  ENTER(cuMemFreeAsync);
  NEEDS_STREAM(stream);
  if (stream->capture || !fake_free((void *)(uintptr_t)address)) return CUDA_ERROR_INVALID_VALUE;
  fake_made("allocations", -1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemHostAlloc(void **host, size_t bytes, uint32_t flags) {
  ENTER(cuMemHostAlloc);
  NEEDS_CONTEXT();
  if (flags != CUDA_HOST_MEMORY_PORTABLE) return CUDA_ERROR_INVALID_VALUE;
  *host = fake_allocate(-1, bytes);
  fake_made("host", 1);
  return CUDA_SUCCESS;
}

cuda_result fake_cuMemFreeHost(void *host) {
  ENTER(cuMemFreeHost);
  NEEDS_CONTEXT();
  if (!fake_free(host)) return CUDA_ERROR_INVALID_VALUE;
  fake_made("host", -1);
  return CUDA_SUCCESS;
}

// MARK: Work

void fake_run(const operation *operation) {
  void *to = (void *)(uintptr_t)operation->to;
  switch (operation->kind) {
    case OPERATION_COPY:
      memmove(to, (void *)(uintptr_t)operation->from, operation->bytes);
      fake_say("copy %zu\n", operation->bytes);
      break;
    case OPERATION_FILL8:
      memset(to, (int)operation->value, operation->bytes);
      fake_say("fill8 %zu\n", operation->bytes);
      break;
    case OPERATION_FILL32:
      for (size_t i = 0; i < operation->bytes / 4; i++) ((uint32_t *)to)[i] = operation->value;
      fake_say("fill32 %zu\n", operation->bytes / 4);
      break;
    case OPERATION_LAUNCH: {
      now += 0.25;
      fake_say("launch %s\n", operation->launch.kernel);
      // The one kernel: scale(u64 floats, u32 count, f32 factor).
      if (strcmp(operation->launch.kernel, "scale")) break;
      float *values, factor;
      uint32_t count;
      memcpy(&values, operation->launch.parameters[0], 8);
      memcpy(&count, operation->launch.parameters[1], 4);
      memcpy(&factor, operation->launch.parameters[2], 4);
      for (uint32_t i = 0; i < count; i++) values[i] *= factor;
      break;
    }
  }
}

static cuda_result copy(
  cuda_stream stream, cuda_address to, cuda_address from, size_t bytes, bool to_device, bool from_device) {
  if ((to_device && !fake_is_device_memory(to, bytes)) || (from_device && !fake_is_device_memory(from, bytes))) {
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  }
  return fake_start(stream, (operation){.kind = OPERATION_COPY, .to = to, .from = from, .bytes = bytes});
}

cuda_result fake_cuMemcpyHtoDAsync(cuda_address to, const void *from, size_t bytes, cuda_stream stream) {
  ENTER(cuMemcpyHtoDAsync);
  NEEDS_STREAM(stream);
  return copy(stream, to, (cuda_address)(uintptr_t)from, bytes, true, false);
}

cuda_result fake_cuMemcpyDtoHAsync(void *to, cuda_address from, size_t bytes, cuda_stream stream) {
  ENTER(cuMemcpyDtoHAsync);
  NEEDS_STREAM(stream);
  return copy(stream, (cuda_address)(uintptr_t)to, from, bytes, false, true);
}

cuda_result fake_cuMemcpyDtoDAsync(cuda_address to, cuda_address from, size_t bytes, cuda_stream stream) {
  ENTER(cuMemcpyDtoDAsync);
  NEEDS_STREAM(stream);
  return copy(stream, to, from, bytes, true, true);
}

cuda_result fake_cuMemcpyPeerAsync(
  cuda_address to, cuda_context to_context, cuda_address from, cuda_context from_context, size_t bytes,
  cuda_stream stream) {
  ENTER(cuMemcpyPeerAsync);
  NEEDS_STREAM(stream);
  fake_say("peer %d to %d: ", from_context->device, to_context->device);
  return copy(stream, to, from, bytes, true, true);
}

cuda_result fake_cuMemsetD8Async(cuda_address to, unsigned char value, size_t count, cuda_stream stream) {
  ENTER(cuMemsetD8Async);
  NEEDS_STREAM(stream);
  if (!fake_is_device_memory(to, count)) return CUDA_ERROR_ILLEGAL_ADDRESS;
  return fake_start(stream, (operation){.kind = OPERATION_FILL8, .to = to, .bytes = count, .value = value});
}

cuda_result fake_cuMemsetD32Async(cuda_address to, uint32_t value, size_t count, cuda_stream stream) {
  ENTER(cuMemsetD32Async);
  NEEDS_STREAM(stream);
  if (!fake_is_device_memory(to, count * 4)) return CUDA_ERROR_ILLEGAL_ADDRESS;
  return fake_start(stream, (operation){.kind = OPERATION_FILL32, .to = to, .bytes = count * 4, .value = value});
}

cuda_result fake_cuLaunchKernelEx(
  const cuda_launch_configuration *configuration, cuda_function function, void **arguments, void **extra) {
  ENTER(cuLaunchKernelEx);
  NEEDS_STREAM(configuration->stream);
  if (extra || configuration->attribute_count > 4) return CUDA_ERROR_INVALID_VALUE;
  const fake_kernel *kernel = (const fake_kernel *)function;
  fake_cuda_launch launch = {.configuration = *configuration, .parameter_count = kernel->count};
  snprintf(launch.kernel, sizeof(launch.kernel), "%s", kernel->name);
  for (uint32_t i = 0; i < configuration->attribute_count; i++) launch.attributes[i] = configuration->attributes[i];
  for (int32_t i = 0; i < kernel->count; i++) {
    launch.parameter_bytes[i] = kernel->bytes[i];
    memcpy(launch.parameters[i], arguments[i], kernel->bytes[i]);
  }
  fake_last = launch;
  return fake_start(configuration->stream, (operation){.kind = OPERATION_LAUNCH, .launch = launch});
}

// The parameters, one after the other, so that a test finds each.
cuda_result fake_cuTensorMapEncodeTiled(
  void *map, cuda_tensor_map_choice element, uint32_t rank, void *address, const uint64_t *dimensions,
  const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides, cuda_tensor_map_choice interleave,
  cuda_tensor_map_choice swizzle, cuda_tensor_map_choice promotion, cuda_tensor_map_choice fill) {
  ENTER(cuTensorMapEncodeTiled);
  if ((uintptr_t)map % CUDA_TENSOR_MAP_ALIGNMENT) return CUDA_ERROR_INVALID_VALUE;
  memset(map, 0, CUDA_TENSOR_MAP_BYTES);
  unsigned char *bytes = map;
  uint64_t place = (uint64_t)(uintptr_t)address;
  unsigned char choices[] = {(unsigned char)element, (unsigned char)rank,      (unsigned char)interleave,
                             (unsigned char)swizzle, (unsigned char)promotion, (unsigned char)fill};
  memcpy(bytes, choices, sizeof(choices));
  memcpy(bytes + 8, &place, 8);
  for (uint32_t i = 0; i < rank; i++) {
    memcpy(bytes + 16 + 8 * i, &dimensions[i], 8);
    if (i + 1 < rank) memcpy(bytes + 56 + 8 * i, &strides[i], 8);
    bytes[96 + i] = (unsigned char)box[i];
    bytes[104 + i] = (unsigned char)element_strides[i];
  }
  return CUDA_SUCCESS;
}
