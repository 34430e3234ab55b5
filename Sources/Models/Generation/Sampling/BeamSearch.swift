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

/// Goes on from a prompt with the `width` likeliest texts of each length.
///
/// Of all ways to go on by one token with the texts so far, those that end are finished, and the `width` likeliest others go on.
/// The search is over when `width` finished texts are better than what any other can still come to, or at `count` tokens.
///
/// - Parameters:
///   - count: the most tokens of a text.
///   - ends: tokens that end a text.
///   - lengthPenalty: see `ScoredTokens.score`.
///   - logits: those after each of some texts, given without the prompt.
/// - Returns: at most `width` texts, the best first.
public func beamSearch(
  width: Int, count: Int, ends: Set<Int32>, lengthPenalty: Double = 1, logits: ([[Int32]]) throws -> [[Float]]
) rethrows -> [ScoredTokens] {
  precondition(width >= 1, "a beam search has at least one beam, not \(width)")
  let workspace = SamplingWorkspace()
  var running = [ScoredTokens()]
  var finished: [ScoredTokens] = []
  func sort(_ texts: inout [ScoredTokens]) {
    texts.sort { $0.score(lengthPenalty: lengthPenalty) > $1.score(lengthPenalty: lengthPenalty) }
    texts.removeSubrange(min(width, texts.count)...)
  }
  for length in 1...max(1, count) where length <= count {
    var extended: [ScoredTokens] = []
    for (beam, logits) in zip(running, try logits(running.map(\.tokens))) {
      // So many that enough are left when all ends are among them.
      let next = logits.withUnsafeBufferPointer {
        workspace.logProbabilities($0, of: 0, likeliest: width + ends.count).likeliest
      }
      for end in ends where logits.indices.contains(Int(end)) {
        let chosen = logits.withUnsafeBufferPointer { workspace.logProbabilities($0, of: end, likeliest: 0).chosen }
        guard chosen > -.infinity else { continue }
        finished.append(
          ScoredTokens(tokens: beam.tokens, logProbability: beam.logProbability + Double(chosen), length: length))
      }
      for choice in next where !ends.contains(choice.token) {
        let sum = beam.logProbability + Double(choice.logProbability)
        extended.append(ScoredTokens(tokens: beam.tokens + [choice.token], logProbability: sum, length: length))
      }
    }
    extended.sort { $0.logProbability > $1.logProbability }
    running = Array(extended.prefix(width))
    sort(&finished)
    let bound = running.map { $0.bound(limit: count, lengthPenalty) }.max() ?? -.infinity
    if finished.count == width, finished.last!.score(lengthPenalty: lengthPenalty) >= bound { running = [] }
    if running.isEmpty { break }
  }
  finished += running.filter { !$0.tokens.isEmpty }
  sort(&finished)
  return finished
}
