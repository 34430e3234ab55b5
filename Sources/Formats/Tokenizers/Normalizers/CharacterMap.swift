// The precompiled character map of SentencePiece: a double-array trie (darts-clone) from byte strings to replacements.
//
// Layout: the size of the trie in bytes (32 bits, little-endian), its units of 32 bits, then the replacements, each ended
// by a zero byte. Unit: bit 8 says that a value hangs on the node; bits 10... are the offset to its children, shifted
// left by 8 more if bit 9 is set; the low byte is the label; bit 31 marks a value. Every index is checked, since the map
// comes from a file.

struct CharacterMap: Sendable, CustomStringConvertible {
  private let units: [UInt32]
  private let replacements: [UInt8]
  /// The ASCII characters that stay as they are if another one, or nothing, follows.
  private let kept: ScalarSet.ASCII

  init(_ bytes: [UInt8]) throws(FormatsError) {
    func word(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) } }
    guard bytes.count > 4, word(0) % 4 == 0, Int(word(0)) <= bytes.count - 4 else {
      throw FormatsError(.malformed, "The character map of the tokenizer is cut off: \(bytes.count) bytes.")
    }
    let size = Int(word(0))
    let units = stride(from: 4, to: 4 + size, by: 4).map { word($0) }
    var kept = ScalarSet.ASCII()
    for first in 0..<128 as Range<UInt8> {
      let isKey = (0..<128 as Range<UInt8>).contains { second in
        var length = 0
        [first, second].withUnsafeBufferPointer { text in
          Self.forEachPrefix(of: text, 0, upTo: 2, units) { end, _ in
            length = end
            return false
          }
        }
        return length > 0
      }
      if !isKey { kept.insert(UInt32(first)) }
    }
    self.units = units
    self.kept = kept
    replacements = Array(bytes[(4 + size)...])
  }

  /// Different for different maps, and short.
  var description: String {
    "\(units.withUnsafeBytes { Hashing.bytes($0) }) \(replacements.withUnsafeBytes { Hashing.bytes($0) })"
  }

  /// Calls `body` with the length and value of each key in `text` from `start`, shortest first, until it returns false.
  @inline(__always)
  private static func forEachPrefix(
    of text: UnsafeBufferPointer<UInt8>, _ start: Int, upTo end: Int, _ units: [UInt32], _ body: (Int, Int) -> Bool
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

  /// Appends the replacement at `value`.
  private func append(_ value: Int, to output: inout [UInt8]) {
    var position = value
    while position < replacements.count, replacements[position] != 0 {
      output.append(replacements[position])
      position += 1
    }
  }

  /// Whether the byte at `position` is ASCII, stays as it is, and belongs to no longer key or grapheme.
  @inline(__always)
  func keeps(_ text: UnsafeBufferPointer<UInt8>, _ position: Int) -> Bool {
    let byte = text[position]
    let next = position &+ 1 < text.count ? text[position &+ 1] : 0
    return (byte | next) < 0x80 && kept.contains(UInt32(byte)) && !(byte == 0x0D && next == 0x0A)
  }

  /// Appends what replaces the longest key in `text` at `start`, and returns the length of the key (SentencePiece's
  /// rule); nil if there is none.
  func appendLongestMatch(
    _ text: UnsafeBufferPointer<UInt8>, from start: Int, to output: inout [UInt8]
  ) -> Int? {
    var best: (length: Int, value: Int)?
    Self.forEachPrefix(of: text, start, upTo: text.count, units) { length, value in
      best = (length, value)
      return true
    }
    guard let best else { return nil }
    append(best.value, to: &output)
    return best.length
  }

  /// Appends what replaces a grapheme or character: the value of the shortest key that it starts with (Hugging Face's
  /// rule). False if there is none.
  private func appendReplacement(
    for text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, to output: inout [UInt8]
  ) -> Bool {
    var found: Int?
    Self.forEachPrefix(of: text, range.lowerBound, upTo: range.upperBound, units) { _, value in
      found = value
      return false
    }
    guard let found else { return false }
    append(found, to: &output)
    return true
  }

  /// Normalises as Hugging Face's `Precompiled` does: graphemes of up to five bytes at once, else character by character.
  func apply(_ text: inout [UInt8]) {
    var output: [UInt8] = []
    output.reserveCapacity(text.count + 16)
    text.withUnsafeBufferPointer { text in
      var position = 0
      while position < text.count {
        if keeps(text, position) {
          output.append(text[position])
          position += 1
          continue
        }
        // Between two ASCII characters, other than a line's end of two, there is always a boundary of graphemes.
        var end = position + 1
        while end < text.count, text[end - 1] | text[end] >= 0x80 || text[end - 1] == 0x0D && text[end] == 0x0A {
          end += 1
        }
        for character in String(decoding: text[position..<end], as: UTF8.self) {
          append(position..<position + character.utf8.count, of: text, to: &output)
          position += character.utf8.count
        }
      }
    }
    text = output
  }

  private func append(_ grapheme: Range<Int>, of text: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
    if grapheme.count < 6, appendReplacement(for: text, grapheme, to: &output) { return }
    var position = grapheme.lowerBound
    while position < grapheme.upperBound {
      let end = position + UTF8Scan.scalar(text.baseAddress!, position, text.count).length
      if !appendReplacement(for: text, position..<end, to: &output) {
        output.append(contentsOf: text[position..<end])
      }
      position = end
    }
  }
}
