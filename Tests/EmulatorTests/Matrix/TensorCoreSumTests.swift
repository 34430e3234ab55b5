import Emulator
import Support
import Testing

/// The fast sums against the model in whole numbers, on all chips and types.
@Suite(.ownThreads) struct TensorCoreSumTests {
  static let elements: [MatrixElement] = [.f16, .bf16, .tf32, .e4m3, .e5m2, .e3m2, .e2m3, .e2m1]

  /// (sign, significand, exponent of its unit, exponent that is aligned by) of a code; nil: not finite.
  static func parts(_ code: UInt32, _ e: MatrixElement) -> (sign: Int, significand: Int, unit: Int, exponent: Int)? {
    let (exponentBits, mantissaBits) =
      switch e {
      case .f16: (5, 10)
      case .bf16: (8, 7)
      case .tf32: (8, 10)
      case .e4m3: (4, 3)
      case .e5m2: (5, 2)
      case .e3m2: (3, 2)
      case .e2m3: (2, 3)
      default: (2, 1)
      }
    let code = Int(e == .tf32 ? code >> 13 : code)
    let bias = (1 << (exponentBits - 1)) - 1
    let field = (code >> mantissaBits) & ((1 << exponentBits) - 1)
    let fraction = code & ((1 << mantissaBits) - 1)
    if [.f16, .bf16, .tf32, .e5m2].contains(e), field == (1 << exponentBits) - 1 { return nil }
    if e == .e4m3, field == 15, fraction == 7 { return nil }
    let exponent = max(field, 1) - bias
    return (
      (code >> (exponentBits + mantissaBits)) & 1 == 1 ? -1 : 1,
      field == 0 ? fraction : fraction + (1 << mantissaBits), exponent - mantissaBits, exponent
    )
  }

  /// `significand * 2^unit` in units of `2^to`, cut off towards zero.
  static func shifted(_ significand: Int, _ unit: Int, to: Int) -> Int {
    let shift = unit - to
    return shift >= 0 ? significand << shift : shift > -63 ? significand >> -shift : 0
  }

  /// One group in whole numbers.
  static func slow(_ a: [UInt32], _ b: [UInt32], _ e: MatrixElement, _ c: Float, _ rule: TensorCoreSum) -> Float {
    var terms: [(sign: Int, significand: Int, unit: Int, exponent: Int)] = []
    for (a, b) in zip(a, b) {
      let (x, y) = (parts(a, e)!, parts(b, e)!)
      if x.significand * y.significand != 0 {
        terms.append((x.sign * y.sign, x.significand * y.significand, x.unit + y.unit, x.exponent + y.exponent))
      }
    }
    if c != 0 {
      let (field, fraction) = (Int(c.exponentBitPattern), Int(c.significandBitPattern))
      let exponent = max(field, 1) - 127
      terms.append((c < 0 ? -1 : 1, field == 0 ? fraction : fraction | 1 << 23, exponent - 23, exponent))
    }
    let largest = max(rule.leastExponent, terms.map(\.exponent).max() ?? rule.leastExponent)
    let unit = largest - rule.fractionBits
    let sum = terms.reduce(0) { $0 + $1.sign * shifted($1.significand, $1.unit, to: unit) }
    if sum == 0 { return 0 }
    let top = 63 - abs(sum).leadingZeroBitCount + unit
    switch rule.result {
    case .half: return Float(Float16(Double(sign: .plus, exponent: unit, significand: Double(sum))))
    case .single(let bits):
      if top >= 128 { return sum < 0 ? -.infinity : .infinity }
      let last = max(top, -126) - bits
      let kept = shifted(abs(sum), unit, to: last)
      let value = Double(sign: .plus, exponent: last, significand: Double(kept))
      return Float(sum < 0 ? -value : value)
    }
  }

  @Test(arguments: Chip.Generation.allCases, elements)
  func fastSumsAreTheModelInWholeNumbers(_ chip: Chip.Generation, _ e: MatrixElement) {
    for toHalf in [false, true] where !toHalf || e != .bf16 && e != .tf32 {
      let rule = TensorCoreSum(e, toHalf: toHalf, on: chip)
      for index in 0..<6 {
        var random = RandomCase("TensorCoreSum \(chip) \(e) \(toHalf)", index)
        let (rows, columns, depth) = (random.integer(1...5), random.integer(1...37), rule.group * random.integer(1...3))
        // Narrow, wide and tiny exponents; now and then a zero.
        let spread = [2, 12, 40, 250][index % 4]
        func code() -> UInt32 {
          while true {
            let bits = UInt32(truncatingIfNeeded: random.bits())
            let width = e == .tf32 ? 32 : e == .e3m2 || e == .e2m3 ? 6 : e.bits
            var code = width == 32 ? bits & 0xFFFF_E000 : bits & (1 << UInt32(width) - 1)
            if random.integer(0...15) == 0 { code = 0 }
            guard let parts = TensorCoreSumTests.parts(code, e) else { continue }
            if index == 5 ? parts.exponent < -90 || e != .bf16 : abs(parts.exponent) <= spread { return code }
          }
        }
        let a = (0..<rows).map { _ in (0..<depth).map { _ in code() } }
        let b = (0..<columns).map { _ in (0..<depth).map { _ in code() } }
        var left = MatrixOperand(e, lines: rows, depth: depth, order: .depthTogether)
        var right = MatrixOperand(e, lines: columns, depth: depth, order: .linesTogether)
        for (i, line) in a.enumerated() { for (k, code) in line.enumerated() { left.set(i, k, code) } }
        for (i, line) in b.enumerated() { for (k, code) in line.enumerated() { right.set(i, k, code) } }
        var d = (0..<(rows * columns)).map { _ -> Float in
          let value = Float(random.uniform(-4...4)) * (index == 5 ? 1e-38 : 1)
          return toHalf ? Float(Float16(value)) : value
        }
        var wanted = d
        for row in 0..<rows {
          for column in 0..<columns {
            for first in stride(from: 0, to: depth, by: rule.group) {
              let range = first..<(first + rule.group)
              let c = wanted[row * columns + column]
              if !c.isFinite { continue }
              wanted[row * columns + column] = Self.slow(
                Array(a[row][range]), Array(b[column][range]), e, c, rule)
            }
          }
        }
        rule.accumulate(left, right, into: &d)
        for i in d.indices where d[i].bitPattern != wanted[i].bitPattern && wanted[i].isFinite {
          Issue.record("\(chip) \(e) half \(toHalf), place \(i): \(d[i]) instead of \(wanted[i]) \(random)")
          return
        }
      }
    }
  }

  @Test(arguments: [1, 8, 11]) func infinitiesAndNaNs(_ columns: Int) {
    let infinity: UInt32 = 0x7F80
    let one: UInt32 = 0x3F80
    func result(_ products: [(UInt32, UInt32)], _ c: Float) -> Float {
      var a = MatrixOperand(.bf16, lines: 1, depth: 16, order: .depthTogether)
      var b = MatrixOperand(.bf16, lines: columns, depth: 16, order: .linesTogether)
      for (k, product) in products.enumerated() {
        a.set(0, k, product.0)
        b.set(columns - 1, k, product.1)
      }
      var d = [Float](repeating: c, count: columns)
      TensorCoreSum(.bf16, toHalf: false, on: .hopper).accumulate(a, b, into: &d)
      for column in 0..<(columns - 1) where c.isFinite && products.allSatisfy({ $0.0 != infinity && $0.0 != 0x7FC0 }) {
        #expect(d[column] == c)
      }
      return d[columns - 1]
    }
    #expect(result([(infinity, one)], 1) == .infinity)
    #expect(result([(infinity, one | 0x8000)], 1) == -.infinity)
    #expect(result([(one, infinity), (one | 0x8000, infinity)], 1).isNaN)
    #expect(result([(0, infinity)], 1).isNaN)
    #expect(result([(one, 0x7FC0)], 1).bitPattern == 0x7FFF_FFFF)
    #expect(result([(one, one)], .infinity) == .infinity)
    #expect(result([(one, one)], .nan).bitPattern == 0x7FFF_FFFF)
    #expect(result([(infinity, one)], -.infinity).isNaN)
    #expect(result([(0x7F00, 0x7F00)], 0) == .infinity)
    #expect(result([(one, one)], 2) == 3)
  }
}
