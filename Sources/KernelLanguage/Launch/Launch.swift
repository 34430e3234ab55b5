// What a kernel is started with, on a GPU as on the emulator.

/// Three extents: threads of a block, blocks of a cluster or of a grid.
public struct Extent: Hashable, Sendable, CustomStringConvertible {
  public var x: Int
  public var y: Int
  public var z: Int

  public init(_ x: Int, _ y: Int = 1, _ z: Int = 1) { (self.x, self.y, self.z) = (x, y, z) }

  public var count: Int { x * y * z }
  public var description: String { "\(x) x \(y) x \(z)" }
}

/// How many threads run a kernel, and with how much shared memory.
public struct LaunchConfiguration: Hashable, Sendable {
  /// Blocks; a multiple of the cluster along each axis.
  public var grid: Extent
  /// Threads of a block, 1024 at most.
  public var block: Extent
  /// Blocks of a cluster: they run at the same time and read each other's shared memory.
  public var cluster: Extent
  /// Bytes of shared memory beyond those that the kernel declares.
  public var dynamicSharedBytes: Int
  /// Whether the kernel may begin before the one in front of it in the stream has ended; it then waits with
  /// `griddepcontrol.wait`.
  public var overlapsPrevious: Bool

  public init(
    grid: Extent, block: Extent, cluster: Extent = Extent(1), dynamicSharedBytes: Int = 0,
    overlapsPrevious: Bool = false
  ) {
    (self.grid, self.block, self.cluster) = (grid, block, cluster)
    (self.dynamicSharedBytes, self.overlapsPrevious) = (dynamicSharedBytes, overlapsPrevious)
  }
}

/// A value for a kernel's parameter.
public enum KernelArgument: Hashable, Sendable {
  /// An address in global memory.
  case pointer(UInt64)
  case uint32(UInt32)
  case int32(Int32)
  case uint64(UInt64)
  case int64(Int64)
  case float32(Float)
  case tensorMap(TensorMap)

  /// In the kernel's parameter space, in bytes.
  public var size: Int {
    switch self {
    case .uint32, .int32, .float32: 4
    case .pointer, .uint64, .int64: 8
    case .tensorMap: 128
    }
  }
}
