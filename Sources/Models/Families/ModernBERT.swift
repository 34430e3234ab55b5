// ModernBERT: Warner et al. (2024), arXiv:2412.13663. Rotary positions, gated feed-forward blocks, norms in front of each
// block but the first, and layers that see only their neighbourhood between those that see all.

internal import Core
public import Networks
public import Tensors

/// The encoder of ModernBERT.
public struct ModernBERT: Encoder {
  public struct Layer: Sendable {
    /// How far a position sees to either side; nil: without limit.
    public var window: Int?
    public var rotary: Decoder.Rotary
  }

  public var vocabulary: Int
  public var context: Int
  public var width: Int
  public var layers: [Layer]
  public var heads: Int
  /// Elements between the maps of a feed-forward block.
  public var inner: Int
  public var activation: Activation
  /// Added to variances in norms.
  public var epsilon: Double
  public var normBias: Bool
  public var attentionBias: Bool
  public var feedForwardBias: Bool
  /// Of the heads' own map before their last.
  public var headBias: Bool
  public var headActivation: Activation
  /// Of the map to the vocabulary.
  public var decoderBias: Bool
  /// Whether tokens are guessed with the table of embeddings.
  public var tiedHead: Bool
  public var classifierPooling: Pooling
  public var initialDeviation: Double

  private var initializer: Initializer { .normal(deviation: initialDeviation) }

  public func hidden(_ tokens: Tensor, types: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    let model = weights["model"]
    let positions = context.positions(tokens.shape)
    var rotations: [Decoder.Rotary: Rotation] = [:]
    for rotary in Set(layers.map(\.rotary)) {
      rotations[rotary] = Rotation(
        positions: positions, size: rotary.size, base: rotary.base, scaling: rotary.scaling,
        interleaved: rotary.interleaved)
    }
    let tables = model["embeddings"]
    var x = tables["tok_embeddings"].embedded(tokens, vocabulary, width, initializer: initializer)
    x = norm(x, tables["norm"])
    for (index, layer) in layers.enumerated() {
      x = withScope("layers.\(index)", rematerialised: context.rematerialise) {
        let weights = model["layers"]["\(index)"]
        let normed = index == 0 ? x : norm(x, weights["attn_norm"])
        let x = x + attention(layer, index, normed, weights["attn"], rotations[layer.rotary]!, context)
        return x + feedForward(norm(x, weights["mlp_norm"]), weights["mlp"])
      }
    }
    return norm(x, model["final_norm"])
  }

  private func attention(
    _ layer: Layer, _ index: Int, _ x: Tensor, _ weights: Weights, _ rotation: Rotation, _ context: ModelContext
  ) -> Tensor {
    let perHead = [x.shape[0], x.shape[1], heads, width / heads]
    let parts = weights["Wqkv"].linear(
      x, to: 3 * width, bias: attentionBias, initializer: initializer, axes: [.heads, .width]
    ).split([width, width, width]).map { $0.reshaped(perHead) }
    let options = Attention(scale: 1 / Double(width / heads).squareRoot(), causal: false, window: layer.window)
    let mixed = context.attend(rotation(parts[0]), rotation(parts[1]), parts[2], layer: index, options: options)
    return weights["Wo"].linear(
      mixed.flattened(from: 2, through: 3), to: width, bias: attentionBias, initializer: initializer,
      axes: [.width, .heads])
  }

  private func feedForward(_ x: Tensor, _ weights: Weights) -> Tensor {
    let parts = weights["Wi"].linear(
      x, to: 2 * inner, bias: feedForwardBias, initializer: initializer, axes: [.mlp, .width]
    ).split([inner, inner])
    return weights["Wo"].linear(
      parts[0].activation(activation) * parts[1], to: width, bias: feedForwardBias, initializer: initializer,
      axes: [.width, .mlp])
  }

  private func norm(_ x: Tensor, _ weights: Weights) -> Tensor {
    weights.layerNorm(x, epsilon: epsilon, bias: normBias)
  }

  public func head(_ task: EncoderTask, _ rows: Tensor, _ weights: Weights) -> Tensor {
    if task == .states { return rows }
    let head = weights["head"]
    let x = norm(
      head["dense"].linear(rows, to: width, bias: headBias, initializer: initializer).activation(headActivation),
      head["norm"])
    switch task {
    case .states: return rows
    case .classification(let labels), .tokenClassification(let labels):
      return weights["classifier"].linear(x, to: labels, bias: true, initializer: initializer)
    case .maskedTokens:
      let table = tiedHead ? weights["model"]["embeddings"]["tok_embeddings"] : weights["decoder"]
      return x.linear(
        table.embedding(vocabulary, width, initializer: initializer),
        bias: decoderBias ? weights["decoder"].bias(vocabulary, axis: .vocabulary) : nil)
    }
  }
}

extension EncoderFamily {
  static let modernBERT = EncoderFamily(
    type: "modernbert", prefix: "model.", heads: ["head.", "decoder.", "classifier."]
  ) { settings in
    let heads = settings.encoderHeads(default: 12, width: 768)
    let width = settings.size("hidden_size", default: 768)
    return ModernBERT(
      vocabulary: settings.size("vocab_size", default: 50368),
      context: settings.size("max_position_embeddings", default: 8192), width: width,
      layers: settings.modernBERTLayers(headSize: width / heads), heads: heads,
      inner: settings.size("intermediate_size", default: 1152),
      activation: settings.encoderActivation("hidden_activation"),
      epsilon: settings.number("norm_eps", default: 1e-5), normBias: settings.flag("norm_bias", default: false),
      attentionBias: settings.flag("attention_bias", default: false),
      feedForwardBias: settings.flag("mlp_bias", default: false),
      headBias: settings.flag("classifier_bias", default: false),
      headActivation: settings.encoderActivation("classifier_activation"),
      decoderBias: settings.flag("decoder_bias", default: true),
      tiedHead: settings.flag("tie_word_embeddings", default: true),
      classifierPooling: settings.choice("classifier_pooling", [("cls", .cls), ("mean", .mean)]),
      initialDeviation: settings.number("initializer_range", default: 0.02))
  }
}

extension ModelSettings {
  /// The layers' kinds, from `layer_types` or else from how often a layer sees all.
  fileprivate mutating func modernBERTLayers(headSize: Int) -> [ModernBERT.Layer] {
    let count = size("num_hidden_layers", default: 22)
    let every = size("global_attn_every_n_layers", default: 3)
    let kinds =
      object["layer_types"]?.array?.map { $0.string ?? $0.json }
      ?? (0..<count).map { $0 % every == 0 ? "full_attention" : "sliding_attention" }
    if kinds.count != count { report("'layer_types' has \(kinds.count) entries for \(count) layers.") }
    // The window counts both sides.
    let window = size("local_attention", default: 128) / 2
    if window == 0 { report("'local_attention' is 1; it must be 2 or more.") }
    let everywhere = ModernBERT.Layer(
      window: nil,
      rotary: rotary(
        size: headSize, kind: "full_attention", base: number("global_rope_theta", default: 160_000)))
    let nearby = ModernBERT.Layer(
      window: window,
      rotary: rotary(
        size: headSize, kind: "sliding_attention", base: number("local_rope_theta", default: 10_000)))
    return kinds.map { kind in
      if kind != "full_attention", kind != "sliding_attention" {
        report("'layer_types' has \(kind), but only sliding_attention and full_attention are known.")
      }
      return kind == "full_attention" ? everywhere : nearby
    }
  }
}
