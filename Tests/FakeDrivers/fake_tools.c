// A management library and a tools extension that answer the same each time.
#include <stdio.h>
#include <string.h>

#include "fake_cuda.h"

static char text[1024];

static int32_t start(void) { return 0; }
static int32_t find(const char *bus, nvml_device *device) {
  *device = (nvml_device)&text;
  return strcmp(bus, "0000:1B:00.0") ? 2 : 0;
}
static int32_t clock_of(nvml_device device, nvml_clock clock, uint32_t *megahertz) {
  (void)device;
  *megahertz = clock == NVML_CLOCK_SM ? 1755 : 3201;
  return 0;
}
static int32_t power(nvml_device device, uint32_t *milliwatts) {
  (void)device;
  *milliwatts = 695500;
  return 0;
}
static int32_t limit(nvml_device device, uint32_t *milliwatts) {
  (void)device;
  *milliwatts = 700000;
  return 0;
}
static int32_t temperature(nvml_device device, nvml_sensor sensor, uint32_t *celsius) {
  (void)device;
  *celsius = 61 + (uint32_t)sensor;
  return 0;
}
static int32_t reasons(nvml_device device, uint64_t *bits) {
  (void)device;
  *bits = NVML_SLOW_POWER_CAP | NVML_SLOW_THERMAL;
  return 0;
}
static int32_t driver_version(char *version, uint32_t room) {
  snprintf(version, room, "580.65.06");
  return 0;
}
nvml_library fake_nvml(void) {
  return (nvml_library){start, find, clock_of, power, limit, temperature, reasons, driver_version};
}

static int32_t push(const char *name) {
  size_t length = strlen(text);
  snprintf(text + length, sizeof(text) - length, "push %s;", name);
  return 0;
}
static int32_t pop(void) {
  size_t length = strlen(text);
  snprintf(text + length, sizeof(text) - length, "pop;");
  return 0;
}
nvtx_library fake_nvtx(void) { return (nvtx_library){push, pop}; }
const char *fake_nvtx_log(void) { return text; }
