// A kernel in the driver's hands, and what the assembler gave it.
//
// CUDA driver API 13.0, CUfunction_attribute, "Occupancy".

internal import CDrivers
internal import KernelLanguage
internal import Synchronization

/// A kernel of a module, which keeps it alive.
package final class CUDAFunction: @unchecked Sendable {
  package let name: String
  /// Of a thread.
  package let registers: Int
  /// Memory of a thread, in bytes: arrays of the kernel, and registers that did not fit.
  package let localBytes: Int
  /// Shared memory that the kernel declares, in bytes.
  package let sharedBytes: Int
  /// With so many registers.
  package let threadsPerBlock: Int
  /// Bytes of each parameter, in order.
  let parameters: [Int]
  /// What the kernel was assembled for, which a launch must not say again.
  let cluster: Extent?
  let handle: cuda_function
  private let code: CUDACode
  package var device: CUDADevice { code.device }

  /// What the driver allows at the moment.
  private struct Limits {
    /// Shared memory of a launch beyond what the kernel declares, in bytes.
    var dynamicShared: Int
    var hasLargeClusters = false
  }
  private let limits: Mutex<Limits>

  init(_ kernel: PTXKernel, in code: CUDACode) throws(GPUError) {
    let device = code.device
    (name, self.code) = (kernel.name, code)
    parameters = kernel.parameters.map { variable in
      variable.dimensions.reduce(variable.type.size * variable.vector, *)
    }
    cluster = kernel.directives.first { $0.name == .reqnctapercluster }.map { directive in
      let values = directive.values + [1, 1, 1]
      return Extent(values[0], values[1], values[2])
    }
    var handle: cuda_function?
    try device.call("find kernel '\(kernel.name)'") { $0.cuModuleGetFunction(&handle, code.handle, kernel.name) }
    self.handle = handle!
    func attribute(_ attribute: cuda_function_attribute) throws(GPUError) -> Int {
      var value: Int32 = 0
      try device.call("ask kernel '\(kernel.name)' for attribute \(attribute.rawValue)") {
        $0.cuFuncGetAttribute(&value, attribute, handle)
      }
      return Int(value)
    }
    registers = try attribute(CUDA_FUNCTION_NUM_REGS)
    localBytes = try attribute(CUDA_FUNCTION_LOCAL_SIZE_BYTES)
    sharedBytes = try attribute(CUDA_FUNCTION_SHARED_SIZE_BYTES)
    threadsPerBlock = try attribute(CUDA_FUNCTION_MAX_THREADS_PER_BLOCK)
    limits = Mutex(Limits(dynamicShared: try attribute(CUDA_FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES)))
  }

  /// Raises what the driver allows, where a launch needs more than every device gives.
  func allow(dynamicSharedBytes: Int, clusterBlocks: Int) throws(GPUError) {
    let raise = limits.withLock { limits in
      let shared = dynamicSharedBytes > limits.dynamicShared
      let clusters = clusterBlocks > 8 && !limits.hasLargeClusters
      limits.dynamicShared = max(limits.dynamicShared, dynamicSharedBytes)
      limits.hasLargeClusters = limits.hasLargeClusters || clusters
      return (shared, clusters)
    }
    if raise.0 {
      try device.call("give kernel '\(name)' \(dynamicSharedBytes) bytes of shared memory") {
        $0.cuFuncSetAttribute(handle, CUDA_FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES, Int32(dynamicSharedBytes))
      }
    }
    if raise.1 {
      try device.call("let kernel '\(name)' have clusters of \(clusterBlocks) blocks") {
        $0.cuFuncSetAttribute(handle, CUDA_FUNCTION_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1)
      }
    }
  }

  /// Blocks that run at the same time on one multiprocessor.
  package func blocksPerMultiprocessor(threads: Int, dynamicSharedBytes: Int) throws(GPUError) -> Int {
    try allow(dynamicSharedBytes: dynamicSharedBytes, clusterBlocks: 1)
    var blocks: Int32 = 0
    try device.call("ask how many blocks of kernel '\(name)' fit") {
      $0.cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, handle, Int32(threads), dynamicSharedBytes)
    }
    return Int(blocks)
  }
}
