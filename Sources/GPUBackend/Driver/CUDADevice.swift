// A device of the driver, with the context in which all work on it is done.
//
// Invariant: every call of the driver that concerns a device goes through `call`, which makes the device's context current on
// the calling thread first: a task may wake up on another thread after each `await`, and a thread serves several devices.
// The context is the device's primary one, which other libraries of the process share.
//
// CUDA driver API 13.0, "Device Management", "Primary Context Management", "Context Management".

internal import CDrivers
internal import KernelLanguage

/// A GPU.
package final class CUDADevice: @unchecked Sendable {
  package let driver: CUDADriver
  package let ordinal: Int
  package let properties: CUDADeviceProperties
  let handle: cuda_device
  let context: cuda_context

  /// - Parameter ordinal: from 0, as CUDA_VISIBLE_DEVICES orders them.
  package init(_ ordinal: Int = 0, of driver: CUDADriver) throws(GPUError) {
    let functions = driver.functions
    guard (0..<driver.deviceCount).contains(ordinal) else {
      throw GPUError(
        .noDevice,
        "There is no device \(ordinal): this machine has \(driver.deviceCount), numbered from 0 (nvidia-smi lists them)."
      )
    }
    (self.driver, self.ordinal) = (driver, ordinal)
    var handle = cuda_device()
    try functions.check(functions.cuDeviceGet(&handle, Int32(ordinal)), "open device \(ordinal)")
    self.handle = handle
    properties = try CUDADeviceProperties(of: handle, functions)
    if let problem = properties.problem { throw GPUError(.unsupported, problem) }
    var context: cuda_context?
    try functions.check(functions.cuDevicePrimaryCtxRetain(&context, handle), "open a context on device \(ordinal)")
    self.context = context!
  }

  /// A device of the system's driver.
  package convenience init(_ ordinal: Int = 0) throws(GPUError) { try self.init(ordinal, of: CUDADriver.open()) }

  deinit { _ = driver.functions.cuDevicePrimaryCtxRelease(handle) }

  /// A call of the driver with this device's context current on this thread.
  ///
  /// - Parameter operation: completes "Cannot …".
  func call(
    _ operation: @autoclosure () -> String, _ body: (cuda_driver) -> cuda_result
  ) throws(GPUError) {
    let functions = driver.functions
    try functions.check(functions.cuCtxSetCurrent(context), "use device \(ordinal)")
    try functions.check(body(functions), operation())
  }

  /// Gives something back. A driver that is shutting down or has lost the device may refuse; then it is gone already.
  func release(_ body: (cuda_driver) -> cuda_result) {
    let functions = driver.functions
    if functions.cuCtxSetCurrent(context) == CUDA_SUCCESS { _ = body(functions) }
  }

  /// Waits for all that was started on the device.
  package func synchronise() throws(GPUError) {
    try call("finish the work on \(properties.name)") { $0.cuCtxSynchronize() }
  }

  /// Bytes that no program has, and all there are.
  package func memory() throws(GPUError) -> (free: Int, total: Int) {
    var (free, total) = (0, 0)
    try call("ask \(properties.name) for its free memory") { $0.cuMemGetInfo(&free, &total) }
    return (free, total)
  }
}
