// AdamW: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), arXiv:1711.05101.
//
// Invariant: one operation of the graph updates all parameters; vectors are not decayed.

internal import Tensors

/// Steps along the mean gradient divided by its root mean square, and decays weights apart from that.
public struct AdamWOptimizer: Optimizer, Hashable, Codable {
  public var beta1 = 0.9
  public var beta2 = 0.95
  public var epsilon = 1e-8
  /// By which share, times the learning rate, matrices and embeddings shrink in a step.
  public var weightDecay = 0.1

  public init(beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, weightDecay: Double = 0.1) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
  }

  public func stateNames(for parameter: Parameter) -> [String] { ["mean", "square"] }

  public func update(_ slots: [OptimizerSlot], _ controls: OptimizerControls) -> [OptimizerResult] {
    let results = Tensor.adamW(
      slots.map {
        .init(
          value: $0.value, gradient: $0.gradient, mean: $0.state["mean"]!, square: $0.state["square"]!,
          weightDecay: $0.parameter.role == .vector ? 0 : weightDecay, working: $0.working)
      },
      rate: controls.rate, gradientScale: controls.gradientScale, step: controls.step, apply: controls.apply,
      beta1: beta1, beta2: beta2, epsilon: epsilon)
    return results.map {
      OptimizerResult(value: $0.value, state: ["mean": $0.mean, "square": $0.square], working: $0.working)
    }
  }
}
