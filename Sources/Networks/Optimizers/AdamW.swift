// AdamW: Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), arXiv:1711.05101.
//
// Invariant: one operation of the graph updates all parameters; vectors are not decayed.

public import Core
internal import Tensors

/// Steps along the mean gradient divided by its root mean square, and decays weights apart from that.
public struct AdamWOptimizer: Optimizer, Configuration, Hashable {
  public var beta1 = 0.9
  public var beta2 = 0.95
  public var epsilon = 1e-8
  /// By which share, times the learning rate, matrices and embeddings shrink in a step.
  public var weightDecay = 0.1

  public init() {}

  public init(beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
  }

  public func problems() -> [ConfigurationProblem] {
    check(beta1 >= 0 && beta1 < 1, "beta1", beta1, "must be from 0 to less than 1")
    check(beta2 >= 0 && beta2 < 1, "beta2", beta2, "must be from 0 to less than 1")
    check(epsilon > 0, "epsilon", epsilon, "must be positive")
    check(weightDecay >= 0, "weightDecay", weightDecay, "must not be negative")
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
