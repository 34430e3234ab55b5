// Looking for the likeliest text instead of sampling one: beam search.
//
// Invariant: all sequences that are looked at together have the same length. A finished one counts its end as a token.

/// The tokens of a text and how likely a model holds them to be.
public struct ScoredTokens: Sendable, Hashable {
  /// The end left out.
  public var tokens: [Int32]
  /// The sum over all tokens, the end included if there is one.
  public var logProbability: Double
  /// Over how many tokens the sum goes.
  public var length: Int

  public init(tokens: [Int32] = [], logProbability: Double = 0, length: Int = 0) {
    self.tokens = tokens
    self.logProbability = logProbability
    self.length = length
  }

  /// The mean log-probability of a token, by which the best of several texts is chosen; a text without any is the worst.
  public var mean: Double { length > 0 ? logProbability / Double(length) : -.infinity }

  /// `logProbability / length^penalty` (Wu et al. 2016, as transformers has it): 0 prefers short texts, 1 is the mean, more
  /// prefers long ones.
  public func score(lengthPenalty penalty: Double) -> Double { Self.score(logProbability, length, penalty) }

  fileprivate static func score(_ sum: Double, _ length: Int, _ penalty: Double) -> Double {
    sum / power(Double(max(1, length)), penalty)
  }

  /// The best that a text can still come to that has so many tokens and will have at most `limit`.
  fileprivate func bound(limit: Int, _ penalty: Double) -> Double {
    Self.score(logProbability, penalty > 0 ? limit : length + 1, penalty)
  }
}

/// A search for the likeliest texts behind a prompt, without the model: step by step it is told what may follow its texts.
///
/// Of all ways to go on by one token with the texts so far, those that end are finished, and the `width` likeliest others go on.
public struct BeamSearch: Sendable {
  /// When a search ends before its texts are as long as they may be, once `width` texts have finished.
  public enum Stopping: Sendable {
    /// At once (transformers' and vLLM's `early_stopping` true).
    case early
    /// When no other is better now (false).
    case likely
    /// When no other can become better (`never`).
    case certain
  }

  /// How many texts go on.
  public let width: Int
  /// The most tokens of a text.
  public let count: Int
  /// Tokens that end a text.
  public let ends: Set<Int32>
  public let lengthPenalty: Double
  public let stopping: Stopping
  /// The texts that go on, all of the same length; none when the search is over.
  public private(set) var running = [ScoredTokens()]
  private var finished: [ScoredTokens] = []

  /// - Parameter lengthPenalty: see `ScoredTokens.score`.
  public init(
    width: Int, count: Int, ends: Set<Int32>, lengthPenalty: Double = 1, stopping: Stopping = .certain
  ) {
    precondition(width >= 1, "a beam search has at least one beam, not \(width)")
    (self.width, self.count, self.ends) = (width, count, ends)
    (self.lengthPenalty, self.stopping) = (lengthPenalty, stopping)
    if count < 1 { running = [] }
  }

  /// How many of the likeliest tokens behind a text are to be known: so many that enough are left when all ends are among them.
  public var candidates: Int { width + ends.count }

  /// Goes on by a token.
  ///
  /// - Parameter likeliest: the `candidates` likeliest tokens behind each of `running`.
  public mutating func advance(_ likeliest: [[TokenProbability]]) {
    precondition(likeliest.count == running.count, "tokens behind \(likeliest.count) of \(running.count) texts")
    var extended: [ScoredTokens] = []
    for (beam, next) in zip(running, likeliest) {
      for choice in next where choice.logProbability > -.infinity {
        let isEnd = ends.contains(choice.token)
        let text = ScoredTokens(
          tokens: isEnd ? beam.tokens : beam.tokens + [choice.token],
          logProbability: beam.logProbability + Double(choice.logProbability), length: beam.length + 1)
        if isEnd { finished.append(text) } else { extended.append(text) }
      }
    }
    extended.sort { $0.logProbability > $1.logProbability }
    running = Array(extended.prefix(width))
    sort(&finished)
    if running.first?.length == count {
      finished += running
      sort(&finished)
      running = []
    } else if finished.count == width, isSettled {
      running = []
    }
  }

  /// At most `width` texts, the best first.
  public var found: [ScoredTokens] { finished }

  private var isSettled: Bool {
    let worst = finished.last!.score(lengthPenalty: lengthPenalty)
    switch stopping {
    case .early: return true
    case .likely: return worst >= running.map { $0.score(lengthPenalty: lengthPenalty) }.max() ?? -.infinity
    case .certain: return worst >= running.map { $0.bound(limit: count, lengthPenalty) }.max() ?? -.infinity
    }
  }

  private func sort(_ texts: inout [ScoredTokens]) {
    texts.sort { $0.score(lengthPenalty: lengthPenalty) > $1.score(lengthPenalty: lengthPenalty) }
    texts.removeSubrange(min(width, texts.count)...)
  }
}

/// A whole search.
///
/// - Parameter logits: those after each of some texts, given without the prompt.
/// - Returns: at most `width` texts, the best first.
public func beamSearch(
  width: Int, count: Int, ends: Set<Int32>, lengthPenalty: Double = 1, stopping: BeamSearch.Stopping = .certain,
  logits: ([[Int32]]) throws -> [[Float]]
) rethrows -> [ScoredTokens] {
  let workspace = SamplingWorkspace()
  var search = BeamSearch(width: width, count: count, ends: ends, lengthPenalty: lengthPenalty, stopping: stopping)
  while !search.running.isEmpty {
    search.advance(
      try logits(search.running.map(\.tokens)).map { logits in
        logits.withUnsafeBufferPointer {
          workspace.logProbabilities($0, of: 0, likeliest: min(search.candidates, logits.count)).likeliest
        }
      })
  }
  return search.found
}
