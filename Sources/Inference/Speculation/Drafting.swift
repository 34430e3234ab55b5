// What tokens might follow: drafts, which the model judges in one step (Leviathan et al., "Fast inference from transformers via
// speculative decoding", 2023, arXiv:2211.17192).
//
// Invariant: what is drafted decides only how soon a text is there, never which: the sampler chooses each token from the
// model's own logits with the random number of its place, and a drafted token is accepted if it is that one. For drafts without
// probabilities of their own this is the rule of the paper; and the text is bit by bit the one that is written without drafts.

package import Models

/// Drafts what texts go on with. Not for concurrent use.
package protocol Drafter: AnyObject {
  typealias ID = InferenceEngine.ID

  /// Does once, before the first text, what that would wait for.
  func warm() throws

  /// A text begins to be written.
  func begin(_ id: ID, _ request: GenerationRequest)

  /// What it knows about how a text goes on; nil: nothing.
  func prospect(of id: ID, most: Int) -> Prospect?

  /// Puts drafts into a step where it has room for them.
  ///
  /// - Parameters:
  ///   - prospects: of the texts that are being written.
  ///   - sampler: of a text, a copy.
  func draft(_ step: inout EngineStep, _ prospects: [ID: Prospect], sampler: (ID) -> Sampler?) throws

  /// The step was computed.
  func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens])

  func end(_ id: ID)

  /// Seconds that drafting one token of one text takes.
  var cost: Double { get }
}

/// How a text might go on.
package struct Prospect {
  /// How many tokens can be drafted.
  package var count: Int
  /// Of what sort the drafts are, from 0 to 7: sorts are accepted with different frequencies.
  package var sort: Int
  /// The drafts, if they are there already.
  package var tokens: [Int32] = []
}

/// How often drafts of each sort were accepted of late.
struct Acceptance {
  /// Of more than a few sorts each knows little: what the last one says counts so much.
  private static let weight = 0.125

  /// What is not tried is slowly believed again as it was at first.
  private static let oblivion = 1.0 / 256

  private let first: SIMD8<Double>
  private var rates: SIMD8<Double>

  /// - Parameter first: what is believed at first.
  init(_ first: SIMD8<Double>) { (self.first, rates) = (first, first) }

  subscript(sort: Int) -> Double { rates[sort] }

  mutating func observe(_ isAccepted: Bool, sort: Int) {
    rates[sort] += Self.weight * ((isAccepted ? 1 : 0) - rates[sort])
  }

  /// Nothing of a sort was drafted.
  mutating func skip(sort: Int) { rates[sort] += Self.oblivion * (first[sort] - rates[sort]) }
}
