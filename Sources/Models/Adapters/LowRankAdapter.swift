// Low-rank adapters: what training has added to some linear maps of a model, as the product of two thin matrices. Hu et al.,
// LoRA (2021), arXiv:2106.09685.
//
//   y = W x + up (down x)        down [rank, inputs], up [outputs, rank] times alpha / rank, or alpha / sqrt(rank)
//
// Invariant: every map is one of the model's, of its shape; the factor is in `up`, so that nobody has to know of it.

package import Networks
package import Tensors

/// A low-rank adapter of one model.
public struct LowRankAdapter: Sendable {
  /// What is added to one linear map.
  package struct Map: Sendable {
    /// [rank, inputs]
    package let down: TensorData
    /// [rank, outputs]: transposed, so that a rank more is a row more.
    package let up: TensorData

    package var rank: Int { down.shape[0] }
  }

  /// Where it was read from.
  public let path: String
  /// By the names of the model's weights.
  package let maps: [String: Map]

  /// The greatest rank of its maps.
  public var rank: Int { maps.values.map(\.rank).max() ?? 0 }
  /// Bytes of its matrices.
  public var bytes: Int { maps.values.reduce(0) { $0 + $1.down.type.bytes + $1.up.type.bytes } }

  init(path: String, maps: [String: Map]) { (self.path, self.maps) = (path, maps) }

  /// What it adds to the result of a map that is applied to x [..., inputs].
  fileprivate func addition(_ weight: String, _ x: Tensor) -> Tensor? {
    guard let map = maps[weight] else { return nil }
    let up = Tensor(map.up)
    return x.linear(Tensor(map.down)).narrowed(to: up).matmul(up, type: x.element)
  }
}

/// A model with one adapter, which all texts pass.
package struct AdaptedModel: LanguageModel {
  let base: any LanguageModel
  let adapter: LowRankAdapter

  package init(_ base: any LanguageModel, _ adapter: LowRankAdapter) { (self.base, self.adapter) = (base, adapter) }

  package var vocabulary: Int { base.vocabulary }
  package var context: Int { base.context }
  package var logitSoftcap: Double? { base.logitSoftcap }
  package var shortTexts: Int? { base.shortTexts }

  package func hidden(_ tokens: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    base.hidden(tokens, weights.adding { adapter.addition($0, $1) }, context)
  }

  package func head(_ weights: Weights) -> Tensor { base.head(weights) }
}
