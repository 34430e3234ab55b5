// What an engine does and has done, for metrics.

/// Counts since the engine was started, and how things stand.
public struct EngineStatistics: Sendable, Hashable {
  /// Requests that wait, and that are read or written.
  public var waiting = 0
  public var running = 0
  /// Blocks of the cache; those that running texts use, and those that are kept for later ones.
  public var cacheBlocks = 0
  public var usedBlocks = 0
  public var keptBlocks = 0

  public var steps = 0
  /// Seconds in steps.
  public var seconds = 0.0
  /// Tokens of prompts that were computed; those of texts that were preempted count again.
  public var read = 0
  /// Tokens that were written.
  public var written = 0
  /// Tokens of prompts that were found in the cache.
  public var cached = 0
  public var preemptions = 0
  public var refused = 0
  public var failed = 0
  /// Requests that ended, by how.
  public var ended: [EndReason: Int] = [:]

  mutating func computed(_ step: EngineStep, written: Int, seconds: Double) {
    steps += 1
    self.seconds += seconds
    self.written += written
    read += step.parts.reduce(0) { $0 + ($1.isLast && $1.tokens.count == 1 && $1.start > 0 ? 0 : $1.tokens.count) }
  }

  mutating func started(cached: Int) { self.cached += cached }

  mutating func ended(_ end: GenerationEnd) { ended[end.reason, default: 0] += 1 }
}
