// Bit instructions against loops over single bits.

internal import Emulator
internal import Support
internal import Testing

@Suite(.ownThreads) struct BitTests {
  private static func run(
    _ text: String, bits: Int = 32, d: Int? = nil, b: Int? = nil, c: Int? = nil,
    make: ((inout RandomCase) -> Operands)? = nil,
    _ expected: (Operands) -> UInt64
  ) throws {
    var random = RandomCase(text)
    let operands = random.operands(128) {
      make?(&$0)
        ?? Operands(a: $0.integer(bits: bits), b: $0.integer(bits: b ?? bits), c: $0.integer(bits: c ?? bits))
    }
    let results = try Emulation.instruction(
      "\(text);", a: bits, b: b ?? bits, c: c ?? bits, d: d ?? bits, target: "sm_90a", operands)
    for (o, result) in zip(operands, results) {
      #expect(
        result == expected(o),
        "\(text) of \(String(o.a, radix: 16)), \(String(o.b, radix: 16)), \(String(o.c, radix: 16)) \(random)")
    }
  }

  private static func bit(_ value: UInt64, _ index: Int) -> UInt64 { index < 64 ? value >> UInt64(index) & 1 : 0 }

  @Test(arguments: [16, 32, 64]) func logic(bits: Int) throws {
    let mask: UInt64 = bits == 64 ? .max : (1 << UInt64(bits)) - 1
    try Self.run("and.b\(bits) %d, %a, %b", bits: bits) { $0.a & $0.b }
    try Self.run("or.b\(bits) %d, %a, %b", bits: bits) { $0.a | $0.b }
    try Self.run("xor.b\(bits) %d, %a, %b", bits: bits) { $0.a ^ $0.b }
    try Self.run("not.b\(bits) %d, %a", bits: bits) { ~$0.a & mask }
    try Self.run("cnot.b\(bits) %d, %a", bits: bits, make: { Operands(a: UInt64($0.integer(0...1))) }) {
      $0.a == 0 ? 1 : 0
    }
  }

  @Test(arguments: [0x00, 0x80, 0xE8, 0x96, 0xCA, 0x1B, 0xFF]) func tables(table: Int) throws {
    try Self.run("lop3.b32 %d, %a, %b, %c, \(table)") { o in
      (0..<32).reduce(0) { sum, i in
        let index = Self.bit(o.a, i) << 2 | Self.bit(o.b, i) << 1 | Self.bit(o.c, i)
        return sum | Self.bit(UInt64(table), Int(index)) << UInt64(i)
      }
    }
  }

  @Test func tableWithPredicate() throws {
    try Self.run(
      "setp.ne.u32 %q, %c, 0; lop3.or.b32 _|%p, %a, %b, 0, 0xC0, %q; selp.b32 %d, 1, 0, %p",
      make: { Operands(a: UInt64($0.integer(0...3)), b: UInt64($0.integer(0...3)), c: UInt64($0.integer(0...1))) }
    ) { $0.a & $0.b != 0 || $0.c != 0 ? 1 : 0 }
  }

  @Test(arguments: [16, 32, 64]) func shifts(bits: Int) throws {
    func signed(_ o: Operands) -> Int64 { Int64(bitPattern: o.a << UInt64(64 - bits)) >> Int64(64 - bits) }
    let mask: UInt64 = bits == 64 ? .max : (1 << UInt64(bits)) - 1
    try Self.run("shl.b\(bits) %d, %a, %b", bits: bits, b: 32) { o in
      (0..<bits).reduce(0) { $1 >= Int(o.b) ? $0 | Self.bit(o.a, $1 - Int(o.b)) << UInt64($1) : $0 }
    }
    try Self.run("shr.u\(bits) %d, %a, %b", bits: bits, b: 32) { o in
      (0..<bits).reduce(0) { $1 + Int(o.b) < bits ? $0 | Self.bit(o.a, $1 + Int(o.b)) << UInt64($1) : $0 }
    }
    try Self.run("shr.s\(bits) %d, %a, %b", bits: bits, b: 32) { o in
      UInt64(bitPattern: signed(o) >> Int64(min(o.b, 63))) & mask
    }
  }

  @Test(arguments: ["wrap", "clamp"]) func funnels(mode: String) throws {
    func amount(_ c: UInt64) -> UInt64 { mode == "wrap" ? c % 32 : min(c, 32) }
    try Self.run("shf.l.\(mode).b32 %d, %a, %b, %c") { o in
      UInt64(truncatingIfNeeded: (UInt128(o.b << 32 | o.a) << UInt128(amount(o.c))) >> 32) & 0xFFFF_FFFF
    }
    try Self.run("shf.r.\(mode).b32 %d, %a, %b, %c") { o in ((o.b << 32 | o.a) >> amount(o.c)) & 0xFFFF_FFFF }
  }

  @Test(arguments: [32, 64]) func counts(bits: Int) throws {
    func highest(_ value: UInt64) -> Int? { (0..<bits).last { Self.bit(value, $0) == 1 } }
    try Self.run("popc.b\(bits) %d, %a", bits: bits, d: 32) { o in (0..<bits).reduce(0) { $0 + Self.bit(o.a, $1) } }
    try Self.run("clz.b\(bits) %d, %a", bits: bits, d: 32) { UInt64(bits - 1 - (highest($0.a) ?? -1)) }
    try Self.run("brev.b\(bits) %d, %a", bits: bits) { o in
      (0..<bits).reduce(0) { $0 | Self.bit(o.a, $1) << UInt64(bits - 1 - $1) }
    }
    try Self.run("bfind.u\(bits) %d, %a", bits: bits, d: 32) { highest($0.a).map { UInt64($0) } ?? 0xFFFF_FFFF }
    func unsigned(_ o: Operands) -> UInt64 {
      Self.bit(o.a, bits - 1) == 1 ? ~o.a & (bits == 64 ? .max : 0xFFFF_FFFF) : o.a
    }
    try Self.run("bfind.s\(bits) %d, %a", bits: bits, d: 32) { highest(unsigned($0)).map { UInt64($0) } ?? 0xFFFF_FFFF }
    try Self.run("bfind.shiftamt.u\(bits) %d, %a", bits: bits, d: 32) {
      highest($0.a).map { UInt64(bits - 1 - $0) } ?? 0xFFFF_FFFF
    }
  }

  @Test(arguments: [32, 64]) func fields(bits: Int) throws {
    let make = { (random: inout RandomCase) in
      Operands(
        a: random.integer(bits: bits), b: UInt64(random.integer(0...random.choice([40, 70, 300]))),
        c: UInt64(random.integer(0...random.choice([40, 70, 300]))))
    }
    for sign in ["u", "s"] {
      try Self.run("bfe.\(sign)\(bits) %d, %a, %b, %c", bits: bits, b: 32, c: 32, make: make) { o in
        let (position, length) = (Int(o.b & 255), Int(o.c & 255))
        let last = min(position + length - 1, bits - 1)
        let fill = sign == "s" && length > 0 ? Self.bit(o.a, last) : 0
        return (0..<bits).reduce(0) { sum, i in
          sum | (i < length && position + i < bits ? Self.bit(o.a, position + i) : fill) << UInt64(i)
        }
      }
    }
    try Self.run(
      "bfi.b\(bits) %d, %a, %c, 7, 9", bits: bits,
      make: { Operands(a: $0.integer(bits: bits), c: $0.integer(bits: bits)) }
    ) { o in
      (0..<bits).reduce(0) { $0 | (7..<16 ~= $1 ? Self.bit(o.a, $1 - 7) : Self.bit(o.c, $1)) << UInt64($1) }
    }
  }

  @Test func masks() throws {
    let small = { (random: inout RandomCase) in
      Operands(a: random.integer(bits: 32), b: UInt64(random.integer(0...40)), c: UInt64(random.integer(0...40)))
    }
    try Self.run("szext.clamp.s32 %d, %a, %b", make: small) { o in
      if o.b >= 32 { return o.a }
      if o.b == 0 { return 0 }
      return (0..<32).reduce(0) { $0 | Self.bit(o.a, min($1, Int(o.b) - 1)) << UInt64($1) }
    }
    try Self.run("szext.wrap.u32 %d, %a, %b", make: small) { o in o.a & ((1 << (o.b % 32)) - 1) }
    try Self.run("bmsk.clamp.b32 %d, %b, %c", make: small) { o in
      (0..<32).reduce(0) { $0 | ($1 >= o.b && $1 < o.b + o.c ? 1 << $1 : 0) }
    }
    try Self.run("bmsk.wrap.b32 %d, %b, %c", make: small) { o in
      (0..<32).reduce(0) { $0 | ($1 >= o.b % 32 && $1 < o.b % 32 + o.c % 32 ? 1 << $1 : 0) }
    }
    try Self.run("fns.b32 %d, %a, %b, 2", make: small) { o in
      o.b > 31
        ? 0xFFFF_FFFF
        : (Int(o.b)..<32).filter { Self.bit(o.a, $0) == 1 }.dropFirst().first.map { UInt64($0) } ?? 0xFFFF_FFFF
    }
  }

  @Test func permutations() throws {
    func byte(_ o: Operands, _ index: UInt64) -> UInt64 { (o.b << 32 | o.a) >> (8 * index) & 255 }
    try Self.run("prmt.b32 %d, %a, %b, %c") { o in
      (0..<4).reduce(0) { sum, place in
        let selector = o.c >> (4 * place) & 15
        let value = byte(o, selector & 7)
        return sum | (selector & 8 == 0 ? value : value >= 128 ? 255 : 0) << (8 * place)
      }
    }
    // The bytes that a mode takes, the highest first.
    for (mode, table) in [
      ("f4e", [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]),
      ("b4e", [[5, 6, 7, 0], [6, 7, 0, 1], [7, 0, 1, 2], [0, 1, 2, 3]]),
      ("rc8", [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]),
      ("ecl", [[3, 2, 1, 0], [3, 2, 1, 1], [3, 2, 2, 2], [3, 3, 3, 3]]),
      ("ecr", [[0, 0, 0, 0], [1, 1, 1, 0], [2, 2, 1, 0], [3, 2, 1, 0]]),
      ("rc16", [[1, 0, 1, 0], [3, 2, 3, 2], [1, 0, 1, 0], [3, 2, 3, 2]]),
    ] as [(String, [[UInt64]])] {
      try Self.run("prmt.b32.\(mode) %d, %a, %b, %c") { o in
        table[Int(o.c & 3)].reduce(0) { $0 << 8 | byte(o, $1) }
      }
    }
  }
}
