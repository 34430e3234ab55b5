// What is known of a chosen token.

/// A token and the logarithm of its probability.
public struct TokenProbability: Sendable, Hashable {
  public var token: Int32
  public var logProbability: Float

  public init(token: Int32, logProbability: Float) {
    self.token = token
    self.logProbability = logProbability
  }
}

/// A token that a sampler has chosen.
public struct TokenChoice: Sendable, Hashable {
  public var token: Int32
  /// In the model's own distribution, if `SamplingConfiguration.logProbabilities` asks for it.
  public var logProbability: Float?
  /// The likeliest tokens of the model's own distribution, likeliest first.
  public var likeliest: [TokenProbability] = []

  public init(token: Int32, logProbability: Float? = nil, likeliest: [TokenProbability] = []) {
    (self.token, self.logProbability, self.likeliest) = (token, logProbability, likeliest)
  }
}

extension SamplingWorkspace {
  /// The log-softmax of logits: of one token, and of the likeliest `count`, likeliest first. A prompt's tokens are scored so,
  /// each with the logits before it.
  public func logProbabilities(
    _ logits: UnsafeBufferPointer<Float>, of token: Int32, likeliest count: Int
  ) -> (chosen: Float, likeliest: [TokenProbability]) {
    read(logits)
    let most = most
    guard most.isFinite else { return (-.infinity, []) }
    let normalizer = Double(most) + logarithm(exponentialSum(scale: 1))
    func score(_ logit: Float) -> Float { logit.isNaN ? -.infinity : Float(Double(logit) - normalizer) }
    var top: [TokenProbability] = []
    if count > 0 {
      collect(likeliest: count)
      sortCandidates()
      top = candidates.map { TokenProbability(token: $0.token, logProbability: score($0.logit)) }
    }
    return (score(logits[Int(token)]), top)
  }
}
