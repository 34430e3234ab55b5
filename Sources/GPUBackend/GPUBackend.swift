// Runs programs on a GPU, real or emulated.

public import KernelLanguage
internal import Synchronization
public import Tensors

/// Runs programs on a GPU through kernels of this package.
///
/// Results are bit-identical from run to run: every reduction has an order that depends on shapes alone.
public final class GPUBackend: Backend {
  public let device: any GPUDevice
  let kernels: KernelCache

  public init(_ device: any GPUDevice) {
    self.device = device
    kernels = KernelCache(device)
  }

  public var name: String { "gpu (\(device.name))" }

  /// Kernels of one target compute the same on every chip that runs it.
  public var arithmetic: String { "gpu (\(device.target.name))" }

  /// All that programs have asked for so far, each once.
  public var madeKernels: [Kernel] { kernels.kernels }

  public func compile(_ program: Program) throws -> any Executable {
    try kernels.turn.withLock { _ in try GPUExecutable(program, kernels: kernels) }
  }
}
