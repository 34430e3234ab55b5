// Kernels on a device, ready to be started.
//
// CUDA driver API 13.0, "Module Management", "Execution Control".

internal import CDrivers
package import KernelLanguage

/// Code on a device, which stays there as long as a module, a kernel or a graph of it is held.
final class CUDACode: @unchecked Sendable {
  let device: CUDADevice
  let handle: cuda_module

  init(_ handle: cuda_module, on device: CUDADevice) { (self.handle, self.device) = (handle, device) }

  deinit {
    // It must stay while it runs.
    device.release { $0.cuCtxSynchronize() }
    device.release { $0.cuModuleUnload(handle) }
  }
}

/// An assembled module.
package final class CUDAModule: Sendable {
  package let device: CUDADevice
  private let code: CUDACode
  private let functions: [String: CUDAFunction]

  /// Assembles a module, or takes it from the cache.
  ///
  /// - Parameters:
  ///   - cache: nil: none.
  ///   - acceptsSlowCode: whether code that the assembler complains about is run all the same. Such code is not kept in the cache.
  package init(
    _ module: PTXModule, on device: CUDADevice, cache: CubinCache? = nil, acceptsSlowCode: Bool = false
  ) throws {
    let code = try PTXAssembler(device: device, cache: cache, acceptsSlowCode: acceptsSlowCode).load(module)
    (self.device, self.code) = (device, code)
    functions = try Dictionary(
      uniqueKeysWithValues: module.kernels.map { ($0.name, try CUDAFunction($0, in: code)) })
  }

  /// A kernel of the module.
  package func function(_ name: String) throws(GPUError) -> CUDAFunction {
    if let function = functions[name] { return function }
    throw GPUError(
      .driver,
      "The module has no kernel '\(name)'; it has \(functions.keys.sorted().map { "'\($0)'" }.joined(separator: ", "))."
    )
  }

  /// A variable of the module in global or constant memory.
  package func variable(_ name: String) throws(GPUError) -> (address: UInt64, bytes: Int) {
    var (address, bytes): (UInt64, Int) = (0, 0)
    try device.call("find variable '\(name)'") { $0.cuModuleGetGlobal(&address, &bytes, code.handle, name) }
    return (address, bytes)
  }
}
