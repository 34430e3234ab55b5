// An emulated GPU as a device: everything is done when the call returns.

public import Emulator
public import KernelLanguage
internal import Synchronization

/// A GPU made of software, which checks what kernels do.
public final class EmulatedDevice: GPUDevice {
  /// The emulator, which one thread uses at a time.
  private struct Machine: @unchecked Sendable { let gpu: EmulatedGPU }
  private let machine: Mutex<Machine>
  private let chip: Chip
  private let observe: (@Sendable (LaunchReport) -> Void)?

  /// - Parameter observe: hears of each launch what it did.
  public init(
    _ chip: Chip = .h200, options: EmulatedGPU.Options = EmulatedGPU.Options(),
    observe: (@Sendable (LaunchReport) -> Void)? = nil
  ) {
    self.chip = chip
    self.observe = observe
    machine = Mutex(Machine(gpu: EmulatedGPU(chip, options: options)))
  }

  public var name: String { "emulated \(chip.name)" }
  public var target: PTXTarget { chip.target }
  public var multiprocessors: Int { chip.multiprocessors }

  public func allocate(_ bytes: Int, name: String) throws -> UInt64 {
    try machine.withLock { try $0.gpu.allocate(bytes, name: name) }
  }

  public func free(_ address: UInt64) { machine.withLock { $0.gpu.free(address) } }

  public func write(_ bytes: UnsafeRawBufferPointer, to address: UInt64) throws {
    try machine.withLock { try $0.gpu.write(bytes, to: address) }
  }

  public func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws {
    try machine.withLock { try $0.gpu.read(address, into: bytes) }
  }

  public func copy(_ bytes: Int, from source: UInt64, to target: UInt64) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 16)
    defer { buffer.deallocate() }
    try machine.withLock { machine in
      try machine.gpu.read(source, into: buffer)
      try machine.gpu.write(UnsafeRawBufferPointer(buffer), to: target)
    }
  }

  public func load(_ module: PTXModule) throws -> any GPUModule {
    try machine.withLock { Module(device: self, module: try $0.gpu.load(module)) }
  }

  public func synchronise() {}
  public func record(_ body: () throws -> Void) -> (any GPURecording)? { nil }

  /// Its module is used under the machine's lock only.
  private final class Module: GPUModule, @unchecked Sendable {
    private let device: EmulatedDevice
    private let module: EmulatedModule

    init(device: EmulatedDevice, module: EmulatedModule) { (self.device, self.module) = (device, module) }

    func launch(_ kernel: String, _ configuration: LaunchConfiguration, _ arguments: [KernelArgument]) throws {
      let report = try device.machine.withLock { machine in
        try machine.gpu.launch(module, kernel, configuration, arguments)
      }
      device.observe?(report)
    }
  }
}
