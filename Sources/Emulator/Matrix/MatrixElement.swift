// What tensor cores multiply: types of elements, and operands taken apart so that products are quick.
//
// Invariant: `exponents` are those that the hardware aligns by: that of the format's smallest normal number for subnormal ones,
// which are not normalised, and `zeroExponent` where the element is 0.

/// The type of a multiplicand's elements.
package enum MatrixElement: String, Hashable, CaseIterable {
  case f16, bf16, tf32, e4m3, e5m2, e3m2, e2m3, e2m1
  case s8, u8, s4, u4

  /// Bits of an element where it is packed.
  package var bits: Int {
    switch self {
    case .tf32: 32
    case .f16, .bf16: 16
    case .e4m3, .e5m2, .e3m2, .e2m3, .s8, .u8: 8
    case .e2m1, .s4, .u4: 4
    }
  }

  /// nil: an integer.
  package var float: NarrowFloat? {
    switch self {
    case .f16: .float16
    case .bf16: .bfloat16
    case .tf32: .tensorFloat32
    case .e4m3: .e4m3
    case .e5m2: .e5m2
    case .e3m2: .e3m2
    case .e2m3: .e2m3
    case .e2m1: .e2m1
    case .s8, .u8, .s4, .u4: nil
    }
  }

  package var isInteger: Bool { float == nil }

  /// The integer of a code.
  ///
  /// - Precondition: `isInteger`.
  @inline(__always)
  func integer(_ code: UInt32) -> Int32 {
    switch self {
    case .s8: Int32(Int8(truncatingIfNeeded: code))
    case .u8: Int32(code & 0xFF)
    case .s4: Int32(bitPattern: code << 28) >> 28
    default: Int32(code & 0xF)
    }
  }
}

/// One multiplicand of a matrix product, decoded: `lines` rows of A, or columns of B, of `depth` elements.
package struct MatrixOperand {
  /// Far below every sum of exponents, and twice it is still an Int16.
  static let zeroExponent: Int16 = -8192

  package let lines: Int
  package let depth: Int
  /// Distances between lines, and between elements of a line. B lies with its columns side by side: (1, lines).
  let lineStride: Int
  let depthStride: Int
  var values: [Double]
  /// None for integers.
  var exponents: [Int16]
  /// Lines with an infinity or a NaN.
  private(set) var isSpecial: [Bool]
  private(set) var hasSpecials = false

  private let element: MatrixElement
  private let format: NarrowFloat?
  /// Powers of two that significands are multiplied by, by exponent field.
  private let units: [Double]
  private let isNegated: Bool

  package enum Order { case linesTogether, depthTogether }

  /// - Parameter order: A has `depthTogether`, B has `linesTogether`.
  package init(_ element: MatrixElement, lines: Int, depth: Int, order: Order, isNegated: Bool = false) {
    (self.element, self.lines, self.depth, self.isNegated) = (element, lines, depth, isNegated)
    (lineStride, depthStride) = order == .linesTogether ? (1, lines) : (depth, 1)
    values = Array(repeating: 0, count: lines * depth)
    exponents = element.isInteger ? [] : Array(repeating: MatrixOperand.zeroExponent, count: lines * depth)
    isSpecial = Array(repeating: false, count: lines)
    format = element.float
    units = format.map(MatrixOperand.units) ?? []
  }

  private static func units(_ format: NarrowFloat) -> [Double] {
    (0..<(1 << format.exponentBits)).map { field in
      Double(sign: .plus, exponent: max(field, 1) - 1 + format.leastExponent - format.mantissaBits, significand: 1)
    }
  }

  /// Puts an element in its place.
  ///
  /// - Parameter code: its bits, the lowest ones; of tf32 all 32.
  @inline(__always)
  package mutating func set(_ line: Int, _ index: Int, _ code: UInt32) {
    let place = line * lineStride + index * depthStride
    guard let format else {
      values[place] = Double(element.integer(code))
      return
    }
    let code = element == .tf32 ? code >> 13 : code
    let mantissaBits = UInt32(format.mantissaBits)
    let field = Int((code >> mantissaBits) & ((1 << UInt32(format.exponentBits)) - 1))
    let fraction = code & ((1 << mantissaBits) - 1)
    let significand = field == 0 ? fraction : fraction | 1 << mantissaBits
    let sign = (code >> (mantissaBits + UInt32(format.exponentBits))) & 1 == 1
    if field == units.count - 1, isSpecial(format, fraction) {
      values[place] = Double(format.decode(code)) * (isNegated ? -1 : 1)
      isSpecial[line] = true
      hasSpecials = true
      return
    }
    let magnitude = Double(significand) * units[field]
    values[place] = sign != isNegated ? -magnitude : magnitude
    exponents[place] =
      significand == 0 ? MatrixOperand.zeroExponent : Int16(max(field, 1) - 1 + format.leastExponent)
  }

  private func isSpecial(_ format: NarrowFloat, _ fraction: UInt32) -> Bool {
    switch format.specials {
    case .infinitiesAndNaNs: true
    case .oneNaN: fraction == (1 << UInt32(format.mantissaBits)) - 1
    case .none: false
    }
  }

  /// Multiplies an element by the scale of its block.
  ///
  /// - Parameter exponent: of the scale: that of its power of two where it is subnormal.
  mutating func scale(_ line: Int, _ index: Int, by scale: Double, exponent: Int) {
    let place = line * lineStride + index * depthStride
    if !scale.isFinite {
      isSpecial[line] = true
      hasSpecials = true
    }
    values[place] *= scale
    if scale == 0 { exponents[place] = MatrixOperand.zeroExponent }
    if exponents[place] != MatrixOperand.zeroExponent { exponents[place] += Int16(exponent) }
  }

  @inline(__always)
  package func value(_ line: Int, _ index: Int) -> Double { values[line * lineStride + index * depthStride] }
  @inline(__always)
  package func exponent(_ line: Int, _ index: Int) -> Int { Int(exponents[line * lineStride + index * depthStride]) }
}
