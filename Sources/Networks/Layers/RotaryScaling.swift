// How a model's rotary frequencies were changed so that it reads longer texts than it was first trained on.
//
// Invariant: a scaling gives the inverse frequency of each pair and one factor on the cosines and sines, both as functions of
// the configuration and of the length alone. The formulas are those that checkpoints were trained with, as `transformers`
// computes them.

internal import Core

/// A change of rotary frequencies `base ^ (-2i / size)`.
public enum RotaryScaling: Hashable, Sendable {
  /// All frequencies are divided: Chen et al. (2023), arXiv:2306.15595.
  case linear(factor: Double)
  /// The base grows with the length of a text beyond `context` (NTK-aware).
  case dynamic(factor: Double, context: Int)
  /// Low frequencies are divided, high ones kept, with a ramp between: Peng et al. (2023), arXiv:2309.00071.
  case yarn(YaRN)
  /// Llama 3.1: wavelengths beyond `context / low` are divided, those below `context / high` kept.
  case llama3(factor: Double, low: Double, high: Double, context: Int)
  /// A divisor of its own for each pair, one list for texts up to `context` and one for longer ones: Ding et al. (2024),
  /// arXiv:2402.13753.
  case longRope(short: [Double], long: [Double], context: Int, attentionFactor: Double)

  /// The settings of YaRN.
  public struct YaRN: Hashable, Sendable {
    public var factor: Double
    /// Positions of the texts that the model was first trained on.
    public var context: Int
    /// Turns within `context` from which a pair is kept, and below which it is divided.
    public var betaFast = 32.0
    public var betaSlow = 1.0
    /// On cosines and sines.
    public var attentionFactor: Double
    /// Whether the ends of the ramp are rounded to whole pairs.
    public var truncates = true

    public init(factor: Double, context: Int, attentionFactor: Double) {
      self.factor = factor
      self.context = context
      self.attentionFactor = attentionFactor
    }

    /// 0.1 · scale · ln(factor) + 1, the paper's factor on attention.
    public static func attentionFactor(_ factor: Double, scale: Double = 1) -> Double {
      factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
    }
  }

  /// On cosines and sines.
  var attentionFactor: Double {
    switch self {
    case .linear, .dynamic, .llama3: 1
    case .yarn(let yarn): yarn.attentionFactor
    case .longRope(_, _, _, let factor): factor
    }
  }

  /// The inverse frequencies of `size / 2` pairs for texts of at most the model's context; those of longer texts, where they
  /// differ, are `Rotation`'s business.
  func frequencies(size: Int, base: Double) -> [Double] {
    let plain = RotaryScaling.frequencies(size: size, base: base)
    switch self {
    case .linear(let factor): return plain.map { $0 / factor }
    case .dynamic: return plain
    case .yarn(let yarn): return yarn.frequencies(plain, size: size, base: base)
    case .llama3(let factor, let low, let high, let context):
      return plain.map { frequency in
        let turns = Double(context) * frequency / (2 * .pi)
        if turns < low { return frequency / factor }
        if turns > high { return frequency }
        let kept = (turns - low) / (high - low)
        return (1 - kept) * frequency / factor + kept * frequency
      }
    case .longRope(let short, _, _, _): return zip(plain, short).map { $0 / $1 }
    }
  }

  /// Phi's factor on attention for texts `factor` times as long as `context`: sqrt(1 + ln(factor) / ln(context)).
  public static func longRopeAttentionFactor(_ factor: Double, context: Int) -> Double {
    factor <= 1 ? 1 : (1 + log(factor) / log(Double(context))).squareRoot()
  }

  /// base ^ (-2i / size)
  static func frequencies(size: Int, base: Double) -> [Double] {
    (0..<(size / 2)).map { pow(base, -2 * Double($0) / Double(size)) }
  }
}

extension RotaryScaling.YaRN {
  fileprivate func frequencies(_ plain: [Double], size: Int, base: Double) -> [Double] {
    // The pair that turns `turns` times within the context.
    func pair(_ turns: Double) -> Double {
      Double(size) * log(Double(context) / (turns * 2 * .pi)) / (2 * log(base))
    }
    var (first, last) = (pair(betaFast), pair(betaSlow))
    if truncates { (first, last) = (first.rounded(.down), last.rounded(.up)) }
    (first, last) = (max(first, 0), min(last, Double(size - 1)))
    if first == last { last += 0.001 }
    return plain.enumerated().map { index, frequency in
      let divided = min(max((Double(index) - first) / (last - first), 0), 1)
      return divided * frequency / factor + (1 - divided) * frequency
    }
  }
}
