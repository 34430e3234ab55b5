// What tokens might follow: drafts, which the model judges in one step (Leviathan et al., "Fast inference from transformers via
// speculative decoding", 2023, arXiv:2211.17192).
//
// Invariant: what is drafted decides only how soon a text is there, never which: the sampler chooses each token from the
// model's own logits with the random number of its place, and a drafted token is accepted if it is that one. For drafts without
// probabilities of their own this is the rule of the paper; and the text is bit by bit the one that is written without drafts.
//
// Drafts may form a tree (Miao et al., "SpecInfer", 2023, arXiv:2305.09781): several ways on from the text's last token, each a
// branch of its part of the step, the sampler's choices follow whichever goes along with them.

package import Models
package import Tensors

/// Drafts what texts go on with. Not for concurrent use.
package protocol Drafter: AnyObject {
  typealias ID = InferenceEngine.ID

  /// Does once, before the first text, what that would wait for.
  func warm() throws

  /// A text begins to be written.
  func begin(_ id: ID, _ request: GenerationRequest)

  /// What it knows about how a text goes on; nil: nothing.
  ///
  /// - Parameters:
  ///   - most: tokens on a way.
  ///   - ways: the most ways on.
  func prospect(of id: ID, most: Int, ways: Int) -> Prospect?

  /// Puts drafts into a step where it has room for them.
  ///
  /// - Parameters:
  ///   - prospects: of the texts that are being written.
  ///   - sampler: of a text, a copy.
  func draft(_ step: inout EngineStep, _ prospects: [ID: Prospect], sampler: (ID) -> Sampler?) throws

  /// The step was computed.
  ///
  /// - Parameter features: of each row of it, what heads read, as long as no other step is computed.
  func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens], features: TensorData?) throws

  func end(_ id: ID)

  /// Seconds that drafting one token of one text takes.
  var cost: Double { get }
}

/// How a text might go on.
package struct Prospect {
  /// How many tokens can be drafted on each way, the likeliest first.
  package var counts: [Int]
  /// Of what sort the drafts are, from 0 to 7: sorts are accepted with different frequencies.
  package var sort: Int
  /// The drafts of each way, if they are there already.
  package var tokens: [[Int32]] = []
}

/// How often drafts of each sort were accepted of late.
struct Acceptance {
  /// Of more than a few sorts each knows little: what the last one says counts so much.
  private static let weight = 0.125

  /// What is not tried is slowly believed again as it was at first.
  private static let oblivion = 1.0 / 256

  /// The most ways on behind the first.
  static let others = 8

  private let first: SIMD16<Double>
  /// Of eight sorts of drafts; then how often another way on begins rightly where those before it did not.
  private var rates: SIMD16<Double>

  /// - Parameter first: what is believed at first of the sorts.
  init(_ first: SIMD8<Double>) {
    self.first = SIMD16(lowHalf: first, highHalf: SIMD8(0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.05))
    rates = self.first
  }

  subscript(sort: Int) -> Double { rates[sort] }

  /// The sort of the first drafts of the ways on behind the first one, counted from 0.
  static func sort(ofOther way: Int) -> Int { 8 + way }

  mutating func observe(_ isAccepted: Bool, sort: Int) {
    rates[sort] += Self.weight * ((isAccepted ? 1 : 0) - rates[sort])
  }

  /// Nothing of a sort was drafted.
  mutating func skip(sort: Int) { rates[sort] += Self.oblivion * (first[sort] - rates[sort]) }
}
