// What a text must look like, as the sampler sees it: which tokens may come next.
//
// Invariant: a constraint is a value. A copy of it (for another text that begins alike, or to go back) knows the same past
// and is independent from then on.

/// Limits which tokens a text may go on with: a grammar, a schema, a list of choices.
public protocol TokenConstraint: Sendable {
  /// Says which tokens may come next.
  ///
  /// - Parameter words: one bit for each token of the vocabulary, all 0: bit `t % 64` of word `t / 64` is to be set for
  ///   each token `t` that may come next. The bits of tokens that end a text do not matter; `mayEnd` speaks for them.
  mutating func mask(into words: inout [UInt64])

  /// The text goes on with `token`, which the mask allowed. Not told of tokens that end the text.
  mutating func accept(_ token: Int32)

  /// Whether the text may end here.
  var mayEnd: Bool { get }

  /// Whether nothing may follow but the end.
  var mustEnd: Bool { get }

  /// Why the text can neither go on nor end, in a sentence for people; nil: it can.
  var problem: String? { get }
}

extension TokenConstraint {
  public var problem: String? { nil }
}
