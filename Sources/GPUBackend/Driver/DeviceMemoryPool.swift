// Memory of a device, taken from the system once and handed out in the order of a stream.
//
// Invariant: what is freed on a stream can be allocated again by the next call on that stream without waiting for the device;
// the system gets memory back only when `keptBytes` are exceeded, or when a request would fail otherwise.
//
// CUDA driver API 13.0, "Stream Ordered Memory Allocator".

internal import CDrivers

/// A pool of memory on a device.
package final class DeviceMemoryPool: @unchecked Sendable {
  package let device: CUDADevice
  private let handle: cuda_memory_pool

  /// - Parameter keptBytes: how much of what nobody uses stays with the pool.
  package init(on device: CUDADevice, keptBytes: UInt64 = .max) throws(GPUError) {
    var properties = cuda_pool_properties()
    properties.allocation = CUDA_ALLOCATION_PINNED
    properties.handles = CUDA_SHARED_HANDLE_NONE
    properties.location = cuda_location(type: CUDA_LOCATION_DEVICE, id: device.handle)
    var handle: cuda_memory_pool?
    try device.call("make a memory pool") { $0.cuMemPoolCreate(&handle, &properties) }
    (self.device, self.handle) = (device, handle!)
    var threshold = keptBytes
    try device.call("set up a memory pool") {
      $0.cuMemPoolSetAttribute(self.handle, CUDA_POOL_RELEASE_THRESHOLD, &threshold)
    }
  }

  // Memory that is still in use goes back when it is freed.
  deinit { device.release { $0.cuMemPoolDestroy(handle) } }

  /// Memory at a multiple of 256 bytes, for what is started on `stream` from here on.
  ///
  /// - Parameters:
  ///   - bytes: more than 0.
  ///   - name: what it is for, in messages.
  package func allocate(_ bytes: Int, name: String, on stream: CUDAStream) throws(GPUError) -> UInt64 {
    precondition(bytes > 0, "allocation of \(bytes) bytes for \(name)")
    try stream.refuseCapture("allocate \(name)")
    if let address = try attempt(bytes, name: name, on: stream) { return address }
    // What streams have freed but not reached yet counts as used: let them come there, and give the system what is left.
    try device.synchronise()
    try trim()
    if let address = try attempt(bytes, name: name, on: stream) { return address }
    let (free, total) = try device.memory()
    let usage = try usage()
    throw GPUError(
      result: CUDA_ERROR_OUT_OF_MEMORY, "allocate \(text(bytes)) on \(device.properties.name) for \(name)",
      details: "This process uses \(text(usage.used)) of the device's \(text(total)), \(text(free)) are free.",
      of: device.driver.functions)
  }

  /// Gives memory back behind all that was started on the stream; while that is recorded, once the recording has ended.
  package func free(_ address: UInt64, on stream: CUDAStream) { stream.free(address) }

  private func attempt(_ bytes: Int, name: String, on stream: CUDAStream) throws(GPUError) -> UInt64? {
    var address: UInt64 = 0
    var isFull = false
    try device.call("allocate \(text(bytes)) for \(name)") { driver in
      let result = driver.cuMemAllocFromPoolAsync(&address, bytes, handle, stream.handle)
      isFull = result == CUDA_ERROR_OUT_OF_MEMORY
      return isFull ? CUDA_SUCCESS : result
    }
    return isFull ? nil : address
  }

  /// Gives unused memory back to the system, all but `bytes`.
  package func trim(to bytes: Int = 0) throws(GPUError) {
    try device.call("trim a memory pool") { $0.cuMemPoolTrimTo(handle, bytes) }
  }

  /// Bytes that are handed out and bytes that the pool has of the system, now and at most so far.
  package func usage() throws(GPUError) -> (used: Int, mostUsed: Int, reserved: Int, mostReserved: Int) {
    func value(_ attribute: cuda_pool_attribute) throws(GPUError) -> Int {
      var value: UInt64 = 0
      try device.call("ask a memory pool for its size") { $0.cuMemPoolGetAttribute(handle, attribute, &value) }
      return Int(clamping: value)
    }
    return (
      try value(CUDA_POOL_USED_CURRENT), try value(CUDA_POOL_USED_HIGH), try value(CUDA_POOL_RESERVED_CURRENT),
      try value(CUDA_POOL_RESERVED_HIGH)
    )
  }

  /// Lets kernels and copies of another device reach this pool's memory, as they reach their own.
  package func share(with peer: CUDADevice) throws(GPUError) {
    guard peer.ordinal != device.ordinal else { return }
    guard try peer.canReach(device) else {
      throw GPUError(
        .unsupported,
        "Device \(peer.ordinal) cannot reach the memory of device \(device.ordinal): there is no NVLink between them, and "
          + "the system allows none over PCIe (nvidia-smi topo -p2p r). Copy through the host.")
    }
    var access = cuda_access_description(
      location: cuda_location(type: CUDA_LOCATION_DEVICE, id: peer.handle), access: CUDA_ACCESS_READ_WRITE)
    try device.call("let device \(peer.ordinal) reach the memory of device \(device.ordinal)") {
      $0.cuMemPoolSetAccess(handle, &access, 1)
    }
  }

  /// `1.50 GiB`, `96 MiB`, `512 bytes`
  private func text(_ bytes: Int) -> String {
    guard bytes >= 1 << 20 else { return "\(bytes) bytes" }
    guard bytes >= 1 << 30 else { return "\((bytes + (1 << 20) - 1) >> 20) MiB" }
    let hundredths = (Double(bytes) / Double(1 << 30) * 100).rounded()
    let (whole, rest) = (Int(hundredths) / 100, Int(hundredths) % 100)
    return "\(whole).\(rest < 10 ? "0" : "")\(rest) GiB"
  }
}

extension CUDADevice {
  /// Whether this device's kernels could read and write the other's memory.
  package func canReach(_ peer: CUDADevice) throws(GPUError) -> Bool {
    var can: Int32 = 0
    try call("ask whether device \(ordinal) reaches device \(peer.ordinal)") {
      $0.cuDeviceCanAccessPeer(&can, handle, peer.handle)
    }
    return can != 0
  }
}
