// How the router of a mixture of experts chooses: the rules in which families differ.
//
// Mixtral: Jiang et al. (2024), arXiv:2401.04088. Groups: DeepSeek-V2 (2024), arXiv:2405.04434. Sigmoid scores with a
// correction that balances the experts' load: DeepSeek-V3 (2024), arXiv:2412.19437.
//
// Invariant: scores are float32, and the router's weights are held as float32 whatever the precision of the model: a rounding
// would give a position to another expert.

public import Tensors

/// Chooses experts for positions, and says how much each contributes. Parameters: weight, and bias and e_score_correction_bias
/// where there are such.
public struct Router: Sendable {
  /// From a router's logits to the share of an expert.
  public enum Scores: Hashable, Sendable {
    /// The softmax over all experts.
    case softmax
    /// The softmax over the chosen experts.
    case softmaxOfChosen
    case sigmoid
  }

  /// Experts in groups of equal size, of which only the best `chosen` are taken from.
  public struct Groups: Hashable, Sendable {
    public enum Rank: Hashable, Sendable {
      /// By its best expert.
      case best
      /// By the sum of its two best experts.
      case bestTwo
    }

    public var count: Int
    public var chosen: Int
    public var rank: Rank

    public init(count: Int, chosen: Int, rank: Rank) {
      self.count = count
      self.chosen = chosen
      self.rank = rank
    }
  }

  public var experts: Int
  /// Experts of a position.
  public var chosen: Int
  public var scores: Scores
  /// Whether shares are divided by their sum.
  public var normalizes = false
  /// Factor on shares.
  public var scale = 1.0
  public var groups: Groups?
  public var hasBias = false
  /// Whether a vector that is not trained by gradients is added to scores for choosing, and for choosing only.
  public var hasCorrection = false

  public init(experts: Int, chosen: Int, scores: Scores) {
    self.experts = experts
    self.chosen = chosen
    self.scores = scores
  }

  /// x [rows, width].
  ///
  /// - Returns: shares, float32 [rows, chosen], and the experts that they belong to, int32 of the same shape. `scores`, what a
  ///   loss that balances the experts is made of, are [rows, experts].
  public func callAsFunction(
    _ x: Tensor, _ weights: Weights, initializer: Initializer
  ) -> (shares: Tensor, experts: Tensor, scores: Tensor) {
    func vector(_ name: String, _ shape: Shape, _ initializer: Initializer, _ axes: [LogicalAxis]) -> Tensor {
      weights.parameter(name, shape, role: .vector, initializer: initializer, axes: axes)
    }
    let map = vector("weight", [experts, x.shape[-1]], initializer, [.expert, .width])
    let bias = hasBias ? vector("bias", [experts], .zeros, [.expert]) : nil
    let logits = x.cast(x.element.accumulator).linear(map, bias: bias)
    let scores: Tensor
    switch self.scores {
    case .softmax: scores = logits.softmax()
    case .softmaxOfChosen: scores = logits
    case .sigmoid: scores = logits.sigmoid()
    }
    var ranked = scores
    if hasCorrection { ranked = ranked + vector("e_score_correction_bias", [experts], .zeros, [.expert]) }
    if let groups { ranked = groups.best(ranked) }
    let chosenExperts = ranked.topK(chosen).indices
    var shares = scores.taken(chosenExperts)
    if self.scores == .softmaxOfChosen { shares = shares.softmax() }
    if normalizes { shares = shares / (shares.sum([-1], keeps: true) + 1e-20) }
    return (scale == 1 ? shares : shares * scale, chosenExperts, scores)
  }
}

extension Router.Groups {
  /// Scores [rows, experts] with -infinity for the experts of all groups but the best.
  fileprivate func best(_ scores: Tensor) -> Tensor {
    let grouped = scores.reshaped(scores.shape[0], count, -1)
    let ranks: Tensor
    switch rank {
    case .best: ranks = grouped.max([-1])
    case .bestTwo: ranks = grouped.topK(2).values.sum([-1])
    }
    let isChosen = ranks.topK(chosen).indices.oneHot(count).sum([1]).expanded(at: -1) .> 0
    return isChosen.select(grouped, .full(-.infinity, [], scores.element)).reshaped(scores.shape.dimensions)
  }
}
