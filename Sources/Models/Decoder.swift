// The decoder that most language models are, from GPT-2 (Radford et al., 2019) to those of today: a stack of layers on a
// residual stream, with a norm in front of each block (and behind it, in some).
//
//   x = embedding(tokens) · scale (+ embedding(positions))
//   for each layer:   x += attention(norm(x));   x += feedForward(norm(x))
//   logits = norm(x) · headᵀ
//
// A family of models is a function from its config.json to a value of this type (Models/Families, one file each), and so is
// the model that `tachornis train` makes (`GPT`); what differs between layers stands in the layers. Parameters have the names
// of Hugging Face's Llama.
//
// Invariant: nothing in here knows a family. Training, reading a prompt and decoding run this one function; they differ in the
// context alone.

public import Networks
public import Tensors

/// A decoder-only transformer.
public struct Decoder: LanguageModel {
  /// The rotary embedding of a layer; layers with equal ones share the tables.
  public struct Rotary: Hashable, Sendable {
    /// Elements of a head that are rotated.
    public var size: Int
    public var base: Double
    public var scaling: RotaryScaling?
    /// Whether pairs are neighbours.
    public var interleaved = false

    public init(size: Int, base: Double, scaling: RotaryScaling? = nil, interleaved: Bool = false) {
      self.size = size
      self.base = base
      self.scaling = scaling
      self.interleaved = interleaved
    }
  }

  public enum Norm: Hashable, Sendable {
    /// Zhang and Sennrich (2019), arXiv:1910.07467; the weight is stored less one in some, as in Gemma.
    case rms(plusOne: Bool)
    /// Ba et al. (2016), arXiv:1607.06450; with a bias.
    case layer
  }

  public struct Layer: Sendable {
    public var attention: any SequenceMixer
    public var feedForward: any FeedForward
    /// nil: the layer does not tell positions apart.
    public var rotary: Rotary?
    /// The name of the feed-forward block in checkpoints.
    public var feedForwardName = "mlp"

    public init(attention: any SequenceMixer, feedForward: any FeedForward, rotary: Rotary?) {
      self.attention = attention
      self.feedForward = feedForward
      self.rotary = rotary
    }
  }

  public var vocabulary: Int
  public var context: Int
  /// Elements of a hidden state.
  public var width: Int
  public var layers: [Layer]
  /// Added to variances in norms.
  public var epsilon = 1e-6
  public var norm = Norm.rms(plusOne: false)
  /// Whether each block's result is normed, too, before it is added.
  public var sandwichNorms = false
  /// Whether the output head is the token embedding.
  public var tiedHead = false
  /// Factor on embeddings.
  public var embeddingScale = 1.0
  /// Whether a trained vector for each position is added to the embeddings: `embed_positions`.
  public var hasPositionTable = false
  public var logitSoftcap: Double?
  /// Which share of hidden states is zeroed in training.
  public var dropout = 0.0
  /// The standard deviation of initial weights.
  public var initialDeviation = 0.02

  public init(vocabulary: Int, context: Int, width: Int, layers: [Layer]) {
    self.vocabulary = vocabulary
    self.context = context
    self.width = width
    self.layers = layers
  }

  public var shortTexts: Int? {
    for layer in layers {
      if case .longRope(let short, let long, let context, _) = layer.rotary?.scaling, short != long { return context }
    }
    return nil
  }

  public func hidden(_ tokens: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    let model = weights["model"]
    let positions = context.positions(tokens.shape)
    var rotations: [Rotary: Rotation] = [:]
    for rotary in Set(layers.compactMap(\.rotary)) {
      rotations[rotary] = Rotation(
        positions: positions, size: rotary.size, base: rotary.base, scaling: rotary.scaling, length: context.capacity,
        eachAlone: context.isPaged, interleaved: rotary.interleaved)
    }
    var x = model["embed_tokens"].embedded(tokens, vocabulary, width, initializer: initial.inside)
    if embeddingScale != 1 { x = x * embeddingScale }
    if hasPositionTable {
      let table = model["embed_positions"].embedding(
        self.context, width, initializer: initial.inside, axes: [.none, .width])
      x = x + table.gathered(positions).cast(x.element)
    }
    x = context.dropout(x, rate: dropout)
    for (index, layer) in layers.enumerated() {
      context.note(x, before: index)
      x = withScope("layers.\(index)", rematerialised: context.rematerialise) {
        apply(layer, index, to: x, model["layers"]["\(index)"], layer.rotary.flatMap { rotations[$0] }, context)
      }
    }
    context.note(x, before: layers.count)
    return norm(x, model["norm"]).flattened(from: 0, through: 1)
  }

  func apply(
    _ layer: Layer, _ index: Int, to x: Tensor, _ weights: Weights, _ rotation: Rotation?, _ context: ModelContext
  ) -> Tensor {
    var attended = layer.attention(
      norm(x, weights["input_layernorm"]), weights["self_attn"], rotation: rotation, layer: index, context,
      initial: initial)
    if sandwichNorms { attended = norm(attended, weights["post_attention_layernorm"]) }
    let x = x + context.dropout(attended, rate: dropout)
    let before = sandwichNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm"
    var fed = layer.feedForward(norm(x, weights[before]), weights[layer.feedForwardName], initial: initial)
    if sandwichNorms { fed = norm(fed, weights["post_feedforward_layernorm"]) }
    return x + context.dropout(fed, rate: dropout)
  }

  private func norm(_ x: Tensor, _ weights: Weights) -> Tensor {
    switch norm {
    case .rms(let plusOne): weights.rmsNorm(x, epsilon: epsilon, plusOne: plusOne)
    case .layer: weights.layerNorm(x, epsilon: epsilon)
    }
  }

  public func head(_ weights: Weights) -> Tensor {
    (tiedHead ? weights["model"]["embed_tokens"] : weights["lm_head"])
      .embedding(vocabulary, width, initializer: initial.inside)
  }

  private var initial: InitialWeights { InitialWeights(deviation: initialDeviation, layers: layers.count) }
}
