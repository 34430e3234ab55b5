// The layer that predicts the token after the next, which some models are trained with and bring in their files: multi-token
// prediction, DeepSeek-V3 (arXiv:2412.19437, section 2.2).
//
//   x = eh_proj([enorm(embedding), hnorm(state)]);  state' = layer(x);  logits = shared_head.head(shared_head.norm(state'))
//
// It stands behind the model's own layers, as `model.layers.<their number>`. The embedding and the head are the model's; files
// may hold them once more. Each further draft is made by the same layer.

package import Networks
package import Tensors

/// A model's own layer for the token after the next.
package struct NextTokenHead: DraftHead {
  /// The model with one layer more, the last of which this is.
  private let decoder: Decoder

  /// - Parameter decoder: the model with one layer more than it has.
  init(_ decoder: Decoder) { self.decoder = decoder }

  package var vocabulary: Int { decoder.vocabulary }
  package var context: Int { decoder.context }
  package var width: Int { decoder.width }
  package var features: Int { decoder.width }
  package let watched: [Int] = []
  package let tokens: [Int32]? = nil

  /// The number of the layer.
  var index: Int { decoder.layers.count - 1 }

  private func place(_ weights: Weights) -> Weights { weights["model"]["layers"]["\(index)"] }

  package func states(of features: Tensor, _ weights: Weights) -> Tensor { features }

  package func next(_ states: Tensor, _ tokens: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    let own = place(weights)
    let embedding = own["embed_tokens"].embedded(tokens, vocabulary, width)
    let normed = [
      own["enorm"].rmsNorm(embedding, epsilon: decoder.epsilon),
      own["hnorm"].rmsNorm(states.expanded(at: 1), epsilon: decoder.epsilon),
    ]
    let x = own["eh_proj"].linear(.concatenate(normed, axis: -1), to: width)
    let layer = decoder.layers[index]
    return decoder.apply(layer, 0, to: x, own, rotation(layer.rotary, tokens, context), context)
      .flattened(from: 0, through: 1)
  }

  package func logits(of states: Tensor, _ weights: Weights) -> Tensor {
    let shared = place(weights)["shared_head"]
    let x = shared["norm"].rmsNorm(states, epsilon: decoder.epsilon)
    return x.matmul(weight: shared["head"].embedding(vocabulary, width), type: x.element.accumulator)
  }
}
