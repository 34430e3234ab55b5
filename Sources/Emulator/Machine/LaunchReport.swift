// What a launch did: counts of instructions, bytes and conflicts.

/// Counts of what the memory instructions of a launch moved; steps add to it.
struct MemoryCounters {
  /// Sectors of 32 bytes, and bytes that lanes asked for.
  var globalLoadSectors = 0
  var globalStoreSectors = 0
  var globalLoadBytes = 0
  var globalStoreBytes = 0
  /// Passes through shared memory of 128 bytes each, and those of them that are there because banks met.
  var sharedPasses = 0
  var sharedConflicts = 0
  var sharedBytes = 0
  /// Of tensor and bulk copies.
  var asynchronousBytes = 0
  var atomics = 0
  /// Times that a warp was made to wait.
  var barrierWaits = 0
}

/// What a launch did.
public struct LaunchReport: Hashable, Sendable {
  public var kernel: String
  public var blocks = 0
  public var threads = 0
  /// Instructions that warps ran, by functional unit.
  public var instructions: [String: Int] = [:]
  public var warpInstructions = 0
  /// Sectors of 32 bytes that loads touched, each once for each instruction.
  public var globalLoadSectors = 0
  public var globalStoreSectors = 0
  /// Bytes that lanes asked for.
  public var globalLoadBytes = 0
  public var globalStoreBytes = 0
  /// Passes through shared memory, of 128 bytes each.
  public var sharedPasses = 0
  /// Passes that are there only because lanes met in a bank.
  public var sharedConflicts = 0
  public var sharedBytes = 0
  /// Of tensor and bulk copies.
  public var asynchronousBytes = 0
  /// Elements changed by `atom` and `red`.
  public var atomics = 0
  /// Times that a warp found a barrier closed.
  public var barrierWaits = 0
  /// Of the allocations that the arguments point into: what has to come from device memory once, at most.
  public var footprintBytes = 0
  /// Multiplications and additions of the tensor cores, by what they multiply.
  public var tensorOperations: [Chip.TensorRate: Double] = [:]
}
