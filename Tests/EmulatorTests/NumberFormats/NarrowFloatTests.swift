import Emulator
import Support
import Testing

/// Every code of every format against its definition, and rounding against a search through all numbers of a format.
@Suite(.ownThreads) struct NarrowFloatTests {
  /// (format, exponent bits, mantissa bits, bias, codes of the largest exponent that are numbers)
  static let formats: [(NarrowFloat, Int, Int, Int, Specials)] = [
    (.float16, 5, 10, 15, .ieee), (.bfloat16, 8, 7, 127, .ieee), (.tensorFloat32, 8, 10, 127, .ieee),
    (.e5m2, 5, 2, 15, .ieee), (.e4m3, 4, 3, 7, .allOnes), (.e3m2, 3, 2, 3, .never), (.e2m3, 2, 3, 1, .never),
    (.e2m1, 2, 1, 1, .never),
  ]
  enum Specials { case ieee, allOnes, never }

  /// The number of a code by the definition; nil: NaN.
  static func value(_ code: Int, _ e: Int, _ m: Int, _ bias: Int, _ specials: Specials) -> Double? {
    let sign = (code >> (e + m)) & 1 == 1 ? -1.0 : 1.0
    let (field, fraction) = ((code >> m) & ((1 << e) - 1), code & ((1 << m) - 1))
    let isTop = field == (1 << e) - 1
    if specials == .ieee, isTop { return fraction == 0 ? sign * .infinity : nil }
    if specials == .allOnes, isTop, fraction == (1 << m) - 1 { return nil }
    var magnitude = Double(fraction) / Double(1 << m)
    if field > 0 { magnitude += 1 }
    var power = max(field, 1) - bias
    while power > 0 { (magnitude, power) = (magnitude * 2, power - 1) }
    while power < 0 { (magnitude, power) = (magnitude / 2, power + 1) }
    return sign * magnitude
  }

  @Test(arguments: 0..<8) func everyCodeHasTheNumberOfItsDefinition(_ index: Int) {
    let (format, e, m, bias, specials) = Self.formats[index]
    #expect(format.width == 1 + e + m)
    for code in 0..<(1 << format.width) {
      let number = format.decode(UInt32(code))
      guard let wanted = Self.value(code, e, m, bias, specials) else {
        #expect(number.isNaN, "\(format.name) \(code)")
        continue
      }
      guard Double(number) == wanted, (number.sign == .minus) == (code >> (e + m) == 1) else {
        Issue.record("\(format.name) \(code): \(number) instead of \(wanted)")
        continue
      }
      guard format.encode(wanted) == UInt32(code) else {
        // Formats without infinity never decode to one.
        Issue.record("\(format.name) \(code) does not come back from \(wanted)")
        continue
      }
    }
  }

  /// Rounds by looking through all numbers.
  static func search(
    _ value: Double, _ magnitudes: [Double], _ rounding: NarrowFloat.Rounding
  ) -> (index: Int, overflows: Bool) {
    let x = abs(value)
    // The last number that is not above x.
    var (low, high) = (0, magnitudes.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if magnitudes[middle] <= x { low = middle } else { high = middle }
    }
    let below = magnitudes[low]
    if below == x { return (low, false) }
    // What would be next if the format had more exponents.
    let step = magnitudes.count > low + 1 ? magnitudes[low + 1] - below : below - magnitudes[low - 1]
    let above = below + step
    let up: Bool
    switch rounding {
    case .towardZero: up = false
    case .toNearestAway: up = x - below >= above - x
    case .toNearestEven: up = x - below > above - x || x - below == above - x && low % 2 == 1
    }
    if x >= above { return (low, true) }
    return up ? (low + 1 < magnitudes.count ? (low + 1, false) : (low, true)) : (low, false)
  }

  @Test(arguments: 0..<8) func roundingPicksTheNumberThatASearchFinds(_ index: Int) {
    let (format, e, m, bias, specials) = Self.formats[index]
    let magnitudes = (0..<(1 << (e + m))).compactMap { Self.value($0, e, m, bias, specials) }.filter(\.isFinite)
    var random = RandomCase("NarrowFloat", index)
    var values: [Double] = []
    for i in stride(from: 0, to: magnitudes.count, by: max(1, magnitudes.count / 4096)) {
      let here = magnitudes[i]
      let next = i + 1 < magnitudes.count ? magnitudes[i + 1] : here * 1.25
      let middle = (here + next) / 2
      values += [here, middle, middle.nextUp, middle.nextDown, here + (next - here) * random.uniform(0...1)]
    }
    values += [magnitudes.last! * 3, 1e300, 1e-300]
    for value in values.flatMap({ [$0, -$0] }) {
      for rounding in [NarrowFloat.Rounding.toNearestEven, .toNearestAway, .towardZero] {
        for saturates in [false, true] {
          let found = Self.search(value, magnitudes, rounding)
          let sign: UInt32 = value.sign == .minus ? 1 << UInt32(e + m) : 0
          let keepsGreatest = saturates || specials != .ieee || rounding == .towardZero
          let wanted = sign | UInt32(found.overflows && !keepsGreatest ? magnitudes.count : found.index)
          let got = format.encode(value, rounding, saturates: saturates)
          guard got == wanted else {
            Issue.record(
              "\(format.name) \(value) \(rounding) saturating \(saturates): \(got) instead of \(wanted) \(random)")
            return
          }
        }
      }
    }
  }

  @Test func specialValues() {
    #expect(NarrowFloat.e4m3.encode(.nan) == 0x7F)
    #expect(NarrowFloat.e5m2.encode(.nan, saturates: true) == 0x7F)
    #expect(NarrowFloat.e2m1.encode(.nan) == 7)
    #expect(NarrowFloat.e3m2.encode(.nan) == 0x1F)
    #expect(NarrowFloat.e4m3.encode(-.infinity, saturates: true) == 0xFE)
    #expect(NarrowFloat.e5m2.encode(.infinity) == 0x7C)
    #expect(NarrowFloat.e5m2.encode(.infinity, saturates: true) == 0x7B)
    #expect(NarrowFloat.e4m3.encode(-3, clampsNegative: true) == 0)
    #expect(NarrowFloat.e4m3.encode(.nan, clampsNegative: true) == 0x7F)
    #expect(NarrowFloat.float16.encode(1e6) == 0x7C00)
    #expect(NarrowFloat.bfloat16.encode(.nan) == 0x7FFF)
  }

  @Test func powersOfTwo() {
    for code in UInt8(0)...254 {
      let power = PowerOfTwo.decode(code)
      #expect(power > 0 && PowerOfTwo.encode(power, up: false, saturates: true) == code)
      #expect(PowerOfTwo.encode(-power, up: true, saturates: true) == code)
      if code < 254 {
        #expect(PowerOfTwo.encode(power * 1.5, up: false, saturates: true) == code)
        #expect(PowerOfTwo.encode(power * 1.5, up: true, saturates: true) == code + 1)
      }
    }
    #expect(PowerOfTwo.decode(127) == 1 && PowerOfTwo.decode(255).isNaN)
    #expect(PowerOfTwo.encode(.nan, up: true, saturates: true) == 255)
    #expect(PowerOfTwo.encode(.infinity, up: true, saturates: true) == 254)
    #expect(PowerOfTwo.encode(.infinity, up: true, saturates: false) == 255)
    #expect(PowerOfTwo.encode(0, up: true, saturates: true) == 0)
    #expect(PowerOfTwo.encode(1e-60, up: true, saturates: true) == 0)
  }
}
