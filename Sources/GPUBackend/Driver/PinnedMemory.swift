// Memory of the host that the device reads and writes by itself, at the full speed of its connection.
//
// Invariant: it goes back to the system only when every stream that used it has finished.
//
// CUDA driver API 13.0, cuMemHostAlloc.

internal import CDrivers
internal import Synchronization

/// Page-locked memory of the host.
package final class PinnedMemory: @unchecked Sendable {
  package let device: CUDADevice
  package let bytes: UnsafeMutableRawBufferPointer
  private let streams = Mutex<[CUDAStream]>([])

  /// - Parameter count: in bytes, more than 0.
  package init(_ count: Int, on device: CUDADevice) throws(GPUError) {
    precondition(count > 0, "\(count) bytes of pinned memory")
    var base: UnsafeMutableRawPointer?
    try device.call("pin \(count) bytes of the host's memory") {
      $0.cuMemHostAlloc(&base, count, UInt32(CUDA_HOST_MEMORY_PORTABLE))
    }
    self.device = device
    bytes = UnsafeMutableRawBufferPointer(start: base, count: count)
  }

  deinit {
    for stream in streams.withLock({ $0 }) { stream.device.release { $0.cuStreamSynchronize(stream.handle) } }
    device.release { $0.cuMemFreeHost(bytes.baseAddress) }
  }

  func part(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= bytes.count, "bytes \(range) of \(bytes.count) of pinned memory")
    return UnsafeMutableRawBufferPointer(rebasing: bytes[range])
  }

  func isUsed(by stream: CUDAStream) {
    stream.use(self)
    streams.withLock { if !$0.contains(where: { $0 === stream }) { $0.append(stream) } }
  }
}
