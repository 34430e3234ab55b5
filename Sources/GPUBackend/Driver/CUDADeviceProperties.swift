// What a device is: asked of the driver once.
//
// CUDA driver API 13.0, CUdevice_attribute.

internal import CDrivers
package import KernelLanguage

/// Name and sizes of a device.
package struct CUDADeviceProperties: Sendable, Hashable {
  package let name: String
  /// The device's place on the PCI bus, by which other libraries know it: `0000:1B:00.0`.
  package let bus: String
  /// 9.0 is 90.
  package let capability: Int
  package let multiprocessors: Int
  package let memoryBytes: Int
  package let secondLevelCacheBytes: Int
  /// Shared memory that a block may ask for.
  package let sharedBytesPerBlock: Int
  package let threadsPerBlock: Int
  /// Of the multiprocessors, at most.
  package let clockHertz: Double
  /// What the memory's clock and width allow, in bytes a second.
  package let memoryBandwidth: Double
  package let hasClusters: Bool
  let hasMemoryPools: Bool

  init(of device: cuda_device, _ driver: cuda_driver) throws(GPUError) {
    func attribute(_ attribute: cuda_device_attribute) throws(GPUError) -> Int {
      var value: Int32 = 0
      try driver.check(
        driver.cuDeviceGetAttribute(&value, attribute, device),
        "ask a device for attribute \(attribute.rawValue)")
      return Int(value)
    }
    var text = [CChar](repeating: 0, count: 256)
    try driver.check(driver.cuDeviceGetName(&text, Int32(text.count), device), "ask a device for its name")
    name = string(text)
    try driver.check(driver.cuDeviceGetPCIBusId(&text, Int32(text.count), device), "ask a device for its place")
    bus = string(text)
    var bytes = 0
    try driver.check(driver.cuDeviceTotalMem(&bytes, device), "ask a device for its memory")
    memoryBytes = bytes
    capability =
      try attribute(CUDA_DEVICE_COMPUTE_CAPABILITY_MAJOR) * 10 + attribute(CUDA_DEVICE_COMPUTE_CAPABILITY_MINOR)
    multiprocessors = try attribute(CUDA_DEVICE_MULTIPROCESSOR_COUNT)
    secondLevelCacheBytes = try attribute(CUDA_DEVICE_L2_CACHE_SIZE)
    sharedBytesPerBlock = try attribute(CUDA_DEVICE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
    threadsPerBlock = try attribute(CUDA_DEVICE_MAX_THREADS_PER_BLOCK)
    clockHertz = Double(try attribute(CUDA_DEVICE_CLOCK_RATE)) * 1e3
    let bits = Double(
      try attribute(CUDA_DEVICE_MEMORY_CLOCK_RATE) * attribute(CUDA_DEVICE_GLOBAL_MEMORY_BUS_WIDTH))
    memoryBandwidth = bits * 1e3 * 2 / 8  // two transfers a cycle
    hasClusters = try attribute(CUDA_DEVICE_CLUSTER_LAUNCH) != 0
    hasMemoryPools = try attribute(CUDA_DEVICE_MEMORY_POOLS_SUPPORTED) != 0
  }

  /// What kernels are made for: the chip's own instructions where we use them, otherwise those of the A100, which all later
  /// chips run.
  package var target: PTXTarget {
    switch capability {
    case 90: .sm90a
    case 100: .sm100a
    default: .sm80
    }
  }

  /// Why the device cannot be used.
  var problem: String? {
    if capability < 80 {
      return
        "\(name) has compute capability \(capability / 10).\(capability % 10); kernels need 8.0 (A100) or later. Take "
        + "another device, or --device cpu."
    }
    if !hasMemoryPools {
      return "\(name) has no memory pools, as some virtual GPUs. Let the virtual machine have unified memory, or take "
        + "--device cpu."
    }
    return nil
  }
}
