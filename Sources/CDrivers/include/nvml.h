// NVIDIA's management library (libnvidia-ml.so.1, which comes with the driver), opened at run time: clocks, power and
// temperature, so that benchmarks can say under which conditions they were taken.
//
// Names and numbers: NVML API reference, CUDA 13.0.
#ifndef CDRIVERS_NVML_H
#define CDRIVERS_NVML_H

#include <stddef.h>
#include <stdint.h>

typedef struct nvml_device_s *nvml_device;

enum { NVML_SUCCESS = 0 };
typedef enum { NVML_CLOCK_SM = 1, NVML_CLOCK_MEMORY = 2 } nvml_clock;  // MHz
typedef enum { NVML_TEMPERATURE_GPU = 0 } nvml_sensor;

// Reasons for which the clock is lower than it could be, as bits.
enum {
  NVML_SLOW_IDLE = 0x1,
  NVML_SLOW_SETTING = 0x2,
  NVML_SLOW_POWER_CAP = 0x4,
  NVML_SLOW_HARDWARE = 0x8,
  NVML_SLOW_THERMAL = 0x20,
  NVML_SLOW_HARDWARE_THERMAL = 0x40,
  NVML_SLOW_POWER_BRAKE = 0x80,
};

#define NVML_FUNCTIONS(X)                                                                                              \
  X(nvmlInit_v2, (void))                                                                                               \
  X(nvmlDeviceGetHandleByPciBusId_v2, (const char *bus, nvml_device *device))                                          \
  X(nvmlDeviceGetClockInfo, (nvml_device device, nvml_clock clock, uint32_t *megahertz))                               \
  X(nvmlDeviceGetPowerUsage, (nvml_device device, uint32_t *milliwatts))                                               \
  X(nvmlDeviceGetEnforcedPowerLimit, (nvml_device device, uint32_t *milliwatts))                                       \
  X(nvmlDeviceGetTemperature, (nvml_device device, nvml_sensor sensor, uint32_t *celsius))                             \
  X(nvmlDeviceGetCurrentClocksEventReasons, (nvml_device device, uint64_t *reasons))                                   \
  X(nvmlSystemGetDriverVersion, (char *version, uint32_t room))

#define NVML_FIELD(name, parameters) int32_t(*name) parameters;
typedef struct {
  NVML_FUNCTIONS(NVML_FIELD)
} nvml_library;
#undef NVML_FIELD

// Opens the library at `path` (NULL: where the system has it) and fills `library`. 0: done; otherwise `error` gets a
// text.
int32_t nvml_open(const char *path, nvml_library *library, char *error, size_t room);

#endif
