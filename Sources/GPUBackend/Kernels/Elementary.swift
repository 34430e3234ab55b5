// Elementary functions: float32 through the special functions of the chip where they are exact enough, float64 through series.
//
// Errors: float32 within a few units in the last place but for `erf` and `tanh`, 2e-7 absolutely; float64 within a few units.
// Special values as in the C library.

internal import KernelLanguage

let ln2 = 0.6931471805599453
let log2e = 1.4426950408889634

/// Floats with elementary functions.
protocol ElementaryType: FloatType {
  /// Of numbers that are not subnormal; the last digit may be another.
  static func reciprocal(_ k: KernelBuilder, _ x: Value<Self>) -> Value<Self>
  static func exp(_ k: KernelBuilder, _ x: Value<Self>) -> Value<Self>
  static func log(_ k: KernelBuilder, _ x: Value<Self>) -> Value<Self>
  static func sineAndCosine(_ k: KernelBuilder, _ x: Value<Self>) -> (sine: Value<Self>, cosine: Value<Self>)
  static func tanh(_ k: KernelBuilder, _ x: Value<Self>) -> Value<Self>
  static func erf(_ k: KernelBuilder, _ x: Value<Self>) -> Value<Self>
  static func power(_ k: KernelBuilder, _ a: Value<Self>, _ b: Value<Self>) -> Value<Self>
  /// With the sign of the divisor.
  static func modulo(_ k: KernelBuilder, _ a: Value<Self>, _ b: Value<Self>) -> Value<Self>
}

extension KernelBuilder {
  /// Σ coefficients[i] xⁱ, by Horner's rule.
  func polynomial<T: FloatType>(_ x: Value<T>, _ coefficients: [Double]) -> Value<T> {
    var sum = variable(Value<T>(coefficients.last!))
    for coefficient in coefficients.dropLast().reversed() { sum = fma(sum, x, Value(coefficient)) }
    return sum
  }

  /// `magnitude` with the sign of x.
  func withSign<T: FloatType>(of x: Value<T>, _ magnitude: Value<T>) -> Value<T> {
    select(x .< 0, -magnitude, magnitude)
  }
}

/// 1, 1/1!, 1/2!, ...
func inverseFactorials(_ count: Int) -> [Double] {
  var (result, value) = ([1.0], 1.0)
  for n in 1..<count {
    value /= Double(n)
    result.append(value)
  }
  return result
}

// MARK: - float32

extension F32: ElementaryType {
  /// 2^t for t = x log2 e, times what rounding t has lost.
  static func exp(_ k: KernelBuilder, _ x: Value<F32>) -> Value<F32> {
    let high = Double(Float(log2e))
    let t = x * Value(high)
    let lost = k.fma(x, Value(log2e - high), k.fma(x, Value(high), -t)) * Value(ln2)
    // Beyond, the power may be infinite, of which nothing can be taken away.
    let isOrdinary = k.absolute(t) .< 126
    let power = k.exp2(t)
    return k.select(isOrdinary, k.fma(power, lost, power), power)
  }

  static func reciprocal(_ k: KernelBuilder, _ x: Value<F32>) -> Value<F32> { k.reciprocalApproximate(x) }

  static func log(_ k: KernelBuilder, _ x: Value<F32>) -> Value<F32> { k.log2(x) * Value(ln2) }

  /// By way of float64 for the remainder, so that large arguments are right too.
  static func sineAndCosine(_ k: KernelBuilder, _ x: Value<F32>) -> (sine: Value<F32>, cosine: Value<F32>) {
    let (rest, quarters) = F64.remainder(k, k.convert(x))
    let r = k.convert(rest, to: F32.self)
    return F64.turned(k, quarters, k.sineAndCosine(r, terms: 5))
  }

  static func tanh(_ k: KernelBuilder, _ x: Value<F32>) -> Value<F32> {
    let magnitude = k.absolute(x)
    let large = k.fma(reciprocal(k, exp(k, magnitude + magnitude) + 1), Value(-2), Value(1))
    let small = magnitude * k.polynomial(x * x, [1, -1.0 / 3, 2.0 / 15, -17.0 / 315, 62.0 / 2835])
    return k.withSign(of: x, k.select(magnitude .< 0.25, small, large))
  }

  /// Abramowitz and Stegun, Handbook of mathematical functions (1964), 7.1.26; the series near 0.
  static func erf(_ k: KernelBuilder, _ x: Value<F32>) -> Value<F32> {
    let magnitude = k.absolute(x)
    let t = reciprocal(k, k.fma(magnitude, Value(0.3275911), Value(1)))
    let sum = k.polynomial(t, [0, 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429])
    let large = k.fma(-sum, exp(k, -(x * x)), Value(1))
    let series: [Double] = [3, 10, 42, 216, 1320].reduce([-1]) { $0 + [($0.count % 2 == 0 ? -1 : 1) / $1] }
    let small = magnitude * k.polynomial(x * x, series.map { -2 / Double.pi.squareRoot() * $0 })
    // NaN is not below.
    return k.withSign(of: x, k.select(magnitude .< 0.5, small, k.select(k.isNaN(x), x, large)))
  }

  static func power(_ k: KernelBuilder, _ a: Value<F32>, _ b: Value<F32>) -> Value<F32> {
    k.convert(F64.power(k, k.convert(a), k.convert(b)))
  }

  static func modulo(_ k: KernelBuilder, _ a: Value<F32>, _ b: Value<F32>) -> Value<F32> {
    k.convert(F64.modulo(k, k.convert(a), k.convert(b)))
  }
}

// MARK: - float64

extension F64: ElementaryType {
  /// What `ln2` lacks, and π/2 in three parts.
  private static let ln2Rest = 2.3190468138462996e-17
  private static let halfPi = [1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33]

  static func reciprocal(_ k: KernelBuilder, _ x: Value<F64>) -> Value<F64> { k.reciprocal(x) }

  /// 2ⁿ Σ rⁱ/i!, x = n ln 2 + r.
  static func exp(_ k: KernelBuilder, _ x: Value<F64>) -> Value<F64> {
    let bounded = k.maximum(k.minimum(x, Value(712)), Value(-752))
    let n = k.rounded(bounded * Value(1 / ln2), "rni")
    let r = k.fma(-n, Value(ln2Rest), k.fma(-n, Value(ln2), bounded))
    let value = k.polynomial(r, inverseFactorials(15))
    // In two steps: 2ⁿ may be no float64 where the product is.
    let half = k.rounded(n * Value(0.5), "rmi")
    return k.select(k.isNaN(x), x, value * powerOf2(k, half) * powerOf2(k, n - half))
  }

  private static func powerOf2(_ k: KernelBuilder, _ n: Value<F64>) -> Value<F64> {
    k.bits((k.convert(n, to: S64.self) + 1023) << 52, as: F64.self)
  }

  /// e ln 2 + 2 Σ s²ⁱ⁺¹/(2i + 1), x = 2ᵉ m, s = (m - 1)/(m + 1).
  static func log(_ k: KernelBuilder, _ x: Value<F64>) -> Value<F64> {
    let isSmall = x .< 0x1p-1000
    let bits = k.bits(k.select(isSmall, x * Value(0x1p+100), x), as: S64.self)
    // So that m is in √½ ..< √2.
    let base = Int(0.5.squareRoot().bitPattern)
    let e = (bits - Value(base)) >> 52
    let m = k.bits(bits - (e << 52), as: F64.self)
    let exponent = k.convert(e, to: F64.self) - k.select(isSmall, Value(100), Value(0))
    let s = (m - 1) / (m + 1)
    let series = k.polynomial(s * s, (0..<13).map { 2 / Double(2 * $0 + 1) })
    let value = k.fma(exponent, Value(ln2), k.fma(s, series, exponent * Value(ln2Rest)))
    let atEnds = k.select(x .== 0, Value(-.infinity), k.select(x .< 0, Value(.nan), x))
    return k.select((x .> 0) .& (x .< Value(.infinity)), value, atEnds)
  }

  /// x less the nearest multiple of π/2, and which multiple that is.
  static func remainder(_ k: KernelBuilder, _ x: Value<F64>) -> (rest: Value<F64>, quarters: Value<S32>) {
    let n = k.rounded(x * Value(2 / Double.pi), "rni")
    let rest = halfPi.reduce(x) { k.fma(-n, Value($1), $0) }
    return (rest, k.convert(k.convert(n, to: S64.self), to: S32.self))
  }

  /// Sine and cosine after so many quarters of a turn more.
  static func turned<T: FloatType>(
    _ k: KernelBuilder, _ quarters: Value<S32>, _ value: (sine: Value<T>, cosine: Value<T>)
  ) -> (sine: Value<T>, cosine: Value<T>) {
    let isOdd = (quarters & 1) .!= 0
    let sine = k.select(isOdd, value.cosine, value.sine)
    let cosine = k.select(isOdd, value.sine, value.cosine)
    return (
      k.select((quarters & 2) .!= 0, -sine, sine), k.select(((quarters + 1) & 2) .!= 0, -cosine, cosine)
    )
  }

  static func sineAndCosine(_ k: KernelBuilder, _ x: Value<F64>) -> (sine: Value<F64>, cosine: Value<F64>) {
    let (rest, quarters) = remainder(k, x)
    return turned(k, quarters, k.sineAndCosine(rest, terms: 10))
  }

  /// Lambert's continued fraction near 0.
  static func tanh(_ k: KernelBuilder, _ x: Value<F64>) -> Value<F64> {
    let magnitude = k.absolute(x)
    let large = Value<F64>(1) - k.reciprocal(exp(k, magnitude + magnitude) + 1) * Value(2)
    let square = x * x
    var fraction = k.variable(Value<F64>(17))
    for odd in stride(from: 15, through: 1, by: -2) { fraction = square / fraction + Value(Double(odd)) }
    return k.withSign(of: x, k.select(magnitude .< 0.5, magnitude / fraction, large))
  }

  /// 2/√π e^(-x²) Σ 2ⁿ x²ⁿ⁺¹/(2n + 1)!!, all of whose terms are positive; 1 where only rounding is left to add.
  static func erf(_ k: KernelBuilder, _ x: Value<F64>) -> Value<F64> {
    let magnitude = k.minimum(k.absolute(x), Value(6))
    let twice = magnitude * magnitude * Value(2)
    let (term, sum, odd) = (k.variable(magnitude), k.variable(magnitude), k.variable(Value<F64>(3)))
    k.loop { loop in
      term.assign(term * twice / odd)
      sum += term
      odd += 2
      loop.leave(when: term .<= sum * Value(1e-17))
    }
    let value = sum * exp(k, -(magnitude * magnitude)) * Value(2 / Double.pi.squareRoot())
    return k.select(k.isNaN(x), x, k.withSign(of: x, k.select(magnitude .< 6, value, Value(1))))
  }

  /// e^(b ln |a|), negative where b is odd; x⁰ = 1ʸ = 1 whatever x and y are.
  static func power(_ k: KernelBuilder, _ a: Value<F64>, _ b: Value<F64>) -> Value<F64> {
    let magnitude = exp(k, b * log(k, k.absolute(a)))
    let half = b * Value(0.5)
    let isWhole = k.rounded(b, "rni") .== b
    let isOdd = isWhole .& (k.rounded(half, "rni") .!= half)
    // -0 is negative too.
    let isNegative = k.bits(a, as: S64.self) .< 0
    let signed = k.select(isNegative .& isOdd, -magnitude, magnitude)
    let isUndefined = (a .< 0) .& .!isWhole .& (k.absolute(a) .< Value(.infinity))
    let isOne = (b .== 0) .| (a .== 1) .| ((a .== -1) .& (k.absolute(b) .== Value(.infinity)))
    return k.select(isOne, Value(1), k.select(isUndefined, Value(.nan), signed))
  }

  /// Exact: multiples of b are taken away, each so large that no digit is lost, until less than b is left.
  static func modulo(_ k: KernelBuilder, _ a: Value<F64>, _ b: Value<F64>) -> Value<F64> {
    let (rest, divisor) = (k.variable(a), k.absolute(b))
    k.loop { loop in
      // False for NaN, which comes of infinities and of a divisor of 0.
      loop.leave(when: .!((k.absolute(rest) .>= divisor) .& (divisor .> 0) .& (k.absolute(rest) .< Value(.infinity))))
      rest.assign(k.fma(-k.rounded(rest / divisor, "rzi"), divisor, rest))
    }
    // The quotient may have been rounded up.
    let isPast = (rest .!= 0) .& ((rest .< 0) ^ (a .< 0))
    let remainder = k.select(isPast, k.select(a .< 0, rest - divisor, rest + divisor), rest)
    let isOpposite = (remainder .!= 0) .& ((remainder .< 0) ^ (b .< 0))
    let result = k.select(isOpposite, remainder + b, remainder)
    let isUndefined = (b .== 0) .| k.isNaN(b) .| .!(k.absolute(a) .< Value(.infinity))
    return k.select(isUndefined, Value(.nan), result)
  }
}

extension KernelBuilder {
  /// Of at most a quarter turn to either side, by their series.
  fileprivate func sineAndCosine<T: FloatType>(_ x: Value<T>, terms: Int) -> (sine: Value<T>, cosine: Value<T>) {
    let factorials = inverseFactorials(2 * terms + 2)
    func alternating(_ first: Int) -> [Double] {
      (0..<terms).map { ($0 % 2 == 0 ? 1 : -1) * factorials[2 * $0 + first] }
    }
    let square = x * x
    return (x * polynomial(square, alternating(1)), polynomial(square, alternating(0)))
  }
}
