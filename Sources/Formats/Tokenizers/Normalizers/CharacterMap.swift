// The precompiled character map of SentencePiece: a double-array trie (darts-clone) from byte strings to replacements.
//
// Layout: the size of the trie in bytes (32 bits, little-endian), its units of 32 bits, then the replacements, each ended
// by a zero byte. Unit: bit 8 says that a value hangs on the node; bits 10... are the offset to its children, shifted
// left by 8 more if bit 9 is set; the low byte is the label; bit 31 marks a value. Every index is checked, since the map
// comes from a file.

struct CharacterMap: Sendable {
  private let units: [UInt32]
  private let replacements: [UInt8]

  init(_ bytes: [UInt8]) throws(FormatsError) {
    func word(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) } }
    guard bytes.count > 4, word(0) % 4 == 0, Int(word(0)) <= bytes.count - 4 else {
      throw FormatsError(.malformed, "The character map of the tokenizer is cut off: \(bytes.count) bytes.")
    }
    let size = Int(word(0))
    units = stride(from: 4, to: 4 + size, by: 4).map { word($0) }
    replacements = Array(bytes[(4 + size)...])
  }

  /// Calls `body` with the length and value of each key in `text` from `start`, shortest first, until it returns false.
  @inline(__always)
  private func forEachPrefix(
    of text: UnsafeBufferPointer<UInt8>, _ start: Int, upTo end: Int, _ body: (Int, Int) -> Bool
  ) {
    units.withUnsafeBufferPointer { units in
      guard let root = units.first else { return }
      func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }
      var node = offset(root)
      var position = start
      while position < end {
        let byte = text[position]
        node ^= Int(byte)
        guard byte != 0, node < units.count, units[node] & 0x8000_00FF == UInt32(byte) else { return }
        let unit = units[node]
        position += 1
        node ^= offset(unit)
        if unit >> 8 & 1 == 1 {
          guard node < units.count else { return }
          if !body(position - start, Int(units[node] & 0x7FFF_FFFF)) { return }
        }
      }
    }
  }

  private func replacement(_ value: Int) -> ArraySlice<UInt8> {
    guard value < replacements.count else { return [] }
    return replacements[value...].prefix { $0 != 0 }
  }

  /// The longest key in `text` at `start` and what replaces it (SentencePiece's rule).
  func longestMatch(
    _ text: UnsafeBufferPointer<UInt8>, from start: Int
  ) -> (length: Int, replacement: ArraySlice<UInt8>)? {
    var best: (length: Int, value: Int)?
    forEachPrefix(of: text, start, upTo: text.count) { length, value in
      best = (length, value)
      return true
    }
    return best.map { ($0.length, replacement($0.value)) }
  }

  /// What replaces a grapheme or character: the value of the shortest key that it starts with (Hugging Face's rule).
  private func replacement(for text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> ArraySlice<UInt8>? {
    var found: Int?
    forEachPrefix(of: text, range.lowerBound, upTo: range.upperBound) { _, value in
      found = value
      return false
    }
    return found.map { replacement($0) }
  }

  /// Normalises as Hugging Face's `Precompiled` does: graphemes of up to five bytes at once, else character by character.
  func apply(_ text: inout [UInt8]) {
    var output: [UInt8] = []
    output.reserveCapacity(text.count)
    func append(_ buffer: UnsafeBufferPointer<UInt8>, _ grapheme: Range<Int>) {
      if grapheme.count < 6, let replacement = replacement(for: buffer, grapheme) {
        output.append(contentsOf: replacement)
        return
      }
      var position = grapheme.lowerBound
      while position < grapheme.upperBound {
        let length = UTF8Scan.scalar(buffer.baseAddress!, position, buffer.count).length
        let end = position + length
        if let replacement = replacement(for: buffer, position..<end) {
          output.append(contentsOf: replacement)
        } else {
          while position < end {
            output.append(buffer[position])
            position += 1
          }
        }
        position = end
      }
    }
    text.withUnsafeBufferPointer { buffer in
      if buffer.allSatisfy({ $0 < 0x80 }) {
        var position = 0
        while position < buffer.count {
          let isPair = buffer[position] == 13 && position + 1 < buffer.count && buffer[position + 1] == 10
          append(buffer, position..<position + (isPair ? 2 : 1))
          position += isPair ? 2 : 1
        }
      } else {
        var position = 0
        for character in String(decoding: buffer, as: UTF8.self) {
          append(buffer, position..<position + character.utf8.count)
          position += character.utf8.count
        }
      }
    }
    text = output
  }
}
