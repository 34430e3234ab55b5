// What the backend needs of a GPU, whether it is one or is emulated.
//
// Invariant: all calls of one device take effect in the order in which they are made, as if each waited for those before it;
// only `read` and `synchronise` really wait.

public import KernelLanguage

/// A GPU: memory, and kernels that run on it.
public protocol GPUDevice: AnyObject, Sendable {
  /// For people: `NVIDIA H200`, `emulated H200`.
  var name: String { get }
  /// What kernels are made for.
  var target: PTXTarget { get }
  /// Blocks that can run at the same time are a multiple of it.
  var multiprocessors: Int { get }

  /// 256-byte aligned global memory.
  ///
  /// - Parameters:
  ///   - bytes: more than 0.
  ///   - name: what messages call it.
  func allocate(_ bytes: Int, name: String) throws -> UInt64

  /// Gives memory back once everything that was asked of the device before is done.
  func free(_ address: UInt64)

  /// From the host; the bytes may be changed as soon as this returns.
  func write(_ bytes: UnsafeRawBufferPointer, to address: UInt64) throws

  /// To the host, after everything that was asked of the device before.
  func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws

  /// Within the device; the places do not overlap.
  func copy(_ bytes: Int, from source: UInt64, to target: UInt64) throws

  /// Assembles a module.
  func load(_ module: PTXModule) throws -> any GPUModule

  /// Waits until everything is done; throws what went wrong since the last time.
  func synchronise() throws

  /// Takes down the launches and copies that `body` makes, without doing them; nil: the device cannot, and has done nothing.
  func record(_ body: () throws -> Void) throws -> (any GPURecording)?
}

/// Kernels that are ready to run on a device.
public protocol GPUModule: AnyObject, Sendable {
  /// Starts a kernel behind everything that was asked of the device before.
  func launch(_ kernel: String, _ configuration: LaunchConfiguration, _ arguments: [KernelArgument]) throws
}

/// Launches and copies that are started as one.
public protocol GPURecording: AnyObject, Sendable {
  func replay() throws
}
