// Clocks, power and temperature of a device: the conditions under which a benchmark was taken.
//
// NVML API reference, CUDA 13.0.

package import CDrivers

/// What a device is doing at the moment.
package struct DeviceCondition: Sendable, Hashable {
  package let multiprocessorMegahertz: Int
  package let memoryMegahertz: Int
  package let watts: Double
  package let mostWatts: Double
  package let celsius: Int
  /// Why the clock is not higher.
  package let slowdowns: [String]
}

/// Watches a device through NVIDIA's management library.
package final class DeviceMonitor: @unchecked Sendable {
  private let functions: nvml_library
  private let device: nvml_device
  /// Of the driver: `580.65.06`.
  package let driverVersion: String

  /// - Parameters:
  ///   - bus: the device's place, as `CUDADeviceProperties` has it.
  ///   - path: of the library; nil: where the system has it.
  package convenience init(bus: String, path: String? = nil) throws(GPUError) {
    var library = nvml_library()
    var text = [CChar](repeating: 0, count: 512)
    guard nvml_open(path, &library, &text, text.count) == 0 else {
      throw GPUError(
        .noDevice,
        "There is no NVIDIA management library (\(string(text))), which comes with the driver: clocks, power and "
          + "temperature are not known. Give a container the 'utility' capability (NVIDIA_DRIVER_CAPABILITIES).")
    }
    try self.init(library, bus: bus)
  }

  package init(_ library: nvml_library, bus: String) throws(GPUError) {
    functions = library
    try Self.check(library.nvmlInit_v2(), "initialise the NVIDIA management library")
    var device: nvml_device?
    try Self.check(library.nvmlDeviceGetHandleByPciBusId_v2(bus, &device), "find device \(bus)")
    self.device = device!
    var version = [CChar](repeating: 0, count: 80)
    try Self.check(
      library.nvmlSystemGetDriverVersion(&version, UInt32(version.count)), "ask for the driver's version")
    driverVersion = string(version)
  }

  private static func check(_ result: Int32, _ operation: String) throws(GPUError) {
    guard result != NVML_SUCCESS else { return }
    throw GPUError(.driver, "Cannot \(operation): the NVIDIA management library says error \(result).")
  }

  /// Asks the device.
  package func condition() throws(GPUError) -> DeviceCondition {
    func value(
      _ operation: String, _ body: (UnsafeMutablePointer<UInt32>) -> Int32
    ) throws(GPUError) -> Int {
      var value: UInt32 = 0
      try Self.check(body(&value), operation)
      return Int(value)
    }
    var reasons: UInt64 = 0
    try Self.check(
      functions.nvmlDeviceGetCurrentClocksEventReasons(device, &reasons), "ask why the clock is as it is")
    return DeviceCondition(
      multiprocessorMegahertz: try value("ask for the clock") {
        functions.nvmlDeviceGetClockInfo(device, NVML_CLOCK_SM, $0)
      },
      memoryMegahertz: try value("ask for the memory's clock") {
        functions.nvmlDeviceGetClockInfo(device, NVML_CLOCK_MEMORY, $0)
      },
      watts: Double(try value("ask for the power") { functions.nvmlDeviceGetPowerUsage(device, $0) }) / 1e3,
      mostWatts: Double(
        try value("ask for the limit of power") { functions.nvmlDeviceGetEnforcedPowerLimit(device, $0) }) / 1e3,
      celsius: try value("ask for the temperature") {
        functions.nvmlDeviceGetTemperature(device, NVML_TEMPERATURE_GPU, $0)
      },
      slowdowns: Self.slowdowns(reasons))
  }

  private static func slowdowns(_ reasons: UInt64) -> [String] {
    [
      (NVML_SLOW_IDLE, "idle"), (NVML_SLOW_SETTING, "clock setting"),
      (NVML_SLOW_POWER_CAP, "limit of power"), (NVML_SLOW_HARDWARE, "hardware"),
      (NVML_SLOW_THERMAL, "temperature"), (NVML_SLOW_HARDWARE_THERMAL, "temperature (hardware)"),
      (NVML_SLOW_POWER_BRAKE, "power brake"),
    ].filter { reasons & UInt64($0.0) != 0 }.map(\.1)
  }
}
