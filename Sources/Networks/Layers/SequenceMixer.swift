// The blocks that let positions see each other.

public import Tensors

/// A block that takes hidden states [batch, positions, width] to the same shape and mixes positions.
public protocol SequenceMixer: Sendable {
  /// - Parameters:
  ///   - rotation: by which positions are told; nil: none.
  ///   - layer: counted from 0.
  func callAsFunction(
    _ x: Tensor, _ weights: Weights, rotation: Rotation?, layer: Int, _ context: ModelContext, initial: InitialWeights
  ) -> Tensor
}
