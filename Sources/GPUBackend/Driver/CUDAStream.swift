// A stream: calls that take effect on a device one after the other.
//
// Invariant: while a stream is being captured nothing is given back through it: frees are kept until the capture ends, or the
// graph would free, each time it runs, what it does not own.
//
// CUDA driver API 13.0, "Stream Management".

internal import CDrivers
internal import Synchronization

/// A queue of a device.
package final class CUDAStream: @unchecked Sendable {
  private struct State {
    var isCapturing = false
    /// Memory to give back after the capture.
    var freed: [UInt64] = []
    /// What the captured work needs: code, pinned memory.
    var used: [ObjectIdentifier: any AnyObject & Sendable] = [:]
  }

  package let device: CUDADevice
  let handle: cuda_stream
  private let state = Mutex(State())

  package init(on device: CUDADevice) throws(GPUError) {
    var handle: cuda_stream?
    try device.call("make a stream") { $0.cuStreamCreate(&handle, UInt32(CUDA_STREAM_NON_BLOCKING)) }
    (self.device, self.handle) = (device, handle!)
  }

  // What was started on it still runs to its end.
  deinit { device.release { $0.cuStreamDestroy(handle) } }

  /// Waits for all that was started on the stream; throws what went wrong in it.
  package func synchronise() throws(GPUError) {
    try refuseCapture("wait for a stream")
    try device.call("finish the work on \(device.properties.name)") { $0.cuStreamSynchronize(handle) }
  }

  /// What is started on the stream from here on begins after what `event` was recorded behind; the event may be another
  /// device's.
  package func wait(for event: CUDAEvent) throws(GPUError) {
    try device.call("wait for an event") { $0.cuStreamWaitEvent(handle, event.handle, 0) }
  }

  package var isCapturing: Bool { state.withLock { $0.isCapturing } }

  /// Throws while the stream is being captured.
  func refuseCapture(_ operation: @autoclosure () -> String) throws(GPUError) {
    guard isCapturing else { return }
    throw GPUError(
      .driver,
      "Cannot \(operation()) while work is recorded: within a recording there may be only launches, and copies and fills "
        + "on the device. Do it before.")
  }

  /// Gives memory of a pool back behind all that was started on the stream.
  func free(_ address: UInt64) {
    let isKept = state.withLock { state in
      if state.isCapturing { state.freed.append(address) }
      return state.isCapturing
    }
    if !isKept { device.release { $0.cuMemFreeAsync(address, handle) } }
  }

  // MARK: Capture

  func beginCapture() throws(GPUError) {
    try refuseCapture("record")
    // Relaxed: neither our other threads nor a module that is loaded meanwhile break the capture.
    try device.call("record work") { $0.cuStreamBeginCapture(handle, CUDA_CAPTURE_RELAXED) }
    state.withLock { $0.isCapturing = true }
  }

  /// Says that work which is started on the stream needs an object: a graph will keep it.
  func use(_ object: some AnyObject & Sendable) {
    state.withLock { if $0.isCapturing { $0.used[ObjectIdentifier(object)] = object } }
  }

  /// - Returns: what was captured, nil if something has broken the capture; and what it needs.
  func endCapture() throws(GPUError) -> (graph: cuda_graph?, used: [any AnyObject & Sendable]) {
    var graph: cuda_graph?
    let state = state.withLock { state in
      defer { state = State() }
      return state
    }
    defer { for address in state.freed { free(address) } }
    try device.call("end a recording") { $0.cuStreamEndCapture(handle, &graph) }
    return (graph, Array(state.used.values))
  }
}
