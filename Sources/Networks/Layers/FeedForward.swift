// The blocks that work on each position by itself.

public import Tensors

/// A block that takes hidden states [batch, positions, width] to the same shape, each position by itself.
public protocol FeedForward: Sendable {
  func callAsFunction(_ x: Tensor, _ weights: Weights, initial: InitialWeights) -> Tensor
}

/// down(activation(gate(x)) · up(x)): Shazeer (2020), arXiv:2002.05202. Parameters: gate_proj and up_proj (or gate_up_proj),
/// down_proj.
public struct GatedFeedForward: FeedForward {
  /// Elements between the maps.
  public var inner: Int
  public var activation: Activation
  /// Whether the maps add biases.
  public var bias = false
  /// Whether gate and up are one map, `gate_up_proj`.
  public var isFused = false

  public init(inner: Int, activation: Activation = .silu) {
    self.inner = inner
    self.activation = activation
  }

  public func callAsFunction(_ x: Tensor, _ weights: Weights, initial: InitialWeights) -> Tensor {
    func map(_ name: String, _ outputs: Int) -> Tensor {
      weights[name].linear(x, to: outputs, bias: bias, initializer: initial.inside, axes: [.mlp, .width])
    }
    let gate: Tensor
    let up: Tensor
    if isFused {
      let parts = map("gate_up_proj", 2 * inner).split([inner, inner])
      (gate, up) = (parts[0], parts[1])
    } else {
      (gate, up) = (map("gate_proj", inner), map("up_proj", inner))
    }
    return weights["down_proj"].linear(
      gate.activation(activation) * up, to: x.shape[-1], bias: bias, initializer: initial.residual,
      axes: [.width, .mlp])
  }
}

/// down(activation(up(x))): Vaswani et al. (2017), arXiv:1706.03762. Parameters: up_proj, down_proj.
public struct PlainFeedForward: FeedForward {
  /// Elements between the maps.
  public var inner: Int
  public var activation: Activation
  /// Whether the maps add biases.
  public var bias = false

  public init(inner: Int, activation: Activation) {
    self.inner = inner
    self.activation = activation
  }

  public func callAsFunction(_ x: Tensor, _ weights: Weights, initial: InitialWeights) -> Tensor {
    let up = weights["up_proj"].linear(
      x, to: inner, bias: bias, initializer: initial.inside, axes: [.mlp, .width])
    return weights["down_proj"].linear(
      up.activation(activation), to: x.shape[-1], bias: bias, initializer: initial.residual, axes: [.width, .mlp])
  }
}
