// How parameters are updated from their gradients: graph to graph, so that an update is part of the training program.
//
// Invariant: where `apply` is false nothing changes, whatever the gradients hold (also NaN).

public import Tensors

/// A parameter at the moment of its update.
public struct OptimizerSlot {
  public var parameter: Parameter
  /// The master, float32.
  public var value: Tensor
  /// Of the parameter's shape, float32 or bfloat16.
  public var gradient: Tensor
  /// By the names that the optimizer asked for: float32, of the parameter's shape.
  public var state: [String: Tensor]
  /// Whether a bfloat16 copy of the new value is wanted.
  public var working: Bool

  public init(parameter: Parameter, value: Tensor, gradient: Tensor, state: [String: Tensor], working: Bool) {
    self.parameter = parameter
    self.value = value
    self.gradient = gradient
    self.state = state
    self.working = working
  }
}

/// What is the same for all parameters of a step.
public struct OptimizerControls {
  /// The learning rate, a float32 scalar.
  public var rate: Tensor
  /// By what gradients are multiplied first (clipping), a float32 scalar.
  public var gradientScale: Tensor
  /// Steps counted from 1, a float32 scalar.
  public var step: Tensor
  /// A bool scalar; false: the step is skipped and nothing changes.
  public var apply: Tensor

  public init(rate: Tensor, gradientScale: Tensor, step: Tensor, apply: Tensor) {
    self.rate = rate
    self.gradientScale = gradientScale
    self.step = step
    self.apply = apply
  }
}

/// A parameter after its update.
public struct OptimizerResult {
  public var value: Tensor
  public var state: [String: Tensor]
  /// The new value in bfloat16, if the slot asked for it.
  public var working: Tensor?

  public init(value: Tensor, state: [String: Tensor], working: Tensor?) {
    self.value = value
    self.state = state
    self.working = working
  }
}

/// A rule of update.
public protocol Optimizer: Sendable {
  /// What the rule remembers of a parameter between steps: float32 tensors of its shape, zero at the start.
  func stateNames(for parameter: Parameter) -> [String]

  /// Records one step over all parameters.
  ///
  /// - Returns: one result a slot, in order.
  func update(_ slots: [OptimizerSlot], _ controls: OptimizerControls) -> [OptimizerResult]
}

extension OptimizerSlot {
  /// The gradient as it is to be used: float32 and clipped.
  func scaledGradient(_ controls: OptimizerControls) -> Tensor { gradient.cast(.float32) * controls.gradientScale }

  /// The value, shrunk by `decay` times the learning rate unless it is a vector.
  func decayedValue(_ decay: Double, _ controls: OptimizerControls) -> Tensor {
    decay == 0 || parameter.role == .vector ? value : value * (1 - controls.rate * decay)
  }

  /// New values where the step is applied, the old ones where it is not.
  func result(_ value: Tensor, state new: [String: Tensor], _ controls: OptimizerControls) -> OptimizerResult {
    let kept = controls.apply.select(value, self.value)
    let states = new.map { name, value in (name, controls.apply.select(value, state[name]!)) }
    return OptimizerResult(
      value: kept, state: Dictionary(uniqueKeysWithValues: states), working: working ? kept.cast(.bfloat16) : nil)
  }
}
