// A device that runs nothing: it collects the kernels that programs are made of, for any target, on any machine.
//
// Invariant: compiling a program on it makes exactly the modules that the program would have on a GPU of this target.

internal import Core
public import KernelLanguage
internal import Synchronization

/// A GPU that only takes modules down.
public final class AssemblyDevice: GPUDevice {
  public let target: PTXTarget
  public let multiprocessors: Int
  public var name: String { "assembly for \(target.name)" }
  private let collected = Mutex<[PTXModule]>([])
  private let nextAddress = Mutex<UInt64>(1 << 32)

  public init(_ target: PTXTarget, multiprocessors: Int = 132) {
    (self.target, self.multiprocessors) = (target, multiprocessors)
  }

  /// In the order in which they were first asked for.
  public var modules: [PTXModule] { collected.withLock { $0 } }

  public func allocate(_ bytes: Int, name: String) -> UInt64 {
    nextAddress.withLock { next in
      defer { next += UInt64(bytes + 511) / 256 * 256 }
      return next
    }
  }

  public func free(_ address: UInt64) {}
  public func write(_ bytes: UnsafeRawBufferPointer, to address: UInt64) {}
  public func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) {
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }
  public func copy(_ bytes: Int, from source: UInt64, to target: UInt64) {}

  public func load(_ module: PTXModule) -> any GPUModule {
    collected.withLock { $0.append(module) }
    return Module()
  }

  public func synchronise() {}
  public func record(_ body: () throws -> Void) -> (any GPURecording)? { nil }

  private final class Module: GPUModule {
    func launch(_ kernel: String, _ configuration: LaunchConfiguration, _ arguments: [KernelArgument]) {}
  }
}
