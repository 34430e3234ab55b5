// Copies between ordinary memory of the host and a device, through two pinned buffers: while the device moves one, the
// processor fills or empties the other.
//
// Invariant: when `write` returns, the bytes may be changed; when `read` returns, they are there. A buffer is touched by the
// processor only when its last copy is done.

internal import Synchronization

/// Two pinned buffers and what became of them.
package final class HostStaging: Sendable {
  private struct Buffer {
    let memory: PinnedMemory
    /// Behind the last copy from or to it.
    let isDone: CUDAEvent
  }

  private let buffers: Mutex<[Buffer]>
  private let chunk: Int

  /// - Parameter chunk: bytes of each buffer.
  package init(on device: CUDADevice, chunk: Int = 8 << 20) throws(GPUError) {
    self.chunk = chunk
    var buffers: [Buffer] = []
    for _ in 0..<2 {
      buffers.append(
        Buffer(memory: try PinnedMemory(chunk, on: device), isDone: try CUDAEvent(on: device, isTimed: false)))
    }
    self.buffers = Mutex(buffers)
  }

  package func write(_ bytes: UnsafeRawBufferPointer, to address: UInt64, on stream: CUDAStream) throws {
    try stream.refuseCapture("write \(bytes.count) bytes to the device")
    try buffers.withLock { buffers in
      for (index, start) in stride(from: 0, to: bytes.count, by: chunk).enumerated() {
        let buffer = buffers[index % 2]
        let part = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + chunk, bytes.count)])
        try buffer.isDone.synchronise()
        buffer.memory.bytes.copyMemory(from: part)
        try stream.copy(0..<part.count, of: buffer.memory, to: address + UInt64(start))
        try buffer.isDone.record(on: stream)
      }
    }
  }

  package func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer, on stream: CUDAStream) throws {
    try stream.refuseCapture("read \(bytes.count) bytes of the device")
    try buffers.withLock { buffers in
      let starts = Array(stride(from: 0, to: bytes.count, by: chunk))
      func part(_ index: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[starts[index]..<min(starts[index] + chunk, bytes.count)])
      }
      // One chunk ahead of the one that is taken out.
      for index in 0..<(starts.isEmpty ? 0 : starts.count + 1) {
        if index < starts.count {
          let buffer = buffers[index % 2]
          try buffer.isDone.synchronise()
          try stream.copy(from: address + UInt64(starts[index]), to: 0..<part(index).count, of: buffer.memory)
          try buffer.isDone.record(on: stream)
        }
        if index > 0 {
          let (buffer, part) = (buffers[(index - 1) % 2], part(index - 1))
          try buffer.isDone.synchronise()
          part.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer.memory.bytes[..<part.count]))
        }
      }
    }
  }
}
