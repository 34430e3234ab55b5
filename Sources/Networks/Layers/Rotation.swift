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
  /// Whether pairs are neighbours, (2i, 2i+1), instead of (i, i + size / 2).
  public let interleaved: Bool
  /// Elements of a head that are rotated; those behind them are left as they are.
  private let size: Int

  /// - Parameters:
  ///   - positions: int32 [positions] or [batch, positions].
  ///   - size: elements of a head that are rotated, even; pair i turns by `position * base ^ (-2i / size)`.
  ///   - base: of the geometric series of frequencies.
  ///   - scaling: what was done to the frequencies.
  ///   - length: the most positions that texts can have, by which a scaling that knows short and long texts chooses; nil:
  ///     those of this pass.
  ///   - eachAlone: whether positions are of different texts, so that a scaling by the length of a text takes each to be its
  ///     text's last.
  public init(
    positions: Tensor, size: Int, base: Double, scaling: RotaryScaling? = nil, length: Int? = nil,
    eachAlone: Bool = false, interleaved: Bool = false
  ) {
    precondition(size % 2 == 0, "rotary embedding needs an even head size, not \(size)")
    let frequencies = Rotation.frequencies(positions, size, base, scaling, length, eachAlone)
    let angles = positions.cast(.float32).expanded(at: -1) * frequencies
    let factor = scaling?.attentionFactor ?? 1
    cosines = factor == 1 ? angles.cosine() : angles.cosine() * factor
    sines = factor == 1 ? angles.sine() : angles.sine() * factor
    self.interleaved = interleaved
    self.size = size
  }

  /// x [batch, positions, heads, size], rotated.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    if x.shape[-1] == size { return x.rotary(cosines: cosines, sines: sines, interleaved: interleaved) }
    let parts = x.split([size, x.shape[-1] - size])
    return .concatenate(
      [parts[0].rotary(cosines: cosines, sines: sines, interleaved: interleaved), parts[1]], axis: -1)
  }

  /// float32 [size / 2], or [..., size / 2] for positions [...] that stand alone; where a scaling depends on the length of the
  /// text, on the largest position.
  private static func frequencies(
    _ positions: Tensor, _ size: Int, _ base: Double, _ scaling: RotaryScaling?, _ most: Int?, _ eachAlone: Bool
  ) -> Tensor {
    func constant(_ values: [Double]) -> Tensor { Tensor(values.map { Float($0) }) }
    guard let scaling else { return constant(RotaryScaling.frequencies(size: size, base: base)) }
    let usual = constant(scaling.frequencies(size: size, base: base))
    let length = (eachAlone ? positions.expanded(at: -1) : positions.max()).cast(.float32) + 1
    switch scaling {
    case .linear, .yarn, .llama3: return usual
    case .longRope(_, let long, let context, _):
      let plain = RotaryScaling.frequencies(size: size, base: base)
      let divided = constant(zip(plain, long).map { $0 / $1 })
      if let most { return most > context ? divided : usual }
      return (length .> Double(context)).select(divided, usual)
    case .dynamic(let factor, let context):
      // base · (factor · length / context - (factor - 1)) ^ (size / (size - 2)), for texts beyond the context
      let growth = length.maximum(Double(context)) * (factor / Double(context)) - (factor - 1)
      let exponents = Tensor.iota([size / 2]).cast(.float32) * (-2 / Double(max(size - 2, 1)))
      return usual * growth.power(exponents)
    }
  }
}
