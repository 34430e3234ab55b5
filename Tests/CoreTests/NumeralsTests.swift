// Numbers as text.

internal import Core
internal import Testing

@Suite struct NumeralsTests {
  private static let fixedCases: [(Double, Int, String)] = [
    (3.14159, 2, "3.14"), (0.145, 2, "0.15"), (-0.001, 2, "0.00"), (-1.005, 2, "-1.01"), (999.9996, 3, "1000.000"),
    (0, 0, "0"), (0.5, 0, "1"), (0.04, 1, "0.0"), (1e21, 1, "1000000000000000000000.0"), (1e-300, 3, "0.000"),
    (.infinity, 2, "∞"), (1_000_000_000_000_000.5, 0, "1000000000000001"), (0.05, 1, "0.1"),
    (123456.789, 1, "123456.8"),
  ]

  @Test(arguments: fixedCases)
  func fixed(value: Double, decimals: Int, expected: String) { #expect(Numerals.fixed(value, decimals) == expected) }

  private static let significantCases: [(Double, Int, String)] = [
    (0.00123456, 3, "0.00123"), (3e-5, 3, "3e-5"), (1.2349e-9, 3, "1.23e-9"), (0, 3, "0"), (99.96, 3, "100"),
    (1234567, 3, "1230000"), (12345678, 3, "1.23e7"), (-2.5, 1, "-3"), (0.0001, 2, "0.0001"), (1e-4, 1, "0.0001"),
    (100, 3, "100"), (9.999e-5, 3, "0.0001"),
  ]

  @Test(arguments: significantCases)
  func significant(value: Double, digits: Int, expected: String) {
    #expect(Numerals.significant(value, digits) == expected)
  }

  @Test func prefixes() {
    #expect(Numerals.scaled(124_439_808) == "124M")
    #expect(Numerals.scaled(1.5e9) == "1.50B")
    #expect(Numerals.scaled(999.6) == "1.00k")
    #expect(Numerals.scaled(2051) == "2.05k")
    #expect(Numerals.scaled(7) == "7")
    #expect(Numerals.scaled(2.4e11, unit: "FLOP/s") == "240 GFLOP/s")
    #expect(Numerals.scaled(0.0042, unit: "s") == "4.20 ms")
    #expect(Numerals.bytes(512) == "512 B")
    #expect(Numerals.bytes(1_610_612_736) == "1.50 GiB")
    #expect(Numerals.bytes(1023 * 1024 + 1000) == "1.00 MiB")
    #expect(Numerals.grouped(1_234_567) == "1,234,567")
    #expect(Numerals.grouped(-123) == "-123")
    #expect(Numerals.grouped(Int.min) == "-9,223,372,036,854,775,808")
  }

  private static let durationCases: [(Double, String)] = [
    (0.85, "850 ms"), (12.34, "12.3 s"), (83, "1m 23s"), (7500, "2h 05m"), (273_600, "3d 04h"),
    (59.97, "1m 00s"), (0.00042, "420 µs"), (0.9999, "1.0 s"), (0, "0 s"), (.nan, "NaN"), (3599.7, "1h 00m"),
  ]

  @Test(arguments: durationCases)
  func duration(seconds: Double, expected: String) { #expect(Numerals.duration(seconds) == expected) }

  /// Agrees with exact integer arithmetic where that is possible.
  @Test func fixedAgreesWithIntegers() {
    let seed = UInt64.random(in: 0 ... .max)
    var random = RandomSequence(seed: seed)
    for _ in 0..<2000 {
      let thousandths = Int(random.next() % 2_000_000_000) - 1_000_000_000
      let magnitude = thousandths.magnitude
      let digits = String(magnitude % 1000)
      let expected =
        (thousandths < 0 ? "-" : "") + "\(magnitude / 1000)." + String(repeating: "0", count: 3 - digits.count) + digits
      #expect(Numerals.fixed(Double(thousandths) / 1000, 3) == expected, "seed \(seed)")
    }
  }
}
