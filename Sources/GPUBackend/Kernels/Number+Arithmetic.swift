// What elementwise operations do with numbers: the semantics of the reference interpreter, case by case.

internal import KernelLanguage
internal import Tensors

extension KernelBuilder {
  func add(_ a: Number, _ b: Number) -> Number {
    switch (a, b) {
    case (.f32(let a), .f32(let b)): .f32(a + b)
    case (.f64(let a), .f64(let b)): .f64(a + b)
    case (.s32(let a), .s32(let b)): .s32(a + b)
    case (.s64(let a), .s64(let b)): .s64(a + b)
    default: mixed(a, b)
    }
  }

  func subtract(_ a: Number, _ b: Number) -> Number {
    switch (a, b) {
    case (.f32(let a), .f32(let b)): .f32(a - b)
    case (.f64(let a), .f64(let b)): .f64(a - b)
    case (.s32(let a), .s32(let b)): .s32(a - b)
    case (.s64(let a), .s64(let b)): .s64(a - b)
    default: mixed(a, b)
    }
  }

  func multiply(_ a: Number, _ b: Number) -> Number {
    switch (a, b) {
    case (.f32(let a), .f32(let b)): .f32(a * b)
    case (.f64(let a), .f64(let b)): .f64(a * b)
    case (.s32(let a), .s32(let b)): .s32(a * b)
    case (.s64(let a), .s64(let b)): .s64(a * b)
    default: mixed(a, b)
    }
  }

  /// a · b + c; of floats rounded once.
  func multiplyAdd(_ a: Number, _ b: Number, _ c: Number) -> Number {
    switch (a, b, c) {
    case (.f32(let a), .f32(let b), .f32(let c)): .f32(fma(a, b, c))
    case (.f64(let a), .f64(let b), .f64(let c)): .f64(fma(a, b, c))
    case (.s32(let a), .s32(let b), .s32(let c)): .s32(multiplyAdd(a, b, c))
    case (.s64(let a), .s64(let b), .s64(let c)): .s64(multiplyAdd(a, b, c))
    default: mixed(a, b)
    }
  }

  private func mixed(_ a: Number, _ b: Number) -> Number {
    preconditionFailure("arithmetic of \(a.numberClass) with \(b.numberClass)")
  }

  // MARK: Tests

  func isNaN(_ a: Number) -> Value<Predicate> {
    switch a {
    case .f32(let value): isNaN(value)
    case .f64(let value): isNaN(value)
    case .s32, .s64: predicate(false)
    }
  }

  func isNotZero(_ a: Number) -> Value<Predicate> { compare(.notEqual, a, number(.integer(0), a.numberClass)) }

  /// As in Swift: comparisons with NaN are false, but for `notEqual`.
  func compare(_ comparison: Comparison, _ a: Number, _ b: Number) -> Value<Predicate> {
    func ordered<T: NumberType>(_ a: Value<T>, _ b: Value<T>) -> Value<Predicate> {
      switch comparison {
      case .equal: a .== b
      case .notEqual: a .!= b
      case .less: a .< b
      case .lessOrEqual: a .<= b
      case .greater: a .> b
      case .greaterOrEqual: a .>= b
      }
    }
    switch (a, b) {
    case (.f32(let a), .f32(let b)): return ordered(inRegister(a), b)
    case (.f64(let a), .f64(let b)): return ordered(inRegister(a), b)
    case (.s32(let a), .s32(let b)): return ordered(inRegister(a), b)
    case (.s64(let a), .s64(let b)): return ordered(inRegister(a), b)
    default: preconditionFailure("a comparison of \(a.numberClass) with \(b.numberClass)")
    }
  }

  // MARK: Operations of graphs

  /// - Parameter type: of operand and result; integers are wrapped to it.
  func apply(_ unary: Unary, _ x: Number, _ type: ElementType) -> Number {
    switch x {
    case .f32(let x): unary == .isFinite ? truth(isFinite(x)) : .f32(self.unary(unary, x))
    case .f64(let x): unary == .isFinite ? truth(isFinite(x)) : .f64(self.unary(unary, x))
    case .s32(let x): wrapped(.s32(integer(unary, x)), type)
    case .s64(let x): unary == .isFinite ? .s32(1) : .s64(integer(unary, x))
    }
  }

  private func isFinite<T: FloatType>(_ x: Value<T>) -> Value<Predicate> { absolute(inRegister(x)) .< Value(.infinity) }

  private func integer<T: IntegerType>(_ unary: Unary, _ x: Value<T>) -> Value<T> {
    switch unary {
    case .negate: return Value(0) - inRegister(x)
    case .absolute: return absolute(x)
    case .sign: return maximum(minimum(inRegister(x), Value(1)), Value(-1))
    case .logicalNot: return inRegister(x) ^ Value(1)
    case .bitwiseNot: return ~inRegister(x)
    case .isFinite: return Value(1)
    default: preconditionFailure("\(unary) of integers")
    }
  }

  private func unary<T: ElementaryType>(_ unary: Unary, _ x: Value<T>) -> Value<T> {
    let x = inRegister(x)
    switch unary {
    case .negate: return -x
    case .absolute: return absolute(x)
    case .sign: return select(x .> 0, Value(1), select(x .< 0, Value(-1), x))
    case .exp: return T.exp(self, x)
    case .log: return T.log(self, x)
    case .squareRoot: return squareRoot(x)
    case .reciprocalSquareRoot: return reciprocal(squareRoot(x))
    case .reciprocal: return reciprocal(x)
    case .sine: return T.sineAndCosine(self, x).sine
    case .cosine: return T.sineAndCosine(self, x).cosine
    case .tanh: return T.tanh(self, x)
    case .erf: return T.erf(self, x)
    case .sigmoid: return sigmoid(x)
    case .floor: return rounded(x, "rmi")
    case .ceil: return rounded(x, "rpi")
    case .round: return rounded(x, "rni")
    case .relu, .reluSquared, .geluTanh, .geluErf, .silu: return activation(unary.activation!, x)
    case .logicalNot, .bitwiseNot, .isFinite: preconditionFailure("\(unary) of floats")
    }
  }

  func apply(_ binary: Binary, _ a: Number, _ b: Number, _ type: ElementType) -> Number {
    switch binary {
    case .add: return wrapped(add(a, b), type)
    case .subtract: return wrapped(subtract(a, b), type)
    case .multiply: return wrapped(multiply(a, b), type)
    case .maximum: return extremum(a, b, isMaximum: true)
    case .minimum: return extremum(a, b, isMaximum: false)
    case .divide, .power, .modulo, .and, .or, .xor, .shiftLeft, .shiftRight: break
    }
    switch (a, b) {
    case (.f32(let a), .f32(let b)): return .f32(self.binary(binary, inRegister(a), inRegister(b)))
    case (.f64(let a), .f64(let b)): return .f64(self.binary(binary, inRegister(a), inRegister(b)))
    case (.s32(let a), .s32(let b)): return wrapped(.s32(integer(binary, inRegister(a), inRegister(b))), type)
    case (.s64(let a), .s64(let b)): return .s64(integer(binary, inRegister(a), inRegister(b)))
    default: return mixed(a, b)
    }
  }

  /// NaN wins.
  func extremum(_ a: Number, _ b: Number, isMaximum: Bool) -> Number {
    switch (a, b) {
    case (.f32(let a), .f32(let b)): return .f32(isMaximum ? maximumNaN(a, b) : minimumNaN(a, b))
    case (.f64(let a), .f64(let b)):
      let result = isMaximum ? maximum(a, b) : minimum(a, b)
      return .f64(select(isNaN(inRegister(a)), a, select(isNaN(inRegister(b)), b, result)))
    case (.s32(let a), .s32(let b)): return .s32(isMaximum ? maximum(a, b) : minimum(a, b))
    case (.s64(let a), .s64(let b)): return .s64(isMaximum ? maximum(a, b) : minimum(a, b))
    default: return mixed(a, b)
    }
  }

  private func binary<T: ElementaryType>(_ binary: Binary, _ a: Value<T>, _ b: Value<T>) -> Value<T> {
    switch binary {
    case .divide: return a / b
    case .power: return T.power(self, a, b)
    case .modulo: return T.modulo(self, a, b)
    default: preconditionFailure("\(binary) of floats")
    }
  }

  /// Shifts by a negative count go the other way; division by 0 gives 0.
  private func integer<T: IntegerType>(_ binary: Binary, _ a: Value<T>, _ b: Value<T>) -> Value<T> {
    func shifted(left: Bool, _ count: Value<T>) -> Value<T> {
      // Counts beyond the width do what a count of the width does.
      let count = convert(minimum(count, Value(64)), to: U32.self)
      return left ? a << count : a >> count
    }
    func shift(left: Bool) -> Value<T> {
      let opposite = maximum(Value(0) - maximum(b, Value(-64)), Value(0))
      return select(b .< 0, shifted(left: !left, opposite), shifted(left: left, maximum(b, Value(0))))
    }
    switch binary {
    case .divide: return select(b .== 0, Value(0), quotient(a, b).quotient)
    case .modulo:
      let remainder = quotient(a, b).remainder
      let isOpposite = (remainder .!= 0) .& ((remainder ^ b) .< 0)
      return select(b .== 0, Value(0), select(isOpposite, remainder + b, remainder))
    case .and: return a & b
    case .or: return a | b
    case .xor: return a ^ b
    case .shiftLeft: return shift(left: true)
    case .shiftRight: return shift(left: false)
    default: preconditionFailure("\(binary) of integers")
    }
  }

  /// Towards zero. PTX leaves open what a division by 0 or the least number by -1 gives, so neither is made.
  private func quotient<T: IntegerType>(_ a: Value<T>, _ b: Value<T>) -> (quotient: Value<T>, remainder: Value<T>) {
    let isOdd = (b .== 0) .| (b .== -1)
    let divisor = select(isOdd, Value(1), b)
    let quotient = a / divisor
    return (
      select(b .== -1, Value(0) - a, quotient), select(b .== -1, Value(0), a - quotient * divisor)
    )
  }

  // MARK: Activations

  func sigmoid<T: ElementaryType>(_ x: Value<T>) -> Value<T> { T.reciprocal(self, T.exp(self, -x) + 1) }

  func activation<T: ElementaryType>(_ activation: Activation, _ x: Value<T>) -> Value<T> {
    switch activation {
    // NaN stays.
    case .relu: return select(x .<= 0, Value(0), x)
    case .reluSquared:
      let y = select(x .<= 0, Value(0), x)
      return y * y
    // (1 + tanh u) / 2 is the sigmoid of 2u.
    case .geluTanh: return x * sigmoid(twiceGeluInner(x))
    case .geluErf: return Value(0.5) * x * (T.erf(self, x * Value(0.5.squareRoot())) + 1)
    case .silu: return select(x .== Value(-.infinity), Value(0), x * sigmoid(x))
    }
  }

  /// d activation(x) / dx; 0 where relu has a corner.
  func derivative<T: ElementaryType>(_ activation: Activation, _ x: Value<T>) -> Value<T> {
    switch activation {
    case .relu: return select(x .> 0, Value(1), Value(0))
    case .reluSquared: return select(x .> 0, x + x, Value(0))
    case .geluTanh:
      let s = sigmoid(twiceGeluInner(x))
      let slope = fma(x * x, Value(6 * GELU.cubic * GELU.scale), Value(2 * GELU.scale))
      return fma(x * slope, fma(-s, s, s), s)
    case .geluErf:
      let density = T.exp(self, x * x * Value(-0.5)) * Value(1 / (2 * Double.pi).squareRoot())
      return fma(x, density, fma(T.erf(self, x * Value(0.5.squareRoot())), Value(0.5), Value(0.5)))
    case .silu:
      let s = sigmoid(x)
      return fma(x, fma(-s, s, s), s)
    }
  }

  func activationGradient(_ activation: Activation, _ x: Number, _ dy: Number) -> Number {
    switch (x, dy) {
    case (.f32(let x), .f32(let dy)): .f32(derivative(activation, inRegister(x)) * dy)
    case (.f64(let x), .f64(let dy)): .f64(derivative(activation, inRegister(x)) * dy)
    default: mixed(x, dy)
    }
  }

  private func twiceGeluInner<T: FloatType>(_ x: Value<T>) -> Value<T> {
    x * fma(x * x, Value(2 * GELU.cubic * GELU.scale), Value(2 * GELU.scale))
  }
}

/// Hendrycks and Gimpel, Gaussian error linear units (2016), arXiv:1606.08415.
private enum GELU {
  static let scale = (2 / Double.pi).squareRoot()
  static let cubic = 0.044715
}
