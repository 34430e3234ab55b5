// Rotary position embedding: Su et al., RoFormer (2021), arXiv:2104.09864.
//
// Invariant: the tables depend on positions alone, so that all layers of a model share them; where the positions are
// constants, so are the tables, and a backend computes them once.

public import Tensors

/// The cosines and sines by which a model's queries and keys are rotated.
public struct Rotation: Sendable {
  /// float32 [positions, size / 2] or [batch, positions, size / 2].
  public let cosines: Tensor
  public let sines: Tensor

  /// - Parameters:
  ///   - positions: int32 [positions] or [batch, positions].
  ///   - size: of a head, even; pair i turns by `position * base ^ (-2i / size)`.
  ///   - base: of the geometric series of frequencies.
  public init(positions: Tensor, size: Int, base: Double) {
    precondition(size % 2 == 0, "rotary embedding needs an even head size, not \(size)")
    let exponents = Tensor.iota([size / 2]).cast(.float32) * (-2 / Double(size))
    let angles = positions.cast(.float32).expanded(at: -1) * Tensor(base).power(exponents)
    cosines = angles.cosine()
    sines = angles.sine()
  }

  /// x [batch, positions, heads, size], rotated.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.rotary(cosines: cosines, sines: sines) }
}
