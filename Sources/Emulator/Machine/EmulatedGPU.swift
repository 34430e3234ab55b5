// The emulated GPU: a CPU program that behaves as one, and says what a real one hides.
//
// Invariant: the same seed, program and arguments give the same run, to the bit, and the same errors.

internal import Core
public import KernelLanguage

/// A GPU made of software. Not thread-safe: one thread uses it at a time.
public final class EmulatedGPU {
  public struct Options: Hashable, Sendable {
    /// Of the order in which warps run and asynchronous effects land.
    public var seed: UInt64
    public var detectsRaces: Bool
    /// Blocks that run at the same time at most; nil: as many as the chip holds.
    public var residentBlocks: Int?
    /// Instructions that warps may run in a row while nothing gets on: no store, no barrier, no exit. A launch that is longer at
    /// it is stopped.
    public var patience: Int

    public init(
      seed: UInt64 = 0, detectsRaces: Bool = true, residentBlocks: Int? = nil, patience: Int = 20_000_000
    ) {
      (self.seed, self.detectsRaces, self.residentBlocks) = (seed, detectsRaces, residentBlocks)
      self.patience = patience
    }
  }

  public let chip: Chip
  public let options: Options
  let memory = GlobalMemory()
  /// Hears of all accesses; nil where races are not looked for.
  var observer: (any MemoryObserver)? { detector }
  /// The same, for asynchronous instructions.
  let detector: RaceDetector?
  private var launches = 0

  public init(_ chip: Chip = .h200, options: Options = Options()) {
    (self.chip, self.options) = (chip, options)
    detector = options.detectsRaces ? RaceDetector() : nil
  }

  // MARK: Memory

  /// The global address of `bytes` new bytes, a multiple of 256. The name stands in errors.
  public func allocate(_ bytes: Int, name: String) throws -> UInt64 {
    guard bytes >= 0, memory.usedBytes + bytes <= chip.memoryBytes else {
      throw EmulatorError(
        .outOfBounds,
        "\(bytes) bytes for \"\(name)\" do not fit: the \(chip.name) has \(chip.memoryBytes) bytes, and "
          + "\(memory.usedBytes) are in use")
    }
    let address = memory.allocate(bytes, name: name)
    observer?.hostAllocated(address, bytes)
    return address
  }

  /// Gives memory back.
  ///
  /// - Precondition: `address` is from `allocate` and was not given back before.
  public func free(_ address: UInt64) {
    guard let count = memory.free(address) else {
      preconditionFailure("EmulatedGPU.free: nothing was allocated at 0x\(String(address, radix: 16))")
    }
    observer?.hostFreed(address, count)
  }

  /// Copies bytes of the host to global memory.
  public func write(_ bytes: UnsafeRawBufferPointer, to address: UInt64) throws {
    guard bytes.count > 0 else { return }
    try hostPointer(address, bytes.count).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    observer?.hostWrote(address, bytes.count)
  }

  /// Copies bytes of global memory to the host.
  public func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws {
    guard bytes.count > 0 else { return }
    bytes.baseAddress!.copyMemory(from: try hostPointer(address, bytes.count), byteCount: bytes.count)
  }

  private func hostPointer(_ address: UInt64, _ count: Int) throws(EmulatorError) -> UnsafeMutableRawPointer {
    guard let pointer = memory.pointer(address, count) else {
      throw EmulatorError(
        .outOfBounds,
        "the host copies \(count) bytes at 0x\(String(address, radix: 16)), \(memory.neighbourhood(of: address)): "
          + "copy what lies in one allocation")
    }
    return pointer
  }

  // MARK: Programs

  /// Decodes a module. Throws `unsupported` with the kernel and the instruction for what the emulator, or this chip, cannot run.
  public func load(_ module: PTXModule) throws -> EmulatedModule { try EmulatedModule(module, on: self) }

  /// Runs a kernel to its end.
  public func launch(
    _ module: EmulatedModule, _ kernel: String, _ configuration: LaunchConfiguration, _ arguments: [KernelArgument]
  ) throws -> LaunchReport {
    guard let decoded = module.kernels[kernel] else {
      throw EmulatorError(
        .launch, "the module has no kernel \"\(kernel)\", only: \(module.kernels.keys.sorted().joined(separator: ", "))"
      )
    }
    launches += 1
    let launch = try Launch(self, decoded, configuration, arguments, number: launches)
    return try launch.run()
  }
}

/// A module that was loaded onto an emulated GPU.
public final class EmulatedModule {
  let kernels: [String: DecodedKernel]

  init(_ module: PTXModule, on gpu: EmulatedGPU) throws(EmulatorError) {
    kernels = try ModuleDecoder.decode(module, on: gpu)
  }
}
