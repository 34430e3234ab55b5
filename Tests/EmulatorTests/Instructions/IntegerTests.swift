// Integer arithmetic against sums and products of 128 bits, cut to size.

internal import Emulator
internal import Support
internal import Testing

@Suite(.ownThreads) struct IntegerTests {
  /// A value of a type as a number.
  private static func number(_ bits: UInt64, _ type: String) -> Int128 {
    let width = Int(type.dropFirst())!
    let low = Int128(bits) & ((1 << width) - 1)
    return type.hasPrefix("s") && low >> (width - 1) == 1 ? low - (1 << width) : low
  }

  private static func clamp(_ value: Int128, _ type: String) -> Int128 {
    let width = Int(type.dropFirst())!
    return type.hasPrefix("s")
      ? min(max(value, -(1 << (width - 1))), (1 << (width - 1)) - 1) : min(max(value, 0), (1 << width) - 1)
  }

  private struct Case {
    var text: String
    var type: String
    /// Of the result.
    var bits: Int
    var value: (Int128, Int128, Int128) -> Int128
  }

  private static func check(_ item: Case, threeOperands: Bool = false, wideC: Bool = false) throws {
    let width = Int(item.type.dropFirst())!
    var random = RandomCase(item.text)
    let operands = random.operands(160) {
      Operands(
        a: $0.integer(bits: width), b: $0.integer(bits: width), c: $0.integer(bits: wideC ? item.bits : width))
    }
    let text = "\(item.text) %d, %a, %b\(threeOperands ? ", %c" : "");"
    let results = try Emulation.instruction(
      text, a: width, b: width, c: wideC ? item.bits : width, d: item.bits, target: "sm_90a", operands)
    for (operand, result) in zip(operands, results) {
      let a = number(operand.a, item.type)
      let b = number(operand.b, item.type)
      let c = number(operand.c, wideC ? "\(item.type.prefix(1))\(item.bits)" : item.type)
      let expected = UInt64(truncatingIfNeeded: item.value(a, b, c)) & (item.bits == 64 ? .max : (1 << item.bits) - 1)
      #expect(result == expected, "\(item.text) of \(a), \(b), \(c) \(random)")
    }
  }

  @Test(arguments: ["u16", "s16", "u32", "s32", "u64", "s64"]) func twoOperands(type: String) throws {
    let bits = Int(type.dropFirst())!
    try Self.check(Case(text: "add.\(type)", type: type, bits: bits) { a, b, _ in a + b })
    try Self.check(Case(text: "sub.\(type)", type: type, bits: bits) { a, b, _ in a - b })
    try Self.check(Case(text: "mul.lo.\(type)", type: type, bits: bits) { a, b, _ in a &* b })
    try Self.check(
      Case(text: "mul.hi.\(type)", type: type, bits: bits) { a, b, _ in
        // The product of 64-bit numbers has 128 bits; unsigned ones need all of them.
        type == "u64" ? Int128(truncatingIfNeeded: (UInt128(a) * UInt128(b)) >> 64) : (a * b) >> bits
      })
    try Self.check(
      Case(text: "div.\(type)", type: type, bits: bits) { a, b, _ in b == 0 ? -1 : a / b })
    try Self.check(Case(text: "rem.\(type)", type: type, bits: bits) { a, b, _ in b == 0 ? a : a % b })
    try Self.check(Case(text: "min.\(type)", type: type, bits: bits) { a, b, _ in min(a, b) })
    try Self.check(Case(text: "max.\(type)", type: type, bits: bits) { a, b, _ in max(a, b) })
    if bits < 64 { try Self.check(Case(text: "mul.wide.\(type)", type: type, bits: 2 * bits) { a, b, _ in a * b }) }
  }

  @Test(arguments: ["u16", "s16", "u32", "s32", "u64", "s64"]) func threeOperands(type: String) throws {
    let bits = Int(type.dropFirst())!
    try Self.check(Case(text: "mad.lo.\(type)", type: type, bits: bits) { a, b, c in a &* b &+ c }, threeOperands: true)
    try Self.check(
      Case(text: "mad.hi.\(type)", type: type, bits: bits) { a, b, c in
        (type == "u64" ? Int128(truncatingIfNeeded: (UInt128(a) * UInt128(b)) >> 64) : (a * b) >> bits) + c
      }, threeOperands: true)
    try Self.check(Case(text: "sad.\(type)", type: type, bits: bits) { a, b, c in c + abs(a - b) }, threeOperands: true)
    if bits < 64 {
      try Self.check(
        Case(text: "mad.wide.\(type)", type: type, bits: 2 * bits) { a, b, c in a * b + c }, threeOperands: true,
        wideC: true)
    }
  }

  @Test func saturated() throws {
    try Self.check(Case(text: "add.sat.s32", type: "s32", bits: 32) { a, b, _ in Self.clamp(a + b, "s32") })
    try Self.check(Case(text: "sub.sat.s32", type: "s32", bits: 32) { a, b, _ in Self.clamp(a - b, "s32") })
    try Self.check(
      Case(text: "mad.hi.sat.s32", type: "s32", bits: 32) { a, b, c in Self.clamp((a * b) >> 32 + c, "s32") },
      threeOperands: true)
    try Self.check(Case(text: "min.relu.s32", type: "s32", bits: 32) { a, b, _ in max(min(a, b), 0) })
    try Self.check(Case(text: "max.relu.s32", type: "s32", bits: 32) { a, b, _ in max(a, b, 0) })
  }

  @Test(arguments: ["s16", "s32", "s64"]) func oneOperand(type: String) throws {
    let bits = Int(type.dropFirst())!
    var random = RandomCase("oneOperand \(type)")
    let operands = random.operands(96) { Operands(a: $0.integer(bits: bits)) }
    let mask: UInt64 = bits == 64 ? .max : (1 << bits) - 1
    let absolute = try Emulation.instruction("abs.\(type) %d, %a;", a: bits, d: bits, operands)
    let negative = try Emulation.instruction("neg.\(type) %d, %a;", a: bits, d: bits, operands)
    for (index, operand) in operands.enumerated() {
      let a = Self.number(operand.a, type)
      #expect(absolute[index] == UInt64(truncatingIfNeeded: abs(a)) & mask, "\(a) \(random)")
      #expect(negative[index] == UInt64(truncatingIfNeeded: -a) & mask, "\(a) \(random)")
    }
  }

  @Test(arguments: ["u32", "s32"]) func products24(type: String) throws {
    func low(_ value: Int128) -> Int128 {
      Self.number(UInt64(truncatingIfNeeded: value) & 0xFF_FFFF, "\(type.prefix(1))24")
    }
    try Self.check(Case(text: "mul24.lo.\(type)", type: type, bits: 32) { a, b, _ in low(a) * low(b) })
    try Self.check(Case(text: "mul24.hi.\(type)", type: type, bits: 32) { a, b, _ in (low(a) * low(b)) >> 16 })
    try Self.check(
      Case(text: "mad24.lo.\(type)", type: type, bits: 32) { a, b, c in low(a) * low(b) + c }, threeOperands: true)
    try Self.check(
      Case(text: "mad24.hi.\(type)", type: type, bits: 32) { a, b, c in (low(a) * low(b)) >> 16 + c },
      threeOperands: true)
  }

  @Test(arguments: ["u", "s"], ["u", "s"]) func dotProducts(a: String, b: String) throws {
    func part(_ value: Int128, _ place: Int, _ bits: Int, _ sign: String) -> Int128 {
      Self.number(
        (UInt64(truncatingIfNeeded: value) >> UInt64(place * bits)) & (1 << UInt64(bits) - 1), "\(sign)\(bits)")
    }
    try Self.check(
      Case(text: "dp4a.\(a)32.\(b)32", type: "u32", bits: 32) { x, y, c in
        (0..<4).reduce(c) { $0 + part(x, $1, 8, a) * part(y, $1, 8, b) }
      }, threeOperands: true)
    for (name, first) in [("lo", 0), ("hi", 2)] {
      try Self.check(
        Case(text: "dp2a.\(name).\(a)32.\(b)32", type: "u32", bits: 32) { x, y, c in
          (0..<2).reduce(c) { $0 + part(x, $1, 16, a) * part(y, first + $1, 8, b) }
        }, threeOperands: true)
    }
  }

  @Test func halves() throws {
    var random = RandomCase("halves")
    let operands = random.operands(96) { Operands(a: $0.integer(bits: 32), b: $0.integer(bits: 32)) }
    for (text, type, value) in [
      ("add.u16x2", "u16", { $0 + $1 }), ("min.s16x2", "s16", { min($0, $1) }), ("max.u16x2", "u16", { max($0, $1) }),
      ("min.relu.s16x2", "s16", { max(min($0, $1), 0) }),
    ] as [(String, String, (Int128, Int128) -> Int128)] {
      let results = try Emulation.instruction("\(text) %d, %a, %b;", target: "sm_90a", operands)
      for (operand, result) in zip(operands, results) {
        let low = value(Self.number(operand.a & 0xFFFF, type), Self.number(operand.b & 0xFFFF, type))
        let high = value(Self.number(operand.a >> 16, type), Self.number(operand.b >> 16, type))
        let expected = UInt64(truncatingIfNeeded: low) & 0xFFFF | (UInt64(truncatingIfNeeded: high) & 0xFFFF) << 16
        #expect(result == expected, "\(text) of \(operand) \(random)")
      }
    }
  }

  /// Sums, differences and products of 128 bits by way of carries.
  @Test func carries() throws {
    var random = RandomCase("carries")
    let operands = random.operands(96) {
      Operands(a: $0.integer(bits: 64), b: $0.integer(bits: 64), c: $0.integer(bits: 64))
    }
    // {c, a} + {a, b}, {c, a} - {a, b}: the upper halves.
    let sums = try Emulation.instruction(
      "{ .reg .b64 %x; add.cc.u64 %x, %a, %b; addc.u64 %d, %c, %a; }", a: 64, b: 64, c: 64, d: 64, operands)
    let differences = try Emulation.instruction(
      "{ .reg .b64 %x; sub.cc.u64 %x, %a, %b; subc.u64 %d, %c, %a; }", a: 64, b: 64, c: 64, d: 64, operands)
    // The upper half of a * b + c * 2^64 + all ones.
    let products = try Emulation.instruction(
      "{ .reg .b64 %x; mad.lo.cc.u64 %x, %a, %b, -1; madc.hi.u64 %d, %a, %b, %c; }", a: 64, b: 64, c: 64, d: 64,
      operands)
    for (index, o) in operands.enumerated() {
      let first = UInt128(o.c) << 64 | UInt128(o.a)
      let second = UInt128(o.a) << 64 | UInt128(o.b)
      #expect(sums[index] == UInt64(truncatingIfNeeded: (first &+ second) >> 64), "\(o) \(random)")
      #expect(differences[index] == UInt64(truncatingIfNeeded: (first &- second) >> 64), "\(o) \(random)")
      let product = UInt128(o.a) * UInt128(o.b) &+ UInt128(UInt64.max) &+ UInt128(o.c) << 64
      #expect(products[index] == UInt64(truncatingIfNeeded: product >> 64), "\(o) \(random)")
    }
    let error = #expect(throws: EmulatorError.self) {
      try Emulation.instruction("addc.u32 %d, %a, %b;", [Operands()])
    }
    #expect(error?.code == .uninitialised)
  }
}
