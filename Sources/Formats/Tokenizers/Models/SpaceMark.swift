// Words of a text in which U+2581 stands for a space: where no token reaches over the beginning of a word, words can be
// encoded one by one.

enum SpaceMark {
  /// Whether U+2581 is a token, and begins every token that it occurs in, other than after itself.
  static func startsTokens(of table: TokenTable) -> Bool {
    let space = SentencePieceNormalizer.space
    guard space.withUnsafeBytes({ table.token(of: $0) }) != nil else { return false }
    return table.bytes.withUnsafeBufferPointer { bytes in
      (0..<table.count).allSatisfy { token in
        let (start, end) = (Int(table.offsets[token]), Int(table.offsets[token + 1]))
        var position = start + 1
        while position + 3 <= end {
          if isOne(bytes, position), position < start + 3 || !isOne(bytes, position - 3) { return false }
          position += 1
        }
        return true
      }
    }
  }

  /// Calls `body` with the words of a text that is not empty, cut before each U+2581 that follows another character.
  @inline(__always)
  static func forEachWord(of text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    var start = 0
    var position = 3
    while position + 3 <= text.count {
      if isOne(text, position), !isOne(text, position - 3) {
        body(start..<position)
        start = position
      }
      position += 1
    }
    body(start..<text.count)
  }

  @inline(__always)
  private static func isOne(_ bytes: UnsafeBufferPointer<UInt8>, _ position: Int) -> Bool {
    bytes[position] == 0xE2 && bytes[position + 1] == 0x96 && bytes[position + 2] == 0x81
  }
}
