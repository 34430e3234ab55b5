// Names what holds requests up before they fail for it.
//
// Invariant: a value: samples in, events out, time passed in. Of each kind at most one is under way; it begins when it has been
// seen in `window` and ends when it has not been seen for as long.

internal import Core
public import Inference

/// Something that holds requests up.
public struct Bottleneck: Sendable, Hashable {
  public enum Kind: String, Sendable, CaseIterable {
    /// More come than are written.
    case queueGrowing = "queue_growing"
    /// Texts give up their blocks and are computed again.
    case cacheThrashing = "cache_thrashing"
    /// Templates, tokenizers and grammars keep their threads busy while the model waits.
    case encodingBound = "encoding_bound"
    /// A step takes far longer than any should.
    case engineStalled = "engine_stalled"

    /// What it is, in words: "more requests come than are answered".
    public var title: String {
      switch self {
      case .queueGrowing: "more requests come than are answered"
      case .cacheThrashing: "the cache is too small for the texts that run"
      case .encodingBound: "reading requests takes longer than computing them"
      case .engineStalled: "the model does not get on"
      }
    }
  }

  public var kind: Kind
  /// What was seen, and what to do.
  public var message: String

  public init(kind: Kind, message: String) { (self.kind, self.message) = (kind, message) }
}

/// Watches a server by its figures.
public struct Watchdog: Sendable {
  /// How a server stands.
  public struct Sample: Sendable {
    /// Seconds of a monotonic clock.
    public var time: Double
    public var engine: EngineStatistics
    /// Texts that run at most.
    public var mostRunning: Int
    /// Seconds that threads have spent with reading requests, and how many threads there are for it.
    public var encoding: Double
    public var encodingThreads: Int

    public init(
      time: Double, engine: EngineStatistics, mostRunning: Int, encoding: Double = 0, encodingThreads: Int = 1
    ) {
      (self.time, self.engine, self.mostRunning) = (time, engine, mostRunning)
      (self.encoding, self.encodingThreads) = (encoding, encodingThreads)
    }
  }

  /// Seconds over which figures are compared.
  public let window: Double
  /// What is under way, and since when.
  public private(set) var current: [Bottleneck.Kind: (since: Double, seen: Double)] = [:]
  private var samples: [Sample] = []
  /// When a step last ended, or when there was nothing to compute.
  private var moved = 0.0

  public init(window: Double = 10) { self.window = window }

  /// Takes the next figures.
  public mutating func handle(_ sample: Sample) -> [ServiceEvent] {
    if samples.last.map({ $0.engine.steps != sample.engine.steps }) ?? true || sample.engine.running == 0 {
      moved = sample.time
    }
    samples.append(sample)
    // One sample from before the window stays, to compare with.
    while samples.count > 2, sample.time - samples[1].time >= window { samples.removeFirst() }
    let found = [
      queueGrowing(sample), cacheThrashing(sample), encodingBound(sample), engineStalled(sample),
    ].compactMap { $0 }
    var events: [ServiceEvent] = []
    for bottleneck in found {
      if current[bottleneck.kind] == nil { events.append(.bottleneckBegan(bottleneck)) }
      current[bottleneck.kind, default: (sample.time, sample.time)].seen = sample.time
    }
    for kind in Bottleneck.Kind.allCases {
      guard let state = current[kind], sample.time - state.seen >= window else { continue }
      current[kind] = nil
      events.append(.bottleneckEnded(kind, seconds: state.seen - state.since))
    }
    return events
  }

  /// The figures of a window ago; nil: it is not that long since the first.
  private func before(_ sample: Sample) -> Sample? {
    samples.first.flatMap { sample.time - $0.time >= window ? $0 : nil }
  }

  private func queueGrowing(_ now: Sample) -> Bottleneck? {
    guard let before = before(now) else { return nil }
    let (old, new) = (before.engine.waiting, now.engine.waiting)
    // In both halves of the window, and more than come at once by chance.
    let middle = samples[samples.count / 2].engine.waiting
    guard new > middle, middle > old, new - old >= max(4, now.mostRunning / 2) else { return nil }
    let seconds = now.time - before.time
    let speed = Double(now.engine.written - before.engine.written) / seconds
    let full = now.engine.running >= now.mostRunning
    let remedy =
      full && now.engine.usedBlocks * 10 < now.engine.cacheBlocks * 8
      ? "All \(now.mostRunning) places are taken and the cache has room: raise `engine.running`, or add a server."
      : "Add a server, or have fewer requests."
    return Bottleneck(
      kind: .queueGrowing,
      message: "The queue grew from \(old) to \(new) requests in \(Numerals.duration(seconds)), at "
        + "\(Numerals.significant(speed, 3)) tokens/s written. \(remedy)")
  }

  private func cacheThrashing(_ now: Sample) -> Bottleneck? {
    guard let before = before(now) else { return nil }
    let preemptions = now.engine.preemptions - before.engine.preemptions
    let ended = now.engine.ended.values.reduce(0, +) - before.engine.ended.values.reduce(0, +)
    guard preemptions >= 3, preemptions * 4 > ended else { return nil }
    return Bottleneck(
      kind: .cacheThrashing,
      message: "Texts gave up their cache \(preemptions) times in \(Numerals.duration(now.time - before.time)) while "
        + "\(ended) ended, and are computed again. Raise `engine.cacheMemory`, or lower `engine.running`.")
  }

  private func percent(_ share: Double) -> Int { Int((100 * share).rounded()) }

  private func encodingBound(_ now: Sample) -> Bottleneck? {
    guard let before = before(now) else { return nil }
    let seconds = now.time - before.time
    let encoding = (now.encoding - before.encoding) / (seconds * Double(now.encodingThreads))
    let computing = (now.engine.seconds - before.engine.seconds) / seconds
    guard encoding > 0.8, computing < 0.8 else { return nil }
    return Bottleneck(
      kind: .encodingBound,
      message:
        "Templates and tokenizers were busy \(percent(encoding)) % of the last \(Numerals.duration(seconds)), the "
        + "model \(percent(computing)) %. Send token numbers instead of text, or add a server.")
  }

  private func engineStalled(_ now: Sample) -> Bottleneck? {
    // A step of a large model may take long: as many times the usual as no load explains.
    let usual = now.engine.steps > 0 ? now.engine.seconds / Double(now.engine.steps) : 0
    let still = now.time - moved
    guard now.engine.running > 0, still >= max(window, 20 * usual) else { return nil }
    return Bottleneck(
      kind: .engineStalled,
      message:
        "\(now.engine.running) texts run, and no step has ended for \(Numerals.duration(still)); the usual takes "
        + "\(Numerals.duration(usual)). The machine is overloaded or swaps, or the process was stopped.")
  }
}
