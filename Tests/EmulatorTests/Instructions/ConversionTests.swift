// Conversions against slow rounding.

internal import Emulator
internal import Support
internal import Testing

@Suite(.ownThreads) struct ConversionTests {
  private typealias Format = SlowRounding.Format

  private static func format(_ type: String) -> SlowRounding.Format {
    type == "f16" ? .half : type == "bf16" ? .bfloat : .single
  }

  private static func bits(_ type: String) -> Int { Int(type.drop { !$0.isNumber })! }

  private static func value(_ random: inout RandomCase, _ type: String) -> UInt64 {
    switch type {
    case "f64": return random.double()
    case "f32": return random.float()
    case "f16", "bf16": return UInt64(UInt16(truncatingIfNeeded: random.bits()))
    default: return random.integer(bits: bits(type))
    }
  }

  private static func real(_ bits: UInt64, _ type: String) -> Double {
    type == "f64" ? Double(bitPattern: bits) : format(type).decoded(bits)
  }

  @Test(arguments: ["f16", "bf16"], ["rn", "rz"]) func narrowing(type: String, mode: String) throws {
    let f = Self.format(type)
    var random = RandomCase("narrowing \(type) \(mode)")
    let operands = random.operands(320) { Operands(a: $0.float(), b: $0.float()) }
    let text = "cvt.\(mode).\(type).f32 %d, %a;"
    let results = try Emulation.instruction(text, d: 16, target: "sm_90a", operands)
    let pairs = try Emulation.instruction("cvt.\(mode).\(type)x2.f32 %d, %a, %b;", target: "sm_90a", operands)
    for (index, o) in operands.enumerated() {
      let a = Double(Float(bitPattern: UInt32(o.a)))
      let b = Double(Float(bitPattern: UInt32(o.b)))
      #expect(results[index] == f.round(a, mode), "\(text) of \(a) \(random)")
      #expect(pairs[index] == f.round(a, mode) << 16 | f.round(b, mode), "\(type)x2 of \(a), \(b) \(random)")
    }
  }

  @Test(arguments: ["f16", "bf16"]) func wideningIsExact(type: String) throws {
    let operands = (0..<2048).map { Operands(a: UInt64($0 * 32 + $0 % 32)) }
    let results = try Emulation.instruction("cvt.f32.\(type) %d, %a;", a: 16, target: "sm_90a", operands)
    for (o, result) in zip(operands, results) {
      let wanted = Float(Self.format(type).decoded(o.a))
      #expect(result == (wanted.isNaN ? 0x7FFF_FFFF : UInt64(wanted.bitPattern)))
    }
  }

  @Test(
    arguments: ["f16", "f32", "f64", "bf16"], ["s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64"])
  func floatsToIntegers(from: String, to: String) throws {
    let width = Self.bits(to)
    let register = max(width, 16)
    for (mode, rule) in [
      ("rni", FloatingPointRoundingRule.toNearestOrEven), ("rzi", .towardZero), ("rmi", .down), ("rpi", .up),
    ] {
      var random = RandomCase("floatsToIntegers \(from) \(to) \(mode)")
      let operands = random.operands(96) { Operands(a: Self.value(&$0, from)) }
      let results = try Emulation.instruction(
        "cvt.\(mode).\(to).\(from) %d, %a;", a: Self.bits(from), d: register, target: "sm_90a", operands)
      for (o, result) in zip(operands, results) {
        let value = Self.real(o.a, from)
        let expected: Int128
        if value.isNaN {
          expected = from == "f64" || width == 64 ? 1 << (width - 1) : 0
        } else {
          let bounded = min(max(value.rounded(rule), -0x1p70), 0x1p70)
          let (least, most): (Int128, Int128) =
            to.hasPrefix("s") ? (-(1 << (width - 1)), 1 << (width - 1) - 1) : (0, 1 << width - 1)
          expected = min(max(Int128(bounded), least), most)
        }
        let mask: UInt64 = register == 64 ? .max : (1 << UInt64(register)) - 1
        var wanted = UInt64(truncatingIfNeeded: expected)
        if width < 16, to.hasPrefix("u") || value.isNaN && from != "f64" { wanted &= 0xFF }
        if width < 16, value.isNaN, from == "f64" { wanted = to == "s8" ? UInt64(bitPattern: -128) : 128 }
        #expect(
          result & (width < 16 ? 0xFF : mask) == wanted & (width < 16 ? 0xFF : mask),
          "\(mode) \(from) \(to) of \(value) \(random)")
      }
    }
  }

  @Test(
    arguments: ["s16", "u16", "s32", "u32", "s64", "u64"], ["f16", "bf16", "f32"])
  func integersToFloats(from: String, to: String) throws {
    let f = Self.format(to)
    for mode in ["rn", "rz", "rm", "rp"] {
      var random = RandomCase("integersToFloats \(from) \(to) \(mode)")
      // As many bits as a Double has, so that the expectation is exact.
      let operands = random.operands(96) {
        var value = $0.integer(bits: Self.bits(from))
        if Self.bits(from) == 64 { value = UInt64(bitPattern: Int64(bitPattern: value << 12) >> 12) }
        if from == "u64" { value &= (1 << 52) - 1 }
        return Operands(a: value)
      }
      let results = try Emulation.instruction(
        "cvt.\(mode).\(to).\(from) %d, %a;", a: Self.bits(from), d: Self.bits(to), target: "sm_90a", operands)
      for (o, result) in zip(operands, results) {
        let shift = UInt64(64 - Self.bits(from))
        let value = from.hasPrefix("s") ? Double(Int64(bitPattern: o.a << shift) >> Int64(shift)) : Double(o.a)
        #expect(result == f.round(value, mode), "\(mode) of \(value) \(random)")
      }
    }
  }

  /// Numbers of 64 bits between two Doubles: one rounding, not two.
  @Test func integersAreRoundedOnce() throws {
    let value: Int64 = 1 << 62 + 1 << 38 + 1
    #expect(
      try Emulation.instruction("cvt.rn.f32.s64 %d, %a;", a: 64, [Operands(a: UInt64(value))])
        == [UInt64(Float(value).bitPattern)])
    #expect(
      try Emulation.instruction("cvt.rp.f64.s64 %d, %a;", a: 64, d: 64, [Operands(a: UInt64(value))])
        == [Double(value).nextUp.bitPattern])
  }

  @Test func integersToIntegers() throws {
    var random = RandomCase("integersToIntegers")
    let operands = random.operands(96) { Operands(a: $0.integer(bits: 64)) }
    for (text, a, d, value) in [
      ("cvt.s64.s32", 32, 64, { UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: $0))) }),
      ("cvt.u64.u32", 32, 64, { $0 & 0xFFFF_FFFF }), ("cvt.u32.u64", 64, 32, { $0 & 0xFFFF_FFFF }),
      ("cvt.s32.s8", 32, 32, { UInt64(UInt32(bitPattern: Int32(Int8(truncatingIfNeeded: $0)))) }),
      ("cvt.u8.u32", 32, 32, { $0 & 0xFF }),
      ("cvt.s8.s32", 32, 32, { UInt64(UInt32(bitPattern: Int32(Int8(truncatingIfNeeded: $0)))) }),
      ("cvt.sat.s8.s32", 32, 32, { UInt64(UInt32(bitPattern: min(max(Int32(truncatingIfNeeded: $0), -128), 127))) }),
      ("cvt.sat.u8.s64", 64, 32, { UInt64(min(max(Int64(bitPattern: $0), 0), 255)) }),
      ("cvt.sat.u32.u64", 64, 32, { min($0, 0xFFFF_FFFF) }), ("cvt.u32.u16", 16, 32, { $0 & 0xFFFF }),
      ("cvt.s32.s16", 16, 32, { UInt64(UInt32(bitPattern: Int32(Int16(truncatingIfNeeded: $0)))) }),
    ] as [(String, Int, Int, (UInt64) -> UInt64)] {
      let mask: UInt64 = a == 64 ? .max : (1 << UInt64(a)) - 1
      let results = try Emulation.instruction(
        "\(text) %d, %a;", a: a, d: d, operands.map { Operands(a: $0.a & mask) })
      for (o, result) in zip(operands, results) { #expect(result == value(o.a & mask), "\(text) of \(o.a) \(random)") }
    }
  }

  @Test func otherForms() throws {
    func f(_ value: Float) -> UInt64 { UInt64(value.bitPattern) }
    func run(_ text: String, _ a: UInt64, d: Int = 32) throws -> UInt64 {
      try Emulation.instruction("\(text) %d, %a;", d: d, target: "sm_90a", [Operands(a: a)])[0]
    }
    #expect(try run("cvt.rni.f32.f32", f(2.5)) == f(2))
    #expect(try run("cvt.rpi.f32.f32", f(2.1)) == f(3))
    #expect(try run("cvt.sat.f32.f32", f(2.5)) == f(1))
    #expect(try run("cvt.ftz.f32.f32", 1) == 0)
    #expect(try run("cvt.rn.relu.bf16.f32", f(-1), d: 16) == 0)
    #expect(try run("cvt.rn.relu.f16.f32", f(1), d: 16) == 0x3C00)
    #expect(try run("cvt.rn.relu.satfinite.f16.f32", f(1e9), d: 16) == 0x7BFF)
    #expect(try run("cvt.rn.f16.f32", f(1e9), d: 16) == 0x7C00)
    #expect(try run("cvt.f64.f32", f(0.1), d: 64) == Double(Float(0.1)).bitPattern)
    let packed = try Emulation.instruction(
      "cvt.pack.sat.s8.s32.b32 %d, %a, %b, %c;", target: "sm_90a",
      [Operands(a: 300, b: 0xFFFF_FFFE, c: 0xABCD_1234)])
    #expect(packed == [0x1234_7FFE])
    let halves = try Emulation.instruction(
      "cvt.pack.sat.u16.s32 %d, %a, %b;", target: "sm_90a", [Operands(a: 70_000, b: 0xFFFF_FFFE)])
    #expect(halves == [0xFFFF_0000])
    #expect(throws: EmulatorError.self) { try run("cvt.s32.f32", 0) }
  }
}
