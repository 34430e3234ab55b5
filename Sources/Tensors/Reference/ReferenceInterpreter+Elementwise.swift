// Elementwise operations of the reference: functions of one number, mapped over broadcast operands.

internal import Core

extension ReferenceInterpreter {
  static func unary(_ op: Unary, _ x: ReferenceValue, _ type: TensorType) -> ReferenceValue {
    if op == .isFinite {
      return ReferenceValue(type, integers: (0..<x.count).map { x.double($0).isFinite ? 1 : 0 })
    }
    return x.isFloat
      ? ReferenceValue(type, floats: x.floats.map { value(of: op, at: $0) })
      : ReferenceValue(type, integers: x.integers.map(op.integer))
  }

  private static func value(of op: Unary, at x: Double) -> Double {
    switch op {
    case .negate: -x
    case .absolute: abs(x)
    case .sign: x > 0 ? 1 : x < 0 ? -1 : x
    case .exp: exp(x)
    case .log: log(x)
    case .squareRoot: x.squareRoot()
    case .reciprocalSquareRoot: 1 / x.squareRoot()
    case .reciprocal: 1 / x
    case .sine: sin(x)
    case .cosine: cos(x)
    case .tanh: tanh(x)
    case .erf: erf(x)
    case .sigmoid: 1 / (1 + exp(-x))
    case .floor: x.rounded(.down)
    case .ceil: x.rounded(.up)
    case .round: x.rounded(.toNearestOrEven)
    case .relu: x > 0 ? x : x.isNaN ? x : 0
    case .reluSquared: x > 0 ? x * x : x.isNaN ? x : 0
    case .geluTanh: 0.5 * x * (1 + tanh(GELU.inner(x)))
    case .geluErf: 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
    // Not x / (1 + exp(-x)) for -infinity, where that is not a number.
    case .silu: x == -.infinity ? 0 : x / (1 + exp(-x))
    case .logicalNot, .bitwiseNot, .isFinite: preconditionFailure("\(op) of a float")
    }
  }

  static func binary(_ op: Binary, _ a: ReferenceValue, _ b: ReferenceValue, _ type: TensorType) -> ReferenceValue {
    let (a, b) = (a.broadcast(to: type.shape), b.broadcast(to: type.shape))
    return a.isFloat
      ? ReferenceValue(type, floats: zip(a.floats, b.floats).map { op.float($0, $1) })
      : ReferenceValue(type, integers: zip(a.integers, b.integers).map { op.integer($0, $1) })
  }

  static func compare(_ op: Comparison, _ a: ReferenceValue, _ b: ReferenceValue, _ type: TensorType) -> ReferenceValue
  {
    func holds<Number: Comparable>(_ x: Number, _ y: Number) -> Int64 {
      switch op {
      case .equal: x == y ? 1 : 0
      case .notEqual: x != y ? 1 : 0
      case .less: x < y ? 1 : 0
      case .lessOrEqual: x <= y ? 1 : 0
      case .greater: x > y ? 1 : 0
      case .greaterOrEqual: x >= y ? 1 : 0
      }
    }
    let (a, b) = (a.broadcast(to: type.shape), b.broadcast(to: type.shape))
    return ReferenceValue(
      type,
      integers: a.isFloat
        ? zip(a.floats, b.floats).map { holds($0, $1) } : zip(a.integers, b.integers).map { holds($0, $1) })
  }

  static func select(_ condition: ReferenceValue, _ a: ReferenceValue, _ b: ReferenceValue, _ type: TensorType)
    -> ReferenceValue
  {
    let (condition, a, b) = (
      condition.broadcast(to: type.shape), a.broadcast(to: type.shape), b.broadcast(to: type.shape)
    )
    return a.isFloat
      ? ReferenceValue(
        type, floats: condition.integers.indices.map { condition.integers[$0] != 0 ? a.floats[$0] : b.floats[$0] })
      : ReferenceValue(
        type, integers: condition.integers.indices.map { condition.integers[$0] != 0 ? a.integers[$0] : b.integers[$0] }
      )
  }

  /// One step after another, each of the shape that its operands broadcast to; the last one's result is broadcast to the
  /// shape of the whole.
  static func fused(_ fusion: Fusion, _ x: [ReferenceValue], _ type: TensorType) -> ReferenceValue {
    var made: [ReferenceValue] = []
    for step in fusion.steps {
      let operands = step.operands.map { operand in
        switch operand {
        case .input(let index): x[index]
        case .step(let index): made[index]
        }
      }
      if case .constant(.fill) = step.op {
        // Repeated by whoever reads it, so that the shape need not be known.
        made += evaluate(step.op, [], [TensorType(step.type, .scalar)])
      } else if case .broadcast = step.op {
        made.append(operands[0])
      } else {
        var shape = operands.isEmpty ? type.shape : operands[0].shape
        for operand in operands.dropFirst() {
          guard let joined = Shape.broadcast(shape, operand.shape) else {
            preconditionFailure("\(step.op.name) of a fusion: \(shape) and \(operand.shape) do not broadcast")
          }
          shape = joined
        }
        made += evaluate(step.op, operands.map { $0.broadcast(to: shape) }, [TensorType(step.type, shape)])
      }
    }
    guard let last = made.last else { preconditionFailure("a fusion without steps has no result") }
    return last.broadcast(to: type.shape)
  }
}

extension Unary {
  /// Of an integer, before it wraps.
  func integer(_ x: Int64) -> Int64 {
    switch self {
    case .negate: 0 &- x
    case .absolute: x < 0 ? 0 &- x : x
    case .sign: x.signum()
    case .logicalNot: x == 0 ? 1 : 0
    case .bitwiseNot: ~x
    case .exp, .log, .squareRoot, .reciprocalSquareRoot, .reciprocal, .sine, .cosine, .tanh, .erf, .sigmoid, .floor,
      .ceil, .round, .isFinite, .relu, .reluSquared, .geluTanh, .geluErf, .silu:
      preconditionFailure("\(self) of an integer")
    }
  }
}

/// Hendrycks and Gimpel, Gaussian error linear units (2016), arXiv:1606.08415.
private enum GELU {
  static let scale = (2 / Double.pi).squareRoot()
  static let cubic = 0.044715
  static func inner(_ x: Double) -> Double { scale * (x + cubic * x * x * x) }
}

extension Activation {
  /// d activation(x) / dx; 0 where relu has a corner.
  func derivative(_ x: Double) -> Double {
    switch self {
    case .relu: return x > 0 ? 1 : 0
    case .reluSquared: return x > 0 ? 2 * x : 0
    case .geluTanh:
      let t = tanh(GELU.inner(x))
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU.scale * (1 + 3 * GELU.cubic * x * x)
    case .geluErf:
      let density = exp(-x * x / 2) / (2 * Double.pi).squareRoot()
      return 0.5 * (1 + erf(x / 2.0.squareRoot())) + x * density
    case .silu:
      let s = 1 / (1 + exp(-x))
      return s + x * s * (1 - s)
    }
  }
}

extension Binary {
  func float(_ a: Double, _ b: Double) -> Double {
    switch self {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply: return a * b
    case .divide: return a / b
    case .maximum: return a.isNaN || b.isNaN ? .nan : a > b ? a : b
    case .minimum: return a.isNaN || b.isNaN ? .nan : a < b ? a : b
    case .power: return pow(a, b)
    case .modulo:
      let remainder = fmod(a, b)
      return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder
    case .and, .or, .xor, .shiftLeft, .shiftRight: preconditionFailure("\(self) of floats")
    }
  }

  /// Before it wraps to the type.
  func integer(_ a: Int64, _ b: Int64) -> Int64 {
    switch self {
    case .add: return a &+ b
    case .subtract: return a &- b
    case .multiply: return a &* b
    case .divide: return b == 0 ? 0 : a.dividedReportingOverflow(by: b).partialValue
    case .maximum: return Swift.max(a, b)
    case .minimum: return Swift.min(a, b)
    case .modulo:
      if b == 0 { return 0 }
      let remainder = a.remainderReportingOverflow(dividingBy: b).partialValue
      return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder
    case .and: return a & b
    case .or: return a | b
    case .xor: return a ^ b
    case .shiftLeft: return a << b
    case .shiftRight: return a >> b
    case .power: preconditionFailure("power of integers")
    }
  }
}
