// Float arithmetic against results that are exact in Double and then rounded by looking at the neighbours.

internal import Emulator
internal import Support
internal import Testing

/// Slow and obvious rounding: of an exact Double to a format, by the distance to its neighbours.
enum SlowRounding {
  /// The values of a format by their bits, sign apart, in order.
  struct Format {
    var exponentBits: Int
    var fractionBits: Int

    static let half = Format(exponentBits: 5, fractionBits: 10)
    static let bfloat = Format(exponentBits: 8, fractionBits: 7)
    static let single = Format(exponentBits: 8, fractionBits: 23)

    var infinity: UInt64 { (1 << UInt64(exponentBits) - 1) << UInt64(fractionBits) }
    var sign: UInt64 { 1 << UInt64(exponentBits + fractionBits) }
    var canonicalNaN: UInt64 { sign - 1 }

    /// The value of bits; infinity counts as the next power of two.
    func value(_ bits: UInt64) -> Double {
      let magnitude = bits & (sign - 1)
      let exponent = Int(magnitude >> UInt64(fractionBits))
      let fraction = Double(magnitude & (1 << UInt64(fractionBits) - 1)) / Double(1 << fractionBits)
      let bias = 1 << (exponentBits - 1) - 1
      let value =
        exponent == 0
        ? fraction * Double(sign: .plus, exponent: 1 - bias, significand: 1)
        : (1 + fraction) * Double(sign: .plus, exponent: exponent - bias, significand: 1)
      return bits & sign != 0 ? -value : value
    }

    func decoded(_ bits: UInt64) -> Double {
      let magnitude = bits & (sign - 1)
      if magnitude > infinity { return .nan }
      if magnitude == infinity { return bits & sign != 0 ? -.infinity : .infinity }
      return value(bits)
    }

    /// The bits nearest to a value in the mode's sense.
    func round(_ value: Double, _ mode: String = "rn") -> UInt64 {
      if value.isNaN { return canonicalNaN }
      let minus: UInt64 = value.sign == .minus ? sign : 0
      if value.isInfinite { return minus | infinity }
      // The largest value that is not larger, by halving.
      var (low, high): (UInt64, UInt64) = (0, infinity)
      while high - low > 1 {
        let middle = (low + high) / 2
        if self.value(middle) <= value.magnitude { low = middle } else { high = middle }
      }
      let (below, above) = (value.magnitude - self.value(low), self.value(high) - value.magnitude)
      if below == 0 { return minus | low }
      switch mode {
      case "rz": return minus | low
      case "rm": return minus | (minus == 0 ? low : high)
      case "rp": return minus | (minus == 0 ? high : low)
      default: return minus | (below < above || below == above && low & 1 == 0 ? low : high)
      }
    }
  }
}

@Suite(.ownThreads) struct FloatTests {
  private typealias Format = SlowRounding.Format

  /// Bits of moderate numbers, whose sums and products are exact in Double.
  private static func moderate(_ random: inout RandomCase, _ format: Format) -> UInt64 {
    switch random.integer(0...9) {
    case 0: return format.round(random.choice([0, -0.0, 1, -1, 2, 0.5]))
    case 1: return random.bool() ? format.infinity : format.infinity | format.sign
    case 2: return format.canonicalNaN
    default: return format.round(random.uniform(-8...8))
    }
  }

  /// IEEE equality of bits, but any NaN of ours must be the canonical one.
  private static func check(
    _ text: String, _ format: Format, bits: Int, target: String = "sm_100a", three: Bool = false, flushes: Bool = false,
    _ expected: (Double, Double, Double) -> UInt64
  ) throws {
    var random = RandomCase(text)
    let operands = random.operands(160) {
      Operands(a: moderate(&$0, format), b: moderate(&$0, format), c: moderate(&$0, format))
    }
    let results = try Emulation.instruction(
      "\(text) %d, %a, %b\(three ? ", %c" : "");", a: bits, b: bits, c: bits, d: bits, target: target, operands)
    for (o, result) in zip(operands, results) {
      let (a, b, c) = (format.decoded(o.a), format.decoded(o.b), format.decoded(o.c))
      let wanted = expected(a, b, c)
      #expect(result == wanted, "\(text) of \(a), \(b), \(c): \(format.decoded(result)) \(random)")
    }
  }

  @Test(arguments: ["rn", "rz", "rm", "rp"]) func singleRoundings(mode: String) throws {
    let f = Format.single
    func sum(_ a: Double, _ b: Double) -> UInt64 {
      // Numbers that cancel give -0 when rounded down.
      let value = a + b
      return mode == "rm" && value == 0 && a.sign != b.sign ? f.sign : f.round(value, mode)
    }
    try Self.check("add.\(mode).f32", f, bits: 32) { a, b, _ in sum(a, b) }
    try Self.check("sub.\(mode).f32", f, bits: 32) { a, b, _ in sum(a, -b) }
    try Self.check("mul.\(mode).f32", f, bits: 32) { a, b, _ in f.round(a * b, mode) }
    // A quotient of two Floats is nearer to a Float's border than a Double's last bit only if it lies on it.
    try Self.check("div.\(mode).f32", f, bits: 32) { a, b, _ in f.round(a / b, mode) }
    try Self.check("rcp.\(mode).f32 %d, %a; //", f, bits: 32) { a, _, _ in f.round(1 / a, mode) }
    try Self.check("sqrt.\(mode).f32 %d, %a; //", f, bits: 32) { a, _, _ in f.round(a.squareRoot(), mode) }
  }

  /// Against the C library, which fuses in another way, on all kinds of numbers.
  @Test func fusedSingle() throws {
    var random = RandomCase("fusedSingle")
    let operands = random.operands(1024) { Operands(a: $0.float(), b: $0.float(), c: $0.float()) }
    let results = try Emulation.instruction("fma.rn.f32 %d, %a, %b, %c;", operands)
    for (o, result) in zip(operands, results) {
      func float(_ bits: UInt64) -> Float { Float(bitPattern: UInt32(bits)) }
      let expected = float(o.c).addingProduct(float(o.a), float(o.b))
      #expect(
        result == (expected.isNaN ? 0x7FFF_FFFF : UInt64(expected.bitPattern)),
        "\(float(o.a)) * \(float(o.b)) + \(float(o.c)) \(random)")
    }
  }

  /// Of directed fused results: no float lies between them and the exact value.
  @Test(arguments: ["rz", "rm", "rp"]) func fusedDirected(mode: String) throws {
    let f = Format.single
    var random = RandomCase("fusedDirected \(mode)")
    // 12 bits each, so that everything is exact in Double.
    func small(_ random: inout RandomCase) -> UInt64 {
      UInt64(
        (Float(random.integer(-4095...4095)) * Float(sign: .plus, exponent: random.integer(-9...9), significand: 1))
          .bitPattern)
    }
    let operands = random.operands(256) { Operands(a: small(&$0), b: small(&$0), c: small(&$0)) }
    let results = try Emulation.instruction("fma.\(mode).f32 %d, %a, %b, %c;", operands)
    for (o, result) in zip(operands, results) {
      let (a, b, c) = (f.decoded(o.a), f.decoded(o.b), f.decoded(o.c))
      let exact = a * b + c
      if exact == 0 { continue }
      #expect(result == f.round(exact, mode), "\(a) * \(b) + \(c) \(random)")
    }
  }

  @Test(arguments: ["rn", "rz", "rm", "rp"]) func doubles(mode: String) throws {
    var random = RandomCase("doubles \(mode)")
    let operands = random.operands(256) { Operands(a: $0.double(), b: $0.double(), c: $0.double()) }
    for (text, nearest) in [
      ("add.\(mode).f64 %d, %a, %b;", { a, b, _ in a + b }), ("mul.\(mode).f64 %d, %a, %b;", { a, b, _ in a * b }),
      ("div.\(mode).f64 %d, %a, %b;", { a, b, _ in a / b }),
      ("fma.\(mode).f64 %d, %a, %b, %c;", { $2.addingProduct($0, $1) }),
      ("sqrt.\(mode).f64 %d, %a;", { a, _, _ in a.squareRoot() }),
    ] as [(String, (Double, Double, Double) -> Double)] {
      let results = try Emulation.instruction(text, a: 64, b: 64, c: 64, d: 64, operands)
      for (o, bits) in zip(operands, results) {
        let (a, b, c) = (Double(bitPattern: o.a), Double(bitPattern: o.b), Double(bitPattern: o.c))
        let (result, near) = (Double(bitPattern: bits), nearest(a, b, c))
        if near.isNaN {
          #expect(result.isNaN)
        } else if mode == "rn" {
          #expect(result == near, "\(text) \(a), \(b), \(c) \(random)")
        } else {
          // The nearest one, or its neighbour on the side of the mode.
          let others =
            mode == "rm"
            ? [near, near.nextDown]
            : mode == "rp"
              ? [near, near.nextUp]
              : [near, near < 0 ? near.nextUp : near.nextDown]
          #expect(others.contains(result), "\(text) \(a), \(b), \(c): \(result) \(random)")
        }
      }
    }
    // Whole numbers with a known rest.
    let thirds = try Emulation.instruction(
      "div.\(mode).f64 %d, %a, %b;", a: 64, b: 64, d: 64, [Operands(a: Double(1).bitPattern, b: Double(3).bitPattern)])
    #expect(Double(bitPattern: thirds[0]) == (mode == "rp" ? (1.0 / 3).nextUp : 1.0 / 3))
    let sums = try Emulation.instruction(
      "add.\(mode).f64 %d, %a, %b;", a: 64, b: 64, d: 64, [Operands(a: Double(1).bitPattern, b: 0x1p-60.bitPattern)])
    #expect(Double(bitPattern: sums[0]) == (mode == "rp" ? 1.0.nextUp : 1))
  }

  @Test(arguments: ["f16", "bf16"]) func small(type: String) throws {
    let f = type == "f16" ? Format.half : Format.bfloat
    try Self.check("add.rn.\(type)", f, bits: 16) { a, b, _ in f.round(a + b) }
    try Self.check("sub.rn.\(type)", f, bits: 16) { a, b, _ in f.round(a - b) }
    try Self.check("mul.rn.\(type)", f, bits: 16) { a, b, _ in f.round(a * b) }
    try Self.check("fma.rn.\(type)", f, bits: 16, three: true) { a, b, c in f.round(a * b + c) }
    try Self.check("fma.rn.relu.\(type)", f, bits: 16, three: true) { a, b, c in
      let value = a * b + c
      return value.isNaN ? f.canonicalNaN : f.round(value.sign == .minus ? 0 : value)
    }
  }

  @Test(arguments: ["f16", "bf16"]) func packed(type: String) throws {
    let f = type == "f16" ? Format.half : Format.bfloat
    var random = RandomCase("packed \(type)")
    func pair(_ random: inout RandomCase) -> UInt64 {
      Self.moderate(&random, f) | Self.moderate(&random, f) << 16
    }
    let operands = random.operands(96) { Operands(a: pair(&$0), b: pair(&$0), c: pair(&$0)) }
    for (text, value) in [
      ("add.rn.\(type)x2 %d, %a, %b;", { a, b, _ in f.round(a + b) }),
      ("sub.rn.\(type)x2 %d, %a, %b;", { a, b, _ in f.round(a - b) }),
      ("mul.rn.\(type)x2 %d, %a, %b;", { a, b, _ in f.round(a * b) }),
      ("fma.rn.\(type)x2 %d, %a, %b, %c;", { f.round($0 * $1 + $2) }),
      ("max.\(type)x2 %d, %a, %b;", { a, b, _ in f.round(a.isNaN ? b : b.isNaN ? a : Double.maximum(a, b)) }),
      ("min.NaN.\(type)x2 %d, %a, %b;", { a, b, _ in f.round(a.isNaN || b.isNaN ? .nan : Double.minimum(a, b)) }),
    ] as [(String, (Double, Double, Double) -> UInt64)] {
      let results = try Emulation.instruction(text, target: "sm_90a", operands)
      for (o, result) in zip(operands, results) {
        func part(_ shift: UInt64) -> UInt64 {
          value(f.decoded(o.a >> shift & 0xFFFF), f.decoded(o.b >> shift & 0xFFFF), f.decoded(o.c >> shift & 0xFFFF))
        }
        // The order of +0 and -0 is another test's.
        func isZero(_ bits: UInt64) -> Bool { bits & 0x7FFF == 0 }
        for shift in [0, 16] as [UInt64] {
          let (ours, wanted) = (result >> shift & 0xFFFF, part(shift))
          #expect(ours == wanted || isZero(ours) && isZero(wanted), "\(text) of \(o) \(random)")
        }
      }
    }
  }

  @Test func extremesAndSigns() throws {
    let (nan, big): (UInt64, UInt64) = (0x7FC0_0000, 0x7F80_0000)
    func f(_ value: Float) -> UInt64 { UInt64(value.bitPattern) }
    func run(_ text: String, _ a: UInt64, _ b: UInt64, _ c: UInt64 = 0) throws -> UInt64 {
      try Emulation.instruction("\(text);", target: "sm_100a", [Operands(a: a, b: b, c: c)])[0]
    }
    #expect(try run("min.f32 %d, %a, %b", nan, f(2)) == f(2))
    #expect(try run("max.f32 %d, %a, %b", f(2), nan) == f(2))
    #expect(try run("min.f32 %d, %a, %b", nan, nan) == 0x7FFF_FFFF)
    #expect(try run("min.NaN.f32 %d, %a, %b", nan, f(2)) == 0x7FFF_FFFF)
    #expect(try run("min.f32 %d, %a, %b", 0, f(-0.0)) == f(-0.0))
    #expect(try run("max.f32 %d, %a, %b", f(-0.0), 0) == 0)
    #expect(try run("min.xorsign.abs.f32 %d, %a, %b", f(-3), f(2)) == f(-2))
    #expect(try run("max.xorsign.abs.f32 %d, %a, %b", f(-3), f(-2)) == f(3))
    #expect(try run("max.f32 %d, %a, %b, %c", f(1), f(5), f(3)) == f(5))
    #expect(try run("abs.f32 %d, %a", f(-3), 0) == f(3))
    #expect(try run("neg.f32 %d, %a", big, 0) == big | 0x8000_0000)
    #expect(try run("copysign.f32 %d, %a, %b", f(-1), f(5)) == f(-5))
    // Flushing and saturation.
    #expect(try run("add.f32 %d, %a, %b", 1, 1) == 2)
    #expect(try run("add.ftz.f32 %d, %a, %b", 1, 1) == 0)
    #expect(try run("mul.ftz.f32 %d, %a, %b", f(0x1p-100), f(-0x1p-30)) == 0x8000_0000)
    #expect(try run("fma.rn.ftz.f32 %d, %a, %b, %c", 1, f(1), 0) == 0)
    #expect(try run("add.sat.f32 %d, %a, %b", f(3), f(4)) == f(1))
    #expect(try run("add.sat.f32 %d, %a, %b", nan, f(4)) == 0)
    #expect(try run("mul.sat.f32 %d, %a, %b", f(-3), f(4)) == 0)
    #expect(try run("add.f32 %d, %a, %b", big, big | 0x8000_0000) == 0x7FFF_FFFF)
  }

  @Test func pairsOfSingles() throws {
    var random = RandomCase("pairsOfSingles")
    func pair(_ random: inout RandomCase) -> UInt64 { random.float() | random.float() << 32 }
    let operands = random.operands(64) { Operands(a: pair(&$0), b: pair(&$0), c: pair(&$0)) }
    for (text, value) in [
      ("add.rn.f32x2 %d, %a, %b;", { a, b, _ in a + b }), ("mul.rn.f32x2 %d, %a, %b;", { a, b, _ in a * b }),
      ("fma.rn.f32x2 %d, %a, %b, %c;", { $2.addingProduct($0, $1) }),
    ] as [(String, (Float, Float, Float) -> Float)] {
      let results = try Emulation.instruction(text, a: 64, b: 64, c: 64, d: 64, target: "sm_100a", operands)
      for (o, result) in zip(operands, results) {
        for shift in [0, 32] as [UInt64] {
          func float(_ bits: UInt64) -> Float { Float(bitPattern: UInt32(truncatingIfNeeded: bits >> shift)) }
          let wanted = value(float(o.a), float(o.b), float(o.c))
          let bits = wanted.isNaN ? 0x7FFF_FFFF : wanted.bitPattern
          #expect(UInt32(truncatingIfNeeded: result >> shift) == bits, "\(text) of \(o) \(random)")
        }
      }
    }
  }

  @Test func mixedPrecision() throws {
    func f(_ value: Float) -> UInt64 { UInt64(value.bitPattern) }
    let half = SlowRounding.Format.half.round(1.5)
    let brain = SlowRounding.Format.bfloat.round(-2.5)
    let target = "sm_100a"
    #expect(
      try Emulation.instruction("add.rn.f32.f16 %d, %a, %c;", a: 16, target: target, [Operands(a: half, c: f(0.1))])
        == [f(1.5 + 0.1)])
    #expect(
      try Emulation.instruction("sub.rn.f32.bf16 %d, %a, %c;", a: 16, target: target, [Operands(a: brain, c: f(0.1))])
        == [f(-2.5 - 0.1)])
    #expect(
      try Emulation.instruction(
        "fma.rn.f32.f16 %d, %a, %b, %c;", a: 16, b: 16, target: target, [Operands(a: half, b: half, c: f(0.1))])
        == [f(Float(2.25 + Double(Float(0.1))))])
  }

  /// Approximations are within two steps of the true value; the special cases are exact.
  @Test(arguments: ["ex2", "lg2", "sin", "cos", "tanh", "rcp", "rsqrt", "sqrt"]) func functions(name: String) throws {
    var random = RandomCase("functions \(name)")
    let least: Double = ["lg2", "rsqrt", "sqrt"].contains(name) ? 0.001 : -20
    let operands = random.operands(128) { Operands(a: UInt64(Float($0.uniform(least...20)).bitPattern)) }
    let results = try Emulation.instruction("\(name).approx.f32 %d, %a;", operands)
    func exact(_ x: Double) -> Double {
      switch name {
      case "ex2": series(x * 0.693147180559945309417)
      case "lg2": logarithm(x) / 0.693147180559945309417
      case "sin": sine(x)
      case "cos": sine(x + 1.57079632679489661923)
      case "tanh": 1 - 2 / (series(2 * x) + 1)
      case "rcp": 1 / x
      case "rsqrt": 1 / x.squareRoot()
      default: x.squareRoot()
      }
    }
    for (o, result) in zip(operands, results) {
      let x = Double(Float(bitPattern: UInt32(o.a)))
      let (ours, wanted) = (Double(Float(bitPattern: UInt32(result))), exact(x))
      #expect(abs(ours - wanted) <= 0x1p-22 * max(abs(wanted), 1e-6), "\(name) of \(x): \(ours), \(wanted) \(random)")
    }
    let special: [String: [(Float, Float)]] = [
      "ex2": [(-.infinity, 0), (.infinity, .infinity), (0, 1)], "lg2": [(0, -.infinity), (.infinity, .infinity)],
      "rcp": [(0, .infinity), (-.infinity, -0.0)], "rsqrt": [(0, .infinity), (.infinity, 0), (-0.0, -.infinity)],
      "sqrt": [(-0.0, -0.0), (.infinity, .infinity)], "tanh": [(.infinity, 1), (-.infinity, -1)],
    ]
    for (x, y) in special[name] ?? [] {
      let result = try Emulation.instruction("\(name).approx.f32 %d, %a;", [Operands(a: UInt64(x.bitPattern))])
      #expect(result == [UInt64(y.bitPattern)], "\(name) of \(x)")
    }
  }

  // Series of our own, so that the C library does not test itself.
  private func series(_ x: Double) -> Double {
    let small = x / 1024
    var (term, sum) = (1.0, 1.0)
    for n in 1..<20 {
      term *= small / Double(n)
      sum += term
    }
    return (0..<10).reduce(sum) { value, _ in value * value }
  }

  private func logarithm(_ x: Double) -> Double {
    var y = Double(x.exponent) * 0.693147180559945309417
    for _ in 0..<60 { y += 2 * (x - series(y)) / (x + series(y)) }
    return y
  }

  private func sine(_ x: Double) -> Double {
    let y = x - (x / 6.28318530717958647693).rounded() * 6.28318530717958647693
    var (term, sum) = (y, y)
    for n in 1..<20 {
      term *= -y * y / Double(2 * n * (2 * n + 1))
      sum += term
    }
    return sum
  }

  @Test func smallFunctions() throws {
    let f = SlowRounding.Format.bfloat
    for value in [-3.0, 0, 0.5, 7] {
      let bits = f.round(value)
      let result = try Emulation.instruction(
        "ex2.approx.ftz.bf16x2 %d, %a;", target: "sm_90a", [Operands(a: bits | bits << 16)])[0]
      let wanted = f.round(series(value * 0.693147180559945309417))
      #expect(result == wanted | wanted << 16)
    }
  }
}
