/// Where each value of a program lives: decided once, so that a run allocates nothing.
///
/// Intermediate values share one arena. A value occupies its place from the instruction that writes it to the last that reads
/// it; two values overlap in memory only if they do not overlap in time. Views (`reshape`) and in-place results share their
/// source's place.
public struct MemoryPlan: Sendable {
  public enum Place: Sendable, Hashable {
    /// In the memory of the input at this position.
    case input(Int)
    /// In memory that the backend keeps for the output at this position.
    case output(Int)
    /// Bytes from the start of the arena.
    case arena(Int)
    /// Kept from compilation on.
    case constant
    /// Nothing reads it.
    case nowhere
  }

  /// By value.
  public internal(set) var places: [Place] = []
  /// The arena's size in bytes, at the largest extent.
  public internal(set) var arenaBytes = 0
  /// What the intermediate values would take if none shared memory.
  public internal(set) var unsharedBytes = 0
  /// Values that must be copied to an output's place at the end of a run: (value, output position).
  public internal(set) var copies: [(value: Program.Value, output: Int)] = []

  init() {}
}
