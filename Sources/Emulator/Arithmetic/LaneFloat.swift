// The floats of PTX's scalar arithmetic: f16, bf16, f32, f64, as values of a lane.
//
// Invariant: results of f16 and bf16 are rounded once: sums, differences, products and quotients of two of them lose nothing by way
// of Float (24 bits are at least twice 11, and 2 more), fused ones go by way of Double with rounding to odd. A NaN that an
// operation makes is the type's canonical one, as on the chip; of f64 it is the quiet one.
//
// PTX ISA 9.1, "Half Precision Floating-Point Instructions", "Floating-Point Instructions".

internal import Core

/// A float in a register.
protocol LaneFloat: LaneValue, Equatable {
  static var canonicalNaN: Self { get }
  static var zero: Self { get }
  static var one: Self { get }
  var isNaN: Bool { get }
  var isSubnormal: Bool { get }
  /// The same sign, 0.
  var flushed: Self { get }
  var magnitude: Self { get }
  var negated: Self { get }
  var isNegative: Bool { get }
  static func less(_ a: Self, _ b: Self) -> Bool
  static func add(_ a: Self, _ b: Self, _ rounding: Rounding) -> Self
  static func multiply(_ a: Self, _ b: Self, _ rounding: Rounding) -> Self
  static func fuse(_ a: Self, _ b: Self, _ c: Self, _ rounding: Rounding) -> Self
}

extension LaneFloat {
  @inline(__always) var canonical: Self { isNaN ? Self.canonicalNaN : self }

  /// The smaller one; a number if one is NaN, and -0 before +0.
  @inline(__always)
  static func lesser(_ a: Self, _ b: Self) -> Self {
    if a.isNaN { return b.canonical }
    if b.isNaN { return a }
    return less(b, a) || (!less(a, b) && b.isNegative) ? b : a
  }

  @inline(__always)
  static func greater(_ a: Self, _ b: Self) -> Self {
    if a.isNaN { return b.canonical }
    if b.isNaN { return a }
    return less(a, b) || (!less(b, a) && !b.isNegative) ? b : a
  }

  /// Clamped to 0...1; NaN is 0.
  @inline(__always) var saturated: Self { isNaN || isNegative ? .zero : Self.less(.one, self) ? .one : self }
  /// Not below 0; NaN stays.
  @inline(__always) var rectified: Self { isNaN ? .canonicalNaN : isNegative ? .zero : self }
}

extension Float: LaneFloat {
  static var canonicalNaN: Float { Float(bitPattern: 0x7FFF_FFFF) }
  static var one: Float { 1 }
  @inline(__always) var flushed: Float { Float(bitPattern: bitPattern & 0x8000_0000) }
  @inline(__always) var negated: Float { Float(bitPattern: bitPattern ^ 0x8000_0000) }
  @inline(__always) var isNegative: Bool { bitPattern >> 31 != 0 }
  @inline(__always) static func less(_ a: Float, _ b: Float) -> Bool { a < b }
  static func add(_ a: Float, _ b: Float, _ rounding: Rounding) -> Float { sum(a, b, rounding).canonical }
  static func multiply(_ a: Float, _ b: Float, _ rounding: Rounding) -> Float { product(a, b, rounding).canonical }
  static func fuse(_ a: Float, _ b: Float, _ c: Float, _ rounding: Rounding) -> Float {
    fused(a, b, c, rounding).canonical
  }
}

extension Double: LaneFloat {
  static var canonicalNaN: Double { Double(bitPattern: 0x7FF8_0000_0000_0000) }
  static var one: Double { 1 }
  @inline(__always) var flushed: Double { Double(bitPattern: bitPattern & 1 << 63) }
  @inline(__always) var negated: Double { Double(bitPattern: bitPattern ^ 1 << 63) }
  @inline(__always) var isNegative: Bool { bitPattern >> 63 != 0 }
  @inline(__always) static func less(_ a: Double, _ b: Double) -> Bool { a < b }
  static func add(_ a: Double, _ b: Double, _ rounding: Rounding) -> Double { sum(a, b, rounding) }
  static func multiply(_ a: Double, _ b: Double, _ rounding: Rounding) -> Double { product(a, b, rounding) }
  static func fuse(_ a: Double, _ b: Double, _ c: Double, _ rounding: Rounding) -> Double { fused(a, b, c, rounding) }
}

/// A float of 16 bits.
protocol SmallFloat: LaneFloat {
  var bits: UInt16 { get }
  init(bits: UInt16)
  /// The nearest one, ties to even; NaN is canonical.
  init(_ value: Float)
  /// The same value.
  var float: Float { get }
  /// The most bits of the exponent set: infinite or NaN.
  static var infinity: UInt16 { get }
  static var greatest: UInt16 { get }
}

extension SmallFloat {
  @inline(__always) init(slot: UInt32) { self.init(bits: UInt16(truncatingIfNeeded: slot)) }
  @inline(__always) var slot: UInt32 { UInt32(bits) }
  static var canonicalNaN: Self { Self(bits: 0x7FFF) }
  static var zero: Self { Self(bits: 0) }
  @inline(__always) var isNaN: Bool { bits & 0x7FFF > Self.infinity }
  @inline(__always) var isSubnormal: Bool { bits & Self.infinity == 0 && bits & 0x7FFF != 0 }
  @inline(__always) var flushed: Self { Self(bits: bits & 0x8000) }
  @inline(__always) var magnitude: Self { Self(bits: bits & 0x7FFF) }
  @inline(__always) var negated: Self { Self(bits: bits ^ 0x8000) }
  @inline(__always) var isNegative: Bool { bits >> 15 != 0 }
  @inline(__always) static func less(_ a: Self, _ b: Self) -> Bool { a.float < b.float }

  /// The nearest one to a value of more bits than a Float has.
  init(_ value: Double) { self.init(Exact.floatToOdd(value)) }

  static func add(_ a: Self, _ b: Self, _ rounding: Rounding) -> Self { Self(a.float + b.float) }
  static func multiply(_ a: Self, _ b: Self, _ rounding: Rounding) -> Self { Self(a.float * b.float) }
  static func fuse(_ a: Self, _ b: Self, _ c: Self, _ rounding: Rounding) -> Self {
    Self(Exact.sumToOdd(Double(a.float) * Double(b.float), Double(c.float)))
  }

  /// Rounded in a direction.
  init(_ value: Float, _ rounding: Rounding) {
    let nearest = Self(value)
    guard rounding != .nearest, value.isFinite else {
      self = nearest
      return
    }
    let error = Double(value) - Double(nearest.float)
    let away =
      switch rounding {
      case .nearest: false
      case .zero: nearest.isNegative ? error > 0 : error < 0
      case .down: error < 0
      case .up: error > 0
      }
    // One step toward the value: in bits, up for a larger magnitude.
    guard away else {
      self = nearest
      return
    }
    if nearest.bits & 0x7FFF == 0 {
      self.init(bits: error < 0 ? 0x8001 : 0x0001)
    } else {
      self.init(bits: (error < 0) == nearest.isNegative ? nearest.bits + 1 : nearest.bits - 1)
    }
  }
}

/// IEEE half precision: 5 bits of exponent, 10 of fraction.
struct Float16Bits: SmallFloat {
  var bits: UInt16

  @inline(__always) init(bits: UInt16) { self.bits = bits }
  static var one: Float16Bits { Float16Bits(bits: 0x3C00) }
  static var infinity: UInt16 { 0x7C00 }
  static var greatest: UInt16 { 0x7BFF }

  @inline(__always)
  init(_ value: Float) {
    let pattern = value.bitPattern
    let sign = UInt32(pattern >> 16 & 0x8000)
    let magnitude = pattern & 0x7FFF_FFFF
    // Normal: the exponent is less by 112, and the 13 lowest bits are rounded off.
    let normal = (magnitude &+ 0xFFF &+ (magnitude >> 13 & 1) &- 0x3800_0000) >> 13
    // Subnormal: the last bit of 0.5 is the one of the result, so that the addition rounds.
    let subnormal = (Float(bitPattern: magnitude) + 0.5).bitPattern &- 0x3F00_0000
    var result = magnitude < 0x3880_0000 ? subnormal : normal
    result = magnitude >= 0x4780_0000 ? 0x7C00 : result
    result = magnitude > 0x7F80_0000 ? 0x7FFF : result | sign
    bits = UInt16(truncatingIfNeeded: result)
  }

  @inline(__always)
  var float: Float {
    let magnitude = UInt32(bits & 0x7FFF) << 13
    let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
    let special = bits & 0x7C00 == 0x7C00 ? magnitude | 0x7F80_0000 : scaled
    return Float(bitPattern: special | UInt32(bits & 0x8000) << 16)
  }
}

/// bfloat16: the upper half of a Float.
struct BFloat16Bits: SmallFloat {
  var bits: UInt16

  @inline(__always) init(bits: UInt16) { self.bits = bits }
  static var one: BFloat16Bits { BFloat16Bits(bits: 0x3F80) }
  static var infinity: UInt16 { 0x7F80 }
  static var greatest: UInt16 { 0x7F7F }

  @inline(__always)
  init(_ value: Float) {
    let pattern = value.bitPattern
    let rounded = (pattern &+ 0x7FFF &+ (pattern >> 16 & 1)) >> 16
    bits = UInt16(truncatingIfNeeded: pattern & 0x7FFF_FFFF > 0x7F80_0000 ? 0x7FFF : rounded)
  }

  @inline(__always)
  var float: Float { Float(bitPattern: UInt32(bits) << 16) }
}
