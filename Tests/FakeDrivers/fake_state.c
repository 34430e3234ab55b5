// The fake driver's memory, counters and log.
#include "fake_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fake_cuda_settings fake_cuda;
fake_cuda_launch fake_last;
pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
_Thread_local cuda_context fake_current;

static const struct {
  const char *name;
  void *function;
} functions[] = {
#define ENTRY(name, parameters) {#name, (void *)fake_##name},
  CUDA_DRIVER_FUNCTIONS(ENTRY)
#undef ENTRY
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]), KINDS = 16, ROOM = 1 << 16 };

static int32_t calls[FUNCTIONS];
static struct {
  int32_t at;
  cuda_result result;
} failures[FUNCTIONS];
static struct {
  char name[16];
  int32_t live;
} kinds[KINDS];
static char text[ROOM];
static size_t length;

static int index_of(const char *name) {
  for (int i = 0; i < FUNCTIONS; i++) {
    if (!strcmp(functions[i].name, name)) return i;
  }
  return -1;
}

void fake_cuda_reset(void) {
  pthread_mutex_lock(&fake_lock);
  memset(calls, 0, sizeof(calls));
  memset(failures, 0, sizeof(failures));
  memset(kinds, 0, sizeof(kinds));
  memset(&fake_last, 0, sizeof(fake_last));
  fake_cuda = (fake_cuda_settings){.version = 13000,
                                   .devices = 2,
                                   .capability = 90,
                                   .has_pools = 1,
                                   .can_reach_peers = 1,
                                   .links = 1,
                                   .memory = 1 << 20,
                                   .notes = ""};
  text[length = 0] = 0;
  fake_forget_memory();
  pthread_mutex_unlock(&fake_lock);
}

void fake_cuda_fail(const char *function, int32_t n, cuda_result result) {
  int i = index_of(function);
  failures[i].at = calls[i] + n;
  failures[i].result = result;
}

cuda_result fake_cuda_get(const char *name, void **function, int32_t version, uint64_t flags, uint32_t *status) {
  int i = index_of(name);
  bool is_missing = fake_cuda.has_old_entries_only && !strcmp(name, "cuTensorMapEncodeTiled");
  if (i < 0 || is_missing || flags != 0 || version != 12000) {
    *status = 1;
    *function = NULL;
    return CUDA_ERROR_NOT_FOUND;
  }
  *status = 0;
  *function = functions[i].function;
  return CUDA_SUCCESS;
}

bool fake_enter(const char *function, cuda_result *result) {
  int i = index_of(function);
  calls[i]++;
  *result = failures[i].result;
  return calls[i] == failures[i].at;
}

void fake_leave(const int *token) {
  (void)token;
  pthread_mutex_unlock(&fake_lock);
}

int32_t fake_cuda_calls(const char *function) { return calls[index_of(function)]; }

void fake_made(const char *kind, int32_t change) {
  for (int i = 0; i < KINDS; i++) {
    if (!kinds[i].name[0]) snprintf(kinds[i].name, sizeof(kinds[i].name), "%s", kind);
    if (!strcmp(kinds[i].name, kind)) {
      kinds[i].live += change;
      return;
    }
  }
}

int32_t fake_cuda_live(const char *kind) {
  for (int i = 0; i < KINDS; i++) {
    if (!strcmp(kinds[i].name, kind)) return kinds[i].live;
  }
  return 0;
}

void fake_say(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = vsnprintf(text + length, ROOM - length, format, arguments);
  va_end(arguments);
  if (written > 0 && length + (size_t)written < ROOM) length += (size_t)written;
}

const char *fake_cuda_log(void) { return text; }
fake_cuda_settings *fake_cuda_set(void) { return &fake_cuda; }
fake_cuda_launch fake_cuda_last_launch(void) { return fake_last; }

// MARK: Memory

typedef struct allocation {
  int32_t device;
  size_t bytes;
  char *memory;
  struct allocation *next;
} allocation;
static allocation *allocations;

void *fake_allocate(int32_t device, size_t bytes) {
  allocation *new = malloc(sizeof(allocation));
  // Of a device as the driver does it: at a multiple of 512.
  *new = (allocation){device, bytes, aligned_alloc(512, (bytes + 511) / 512 * 512), allocations};
  allocations = new;
  return new->memory;
}

bool fake_free(void *memory) {
  for (allocation **link = &allocations; *link; link = &(*link)->next) {
    allocation *found = *link;
    if (found->memory != memory) continue;
    *link = found->next;
    free(found->memory);
    free(found);
    return true;
  }
  return false;
}

bool fake_is_device_memory(cuda_address address, size_t bytes) {
  for (allocation *each = allocations; each; each = each->next) {
    cuda_address start = (cuda_address)(uintptr_t)each->memory;
    if (each->device >= 0 && address >= start && address + bytes <= start + each->bytes) return true;
  }
  return false;
}

size_t fake_used(int32_t device) {
  size_t used = 0;
  for (allocation *each = allocations; each; each = each->next) used += each->device == device ? each->bytes : 0;
  return used;
}

void fake_forget_memory(void) {
  while (allocations) fake_free(allocations->memory);
}
