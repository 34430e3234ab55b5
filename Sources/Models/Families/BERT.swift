// BERT: Devlin et al. (2019), arXiv:1810.04805. Learned positions, types that tell two texts apart, and norms behind each
// block's sum.
//
//   x = norm(word + type + position)
//   for each layer:   x = norm(x + attention(x));   x = norm(x + down(activation(up(x))))

internal import Core
public import Networks
public import Tensors

/// The encoder of BERT.
public struct BERT: Encoder {
  public var vocabulary: Int
  public var context: Int
  public var width: Int
  /// Kinds of texts that are told apart.
  public var types: Int
  public var layers: Int
  public var heads: Int
  /// Elements between the maps of a feed-forward block.
  public var inner: Int
  public var activation: Activation
  /// Added to variances in norms.
  public var epsilon: Double
  /// Whether tokens are guessed with the table of embeddings.
  public var tiedHead: Bool
  public var initialDeviation: Double

  public var classifierPooling: Pooling { .cls }
  private var initializer: Initializer { .normal(deviation: initialDeviation) }

  public func hidden(_ tokens: Tensor, types: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    let bert = weights["bert"]
    let tables = bert["embeddings"]
    let positions = context.positions(tokens.shape)
    var x = tables["word_embeddings"].embedded(tokens, vocabulary, width, initializer: initializer)
    x = x + tables["token_type_embeddings"].embedded(types, self.types, width, initializer: initializer)
    x = x + tables["position_embeddings"].embedded(positions, self.context, width, initializer: initializer)
    x = tables["LayerNorm"].layerNorm(x, epsilon: epsilon)
    for index in 0..<layers {
      x = withScope("layers.\(index)", rematerialised: context.rematerialise) {
        layer(index, x, bert["encoder"]["layer"]["\(index)"], context)
      }
    }
    return x
  }

  private func layer(_ index: Int, _ x: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    func map(_ x: Tensor, _ weights: Weights, _ outputs: Int, _ axes: [LogicalAxis]) -> Tensor {
      weights.linear(x, to: outputs, bias: true, initializer: initializer, axes: axes)
    }
    let attention = weights["attention"]
    let perHead = [x.shape[0], x.shape[1], heads, width / heads]
    let parts = ["query", "key", "value"].map {
      map(x, attention["self"][$0], width, [.heads, .width]).reshaped(perHead)
    }
    let options = Attention(scale: 1 / Double(width / heads).squareRoot(), causal: false)
    let mixed = context.attend(parts[0], parts[1], parts[2], layer: index, options: options)
    let attended = map(mixed.flattened(from: 2, through: 3), attention["output"]["dense"], width, [.width, .heads])
    let x = attention["output"]["LayerNorm"].layerNorm(x + attended, epsilon: epsilon)
    let up = map(x, weights["intermediate"]["dense"], inner, [.mlp, .width]).activation(activation)
    let down = map(up, weights["output"]["dense"], width, [.width, .mlp])
    return weights["output"]["LayerNorm"].layerNorm(x + down, epsilon: epsilon)
  }

  public func head(_ task: EncoderTask, _ rows: Tensor, _ weights: Weights) -> Tensor {
    switch task {
    case .states: return rows
    case .classification(let labels):
      let pooled = weights["bert"]["pooler"]["dense"].linear(rows, to: width, bias: true, initializer: initializer)
      return weights["classifier"].linear(pooled.tanh(), to: labels, bias: true, initializer: initializer)
    case .tokenClassification(let labels):
      return weights["classifier"].linear(rows, to: labels, bias: true, initializer: initializer)
    case .maskedTokens:
      let predictions = weights["cls"]["predictions"]
      let transform = predictions["transform"]
      let x = transform["dense"].linear(rows, to: width, bias: true, initializer: initializer).activation(activation)
      let table = tiedHead ? weights["bert"]["embeddings"]["word_embeddings"] : predictions["decoder"]
      return transform["LayerNorm"].layerNorm(x, epsilon: epsilon).linear(
        table.embedding(vocabulary, width, initializer: initializer),
        bias: predictions.bias(vocabulary, axis: .vocabulary))
    }
  }
}

extension EncoderFamily {
  static let bert = EncoderFamily(
    type: "bert", prefix: "bert.", heads: ["cls.", "classifier.", "qa_outputs.", "bert.pooler.", "pooler."],
    ignored: ["embeddings.position_ids"]
  ) { settings in
    settings.requires("is_decoder", false)
    settings.requires("add_cross_attention", false)
    _ = settings.choice("position_embedding_type", [("absolute", true)])
    return BERT(
      vocabulary: settings.size("vocab_size", default: 30522),
      context: settings.size("max_position_embeddings", default: 512),
      width: settings.size("hidden_size", default: 768), types: settings.size("type_vocab_size", default: 2),
      layers: settings.size("num_hidden_layers", default: 12), heads: settings.encoderHeads(default: 12, width: 768),
      inner: settings.size("intermediate_size", default: 3072), activation: settings.encoderActivation("hidden_act"),
      epsilon: settings.number("layer_norm_eps", default: 1e-12),
      tiedHead: settings.flag("tie_word_embeddings", default: true),
      initialDeviation: settings.number("initializer_range", default: 0.02))
  }
}

extension ModelSettings {
  /// The number of heads, of which the width is a multiple.
  mutating func encoderHeads(default fallback: Int, width: Int) -> Int {
    let (heads, width) = (size("num_attention_heads", default: fallback), size("hidden_size", default: width))
    if width % heads == 0 { return heads }
    report("'hidden_size' is \(width), not a multiple of 'num_attention_heads', \(heads).")
    return 1
  }

  /// GELU in its exact form if the file says nothing.
  mutating func encoderActivation(_ key: String) -> Activation {
    choice(
      key,
      [
        ("gelu", .geluErf), ("gelu_new", .geluTanh), ("gelu_pytorch_tanh", .geluTanh), ("gelu_fast", .geluTanh),
        ("relu", .relu), ("silu", .silu), ("swish", .silu),
      ])
  }
}
