// The model that `tachornis train` makes: GPT-2 (Radford et al., 2019) and what became of it in Llama (Touvron et al., 2023,
// arXiv:2302.13971) and Qwen3 (2025, arXiv:2505.09388), by the choices of a `GPTConfiguration`.
//
// Invariant: it is a `Decoder` as every other family. Parameters have the names of Hugging Face's Llama and Qwen3, whatever
// the configuration.

public import Networks
public import Tensors

/// A GPT of a given configuration; its parameters live in the `Weights` that each function is given.
public struct GPT: LanguageModel {
  public let configuration: GPTConfiguration
  private let decoder: Decoder

  public init(_ configuration: GPTConfiguration) {
    self.configuration = configuration
    decoder = Decoder(configuration)
  }

  public var vocabulary: Int { decoder.vocabulary }
  public var context: Int { decoder.context }
  public var logitSoftcap: Double? { decoder.logitSoftcap }

  public func hidden(_ tokens: Tensor, _ weights: Weights, _ context: ModelContext) -> Tensor {
    decoder.hidden(tokens, weights, context)
  }

  public func head(_ weights: Weights) -> Tensor { decoder.head(weights) }
}

extension Decoder {
  fileprivate init(_ c: GPTConfiguration) {
    var attention = SelfAttention(heads: c.heads, kvHeads: c.kvHeads, headSize: c.headSize)
    (attention.inputBias, attention.outputBias) = (c.biases, c.biases)
    attention.headNorm = c.qkNorm ? SelfAttention.HeadNorm(epsilon: c.epsilon) : nil
    attention.softcap = c.attentionSoftcap
    let layer = Layer(
      attention: attention, feedForward: c.feedForward,
      rotary: c.positions == .rotary ? Rotary(size: c.headSize, base: c.rotaryBase) : nil)
    self.init(
      vocabulary: c.vocabulary, context: c.context, width: c.width, layers: Array(repeating: layer, count: c.layers))
    norm = c.norm == .rms ? .rms(plusOne: false) : .layer
    hasPositionTable = c.positions == .learned
    (epsilon, tiedHead, logitSoftcap) = (c.epsilon, c.tiedHead, c.logitSoftcap)
    (dropout, initialDeviation) = (c.dropout, c.initialDeviation)
  }
}

extension GPTConfiguration {
  fileprivate var feedForward: any Networks.FeedForward {
    func plain(_ activation: Tensors.Activation) -> PlainFeedForward {
      var result = PlainFeedForward(inner: mlpWidth, activation: activation)
      result.bias = biases
      return result
    }
    switch activation {
    case .swiGLU:
      var result = GatedFeedForward(inner: mlpWidth)
      result.bias = biases
      return result
    case .geluTanh: return plain(.geluTanh)
    case .geluErf: return plain(.geluErf)
    case .reluSquared: return plain(.reluSquared)
    }
  }
}
