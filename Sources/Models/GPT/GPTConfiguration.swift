// The choices in a GPT. Derived numbers (parameters, FLOPs) are computed from them.
//
// Invariant: `init()` is a small modern model, a Qwen3 in layout; every choice has one name, used in code and on disk.

public import Core

/// The shape of a GPT.
public struct GPTConfiguration: Configuration, Hashable {
  /// How a model knows where a token stands.
  public enum Positions: String, Hashable, Sendable, Codable, CaseIterable {
    /// A trained vector for each position.
    case learned
    /// Queries and keys are rotated: Su et al. (2021), arXiv:2104.09864.
    case rotary
  }

  public enum Normalization: String, Hashable, Sendable, Codable, CaseIterable {
    /// Ba et al. (2016), arXiv:1607.06450; with a bias.
    case layer
    /// Zhang and Sennrich (2019), arXiv:1910.07467.
    case rms
  }

  /// What stands between the two maps of a feed-forward block.
  public enum FeedForward: String, Hashable, Sendable, Codable, CaseIterable {
    /// silu(gate(x)) up(x): Shazeer (2020), arXiv:2002.05202.
    case swiGLU
    /// GELU by its tanh approximation, as in GPT-2: Hendrycks and Gimpel (2016), arXiv:1606.08415.
    case geluTanh
    /// GELU itself.
    case geluErf
    /// max(0, x)²: So et al., Primer (2021), arXiv:2109.08668.
    case reluSquared
  }

  /// Tokens that the model knows.
  public var vocabulary = 4096
  /// The most positions of a sequence.
  public var context = 256
  public var layers = 4
  /// Elements of a hidden state.
  public var width = 128
  /// Query heads.
  public var heads = 4
  /// Key and value heads, a divisor of `heads`.
  public var kvHeads = 2
  /// Elements of a head.
  public var headSize = 32
  /// Elements between the two maps of a feed-forward block.
  public var mlpWidth = 384
  public var positions = Positions.rotary
  public var norm = Normalization.rms
  public var activation = FeedForward.swiGLU
  /// Whether linear maps add a bias.
  public var biases = false
  /// Whether queries and keys are normed before they meet.
  public var qkNorm = true
  /// Whether the output head is the token embedding.
  public var tiedHead = true
  /// Of the rotary frequencies.
  public var rotaryBase = 10000.0
  /// Added to variances in norms.
  public var epsilon = 1e-6
  /// Bounds attention scores to ±softcap by tanh: Gemma 2 (2024), arXiv:2408.00118.
  public var attentionSoftcap: Double?
  /// Bounds logits to ±softcap by tanh.
  public var logitSoftcap: Double?
  /// Which share of hidden states is zeroed in training.
  public var dropout = 0.0
  /// The standard deviation of initial weights.
  public var initialDeviation = 0.02

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    for (key, value) in sizes { check(value > 0 && value <= 1 << 24, key, value, "must be from 1 to \(1 << 24)") }
    check(kvHeads > 0 && heads % kvHeads == 0, "kvHeads", kvHeads, "must divide heads, \(heads)")
    check(positions != .rotary || headSize % 2 == 0, "headSize", headSize, "must be even for rotary positions")
    check(dropout >= 0 && dropout < 1, "dropout", dropout, "must be from 0 to less than 1")
    check(epsilon > 0, "epsilon", epsilon, "must be positive")
    check(rotaryBase > 1, "rotaryBase", rotaryBase, "must be greater than 1")
    check(initialDeviation >= 0, "initialDeviation", initialDeviation, "must not be negative")
    for (key, cap) in [("attentionSoftcap", attentionSoftcap), ("logitSoftcap", logitSoftcap)] {
      check(cap.map { $0 > 0 } ?? true, key, cap ?? 0, "must be positive")
    }
  }

  private var sizes: [(String, Int)] {
    [
      ("vocabulary", vocabulary), ("context", context), ("layers", layers), ("width", width), ("heads", heads),
      ("kvHeads", kvHeads), ("headSize", headSize), ("mlpWidth", mlpWidth),
    ]
  }

  /// A GPT-2 of the given size: learned positions, layer norm, GELU, biases, tied head.
  public static func gpt2(
    layers: Int, width: Int, heads: Int, context: Int = 1024, vocabulary: Int = 50257
  ) -> GPTConfiguration {
    var result = GPTConfiguration()
    (result.layers, result.width, result.heads, result.kvHeads) = (layers, width, heads, heads)
    (result.headSize, result.mlpWidth) = (width / heads, 4 * width)
    (result.context, result.vocabulary) = (context, vocabulary)
    (result.positions, result.norm, result.activation) = (.learned, .layer, .geluTanh)
    (result.biases, result.qkNorm, result.epsilon) = (true, false, 1e-5)
    return result
  }

  /// The modern form of the given size: RMS norm, rotary positions, SwiGLU, grouped queries, normed queries and keys.
  public static func modern(
    layers: Int, width: Int, heads: Int, kvHeads: Int, headSize: Int, mlpWidth: Int, context: Int,
    vocabulary: Int = 50257, tiedHead: Bool = true
  ) -> GPTConfiguration {
    var result = GPTConfiguration()
    (result.layers, result.width, result.heads, result.kvHeads) = (layers, width, heads, kvHeads)
    (result.headSize, result.mlpWidth) = (headSize, mlpWidth)
    (result.context, result.vocabulary, result.tiedHead) = (context, vocabulary, tiedHead)
    return result
  }
}
