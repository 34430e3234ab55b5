// XXH64 against published values and against itself in pieces.

internal import Core
internal import Testing

@Suite struct ChecksumTests {
  @Test func knownAnswers() {
    #expect(Checksum.of([]) == 0xEF46_DB37_51D8_E999)
    #expect(Checksum.of(Array("a".utf8)) == 0xD24E_C4F1_A98C_6E5B)
    #expect(Checksum.of(Array("abc".utf8)) == 0x44BC_2CF5_AD77_0999)
    #expect(
      Checksum.of(Array("Nobody inspects the spammish repetition".utf8)) == 0xFBCE_A83C_8A37_8BF1)
  }

  @Test func piecesDoNotMatter() {
    let seed = UInt64.random(in: 0 ... .max)
    var random = RandomSequence(seed: seed)
    for length in [0, 1, 3, 4, 7, 8, 31, 32, 33, 63, 64, 65, 100, 1000, 4099] {
      let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      var pieces = Checksum(seed: 5)
      var start = 0
      while start < length {
        let end = min(length, start + Int(random.next() % 70))
        bytes[start..<end].withUnsafeBytes { pieces.update($0) }
        start = end
      }
      #expect(pieces.value == Checksum.of(bytes, seed: 5), "length \(length), seed \(seed)")
      if length > 0 {
        var changed = bytes
        changed[length / 2] ^= 1
        #expect(Checksum.of(changed, seed: 5) != pieces.value, "length \(length), seed \(seed)")
      }
    }
  }
}
