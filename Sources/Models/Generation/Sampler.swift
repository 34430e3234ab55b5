// From logits to a token.

import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How the next token is chosen.
public struct Sampler: Sendable {
  /// Divides the logits: 0 always takes the likeliest, 1 samples from the model's own distribution.
  public var temperature: Double
  /// Only the likeliest so many are sampled from; nil: all.
  public var topK: Int?
  private var random: RandomSequence

  public init(temperature: Double = 0.8, topK: Int? = nil, seed: UInt64 = 1) {
    self.temperature = temperature
    self.topK = topK
    random = RandomSequence(seed: seed, stream: 0x73616D706C65)
  }

  /// Chooses from `logits`, one for each token; those that are NaN are never chosen.
  public mutating func next(_ logits: [Float]) -> Int32 {
    precondition(!logits.isEmpty, "no logits to choose from")
    var best = 0
    for index in logits.indices where logits[index] > logits[best] || logits[best].isNaN { best = index }
    guard temperature > 0 else { return Int32(best) }

    var cut = -Float.infinity
    if let topK, topK < logits.count, topK > 0 { cut = logits.sorted(by: >)[topK - 1] }
    let largest = logits[best]
    var weights = [Double](repeating: 0, count: logits.count)
    var total = 0.0
    for index in logits.indices where logits[index] >= cut {
      weights[index] = exp(Double(logits[index] - largest) / temperature)
      total += weights[index]
    }
    var left = Double(random.next() >> 11) * 0x1p-53 * total
    for index in logits.indices where weights[index] > 0 {
      left -= weights[index]
      if left < 0 { return Int32(index) }
    }
    return Int32(best)
  }
}
