// Stochastic gradient descent with momentum: Polyak (1964); Sutskever et al. (2013) for Nesterov's form.
//
// Invariant: the weight decay is decoupled, as in AdamW, so that it means the same for every optimizer here.

public import Core
internal import Tensors

/// Steps against the gradient, or against a running sum of gradients.
public struct SGDOptimizer: Optimizer, Configuration, Hashable {
  /// Which share of the running sum a step keeps; 0: plain gradient descent, which remembers nothing.
  public var momentum = 0.9
  /// Whether to step from where the momentum is going to lead.
  public var nesterov = false
  /// By which share, times the learning rate, matrices and embeddings shrink in a step.
  public var weightDecay = 0.0

  public init() {}

  public init(momentum: Double, nesterov: Bool = false, weightDecay: Double = 0) {
    self.momentum = momentum
    self.nesterov = nesterov
    self.weightDecay = weightDecay
  }

  public func problems() -> [ConfigurationProblem] {
    check(momentum >= 0 && momentum < 1, "momentum", momentum, "must be from 0 to less than 1")
    check(weightDecay >= 0, "weightDecay", weightDecay, "must not be negative")
  }

  public func stateNames(for parameter: Parameter) -> [String] { momentum == 0 ? [] : ["velocity"] }

  public func update(_ slots: [OptimizerSlot], _ controls: OptimizerControls) -> [OptimizerResult] {
    slots.map { slot in
      let gradient = slot.scaledGradient(controls)
      var state: [String: Tensor] = [:]
      var direction = gradient
      if momentum != 0 {
        let velocity = slot.state["velocity"]! * momentum + gradient
        state["velocity"] = velocity
        direction = nesterov ? gradient + velocity * momentum : velocity
      }
      let decayed = slot.decayedValue(weightDecay, controls)
      return slot.result(decayed - controls.rate * direction, state: state, controls)
    }
  }
}
