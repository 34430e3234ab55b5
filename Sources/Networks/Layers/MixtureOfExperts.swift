// A feed-forward block that is many, of which each position passes a few: Shazeer et al. (2017), arXiv:1701.06538.
//
// Dropless: positions are sorted by expert, and grouped products take each expert's rows together, however many they are
// (Gale et al., 2022, arXiv:2211.15841). Of a single position, only the chosen experts' weights are read.

public import Tensors

/// A mixture of gated feed-forward blocks. Parameters: those of the router, `experts.gate_proj`, `experts.up_proj` and
/// `experts.down_proj` (weight, and bias where there are biases) of one matrix an expert, and those of `shared_experts`.
public struct MixtureOfExperts: FeedForward {
  /// What is between the maps of an expert.
  public enum Gate: Hashable, Sendable {
    /// activation(gate) · up
    case activation(Activation)
    /// g sigmoid(alpha g) (up + 1), with g = min(gate, limit) and up within ±limit: gpt-oss.
    case clamped(alpha: Double, limit: Double)
  }

  public var router: Router
  /// The name of the router in checkpoints.
  public var routerName = "gate"
  /// Elements between the maps of an expert.
  public var inner: Int
  public var gate: Gate
  /// Whether the experts' maps add biases.
  public var bias = false
  /// What every position passes, too.
  public var shared: GatedFeedForward?

  public init(router: Router, inner: Int, gate: Gate = .activation(.silu)) {
    self.router = router
    self.inner = inner
    self.gate = gate
  }

  public func callAsFunction(_ x: Tensor, _ weights: Weights, initial: InitialWeights) -> Tensor {
    let rows = x.flattened(from: 0, through: -2)
    let routed = router(rows, weights[routerName], initializer: initial.inside)
    let batch = ExpertBatch(routed.experts, experts: router.experts)

    func map(
      _ x: Tensor, _ name: String, _ outputs: Int, _ axes: [LogicalAxis], _ initializer: Initializer
    ) -> Tensor {
      let place = weights["experts"][name]
      let matrices = place.parameter(
        "weight", [router.experts, outputs, x.shape[-1]], role: .matrix, initializer: initializer,
        axes: [.expert] + axes)
      let product = x.groupedMatmul(matrices, counts: batch.counts)
      guard bias else { return product }
      let biases = place.parameter(
        "bias", [router.experts, outputs], role: .vector, initializer: .zeros, axes: [.expert, axes[0]])
      return product + biases.gathered(batch.experts).cast(product.element)
    }
    let given = rows.gathered(batch.positions)
    let inside = gated(
      map(given, "gate_proj", inner, [.mlp, .width], initial.inside),
      map(given, "up_proj", inner, [.mlp, .width], initial.inside))
    let results = map(inside, "down_proj", x.shape[-1], [.width, .mlp], initial.residual)

    let shares = routed.shares.flattened().gathered(batch.order).expanded(at: -1)
    var sum = (results * shares.cast(results.element)).gathered(batch.places)
      .reshaped(rows.shape[0], router.chosen, -1).sum([1])
    if let shared { sum = sum + shared(rows, weights["shared_experts"], initial: initial) }
    return sum.reshaped(x.shape.dimensions)
  }

  private func gated(_ gate: Tensor, _ up: Tensor) -> Tensor {
    switch self.gate {
    case .activation(let activation): return gate.activation(activation) * up
    case .clamped(let alpha, let limit):
      let g = gate.minimum(limit)
      return g * (g * alpha).sigmoid() * (up.minimum(limit).maximum(-limit) + 1)
    }
  }
}

/// Positions as experts take them: sorted by expert, each as often as it has experts.
private struct ExpertBatch {
  /// int32 [rows]: whose turn it is, rising.
  let experts: Tensor
  /// int32 [rows]: which of positions times choices each row is.
  let order: Tensor
  /// int32 [rows]: the position of each row.
  let positions: Tensor
  /// int32 [positions · choices]: the row of each of positions times choices, the inverse of `order`.
  let places: Tensor
  /// int32 [experts]: rows of each expert.
  let counts: Tensor

  /// chosen: int32 [positions, choices].
  init(_ chosen: Tensor, experts count: Int) {
    let sorted = chosen.flattened().sorted()
    experts = sorted.values
    order = sorted.indices
    positions = order / Double(chosen.shape[-1])
    places = order.sorted().indices
    // Ones of as many rows as there are in a run.
    counts = (experts * 0 + 1).scatteredAdd(experts, entries: count)
  }
}
