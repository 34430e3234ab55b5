// The CUDA driver (libcuda.so.1), opened at run time: our own declarations of the part of its interface that we call.
//
// Nothing is linked and no header of the driver is needed. A function has the name and the parameters that it has in
// CUDA 12.0, which every driver from 525 on offers under that number, whatever came later (cuGetProcAddress).
// Numbers, layouts and signatures: CUDA driver API 13.0, cuda.h and cudaTypedefs.h.
#ifndef CDRIVERS_CUDA_DRIVER_H
#define CDRIVERS_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

// MARK: Handles

typedef int32_t cuda_device;
typedef uint64_t cuda_address;
typedef struct cuda_context_s *cuda_context;
typedef struct cuda_stream_s *cuda_stream;
typedef struct cuda_event_s *cuda_event;
typedef struct cuda_module_s *cuda_module;
typedef struct cuda_function_s *cuda_function;
typedef struct cuda_memory_pool_s *cuda_memory_pool;
typedef struct cuda_linker_s *cuda_linker;
typedef struct cuda_graph_s *cuda_graph;
typedef struct cuda_graph_node_s *cuda_graph_node;
typedef struct cuda_executable_graph_s *cuda_executable_graph;

// MARK: Numbers

// What a call returns: those that we tell apart. Any other number may come, too.
typedef enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_DEINITIALIZED = 4,
  CUDA_ERROR_STUB_LIBRARY = 34,
  CUDA_ERROR_DEVICE_UNAVAILABLE = 46,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_ECC_UNCORRECTABLE = 214,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_JIT_COMPILER_NOT_FOUND = 221,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_LAUNCH_TIMEOUT = 702,
  CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED = 704,
  CUDA_ERROR_ASSERT = 710,
  CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
  CUDA_ERROR_ILLEGAL_INSTRUCTION = 715,
  CUDA_ERROR_MISALIGNED_ADDRESS = 716,
  CUDA_ERROR_INVALID_ADDRESS_SPACE = 717,
  CUDA_ERROR_INVALID_PC = 718,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE = 720,
  CUDA_ERROR_TENSOR_MEMORY_LEAK = 721,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_SYSTEM_NOT_READY = 802,
  CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
  CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
  CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE = 910,
  CUDA_ERROR_INVALID_CLUSTER_SIZE = 912,
  CUDA_ERROR_UNKNOWN = 999,
} cuda_result;

typedef enum {
  CUDA_DEVICE_MAX_THREADS_PER_BLOCK = 1,
  CUDA_DEVICE_CLOCK_RATE = 13,  // kHz
  CUDA_DEVICE_MULTIPROCESSOR_COUNT = 16,
  CUDA_DEVICE_MEMORY_CLOCK_RATE = 36,        // kHz
  CUDA_DEVICE_GLOBAL_MEMORY_BUS_WIDTH = 37,  // bits
  CUDA_DEVICE_L2_CACHE_SIZE = 38,            // bytes
  CUDA_DEVICE_COMPUTE_CAPABILITY_MAJOR = 75,
  CUDA_DEVICE_COMPUTE_CAPABILITY_MINOR = 76,
  CUDA_DEVICE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
  CUDA_DEVICE_MEMORY_POOLS_SUPPORTED = 115,
  CUDA_DEVICE_CLUSTER_LAUNCH = 120,
} cuda_device_attribute;

typedef enum {
  CUDA_FUNCTION_MAX_THREADS_PER_BLOCK = 0,
  CUDA_FUNCTION_SHARED_SIZE_BYTES = 1,  // declared by the kernel
  CUDA_FUNCTION_LOCAL_SIZE_BYTES = 3,
  CUDA_FUNCTION_NUM_REGS = 4,
  CUDA_FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
  CUDA_FUNCTION_NON_PORTABLE_CLUSTER_SIZE_ALLOWED = 14,
} cuda_function_attribute;

typedef enum {
  CUDA_JIT_INFO_LOG_BUFFER = 3,
  CUDA_JIT_INFO_LOG_BUFFER_SIZE_BYTES = 4,  // in: room; out: filled
  CUDA_JIT_ERROR_LOG_BUFFER = 5,
  CUDA_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
  CUDA_JIT_TARGET = 9,  // 10 * major + minor, and one of the two below
  CUDA_JIT_LOG_VERBOSE = 12,
} cuda_jit_option;

enum {
  CUDA_JIT_TARGET_OF_CHIP = 0x10000,    // sm_90a
  CUDA_JIT_TARGET_OF_FAMILY = 0x20000,  // sm_100f
};

typedef enum { CUDA_JIT_INPUT_CUBIN = 0, CUDA_JIT_INPUT_PTX = 1 } cuda_jit_input;

enum { CUDA_STREAM_NON_BLOCKING = 1 };
enum { CUDA_EVENT_DEFAULT = 0, CUDA_EVENT_DISABLE_TIMING = 2 };
enum { CUDA_HOST_MEMORY_PORTABLE = 1 };

typedef enum { CUDA_CAPTURE_RELAXED = 2 } cuda_capture_mode;

typedef enum {
  CUDA_POOL_RELEASE_THRESHOLD = 4,  // uint64_t, all of them
  CUDA_POOL_RESERVED_CURRENT = 5,
  CUDA_POOL_RESERVED_HIGH = 6,
  CUDA_POOL_USED_CURRENT = 7,
  CUDA_POOL_USED_HIGH = 8,
} cuda_pool_attribute;

// MARK: Layouts

typedef enum { CUDA_LOCATION_DEVICE = 1 } cuda_location_type;
typedef struct {
  cuda_location_type type;
  int32_t id;
} cuda_location;

typedef enum { CUDA_ACCESS_NONE = 0, CUDA_ACCESS_READ_WRITE = 3 } cuda_access;
typedef struct {
  cuda_location location;
  cuda_access access;
} cuda_access_description;
_Static_assert(sizeof(cuda_access_description) == 12, "CUmemAccessDesc");

typedef enum { CUDA_ALLOCATION_PINNED = 1 } cuda_allocation_type;
typedef enum { CUDA_SHARED_HANDLE_NONE = 0 } cuda_shared_handle;
typedef struct {
  cuda_allocation_type allocation;
  cuda_shared_handle handles;
  cuda_location location;
  void *security;   // NULL but on Windows
  size_t max_size;  // 0: as the system has
  unsigned short usage;
  unsigned char reserved[54];  // 0
} cuda_pool_properties;
_Static_assert(sizeof(cuda_pool_properties) == 88, "CUmemPoolProps");
_Static_assert(offsetof(cuda_pool_properties, max_size) == 24, "CUmemPoolProps");

typedef enum {
  CUDA_LAUNCH_COOPERATIVE = 2,
  CUDA_LAUNCH_CLUSTER_DIMENSION = 4,
  CUDA_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION = 6,
} cuda_launch_attribute_id;

typedef struct {
  uint32_t x, y, z;
} cuda_cluster_dimension;

typedef union {
  char bytes[64];
  int32_t flag;  // of CUDA_LAUNCH_COOPERATIVE and CUDA_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION
  cuda_cluster_dimension cluster;
} cuda_launch_attribute_value;

typedef struct {
  cuda_launch_attribute_id id;
  char padding[4];
  cuda_launch_attribute_value value;
} cuda_launch_attribute;
_Static_assert(sizeof(cuda_launch_attribute) == 72, "CUlaunchAttribute");
_Static_assert(offsetof(cuda_launch_attribute, value) == 8, "CUlaunchAttribute");

typedef struct {
  uint32_t grid_x, grid_y, grid_z;
  uint32_t block_x, block_y, block_z;
  uint32_t dynamic_shared_bytes;
  cuda_stream stream;
  cuda_launch_attribute *attributes;
  uint32_t attribute_count;
} cuda_launch_configuration;
_Static_assert(sizeof(cuda_launch_configuration) == 56, "CUlaunchConfig");
_Static_assert(offsetof(cuda_launch_configuration, stream) == 32, "CUlaunchConfig");
_Static_assert(offsetof(cuda_launch_configuration, attribute_count) == 48, "CUlaunchConfig");

// Why a graph could not take another's place; 0: it did.
typedef uint32_t cuda_graph_update_result;
typedef struct {
  cuda_graph_update_result result;
  cuda_graph_node node;
  cuda_graph_node from;
} cuda_graph_update;
_Static_assert(sizeof(cuda_graph_update) == 24, "CUgraphExecUpdateResultInfo");

// A tensor map is 128 bytes that only the driver and the GPU understand, at a multiple of 64.
enum { CUDA_TENSOR_MAP_BYTES = 128, CUDA_TENSOR_MAP_ALIGNMENT = 64 };
typedef uint32_t cuda_tensor_map_choice;  // element, interleave, swizzle, promotion, fill: as TensorMap numbers them

// MARK: Functions

// Each function: its name in the driver, and its parameters as of CUDA 12.0.
#define CUDA_DRIVER_FUNCTIONS(X)                                                                                       \
  X(cuInit, (uint32_t flags))                                                                                          \
  X(cuDriverGetVersion, (int32_t * version))                                                                           \
  X(cuGetErrorName, (cuda_result result, const char **name))                                                           \
  X(cuGetErrorString, (cuda_result result, const char **text))                                                         \
  X(cuDeviceGetCount, (int32_t * count))                                                                               \
  X(cuDeviceGet, (cuda_device * device, int32_t ordinal))                                                              \
  X(cuDeviceGetName, (char *name, int32_t room, cuda_device device))                                                   \
  X(cuDeviceGetPCIBusId, (char *name, int32_t room, cuda_device device))                                               \
  X(cuDeviceTotalMem, (size_t * bytes, cuda_device device))                                                            \
  X(cuDeviceGetAttribute, (int32_t * value, cuda_device_attribute attribute, cuda_device device))                      \
  X(cuDevicePrimaryCtxRetain, (cuda_context * context, cuda_device device))                                            \
  X(cuDevicePrimaryCtxRelease, (cuda_device device))                                                                   \
  X(cuCtxSetCurrent, (cuda_context context))                                                                           \
  X(cuCtxSynchronize, (void))                                                                                          \
  X(cuMemGetInfo, (size_t * free, size_t * total))                                                                     \
  X(cuDeviceCanAccessPeer, (int32_t * can, cuda_device device, cuda_device peer))                                      \
  X(cuStreamCreate, (cuda_stream * stream, uint32_t flags))                                                            \
  X(cuStreamDestroy, (cuda_stream stream))                                                                             \
  X(cuStreamSynchronize, (cuda_stream stream))                                                                         \
  X(cuStreamWaitEvent, (cuda_stream stream, cuda_event event, uint32_t flags))                                         \
  X(cuStreamBeginCapture, (cuda_stream stream, cuda_capture_mode mode))                                                \
  X(cuStreamEndCapture, (cuda_stream stream, cuda_graph * graph))                                                      \
  X(cuEventCreate, (cuda_event * event, uint32_t flags))                                                               \
  X(cuEventDestroy, (cuda_event event))                                                                                \
  X(cuEventRecord, (cuda_event event, cuda_stream stream))                                                             \
  X(cuEventQuery, (cuda_event event))                                                                                  \
  X(cuEventSynchronize, (cuda_event event))                                                                            \
  X(cuEventElapsedTime, (float *milliseconds, cuda_event start, cuda_event end))                                       \
  X(cuMemPoolCreate, (cuda_memory_pool * pool, const cuda_pool_properties *properties))                                \
  X(cuMemPoolDestroy, (cuda_memory_pool pool))                                                                         \
  X(cuMemPoolSetAttribute, (cuda_memory_pool pool, cuda_pool_attribute attribute, void *value))                        \
  X(cuMemPoolGetAttribute, (cuda_memory_pool pool, cuda_pool_attribute attribute, void *value))                        \
  X(cuMemPoolTrimTo, (cuda_memory_pool pool, size_t bytes))                                                            \
  X(cuMemPoolSetAccess, (cuda_memory_pool pool, const cuda_access_description *descriptions, size_t count))            \
  X(cuMemAllocFromPoolAsync, (cuda_address * address, size_t bytes, cuda_memory_pool pool, cuda_stream stream))        \
  X(cuMemFreeAsync, (cuda_address address, cuda_stream stream))                                                        \
  X(cuMemHostAlloc, (void **host, size_t bytes, uint32_t flags))                                                       \
  X(cuMemFreeHost, (void *host))                                                                                       \
  X(cuMemcpyHtoDAsync, (cuda_address to, const void *from, size_t bytes, cuda_stream stream))                          \
  X(cuMemcpyDtoHAsync, (void *to, cuda_address from, size_t bytes, cuda_stream stream))                                \
  X(cuMemcpyDtoDAsync, (cuda_address to, cuda_address from, size_t bytes, cuda_stream stream))                         \
  X(cuMemcpyPeerAsync,                                                                                                 \
    (cuda_address to, cuda_context to_context, cuda_address from, cuda_context from_context, size_t bytes,             \
     cuda_stream stream))                                                                                              \
  X(cuMemsetD8Async, (cuda_address to, unsigned char value, size_t count, cuda_stream stream))                         \
  X(cuMemsetD32Async, (cuda_address to, uint32_t value, size_t count, cuda_stream stream))                             \
  X(cuModuleLoadDataEx,                                                                                                \
    (cuda_module * module, const void *image, uint32_t count, cuda_jit_option *options, void **values))                \
  X(cuModuleUnload, (cuda_module module))                                                                              \
  X(cuModuleGetFunction, (cuda_function * function, cuda_module module, const char *name))                             \
  X(cuModuleGetGlobal, (cuda_address * address, size_t *bytes, cuda_module module, const char *name))                  \
  X(cuLinkCreate, (uint32_t count, cuda_jit_option *options, void **values, cuda_linker *linker))                      \
  X(cuLinkAddData,                                                                                                     \
    (cuda_linker linker, cuda_jit_input input, void *data, size_t bytes, const char *name, uint32_t count,             \
     cuda_jit_option *options, void **values))                                                                         \
  X(cuLinkComplete, (cuda_linker linker, void **cubin, size_t *bytes))                                                 \
  X(cuLinkDestroy, (cuda_linker linker))                                                                               \
  X(cuFuncGetAttribute, (int32_t * value, cuda_function_attribute attribute, cuda_function function))                  \
  X(cuFuncSetAttribute, (cuda_function function, cuda_function_attribute attribute, int32_t value))                    \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor,                                                                       \
    (int32_t * blocks, cuda_function function, int32_t threads, size_t dynamic_shared_bytes))                          \
  X(cuOccupancyMaxActiveClusters,                                                                                      \
    (int32_t * clusters, cuda_function function, const cuda_launch_configuration *configuration))                      \
  X(cuLaunchKernelEx,                                                                                                  \
    (const cuda_launch_configuration *configuration, cuda_function function, void **arguments, void **extra))          \
  X(cuTensorMapEncodeTiled,                                                                                            \
    (void *map, cuda_tensor_map_choice element, uint32_t rank, void *address, const uint64_t *dimensions,              \
     const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides, cuda_tensor_map_choice interleave, \
     cuda_tensor_map_choice swizzle, cuda_tensor_map_choice promotion, cuda_tensor_map_choice fill))                   \
  X(cuGraphInstantiateWithFlags, (cuda_executable_graph * executable, cuda_graph graph, unsigned long long flags))     \
  X(cuGraphExecUpdate, (cuda_executable_graph executable, cuda_graph graph, cuda_graph_update * update))               \
  X(cuGraphLaunch, (cuda_executable_graph executable, cuda_stream stream))                                             \
  X(cuGraphExecDestroy, (cuda_executable_graph executable))                                                            \
  X(cuGraphDestroy, (cuda_graph graph))                                                                                \
  X(cuGraphGetNodes, (cuda_graph graph, cuda_graph_node * nodes, size_t *count))

#define CUDA_DRIVER_FIELD(name, parameters) cuda_result(*name) parameters;
// The functions of an open driver.
typedef struct {
  CUDA_DRIVER_FUNCTIONS(CUDA_DRIVER_FIELD)
} cuda_driver;
#undef CUDA_DRIVER_FIELD

// MARK: Opening

// The version whose signatures are declared above.
enum { CUDA_DRIVER_INTERFACE = 12000 };

typedef enum {
  CUDA_OPENED = 0,
  CUDA_NO_LIBRARY,        // the text is the loader's
  CUDA_NO_ENTRY,          // a driver before CUDA 12.0, or no driver; the text is the loader's
  CUDA_MISSING_FUNCTION,  // the text is its name
} cuda_open_result;

// The one function that is looked up by name; it finds all others.
typedef cuda_result (*cuda_get_function)(
  const char *name, void **function, int32_t version, uint64_t flags, uint32_t *status);

// Opens the library at `path` (NULL: where the system has it, libcuda.so.1) for good, and fills `driver`. Where it
// cannot, `error` gets a text of at most `room` bytes, 0 at its end included.
cuda_open_result cuda_driver_open(const char *path, cuda_driver *driver, char *error, size_t room);

// Fills `driver` with what `get` finds.
cuda_open_result cuda_driver_fill(cuda_get_function get, cuda_driver *driver, char *error, size_t room);

#endif
