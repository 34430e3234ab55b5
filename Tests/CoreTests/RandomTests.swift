// Philox against the known answers of Random123, and the layout of streams.

internal import Core
internal import Testing

@Suite struct RandomTests {
  private static let knownAnswersCases: [(SIMD4<UInt32>, SIMD2<UInt32>, SIMD4<UInt32>)] = [
    (
      SIMD4<UInt32>(repeating: 0), SIMD2<UInt32>(repeating: 0),
      SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)
    ),
    (
      SIMD4<UInt32>(repeating: 0xffff_ffff), SIMD2<UInt32>(repeating: 0xffff_ffff),
      SIMD4<UInt32>(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
    ),
    (
      SIMD4<UInt32>(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), SIMD2<UInt32>(0xa409_3822, 0x299f_31d0),
      SIMD4<UInt32>(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
    ),
  ]

  @Test(arguments: knownAnswersCases)
  func knownAnswers(counter: SIMD4<UInt32>, key: SIMD2<UInt32>, expected: SIMD4<UInt32>) {
    #expect(Philox.block(counter: counter, key: key) == expected)
  }

  @Test func streamLayout() {
    let stream = RandomStream(key: 0x299f_31d0_a409_3822, stream: 0x0370_7344_1319_8a2e)
    #expect(stream.block(0x85a3_08d3_243f_6a88) == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
    for position in UInt64(0)..<9 {
      #expect(stream.word(at: position) == stream.block(position / 4)[Int(position % 4)])
    }
    var sequence = RandomSequence(stream)
    let taken = (0..<5).map { _ in sequence.next() }
    #expect(taken[3] == UInt64(stream.word(at: 6)) | UInt64(stream.word(at: 7)) << 32)
    var resumed = RandomSequence(stream, position: 4)
    #expect(resumed.next() == taken[4])
  }

  @Test func moments() {
    let stream = RandomStream(key: 7, stream: 3)
    let count: UInt64 = 40_000
    let uniforms = (0..<count).map { stream.uniform(at: $0) }
    let normals = (0..<count).map { stream.normal(at: $0) }
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    // Five standard errors.
    #expect(abs(mean(uniforms) - 0.5) < 5 * 0.2887 / Double(count).squareRoot())
    #expect(abs(mean(normals)) < 5 / Double(count).squareRoot())
    #expect(abs(mean(normals.map { $0 * $0 }) - 1) < 5 * 2.0.squareRoot() / Double(count).squareRoot())
    #expect(uniforms.allSatisfy { $0 >= 0 && $0 < 1 && Double(Float($0)) == $0 })
    var seen = [Int](repeating: 0, count: 7)
    for position in 0..<count { seen[stream.integer(at: position, below: 7)] += 1 }
    #expect(seen.allSatisfy { abs(Double($0) - Double(count) / 7) < 5 * (Double(count) / 7).squareRoot() })
  }
}
