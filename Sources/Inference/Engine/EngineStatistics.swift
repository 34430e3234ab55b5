// What an engine does and has done, for metrics.

/// Counts since the engine was started, and how things stand.
public struct EngineStatistics: Sendable, Hashable {
  /// Requests with one adapter.
  public struct AdapterUse: Sendable, Hashable {
    public var waiting = 0
    public var running = 0
  }

  /// Requests that wait, and that are read or written.
  public var waiting = 0
  public var running = 0
  /// Blocks of the cache; those that running texts use, and those that are kept for later ones.
  public var cacheBlocks = 0
  public var usedBlocks = 0
  public var keptBlocks = 0
  /// How many requests with each adapter wait and run, of those that have any; adapters that take part in a step at most.
  public var adapters: [String: AdapterUse] = [:]
  public var adapterSlots = 0

  /// Steps, and those of them in which tokens were written: others only read.
  public var steps = 0
  public var writingSteps = 0
  /// Seconds in steps.
  public var seconds = 0.0
  /// Tokens that were computed of prompts, and again of texts that were preempted.
  public var read = 0
  /// Tokens that were written.
  public var written = 0
  /// Tokens of prompts of requests that were started, and those of them that were found in the cache.
  public var asked = 0
  public var cached = 0
  /// Drafts, the tokens in them on all ways on, and those that the sampler chose, too.
  public var drafts = 0
  public var drafted = 0
  public var accepted = 0
  public var preemptions = 0
  public var refused = 0
  public var failed = 0
  /// Requests that ended, in the order of `EndReason.allCases`: plain numbers, as they are copied after each step.
  private var ends = SIMD4<Int>()

  /// Requests that ended, by how.
  public var ended: [EndReason: Int] {
    Dictionary(uniqueKeysWithValues: zip(EndReason.allCases, (0..<4).map { ends[$0] }).filter { $1 > 0 })
  }

  public init() {}

  mutating func computed(_ step: EngineStep, _ chosen: [InferenceEngine.ID: ChosenTokens], seconds: Double) {
    steps += 1
    if chosen.values.contains(where: { !$0.tokens.isEmpty }) { writingSteps += 1 }
    self.seconds += seconds
    for part in step.parts {
      if !part.isWriting { read += part.tokens.count }
      let new = chosen[part.id]?.tokens.count ?? 0
      written += new
      guard part.drafted > 0 else { continue }
      drafts += 1
      drafted += part.wanted - 1
      accepted += max(0, new - 1)
    }
  }

  mutating func started(prompt: Int, cached: Int) {
    asked += prompt
    self.cached += cached
  }

  package mutating func ended(_ reason: EndReason, count: Int = 1) {
    ends[EndReason.allCases.firstIndex(of: reason)!] += count
  }
}
