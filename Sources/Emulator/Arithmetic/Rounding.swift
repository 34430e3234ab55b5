// Rounding that Swift does not have: sums, products and quotients toward zero, up and down; exact errors; rounding to odd.
//
// Invariant: every function rounds the exact result once. A directed result is the nearest one, moved by one step where the sign of
// the error says so; the error is exact, because sums and products of two numbers have errors that are numbers.
//
// Dekker (1971) and Knuth, TwoSum; Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using
// rounding to odd" (2008).

internal import Core

/// `.rn`, `.rz`, `.rm`, `.rp`.
enum Rounding: String {
  case nearest = "rn"
  case zero = "rz"
  case down = "rm"
  case up = "rp"
}

enum Exact {
  /// The rounded sum and its error.
  @inline(__always)
  static func sum(_ a: Double, _ b: Double) -> (sum: Double, error: Double) {
    let sum = a + b
    let part = sum - a
    return (sum, (a - (sum - part)) + (b - part))
  }

  /// a + b with the last bit set if anything was cut off: to be rounded again, to fewer bits, without harm.
  @inline(__always)
  static func sumToOdd(_ a: Double, _ b: Double) -> Double {
    let (sum, error) = sum(a, b)
    let bits = sum.bitPattern
    // Toward the error by one, if the last bit is 0 and there is an error. Infinities and NaN have none.
    let isFinite = sum - sum == 0
    let step: UInt64 = (error < 0) == (sum < 0) ? 1 : ~0
    let moved = isFinite && error != 0 && bits & 1 == 0 ? bits &+ step : bits
    return Double(bitPattern: moved)
  }

  /// The product of a and b, and c, rounded once: of Floats.
  @inline(__always)
  static func fused(_ a: Float, _ b: Float, _ c: Float) -> Float {
    // The product of two Floats is a Double without loss.
    Float(sumToOdd(Double(a) * Double(b), Double(c)))
  }

  /// The nearest Float with its last bit set if anything was cut off.
  @inline(__always)
  static func floatToOdd(_ value: Double) -> Float {
    let nearest = Float(value)
    guard nearest - nearest == 0 else {
      // Too large for a Float, but not infinite: the largest one is odd.
      return value.isFinite ? (value < 0 ? -Float.greatestFiniteMagnitude : .greatestFiniteMagnitude) : nearest
    }
    let error = value - Double(nearest)
    guard error != 0, nearest.bitPattern & 1 == 0 else { return nearest }
    if nearest == 0 { return value < 0 ? -Float.leastNonzeroMagnitude : .leastNonzeroMagnitude }
    return Float(bitPattern: (error < 0) == (nearest < 0) ? nearest.bitPattern + 1 : nearest.bitPattern - 1)
  }
}

/// A float whose operations can be rounded in every direction.
protocol DirectedFloat: BinaryFloatingPoint {
  /// Of `exact sum - rounded`, and so on: only the sign counts.
  static func errorOfSum(_ a: Self, _ b: Self, _ rounded: Self) -> Self
  static func errorOfProduct(_ a: Self, _ b: Self, _ rounded: Self) -> Self
  static func errorOfFused(_ a: Self, _ b: Self, _ c: Self, _ rounded: Self) -> Self
  static func errorOfQuotient(_ a: Self, _ b: Self, _ rounded: Self) -> Self
  static func errorOfRoot(_ a: Self, _ rounded: Self) -> Self
  static func fused(_ a: Self, _ b: Self, _ c: Self) -> Self
}

extension DirectedFloat {
  /// The neighbour of the nearest result that the direction asks for.
  static func move(_ nearest: Self, error: Self, _ rounding: Rounding) -> Self {
    switch rounding {
    case .nearest: nearest
    case .down: error < 0 ? nearest.nextDown : nearest
    case .up: error > 0 ? nearest.nextUp : nearest
    case .zero:
      nearest.sign == .minus ? (error > 0 ? nearest.nextUp : nearest) : (error < 0 ? nearest.nextDown : nearest)
    }
  }

  /// A sum of numbers that cancel is -0 when it is rounded down.
  private static func zero(_ sum: Self, _ a: Self, _ b: Self, _ rounding: Rounding) -> Self {
    sum == 0 && rounding == .down && (a.sign != b.sign) ? -0.0 : sum
  }

  static func sum(_ a: Self, _ b: Self, _ rounding: Rounding) -> Self {
    let nearest = a + b
    guard rounding != .nearest, a.isFinite, b.isFinite else { return nearest }
    return zero(move(nearest, error: errorOfSum(a, b, nearest), rounding), a, b, rounding)
  }

  static func product(_ a: Self, _ b: Self, _ rounding: Rounding) -> Self {
    let nearest = a * b
    guard rounding != .nearest, a.isFinite, b.isFinite else { return nearest }
    return move(nearest, error: errorOfProduct(a, b, nearest), rounding)
  }

  static func fused(_ a: Self, _ b: Self, _ c: Self, _ rounding: Rounding) -> Self {
    let nearest = fused(a, b, c)
    guard rounding != .nearest, a.isFinite, b.isFinite, c.isFinite else { return nearest }
    let moved = move(nearest, error: errorOfFused(a, b, c, nearest), rounding)
    let product: Self = (a.sign == b.sign) ? 1 : -1
    return nearest == 0 && moved == 0 && errorOfFused(a, b, c, nearest) == 0 ? zero(moved, product, c, rounding) : moved
  }

  static func quotient(_ a: Self, _ b: Self, _ rounding: Rounding) -> Self {
    let nearest = a / b
    guard rounding != .nearest, a.isFinite, b.isFinite, b != 0 else { return nearest }
    return move(nearest, error: errorOfQuotient(a, b, nearest), rounding)
  }

  static func root(_ a: Self, _ rounding: Rounding) -> Self {
    let nearest = a.squareRoot()
    guard rounding != .nearest, a.isFinite, a > 0 else { return nearest }
    return move(nearest, error: errorOfRoot(a, nearest), rounding)
  }
}

extension Float: DirectedFloat {
  private static func sign(_ high: Double, _ low: Double) -> Float {
    high < 0 ? -1 : high > 0 ? 1 : low < 0 ? -1 : low > 0 ? 1 : 0
  }

  static func errorOfSum(_ a: Float, _ b: Float, _ rounded: Float) -> Float {
    let (sum, error) = Exact.sum(Double(a), Double(b))
    return sign(sum - Double(rounded), error)
  }

  static func errorOfProduct(_ a: Float, _ b: Float, _ rounded: Float) -> Float {
    sign(Double(a) * Double(b) - Double(rounded), 0)
  }

  static func errorOfFused(_ a: Float, _ b: Float, _ c: Float, _ rounded: Float) -> Float {
    let (sum, error) = Exact.sum(Double(a) * Double(b), Double(c))
    return sign(sum - Double(rounded), error)
  }

  static func errorOfQuotient(_ a: Float, _ b: Float, _ rounded: Float) -> Float {
    let rest = sign(Double(a) - Double(rounded) * Double(b), 0)
    return b < 0 ? -rest : rest
  }

  static func errorOfRoot(_ a: Float, _ rounded: Float) -> Float {
    sign(Double(a) - Double(rounded) * Double(rounded), 0)
  }

  @inline(__always)
  static func fused(_ a: Float, _ b: Float, _ c: Float) -> Float { Exact.fused(a, b, c) }
}

extension Double: DirectedFloat {
  static func errorOfSum(_ a: Double, _ b: Double, _ rounded: Double) -> Double {
    rounded.isInfinite ? -rounded : Exact.sum(a, b).error
  }

  static func errorOfProduct(_ a: Double, _ b: Double, _ rounded: Double) -> Double {
    if rounded.isInfinite { return -rounded }
    // Far from the smallest numbers the error is a number, too; near them the factors are taken larger.
    guard abs(rounded) < 0x1p-500 else { return (-rounded).addingProduct(a, b) }
    let large = abs(a) < abs(b)
    return (-rounded * 0x1p512).addingProduct(large ? a * 0x1p512 : a, large ? b : b * 0x1p512)
  }

  static func errorOfFused(_ a: Double, _ b: Double, _ c: Double, _ rounded: Double) -> Double {
    if rounded.isInfinite { return -rounded }
    let product = a * b
    guard product.isFinite else { return product > 0 ? 1 : -1 }
    let (sum, error) = Exact.sum(product, c)
    let (low, lowest) = Exact.sum(error, errorOfProduct(a, b, product))
    let high = (sum - rounded) + low
    return high != 0 ? high : lowest
  }

  static func errorOfQuotient(_ a: Double, _ b: Double, _ rounded: Double) -> Double {
    if rounded.isInfinite { return -rounded }
    let rest = a.addingProduct(-rounded, b)
    return b < 0 ? -rest : rest
  }

  static func errorOfRoot(_ a: Double, _ rounded: Double) -> Double { a.addingProduct(-rounded, rounded) }

  @inline(__always)
  static func fused(_ a: Double, _ b: Double, _ c: Double) -> Double { c.addingProduct(a, b) }
}
