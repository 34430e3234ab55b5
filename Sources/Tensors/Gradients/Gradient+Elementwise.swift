/// Gradient rules of elementwise operations and reductions.

extension Unary {
  /// dx of y = f(x).
  func gradient(_ x: Tensor, _ y: Tensor, _ dy: Tensor) -> Tensor? {
    switch self {
    case .negate: -dy
    case .absolute: dy * x.sign()
    case .sign, .floor, .ceil, .round, .logicalNot, .bitwiseNot, .isFinite: nil
    case .exp: dy * y
    case .log: dy / x
    case .squareRoot: dy * 0.5 / y
    case .reciprocalSquareRoot: dy * -0.5 * y * y * y
    case .reciprocal: -(dy * y * y)
    case .sine: dy * x.cosine()
    case .cosine: -(dy * x.sine())
    case .tanh: dy * (1 - y * y)
    case .erf: dy * (2 / Double.pi.squareRoot()) * (-(x * x)).exp()
    case .sigmoid: dy * y * (1 - y)
    case .relu, .reluSquared, .geluTanh, .geluErf, .silu:
      .record(.activationGradient(activation!), [x, dy])
    }
  }
}

extension Binary {
  /// da and db of y = f(a, b).
  func gradient(_ a: Tensor, _ b: Tensor, _ y: Tensor, _ dy: Tensor) -> [Tensor?] {
    guard dy.element.isFloat else { return [nil, nil] }
    let (da, db): (Tensor?, Tensor?)
    switch self {
    case .add: (da, db) = (dy, dy)
    case .subtract: (da, db) = (dy, -dy)
    case .multiply: (da, db) = (dy * b, dy * a)
    case .divide: (da, db) = (dy / b, -(dy * y / b))
    case .maximum: (da, db) = shared(a .> b, a .== b, dy)
    case .minimum: (da, db) = shared(a .< b, a .== b, dy)
    case .power:
      // At a = 0 the logarithm's infinity times the power's zero would be NaN; the limit is 0.
      let safe = (a .> 0).select(a, .ones([], a.element))
      // x⁰ is 1 everywhere, also at 0, where 0 times the infinity of 0⁻¹ would be NaN.
      let slope = (b .== 0).select(.zeros([], a.element), b * a.power(b - 1))
      (da, db) = (dy * slope, dy * y * safe.log())
    case .modulo: (da, db) = (dy, -(dy * (a / b).floor()))
    case .and, .or, .xor, .shiftLeft, .shiftRight: (da, db) = (nil, nil)
    }
    return [da?.summed(to: a.shape), db?.summed(to: b.shape)]
  }

  /// Where both operands are equal each takes half.
  private func shared(_ first: Tensor, _ equal: Tensor, _ dy: Tensor) -> (Tensor, Tensor) {
    let zero = Tensor.zeros([], dy.element)
    let half = dy * 0.5
    return (equal.select(half, first.select(dy, zero)), equal.select(half, first.select(zero, dy)))
  }
}

extension Activation {
  /// The gradients of `dy * f'(x)` with cotangent `g`: through f' in simple operations.
  func secondGradient(_ x: Tensor, _ dy: Tensor, _ g: Tensor) -> [Tensor?] {
    let derivative = derivative(x)
    return [gradients(of: derivative, with: [x], cotangent: g * dy)[0], .record(.activationGradient(self), [x, g])]
  }

  /// f'(x) in operations that have gradients themselves.
  func derivative(_ x: Tensor) -> Tensor {
    let one = Tensor.ones([], x.element), zero = Tensor.zeros([], x.element)
    switch self {
    case .relu: return (x .> 0).select(one, zero) + x * 0
    case .reluSquared: return 2 * x.maximum(zero)
    case .silu:
      let s = x.sigmoid()
      return s * (1 + x * (1 - s))
    case .geluErf:
      let density = (x * x * -0.5).exp() * (1 / (2 * Double.pi).squareRoot())
      return 0.5 * (1 + (x * 0.5.squareRoot()).erf()) + x * density
    case .geluTanh:
      let c = (2 / Double.pi).squareRoot()
      let t = (c * (x + 0.044715 * x * x * x)).tanh()
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)
    }
  }
}

extension Reduction {
  /// dx of y = reduction of x over `axes`.
  func gradient(_ x: Tensor, _ y: Tensor, _ dy: Tensor, _ axes: [Int]) -> Tensor? {
    let kept = x.shape.dimensions.enumerated().map { axes.contains($0.offset) ? 1 : $0.element }
    let dy = dy.cast(x.element).reshaped(kept)
    let zero = Tensor.zeros([], x.element)
    switch self {
    case .sum: return dy.broadcast(to: x.shape)
    case .sumOfSquares: return 2 * x * dy
    case .maximum, .minimum:
      // Equal extremes share the gradient.
      let chosen = (x .== y.cast(x.element).reshaped(kept)).cast(x.element)
      return dy * chosen / chosen.sum(axes, keeps: true)
    case .product:
      // The product of the others: exact where one factor is zero, zero where two are.
      let isZero = x .== 0
      let others = isZero.select(.ones([], x.element), x).product(axes, keeps: true)
      let zeros = isZero.cast(x.element).sum(axes, keeps: true)
      let whereNone = (zeros .== 0).select(others, zero) / isZero.select(.ones([], x.element), x)
      return dy * isZero.select((zeros .== 1).select(others, zero), whereNone)
    case .all, .any: return nil
    }
  }
}
