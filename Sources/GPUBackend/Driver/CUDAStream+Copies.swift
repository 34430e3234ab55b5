// Copies and fills, in the order of a stream.
//
// Invariant: host memory that a copy reads or writes later than the call is pinned memory, which lives as long as a stream or a
// graph may touch it; other host memory goes through `HostStaging`.
//
// CUDA driver API 13.0, "Memory Management".

internal import CDrivers

extension CUDAStream {
  /// From one place of this device, or of a peer that shares its pool, to another; they do not overlap.
  package func copy(_ bytes: Int, from source: UInt64, to target: UInt64) throws(GPUError) {
    guard bytes > 0 else { return }
    try device.call("copy \(bytes) bytes on \(device.properties.name)") {
      $0.cuMemcpyDtoDAsync(target, source, bytes, handle)
    }
  }

  /// From one device to another, over NVLink or PCIe as they are connected, or through the host.
  package func copy(
    _ bytes: Int, from source: UInt64, of sourceDevice: CUDADevice, to target: UInt64, of targetDevice: CUDADevice
  ) throws(GPUError) {
    guard bytes > 0 else { return }
    try device.call("copy \(bytes) bytes from device \(sourceDevice.ordinal) to device \(targetDevice.ordinal)") {
      $0.cuMemcpyPeerAsync(target, targetDevice.context, source, sourceDevice.context, bytes, handle)
    }
  }

  /// From pinned memory to the device.
  package func copy(_ range: Range<Int>, of host: PinnedMemory, to target: UInt64) throws(GPUError) {
    let bytes = host.part(range)
    guard bytes.count > 0 else { return }
    host.isUsed(by: self)
    try device.call("copy \(bytes.count) bytes to \(device.properties.name)") {
      $0.cuMemcpyHtoDAsync(target, bytes.baseAddress, bytes.count, handle)
    }
  }

  /// From the device to pinned memory, where the bytes are once the stream has come so far.
  package func copy(from source: UInt64, to range: Range<Int>, of host: PinnedMemory) throws(GPUError) {
    let bytes = host.part(range)
    guard bytes.count > 0 else { return }
    host.isUsed(by: self)
    try device.call("copy \(bytes.count) bytes from \(device.properties.name)") {
      $0.cuMemcpyDtoHAsync(bytes.baseAddress, source, bytes.count, handle)
    }
  }

  /// Sets bytes.
  package func fill(_ address: UInt64, with value: UInt8, count: Int) throws(GPUError) {
    guard count > 0 else { return }
    try device.call("fill \(count) bytes") { $0.cuMemsetD8Async(address, value, count, handle) }
  }

  /// Sets words of 32 bits; the address is a multiple of 4.
  package func fill(_ address: UInt64, with value: UInt32, count: Int) throws(GPUError) {
    guard count > 0 else { return }
    precondition(address % 4 == 0, "words at \(address), which is no multiple of 4")
    try device.call("fill \(count) words") { $0.cuMemsetD32Async(address, value, count, handle) }
  }
}
