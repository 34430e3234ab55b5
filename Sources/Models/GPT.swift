// The transformer decoder: GPT-2 (Radford et al., 2019) and what became of it in Llama (Touvron et al., 2023,
// arXiv:2302.13971) and Qwen3 (2025, arXiv:2505.09388).
//
//   x = embedding(tokens)
//   for each layer:   x += attention(norm(x));   x += feedForward(norm(x))
//   logits = norm(x) · headᵀ
//
// Invariant: training, reading a prompt and decoding run this one function; they differ in the context alone. Parameters have
// the names of Hugging Face's Llama and Qwen3, whatever the configuration.

public import Networks
public import Tensors

/// A GPT of a given configuration; its parameters live in the `Weights` that each function is given.
public struct GPT: LanguageModel {
  public let configuration: GPTConfiguration

  public var vocabulary: Int { configuration.vocabulary }
  public var context: Int { configuration.context }
  public var logitSoftcap: Double? { configuration.logitSoftcap }

  public init(_ configuration: GPTConfiguration) { self.configuration = configuration }

  /// The hidden states after the last norm: [batch · positions, width].
  ///
  /// - Parameter tokens: int32 [batch, positions].
  public func hidden(_ tokens: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    let model = weights["model"]
    let positions = context.positions(tokens.shape)
    var x = embedding(model).gathered(tokens).cast(weights.store.activations)
    if configuration.positions == .learned {
      let table = model["embed_positions"].embedding(
        configuration.context, configuration.width, initializer: initializer, axes: [.none, .width])
      x = x + table.gathered(positions).cast(x.element)
    }
    x = context.dropout(x, rate: configuration.dropout)

    let rotation: Rotation? =
      configuration.positions == .rotary
      ? Rotation(positions: positions, size: configuration.headSize, base: configuration.rotaryBase) : nil
    for index in 0..<configuration.layers {
      x = withScope("layers.\(index)", rematerialised: context.rematerialise) {
        layer(x, model["layers"]["\(index)"], index, rotation, context)
      }
    }
    return norm(x, model["norm"]).flattened(from: 0, through: 1)
  }

  private func layer(
    _ x: Tensor, _ weights: Weights, _ index: Int, _ rotation: Rotation?, _ context: ModelContext
  ) -> Tensor {
    let attended = attention(norm(x, weights["input_layernorm"]), weights["self_attn"], index, rotation, context)
    let x = x + context.dropout(attended, rate: configuration.dropout)
    let fed = feedForward(norm(x, weights["post_attention_layernorm"]), weights["mlp"])
    return x + context.dropout(fed, rate: configuration.dropout)
  }

  /// Vaswani et al. (2017), arXiv:1706.03762; with fewer key heads: Ainslie et al. (2023), arXiv:2305.13245; with norms of
  /// queries and keys: Henry et al. (2020), arXiv:2010.04245.
  private func attention(
    _ x: Tensor, _ weights: Weights, _ layer: Int, _ rotation: Rotation?, _ context: ModelContext
  ) -> Tensor {
    let (width, size) = (configuration.width, configuration.headSize)
    let (heads, kvHeads) = (configuration.heads * size, configuration.kvHeads * size)
    let perHead = [x.shape[0], x.shape[1], -1, size]
    var q = linear(x, weights["q_proj"], heads, [.heads, .width]).reshaped(perHead)
    var k = linear(x, weights["k_proj"], kvHeads, [.kvHeads, .width]).reshaped(perHead)
    let v = linear(x, weights["v_proj"], kvHeads, [.kvHeads, .width]).reshaped(perHead)
    if configuration.qkNorm {
      q = q.rmsNorm(weights["q_norm"].norm(size, axis: .none), epsilon: configuration.epsilon)
      k = k.rmsNorm(weights["k_norm"].norm(size, axis: .none), epsilon: configuration.epsilon)
    }
    if let rotation { (q, k) = (rotation(q), rotation(k)) }
    let options = Attention(scale: 1 / Double(size).squareRoot(), softcap: configuration.attentionSoftcap)
    let mixed = context.attend(q, k, v, layer: layer, options: options).flattened(from: 2, through: 3)
    return linear(mixed, weights["o_proj"], width, [.width, .heads], residualInitializer)
  }

  private func feedForward(_ x: Tensor, _ weights: Weights) -> Tensor {
    let (width, inner) = (configuration.width, configuration.mlpWidth)
    func up(_ name: String) -> Tensor { linear(x, weights[name], inner, [.mlp, .width]) }
    let activated =
      switch configuration.activation {
      case .swiGLU: up("gate_proj").silu() * up("up_proj")
      case .geluTanh: up("up_proj").gelu(tanh: true)
      case .geluErf: up("up_proj").gelu()
      case .reluSquared: up("up_proj").activation(.reluSquared)
      }
    return linear(activated, weights["down_proj"], width, [.width, .mlp], residualInitializer)
  }

  private func norm(_ x: Tensor, _ weights: Weights) -> Tensor {
    let width = configuration.width
    return switch configuration.norm {
    case .rms: x.rmsNorm(weights.norm(width), epsilon: configuration.epsilon)
    case .layer:
      x.layerNorm(weights.norm(width), bias: weights.bias(width, axis: .width), epsilon: configuration.epsilon)
    }
  }

  private func linear(
    _ x: Tensor, _ weights: Weights, _ outputs: Int, _ axes: [LogicalAxis], _ initializer: Initializer? = nil
  ) -> Tensor {
    weights.linear(
      x, to: outputs, bias: configuration.biases, initializer: initializer ?? self.initializer, axes: axes)
  }

  // MARK: The ends: tokens in, logits out

  private func embedding(_ model: Weights) -> Tensor {
    model["embed_tokens"].embedding(configuration.vocabulary, configuration.width, initializer: initializer)
  }

  /// The output head, [vocabulary, width]: the token embedding where they are tied.
  public func head(_ weights: Weights) -> Tensor {
    configuration.tiedHead
      ? embedding(weights["model"])
      : weights["lm_head"].embedding(configuration.vocabulary, configuration.width, initializer: initializer)
  }

  // MARK: Initial values, as in GPT-2

  private var initializer: Initializer { .normal(deviation: configuration.initialDeviation) }

  /// Of what is added to the residual stream, twice a layer: smaller, so that the sum's variance does not grow with depth.
  private var residualInitializer: Initializer {
    .normal(deviation: configuration.initialDeviation / Double(2 * configuration.layers).squareRoot())
  }
}
