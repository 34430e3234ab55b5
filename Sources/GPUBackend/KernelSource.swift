// Kernels as values: what a kernel is made from is also the key under which it is kept.

internal import KernelLanguage
internal import Synchronization

/// All that the text of a kernel depends on: element types, inner extents and strides, options. Sizes that change from run to
/// run are arguments.
protocol KernelSource: Hashable, Sendable {
  /// The kernel for a target.
  func kernel(for target: PTXTarget) -> Kernel
}

/// A kernel on a device.
struct LoadedKernel: Sendable {
  let module: any GPUModule
  let name: String
  let sharedBytes: Int
}

/// The kernels of a device: each is made and assembled once.
final class KernelCache: Sendable {
  let device: any GPUDevice
  /// Held by whoever asks the device for work: what is recorded is what one program asks for.
  let turn = Mutex(())
  /// `Hashable` keys of many types; as each is `Sendable`, so is the whole.
  private struct Key: @unchecked Sendable, Hashable { let source: AnyHashable }
  private let loaded = Mutex<[Key: LoadedKernel]>([:])
  private let made = Mutex<[Kernel]>([])

  /// In the order in which they were first asked for.
  var kernels: [Kernel] { made.withLock { $0 } }

  init(_ device: any GPUDevice) { self.device = device }

  func load(_ source: some KernelSource) throws -> LoadedKernel {
    let key = Key(source: AnyHashable(source))
    if let known = loaded.withLock({ $0[key] }) { return known }
    let made = source.kernel(for: device.target)
    let kernel = LoadedKernel(
      module: try device.load(made.module), name: made.name, sharedBytes: made.sharedBytes)
    loaded.withLock { $0[key] = kernel }
    self.made.withLock { $0.append(made) }
    return kernel
  }
}
