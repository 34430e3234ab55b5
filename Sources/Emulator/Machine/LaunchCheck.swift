// What a launch must respect before it starts: the chip's limits, the kernel's promises, its parameters.

internal import KernelLanguage

enum LaunchCheck {
  /// Shared memory of a block, with the system's share.
  static func sharedBytes(_ kernel: DecodedKernel, _ configuration: LaunchConfiguration) -> Int {
    let alignment = kernel.dynamicSharedAlignment ?? 1
    let base = (kernel.staticSharedBytes + alignment - 1) / alignment * alignment
    return base + configuration.dynamicSharedBytes
  }

  /// The parameter space that the arguments make.
  static func bytes(of arguments: [KernelArgument], for kernel: DecodedKernel) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: kernel.parameterBytes)
    for (parameter, argument) in zip(kernel.parameters, arguments) {
      let value: [UInt8]
      switch argument {
      case .pointer(let bits), .uint64(let bits): value = littleEndian(bits, 8)
      case .int64(let bits): value = littleEndian(UInt64(bitPattern: bits), 8)
      case .uint32(let bits): value = littleEndian(UInt64(bits), 4)
      case .int32(let bits): value = littleEndian(UInt64(UInt32(bitPattern: bits)), 4)
      case .float32(let number): value = littleEndian(UInt64(number.bitPattern), 4)
      case .tensorMap(let map): value = map.encoded
      }
      bytes.replaceSubrange(parameter.offset..<parameter.offset + parameter.count, with: value)
    }
    return bytes
  }

  private static func littleEndian(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
  }

  static func check(
    _ kernel: DecodedKernel, _ configuration: LaunchConfiguration, _ arguments: [KernelArgument], on chip: Chip
  ) throws(EmulatorError) {
    func require(_ condition: Bool, _ problem: @autoclosure () -> String) throws(EmulatorError) {
      if !condition { throw EmulatorError(.launch, at: EmulatorError.Place(kernel: kernel.name), problem()) }
    }
    let (grid, block, cluster) = (configuration.grid, configuration.block, configuration.cluster)
    for (name, extent, limit) in [
      ("grid", grid, Extent(Int(Int32.max), 65_535, 65_535)), ("block", block, Extent(1024, 1024, 64)),
      ("cluster", cluster, Extent(16, 16, 16)),
    ] {
      try require(
        extent.x >= 1 && extent.y >= 1 && extent.z >= 1 && extent.x <= limit.x && extent.y <= limit.y
          && extent.z <= limit.z, "a \(name) of \(extent) is not possible: 1 x 1 x 1 to \(limit)")
    }
    try require(block.count <= 1024, "a block of \(block) has \(block.count) threads, more than 1024: use more blocks")
    try require(
      cluster.count <= 16 && (cluster.count == 1 || chip.generation >= .hopper),
      "a cluster of \(cluster) is not possible on the \(chip.name): "
        + (chip.generation >= .hopper ? "16 blocks at most" : "it has no clusters"))
    try require(
      grid.x % cluster.x == 0 && grid.y % cluster.y == 0 && grid.z % cluster.z == 0,
      "a grid of \(grid) is no multiple of the cluster of \(cluster)")
    if let most = kernel.directive(.maxntid) {
      try require(
        block.count <= most.reduce(1, *),
        "a block of \(block) has \(block.count) threads, more than the kernel's .maxntid of \(most)")
    }
    if let exact = kernel.directive(.reqntid) {
      try require(
        [block.x, block.y, block.z].prefix(exact.count).elementsEqual(exact),
        "a block of \(block) is not the kernel's .reqntid of \(exact)")
    }
    if let exact = kernel.directive(.reqnctapercluster) {
      try require(
        [cluster.x, cluster.y, cluster.z].prefix(exact.count).elementsEqual(exact),
        "a cluster of \(cluster) is not the kernel's .reqnctapercluster of \(exact)")
    }
    let shared = sharedBytes(kernel, configuration) - Chip.reservedSharedBytes
    try require(
      configuration.dynamicSharedBytes >= 0 && shared <= chip.sharedBytesPerBlock,
      "a block needs \(shared) bytes of shared memory, more than the \(chip.sharedBytesPerBlock) that the "
        + "\(chip.name) gives one: use smaller tiles or fewer stages")
    if let registers = kernel.registersPerThread(chip) {
      try require(
        (block.count + 127) / 128 * 128 * registers <= chip.registers || kernel.directive(.maxnreg) == nil,
        "\(block.count) threads of \(registers) registers are more than the \(chip.registers) of a multiprocessor: "
          + "lower .maxnreg or the threads of a block")
    }
    let list = kernel.parameters.map { "\($0.name) of \($0.count) bytes" }.joined(separator: ", ")
    try require(
      arguments.count == kernel.parameters.count,
      "\(arguments.count) arguments for \(kernel.parameters.count) parameters: \(list)")
    for (parameter, argument) in zip(kernel.parameters, arguments) {
      try require(
        parameter.count == argument.size,
        "parameter \(parameter.name) has \(parameter.count) bytes, but its argument \(argument) has \(argument.size)")
      if case .tensorMap(let map) = argument {
        try require(
          map.problems.isEmpty, "the tensor map for \(parameter.name): \(map.problems.joined(separator: "; "))")
      }
    }
  }
}
