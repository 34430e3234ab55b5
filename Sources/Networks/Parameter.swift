// A trained tensor as everything but the arithmetic sees it: checkpoints by its name, initialisation by its initializer,
// optimizers by its role, parallel plans by its axes.
//
// Invariant: a description, without values, so that a model of any size can be described on any machine.

public import Tensors

/// What an axis of a parameter stands for. Parallel plans map these to axes of the device mesh; models never mention ranks.
public enum LogicalAxis: String, Hashable, Sendable, Codable, CaseIterable {
  /// The model's residual stream.
  case width
  /// Query heads times head size.
  case heads
  /// Key and value heads times head size.
  case kvHeads
  /// The inner width of a feed-forward block.
  case mlp
  case vocabulary
  case expert
  case layer
  /// Never cut.
  case none
}

/// One trained tensor.
public struct Parameter: Hashable, Sendable {
  /// What a parameter does, which decides how it is optimised and in which type it takes part in arithmetic.
  public enum Role: Hashable, Sendable {
    /// `[..., outputs, inputs]` of a linear map between hidden states: what Muon orthogonalises.
    case matrix
    /// A table with one row a token or position; also an output head.
    case embedding
    /// A bias, or the weight of a norm: never decayed, always float32.
    case vector
  }

  /// The name in checkpoints, as in `model.layers.0.self_attn.q_proj.weight`.
  public let name: String
  public let shape: Shape
  public let role: Role
  public let initializer: Initializer
  /// What each axis of `shape` stands for.
  public let axes: [LogicalAxis]

  /// - Precondition: as many axes as dimensions.
  public init(name: String, shape: Shape, role: Role, initializer: Initializer, axes: [LogicalAxis]) {
    precondition(axes.count == shape.rank, "parameter \(name): \(axes.count) axes for the shape \(shape)")
    self.name = name
    self.shape = shape
    self.role = role
    self.initializer = initializer
    self.axes = axes
  }
}
