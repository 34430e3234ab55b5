// An event: a place in a stream that others can wait for, and whose time can be asked.
//
// CUDA driver API 13.0, "Event Management".

internal import CDrivers

/// A mark behind what was started on a stream.
package final class CUDAEvent: @unchecked Sendable {
  package let device: CUDADevice
  let handle: cuda_event

  /// - Parameter isTimed: whether its time will be asked; others are cheaper.
  package init(on device: CUDADevice, isTimed: Bool = true) throws(GPUError) {
    var handle: cuda_event?
    let flags = isTimed ? CUDA_EVENT_DEFAULT : CUDA_EVENT_DISABLE_TIMING
    try device.call("make an event") { $0.cuEventCreate(&handle, UInt32(flags)) }
    (self.device, self.handle) = (device, handle!)
  }

  deinit { device.release { $0.cuEventDestroy(handle) } }

  /// Puts the mark behind what was started on the stream so far.
  package func record(on stream: CUDAStream) throws(GPUError) {
    try device.call("record an event") { $0.cuEventRecord(handle, stream.handle) }
  }

  /// Waits until the stream has come there; at once if it was never recorded.
  package func synchronise() throws(GPUError) {
    try device.call("finish the work on \(device.properties.name)") { $0.cuEventSynchronize(handle) }
  }

  /// Whether the stream has come there.
  package func isDone() throws(GPUError) -> Bool {
    var isReady = true
    try device.call("ask for an event") { driver in
      let result = driver.cuEventQuery(handle)
      if result == CUDA_ERROR_NOT_READY { isReady = false }
      return result == CUDA_ERROR_NOT_READY ? CUDA_SUCCESS : result
    }
    return isReady
  }

  /// Seconds since another event; both must be timed and done.
  package func seconds(since start: CUDAEvent) throws(GPUError) -> Double {
    var milliseconds: Float = 0
    try device.call("ask for the time between two events") {
      $0.cuEventElapsedTime(&milliseconds, start.handle, handle)
    }
    return Double(milliseconds) / 1e3
  }
}
