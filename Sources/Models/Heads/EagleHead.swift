// EAGLE heads: one layer of Llama's kind (Li et al., "EAGLE", 2024, arXiv:2401.15077; "EAGLE-3", 2025, arXiv:2503.01840).
//
// The first and second kind read the hidden states behind the model's last norm, and the model's own head judges theirs:
//
//   x = fc([embedding, state]);  x += attention(x);  state' = x + feedForward(norm(x));  logits = model's head(state')
//
// The third reads three of the model's layers and has a head of its own, for the tokens that are drafted often:
//
//   state = fc([low, middle, high])
//   x = state + attention([norm(embedding), norm(state)]);  state' = x + feedForward(norm(x));  logits = head(norm(state'))
//
// Parameters have the names of the files, `layers.0` for `midlayer`.

package import Networks
package import Tensors

/// An EAGLE head.
package struct EagleHead: DraftHead {
  package enum Kind: Hashable, Sendable {
    /// EAGLE and EAGLE-2, which differ in the trees that are drafted, not in the head.
    ///
    /// - Parameter bias: whether the map of embedding and state has one.
    case first(bias: Bool)
    /// EAGLE-3.
    ///
    /// - Parameters:
    ///   - layers: the layers of the model whose inputs are read.
    ///   - normedResidual: whether the layer adds to the state's norm instead of to the state.
    case third(layers: [Int], normedResidual: Bool)
  }

  package var kind: Kind
  package let vocabulary: Int
  package let context: Int
  package let width: Int
  package var tokens: [Int32]?
  /// Elements of a hidden state of the model.
  package var modelWidth: Int
  let attention: SelfAttention
  let feedForward: GatedFeedForward
  let rotary: Decoder.Rotary
  let epsilon: Double
  private var initial: InitialWeights { InitialWeights(deviation: 0.02, layers: 1) }

  package var watched: [Int] {
    if case .third(let layers, _) = kind { layers } else { [] }
  }

  package var features: Int { modelWidth * max(1, watched.count) }

  package func states(of features: Tensor, _ weights: Weights) -> Tensor {
    guard case .third = kind else { return features }
    return weights["model"]["fc"].linear(features, to: width)
  }

  package func next(_ states: Tensor, _ tokens: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    let model = weights["model"]
    let layer = model["layers"]["0"]
    let rotation = rotation(rotary, tokens, context)
    let embedding = model["embed_tokens"].embedded(tokens, vocabulary, width)
    let state = states.expanded(at: 1)
    var x: Tensor
    switch kind {
    case .first(let bias):
      x = model["fc"].linear(.concatenate([embedding, state], axis: -1), to: width, bias: bias)
      x = x + attend(x, layer, rotation, context)
    case .third(_, let normedResidual):
      let normed = layer["hidden_norm"].rmsNorm(state, epsilon: epsilon)
      let joined = Tensor.concatenate(
        [layer["input_layernorm"].rmsNorm(embedding, epsilon: epsilon), normed], axis: -1)
      x = (normedResidual ? normed : state) + attend(joined, layer, rotation, context)
    }
    let fed = feedForward(
      layer["post_attention_layernorm"].rmsNorm(x, epsilon: epsilon), layer["mlp"], initial: initial)
    return (x + fed).flattened(from: 0, through: 1)
  }

  private func attend(_ x: Tensor, _ weights: Weights, _ rotation: Rotation?, _ context: ModelContext) -> Tensor {
    attention(x, weights["self_attn"], rotation: rotation, layer: 0, context, initial: initial)
  }

  package func logits(of states: Tensor, _ weights: Weights) -> Tensor {
    var x = states
    if case .third = kind { x = weights["model"]["norm"].rmsNorm(x, epsilon: epsilon) }
    let head = weights["lm_head"].embedding(tokens?.count ?? vocabulary, width)
    return x.matmul(weight: head, type: x.element.accumulator)
  }
}

extension EagleHead {
  /// Reads the config.json of a head.
  ///
  /// - Parameter model: the settings of the model that it drafts for.
  init(_ settings: inout ModelSettings, kind: Kind, tokens: [Int32]?, model: inout ModelSettings) {
    if settings.size("num_hidden_layers", default: 1) != 1 {
      settings.report("'num_hidden_layers' is not 1: heads of one layer are supported.")
    }
    var attention = settings.selfAttention()
    attention.inputBias = settings.flag("attention_bias", default: false)
    attention.width = settings.size("hidden_size")
    var feedForward = settings.gatedFeedForward()
    feedForward.bias = settings.flag("mlp_bias", default: false)
    let context = settings.size("max_position_embeddings", default: 2048)
    self.init(
      kind: kind, vocabulary: settings.size("vocab_size"), context: context, width: settings.size("hidden_size"),
      tokens: tokens, modelWidth: model.size("hidden_size"), attention: attention, feedForward: feedForward,
      rotary: settings.rotary(size: attention.headSize), epsilon: settings.number("rms_norm_eps", default: 1e-6))
    if vocabulary != model.size("vocab_size") {
      settings.report(
        "'vocab_size' is \(vocabulary), but the model that it drafts for has \(model.size("vocab_size")).")
    }
    if case .first = kind, width != modelWidth {
      settings.report("'hidden_size' is \(width), but the model that it drafts for has \(modelWidth).")
    }
    if let tokens, let bad = tokens.first(where: { $0 < 0 || $0 >= vocabulary }) {
      settings.report("'d2t' names the token \(bad); the vocabulary has \(vocabulary).")
    }
  }
}
