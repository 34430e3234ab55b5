// Starting a kernel: what is checked before, and how a configuration and arguments are put into the driver's form.
//
// Invariant: nothing reaches the driver that does not fit the kernel's parameters: the driver itself reads as many arguments as
// the kernel has, whatever it is given.
//
// CUDA driver API 13.0, cuLaunchKernelEx.

internal import CDrivers
package import KernelLanguage

extension CUDAFunction {
  /// Starts the kernel behind what was started on the stream before.
  ///
  /// - Parameter isCooperative: whether all blocks run at the same time, so that they can wait for each other.
  package func launch(
    _ configuration: LaunchConfiguration, _ arguments: [KernelArgument], isCooperative: Bool = false,
    on stream: CUDAStream
  ) throws {
    if let problem = problem(configuration, arguments) {
      throw GPUError(.driver, "Cannot start kernel '\(name)': \(problem).")
    }
    try allow(
      dynamicSharedBytes: configuration.dynamicSharedBytes, clusterBlocks: configuration.cluster.count)
    try withArguments(arguments) { arguments in
      try withConfiguration(configuration, isCooperative: isCooperative, stream) { configuration in
        stream.use(self)
        try device.call("start kernel '\(name)'") { $0.cuLaunchKernelEx(configuration, handle, arguments, nil) }
      }
    }
  }

  /// Clusters of the configuration that run at the same time on the device.
  package func activeClusters(_ configuration: LaunchConfiguration, on stream: CUDAStream) throws -> Int {
    try allow(
      dynamicSharedBytes: configuration.dynamicSharedBytes, clusterBlocks: configuration.cluster.count)
    var clusters: Int32 = 0
    try withConfiguration(configuration, isCooperative: false, stream) { configuration in
      try device.call("ask how many clusters of kernel '\(name)' fit") {
        $0.cuOccupancyMaxActiveClusters(&clusters, handle, configuration)
      }
    }
    return Int(clusters)
  }

  /// Why a launch is wrong; nil: it is not.
  private func problem(_ configuration: LaunchConfiguration, _ arguments: [KernelArgument]) -> String? {
    let (grid, block, shape) = (configuration.grid, configuration.block, configuration.cluster)
    guard arguments.map(\.size) == parameters else {
      return "its parameters have \(parameters) bytes, and the arguments \(arguments.map(\.size))"
    }
    guard (1...Int(Int32.max)).contains(grid.x), (1...65535).contains(grid.y), (1...65535).contains(grid.z) else {
      return "a grid of \(grid) blocks; there are 1 to 2147483647 x 65535 x 65535"
    }
    guard
      (1...1024).contains(block.x), (1...1024).contains(block.y), (1...64).contains(block.z),
      block.count <= threadsPerBlock
    else {
      return "a block of \(block) threads; with \(registers) registers each it can have \(threadsPerBlock), at most 64 "
        + "along the last axis"
    }
    guard (1...16).contains(shape.x), (1...16).contains(shape.y), (1...16).contains(shape.z), shape.count <= 16 else {
      return "a cluster of \(shape) blocks; there are 1 to 16"
    }
    guard shape.count == 1 || device.properties.hasClusters else {
      return "\(device.properties.name) has no clusters"
    }
    guard grid.x % shape.x == 0, grid.y % shape.y == 0, grid.z % shape.z == 0 else {
      return "a grid of \(grid) blocks is no multiple of the cluster, \(shape)"
    }
    if let cluster, cluster != shape {
      return "it was made for clusters of \(cluster) blocks, not of \(shape)"
    }
    let shared = configuration.dynamicSharedBytes + sharedBytes
    guard configuration.dynamicSharedBytes >= 0, shared <= device.properties.sharedBytesPerBlock else {
      return "\(shared) bytes of shared memory in a block; the device has \(device.properties.sharedBytesPerBlock)"
    }
    return nil
  }

  /// The arguments as the driver reads them: the address of each value.
  private func withArguments<Result>(
    _ arguments: [KernelArgument], _ body: (UnsafeMutablePointer<UnsafeMutableRawPointer?>) throws -> Result
  ) throws -> Result {
    let room = CUDA_TENSOR_MAP_BYTES
    // A tensor map must be at a multiple of 64 bytes where it is encoded; every value gets the room of one.
    return try withUnsafeTemporaryAllocation(
      byteCount: max(1, arguments.count) * room, alignment: CUDA_TENSOR_MAP_ALIGNMENT
    ) { values in
      try withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: arguments.count + 1) { pointers in
        pointers.initialize(repeating: nil)
        for (index, argument) in arguments.enumerated() {
          let place = values.baseAddress! + index * room
          pointers[index] = place
          switch argument {
          case .pointer(let value), .uint64(let value): place.storeBytes(of: value, as: UInt64.self)
          case .int64(let value): place.storeBytes(of: value, as: Int64.self)
          case .uint32(let value): place.storeBytes(of: value, as: UInt32.self)
          case .int32(let value): place.storeBytes(of: value, as: Int32.self)
          case .float32(let value): place.storeBytes(of: value, as: Float.self)
          case .tensorMap(let map): try device.encode(map, into: place)
          }
        }
        return try body(pointers.baseAddress!)
      }
    }
  }

  private func withConfiguration(
    _ configuration: LaunchConfiguration, isCooperative: Bool, _ stream: CUDAStream,
    _ body: (UnsafePointer<cuda_launch_configuration>) throws -> Void
  ) throws {
    var attributes: [cuda_launch_attribute] = []
    func add(_ id: cuda_launch_attribute_id, _ set: (inout cuda_launch_attribute_value) -> Void) {
      var attribute = cuda_launch_attribute()
      attribute.id = id
      set(&attribute.value)
      attributes.append(attribute)
    }
    let shape = configuration.cluster
    if shape.count > 1 && cluster == nil {
      add(CUDA_LAUNCH_CLUSTER_DIMENSION) {
        $0.cluster = cuda_cluster_dimension(x: UInt32(shape.x), y: UInt32(shape.y), z: UInt32(shape.z))
      }
    }
    // Chips before Hopper start kernels one after the other in any case.
    if configuration.overlapsPrevious && device.properties.capability >= 90 {
      add(CUDA_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION) { $0.flag = 1 }
    }
    if isCooperative { add(CUDA_LAUNCH_COOPERATIVE) { $0.flag = 1 } }
    let (grid, block) = (configuration.grid, configuration.block)
    try attributes.withUnsafeMutableBufferPointer { attributes in
      var form = cuda_launch_configuration(
        grid_x: UInt32(grid.x), grid_y: UInt32(grid.y), grid_z: UInt32(grid.z), block_x: UInt32(block.x),
        block_y: UInt32(block.y), block_z: UInt32(block.z),
        dynamic_shared_bytes: UInt32(configuration.dynamicSharedBytes), stream: stream.handle,
        attributes: attributes.isEmpty ? nil : attributes.baseAddress, attribute_count: UInt32(attributes.count))
      try body(&form)
    }
  }
}
