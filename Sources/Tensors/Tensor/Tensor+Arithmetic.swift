/// Elementwise operations. Operands broadcast and are promoted by the rules of `ElementType`.

extension Tensor {
  /// Converts the elements. Floats become integers towards zero and saturate at 64 bits; integers wrap.
  public func cast(_ element: ElementType) -> Tensor {
    element == self.element ? self : .record(.cast(element), [self])
  }

  package static func binary(_ op: Binary, _ a: Tensor, _ b: Tensor) -> Tensor {
    let type = ElementType.promote(a.element, b.element)
    return record(.binary(op), [a.cast(type), b.cast(type)])
  }

  package static func unary(_ op: Unary, _ x: Tensor) -> Tensor { record(.unary(op), [x]) }

  /// A Swift number in the type of the tensor that it meets.
  private static func number(_ value: Double, meeting other: Tensor) -> Tensor {
    let fits = other.element.isFloat || (other.element != .bool && value == value.rounded())
    return .full(value, .scalar, fits ? other.element : .float32)
  }

  public static func + (a: Tensor, b: Tensor) -> Tensor { binary(.add, a, b) }
  public static func - (a: Tensor, b: Tensor) -> Tensor { binary(.subtract, a, b) }
  public static func * (a: Tensor, b: Tensor) -> Tensor { binary(.multiply, a, b) }
  public static func / (a: Tensor, b: Tensor) -> Tensor { binary(.divide, a, b) }
  public static func % (a: Tensor, b: Tensor) -> Tensor { binary(.modulo, a, b) }
  public static prefix func - (a: Tensor) -> Tensor { unary(.negate, a) }

  public static func + (a: Tensor, b: Double) -> Tensor { a + number(b, meeting: a) }
  public static func + (a: Double, b: Tensor) -> Tensor { number(a, meeting: b) + b }
  public static func - (a: Tensor, b: Double) -> Tensor { a - number(b, meeting: a) }
  public static func - (a: Double, b: Tensor) -> Tensor { number(a, meeting: b) - b }
  public static func * (a: Tensor, b: Double) -> Tensor { a * number(b, meeting: a) }
  public static func * (a: Double, b: Tensor) -> Tensor { number(a, meeting: b) * b }
  public static func / (a: Tensor, b: Double) -> Tensor { a / number(b, meeting: a) }
  public static func / (a: Double, b: Tensor) -> Tensor { number(a, meeting: b) / b }
  public static func % (a: Tensor, b: Double) -> Tensor { a % number(b, meeting: a) }

  public func power(_ exponent: Tensor) -> Tensor { .binary(.power, self, exponent) }
  public func power(_ exponent: Double) -> Tensor { power(.number(exponent, meeting: self)) }
  public func maximum(_ other: Tensor) -> Tensor { .binary(.maximum, self, other) }
  public func minimum(_ other: Tensor) -> Tensor { .binary(.minimum, self, other) }
  public func maximum(_ other: Double) -> Tensor { maximum(.number(other, meeting: self)) }
  public func minimum(_ other: Double) -> Tensor { minimum(.number(other, meeting: self)) }

  // MARK: Bits and truth values

  public static func & (a: Tensor, b: Tensor) -> Tensor { binary(.and, a, b) }
  public static func | (a: Tensor, b: Tensor) -> Tensor { binary(.or, a, b) }
  public static func ^ (a: Tensor, b: Tensor) -> Tensor { binary(.xor, a, b) }
  public static func << (a: Tensor, b: Tensor) -> Tensor { binary(.shiftLeft, a, b) }
  /// Arithmetic for signed types: the sign is kept.
  public static func >> (a: Tensor, b: Tensor) -> Tensor { binary(.shiftRight, a, b) }
  public static prefix func ! (a: Tensor) -> Tensor { unary(.logicalNot, a) }
  public static prefix func ~ (a: Tensor) -> Tensor { unary(.bitwiseNot, a) }

  // MARK: Comparison; `.==` and its like give bool tensors

  package static func compare(_ op: Comparison, _ a: Tensor, _ b: Tensor) -> Tensor {
    let type = ElementType.promote(a.element, b.element)
    return record(.compare(op), [a.cast(type), b.cast(type)])
  }

  public static func .== (a: Tensor, b: Tensor) -> Tensor { compare(.equal, a, b) }
  public static func .!= (a: Tensor, b: Tensor) -> Tensor { compare(.notEqual, a, b) }
  public static func .< (a: Tensor, b: Tensor) -> Tensor { compare(.less, a, b) }
  public static func .<= (a: Tensor, b: Tensor) -> Tensor { compare(.lessOrEqual, a, b) }
  public static func .> (a: Tensor, b: Tensor) -> Tensor { compare(.greater, a, b) }
  public static func .>= (a: Tensor, b: Tensor) -> Tensor { compare(.greaterOrEqual, a, b) }
  public static func .== (a: Tensor, b: Double) -> Tensor { a .== number(b, meeting: a) }
  public static func .!= (a: Tensor, b: Double) -> Tensor { a .!= number(b, meeting: a) }
  public static func .< (a: Tensor, b: Double) -> Tensor { a .< number(b, meeting: a) }
  public static func .<= (a: Tensor, b: Double) -> Tensor { a .<= number(b, meeting: a) }
  public static func .> (a: Tensor, b: Double) -> Tensor { a .> number(b, meeting: a) }
  public static func .>= (a: Tensor, b: Double) -> Tensor { a .>= number(b, meeting: a) }

  /// This (bool) condition's choice of `a` where true and `b` where false.
  public func select(_ a: Tensor, _ b: Tensor) -> Tensor {
    let type = ElementType.promote(a.element, b.element)
    return .record(.select, [self, a.cast(type), b.cast(type)])
  }

  // MARK: Functions of floats

  public func absolute() -> Tensor { .unary(.absolute, self) }
  /// -1, 0 or 1.
  public func sign() -> Tensor { .unary(.sign, self) }
  public func exp() -> Tensor { .unary(.exp, self) }
  public func log() -> Tensor { .unary(.log, self) }
  public func squareRoot() -> Tensor { .unary(.squareRoot, self) }
  public func reciprocalSquareRoot() -> Tensor { .unary(.reciprocalSquareRoot, self) }
  public func reciprocal() -> Tensor { .unary(.reciprocal, self) }
  public func sine() -> Tensor { .unary(.sine, self) }
  public func cosine() -> Tensor { .unary(.cosine, self) }
  public func tanh() -> Tensor { .unary(.tanh, self) }
  public func erf() -> Tensor { .unary(.erf, self) }
  public func sigmoid() -> Tensor { .unary(.sigmoid, self) }
  public func floor() -> Tensor { .unary(.floor, self) }
  public func ceil() -> Tensor { .unary(.ceil, self) }
  /// To the nearest integer, halves to even.
  public func round() -> Tensor { .unary(.round, self) }
  /// bool: neither infinite nor NaN.
  public func isFinite() -> Tensor { .unary(.isFinite, self) }
  public func squared() -> Tensor { self * self }

  public func activation(_ activation: Activation) -> Tensor { .unary(activation.unary, self) }
  public func relu() -> Tensor { activation(.relu) }
  public func silu() -> Tensor { activation(.silu) }
  public func gelu(tanh: Bool = false) -> Tensor { activation(tanh ? .geluTanh : .geluErf) }
}

infix operator .== : ComparisonPrecedence
infix operator .!= : ComparisonPrecedence
infix operator .< : ComparisonPrecedence
infix operator .<= : ComparisonPrecedence
infix operator .> : ComparisonPrecedence
infix operator .>= : ComparisonPrecedence
