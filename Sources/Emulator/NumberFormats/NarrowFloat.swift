// Floats of up to 19 bits, as GPUs store them: f16, bf16, tf32, fp8, fp6, fp4.
//
// Invariant: `decode` is exact, and `encode(decode(bits), …)` gives the bits again, but for the payloads of NaNs.
//
// PTX ISA 9.0, "Alternate floating-point data formats"; OCP Microscaling Formats (MX) 1.0 for the fp8, fp6 and fp4 types.

/// A binary floating-point format: a sign, an exponent, a mantissa.
package struct NarrowFloat: Hashable, Sendable {
  /// What the largest exponent means.
  package enum Specials: Hashable, Sendable {
    /// Infinities and NaNs, as in IEEE 754.
    case infinitiesAndNaNs
    /// Numbers, but for the largest mantissa, which is NaN.
    case oneNaN
    /// Numbers only.
    case none
  }

  package let name: String
  package let exponentBits: Int
  package let mantissaBits: Int
  package let specials: Specials

  package static let float16 = NarrowFloat("f16", 5, 10, .infinitiesAndNaNs)
  package static let bfloat16 = NarrowFloat("bf16", 8, 7, .infinitiesAndNaNs)
  /// The upper 19 bits of an f32; the codes here are without the 13 bits below them.
  package static let tensorFloat32 = NarrowFloat("tf32", 8, 10, .infinitiesAndNaNs)
  package static let e5m2 = NarrowFloat("e5m2", 5, 2, .infinitiesAndNaNs)
  package static let e4m3 = NarrowFloat("e4m3", 4, 3, .oneNaN)
  package static let e3m2 = NarrowFloat("e3m2", 3, 2, .none)
  package static let e2m3 = NarrowFloat("e2m3", 2, 3, .none)
  package static let e2m1 = NarrowFloat("e2m1", 2, 1, .none)

  private init(_ name: String, _ exponentBits: Int, _ mantissaBits: Int, _ specials: Specials) {
    (self.name, self.exponentBits, self.mantissaBits, self.specials) = (name, exponentBits, mantissaBits, specials)
  }

  /// Bits of a code.
  package var width: Int { 1 + exponentBits + mantissaBits }
  private var bias: Int { (1 << (exponentBits - 1)) - 1 }
  /// The exponent of the smallest normal number, which is also that of all subnormal ones.
  package var leastExponent: Int { 1 - bias }
  private var signBit: UInt32 { 1 << UInt32(width - 1) }
  /// The code of the largest finite number.
  package var greatest: UInt32 {
    switch specials {
    case .infinitiesAndNaNs: infinity - 1
    case .oneNaN: signBit - 2
    case .none: signBit - 1
    }
  }
  private var infinity: UInt32 { ((1 << UInt32(exponentBits)) - 1) << UInt32(mantissaBits) }
  /// The NaN that conversions give; formats without one take their largest number instead.
  package var canonicalNaN: UInt32 { specials == .none ? greatest : signBit - 1 }

  /// The number of a code; bits above it are ignored.
  package func decode(_ bits: UInt32) -> Float {
    let magnitude = bits & (signBit - 1)
    let sign: FloatingPointSign = bits & signBit == 0 ? .plus : .minus
    switch specials {
    case .infinitiesAndNaNs where magnitude >= infinity: return magnitude == infinity ? Float(sign) * .infinity : .nan
    case .oneNaN where magnitude == signBit - 1: return .nan
    default: break
    }
    let field = Int(magnitude >> UInt32(mantissaBits))
    let fraction = magnitude & ((1 << UInt32(mantissaBits)) - 1)
    let significand = field == 0 ? fraction : fraction | 1 << UInt32(mantissaBits)
    return Float(sign: sign, exponent: max(field, 1) - bias - mantissaBits, significand: Float(significand))
  }

  /// How conversions round.
  package enum Rounding: Hashable, Sendable {
    case toNearestEven
    /// Ties away from zero.
    case toNearestAway
    case towardZero

    /// Whether `count` units and a `rest`, a part of one, become one unit more.
    fileprivate func roundsUp(_ count: Int, rest: Double) -> Bool {
      switch self {
      case .toNearestEven: rest > 0.5 || rest == 0.5 && count % 2 == 1
      case .toNearestAway: rest >= 0.5
      case .towardZero: false
      }
    }
  }

  /// The code of the number that `value` is rounded to, as `cvt` does it.
  ///
  /// - Parameters:
  ///   - saturates: what is too large, also infinite, becomes the largest number (`.satfinite`). Formats without infinity
  ///     always saturate.
  ///   - clampsNegative: what is negative becomes 0 (`.relu`).
  package func encode(
    _ value: Double, _ rounding: Rounding = .toNearestEven, saturates: Bool = false, clampsNegative: Bool = false
  ) -> UInt32 {
    guard !value.isNaN else { return canonicalNaN }
    if clampsNegative, value.sign == .minus { return 0 }
    let sign: UInt32 = value.sign == .minus ? signBit : 0
    let overflow = saturates || specials != .infinitiesAndNaNs ? greatest : infinity
    guard value.isFinite else { return sign | overflow }
    guard value != 0 else { return sign }
    // In units of the last place, the code of a magnitude is the number of units since 0: the hidden bit of normal numbers
    // adds the 1 that their exponent field has above that of the subnormal ones.
    let exponent = max(Int(value.exponent), leastExponent)
    let unit = Double(sign: .plus, exponent: exponent - mantissaBits, significand: 1)
    let quotient = value.magnitude / unit
    var units = Int(quotient)
    if rounding.roundsUp(units, rest: quotient - Double(units)) { units += 1 }
    units += (exponent - leastExponent) << mantissaBits
    guard units > Int(greatest) else { return sign | UInt32(units) }
    return sign | (rounding == .towardZero ? greatest : overflow)
  }
}

extension Float {
  fileprivate init(_ sign: FloatingPointSign) { self = sign == .plus ? 1 : -1 }
}

/// Powers of two in 8 bits: the scales of blocks in the MX formats.
package enum PowerOfTwo {
  package static let notANumber: UInt8 = 0xFF

  /// 2^(code - 127), or NaN for 255.
  package static func decode(_ code: UInt8) -> Double {
    code == notANumber ? .nan : Double(sign: .plus, exponent: Int(code) - 127, significand: 1)
  }

  /// The code of the power next to the magnitude of `value`, from below (`.rz`) or from above (`.rp`).
  ///
  /// - Parameter saturates: what is too large becomes 2^127 (`.satfinite`) instead of NaN.
  package static func encode(_ value: Double, up: Bool, saturates: Bool) -> UInt8 {
    guard !value.isNaN else { return notANumber }
    let overflow: UInt8 = saturates ? notANumber - 1 : notANumber
    guard value.isFinite else { return overflow }
    guard value != 0 else { return 0 }
    let exponent = Int(value.exponent) + (up && value.significand != 1 ? 1 : 0)
    return exponent > 127 ? overflow : UInt8(max(exponent, -127) + 127)
  }
}
