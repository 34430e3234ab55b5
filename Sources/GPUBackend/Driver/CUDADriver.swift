// The CUDA driver, opened at run time: a machine without one runs everything else.
//
// Invariant: an object of this class is a driver that has been initialised, of CUDA 12.0 or later, with at least one device.
//
// CUDA driver API 13.0, "Initialization", "Driver Entry Point Access".

package import CDrivers
internal import FoundationEssentials
internal import Synchronization

/// An open driver.
package final class CUDADriver: @unchecked Sendable {
  // The table never changes, and its functions may be called by every thread.
  let functions: cuda_driver
  /// Of the CUDA release that the driver belongs to, as 1000 * major + 10 * minor: 13000 is CUDA 13.0.
  package let version: Int
  package let deviceCount: Int

  /// An environment variable that names the driver's file, where it is not found by itself.
  package static let pathVariable = "TACHORNIS_CUDA_DRIVER"

  private static let opened = Mutex<CUDADriver?>(nil)

  /// The system's driver, which is opened once in a process.
  package static func open() throws(GPUError) -> CUDADriver {
    try opened.withLock { (driver) throws(GPUError) in
      if let driver { return driver }
      let new = try CUDADriver()
      driver = new
      return new
    }
  }

  /// Opens and initialises a driver.
  ///
  /// - Parameter path: of its file; nil: as `TACHORNIS_CUDA_DRIVER` says, or else where the system has `libcuda.so.1`.
  package convenience init(
    path: String? = nil, environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(GPUError) {
    let path = path ?? environment[Self.pathVariable].flatMap { $0.isEmpty ? nil : $0 }
    var functions = cuda_driver()
    var text = [CChar](repeating: 0, count: 512)
    let result = cuda_driver_open(path, &functions, &text, text.count)
    guard result == CUDA_OPENED else { throw Self.error(result, path: path, text: string(text)) }
    try self.init(functions)
  }

  /// Initialises a driver whose functions are `get`'s: how a test brings its own.
  package convenience init(functions get: @escaping cuda_get_function) throws(GPUError) {
    var functions = cuda_driver()
    var text = [CChar](repeating: 0, count: 512)
    let result = cuda_driver_fill(get, &functions, &text, text.count)
    guard result == CUDA_OPENED else { throw Self.error(result, path: nil, text: string(text)) }
    try self.init(functions)
  }

  private init(_ functions: cuda_driver) throws(GPUError) {
    self.functions = functions
    var (version, count) = (Int32(0), Int32(0))
    try functions.check(functions.cuInit(0), "initialise the NVIDIA driver")
    try functions.check(functions.cuDriverGetVersion(&version), "ask the NVIDIA driver for its version")
    try functions.check(functions.cuDeviceGetCount(&count), "count the NVIDIA devices")
    guard count > 0 else {
      throw GPUError(result: CUDA_ERROR_NO_DEVICE, "find an NVIDIA device", of: functions)
    }
    (self.version, deviceCount) = (Int(version), Int(count))
  }

  private static func error(_ result: cuda_open_result, path: String?, text: String) -> GPUError {
    let elsewhere = "Everything else works without one: take --device cpu, or --device emulator to run kernels."
    switch result {
    case CUDA_NO_LIBRARY where path == nil:
      return GPUError(
        .noDevice,
        "There is no NVIDIA driver on this machine (\(text)). Install one (525 or later), give a container its devices "
          + "(docker run --gpus all), or name the file of libcuda in \(pathVariable). \(elsewhere)")
    case CUDA_NO_LIBRARY:
      return GPUError(
        .noDevice,
        "There is no NVIDIA driver at '\(path!)' (\(text)). Correct the path, or leave it out to take the system's "
          + "libcuda.so.1. \(elsewhere)")
    case CUDA_NO_ENTRY:
      return GPUError(
        .noDevice,
        "'\(path ?? "libcuda.so.1")' is no NVIDIA driver of CUDA 12.0 or later (\(text)). Install driver 525 or later. "
          + elsewhere)
    default:
      return GPUError(
        .noDevice,
        "The NVIDIA driver has no function '\(text)' as CUDA 12.0 defines it. Install driver 525 or later. \(elsewhere)"
      )
    }
  }

  /// The release as people write it: `13.0`.
  package var release: String { "\(version / 1000).\(version % 1000 / 10)" }

  /// What there is, by number, also devices that cannot be used. Asking takes no memory of them, as opening one does.
  package func devices() throws(GPUError) -> [CUDADeviceProperties] {
    var devices: [CUDADeviceProperties] = []
    for ordinal in 0..<deviceCount {
      var handle = cuda_device()
      try functions.check(functions.cuDeviceGet(&handle, Int32(ordinal)), "open device \(ordinal)")
      devices.append(try CUDADeviceProperties(of: handle, functions))
    }
    return devices
  }

  /// What tells one build of the driver from another with the same release, as far as the system says.
  ///
  /// Its first line names the kernel module's version; it is part of the key under which assembled kernels are kept.
  package static func build(path: String = "/proc/driver/nvidia/version") -> String {
    // A file of /proc has no size that could be mapped.
    guard let bytes = FileManager.default.contents(atPath: path) else { return "" }
    return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }
}

/// The text in a buffer that C has filled.
func string(_ buffer: [CChar]) -> String {
  String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

extension cuda_driver {
  /// Throws unless `result` is a success.
  ///
  /// - Parameter operation: completes "Cannot …".
  func check(_ result: cuda_result, _ operation: @autoclosure () -> String) throws(GPUError) {
    guard result != CUDA_SUCCESS else { return }
    throw GPUError(result: result, operation(), of: self)
  }
}
