// The backend's view of a real GPU: one stream, one pool of memory, one cache of kernels.

internal import CDrivers
package import KernelLanguage
internal import Synchronization

/// An NVIDIA GPU.
package final class CUDAGPU: GPUDevice {
  package let device: CUDADevice
  package let stream: CUDAStream
  package let memory: DeviceMemoryPool
  private let staging: HostStaging
  private let cache: CubinCache?
  private let acceptsSlowCode: Bool
  private let currentProfiler = Mutex<KernelProfiler?>(nil)

  /// - Parameters:
  ///   - cache: where assembled kernels are kept; nil: nowhere.
  ///   - acceptsSlowCode: whether kernels that the driver's assembler complains about are run all the same.
  package init(
    _ device: CUDADevice, cache: CubinCache? = .standard(), acceptsSlowCode: Bool = false
  ) throws(GPUError) {
    (self.device, self.cache, self.acceptsSlowCode) = (device, cache, acceptsSlowCode)
    stream = try CUDAStream(on: device)
    memory = try DeviceMemoryPool(on: device)
    staging = try HostStaging(on: device)
  }

  package var name: String { device.properties.name }
  package var target: PTXTarget { device.properties.target }
  package var multiprocessors: Int { device.properties.multiprocessors }

  /// Gets the times of kernels that are started from here on; nil: nobody does.
  package var profiler: KernelProfiler? {
    get { currentProfiler.withLock { $0 } }
    set { currentProfiler.withLock { $0 = newValue } }
  }

  package func allocate(_ bytes: Int, name: String) throws -> UInt64 {
    try memory.allocate(bytes, name: name, on: stream)
  }

  package func free(_ address: UInt64) { memory.free(address, on: stream) }

  package func write(_ bytes: UnsafeRawBufferPointer, to address: UInt64) throws {
    try staging.write(bytes, to: address, on: stream)
  }

  package func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws {
    try staging.read(address, into: bytes, on: stream)
  }

  package func copy(_ bytes: Int, from source: UInt64, to target: UInt64) throws {
    try stream.copy(bytes, from: source, to: target)
  }

  package func load(_ module: PTXModule) throws -> any GPUModule {
    Module(
      gpu: self,
      module: try CUDAModule(module, on: device, cache: cache, acceptsSlowCode: acceptsSlowCode))
  }

  package func synchronise() throws { try stream.synchronise() }

  /// Nothing is recorded while a profiler is there: in a recording kernels have no times of their own.
  package func record(_ body: () throws -> Void) throws -> (any GPURecording)? {
    guard profiler == nil else { return nil }
    return Recording(gpu: self, graph: try CUDAGraph(of: stream, body))
  }

  private final class Module: GPUModule {
    let gpu: CUDAGPU
    let module: CUDAModule

    init(gpu: CUDAGPU, module: CUDAModule) { (self.gpu, self.module) = (gpu, module) }

    func launch(_ kernel: String, _ configuration: LaunchConfiguration, _ arguments: [KernelArgument]) throws {
      let function = try module.function(kernel)
      guard let profiler = gpu.profiler, !gpu.stream.isCapturing else {
        return try function.launch(configuration, arguments, on: gpu.stream)
      }
      try profiler.time(kernel, configuration, on: gpu.stream) {
        try function.launch(configuration, arguments, on: gpu.stream)
      }
    }
  }

  private final class Recording: GPURecording {
    let gpu: CUDAGPU
    let graph: CUDAGraph

    init(gpu: CUDAGPU, graph: CUDAGraph) { (self.gpu, self.graph) = (gpu, graph) }

    func replay() throws { try graph.launch(on: gpu.stream) }
  }
}
