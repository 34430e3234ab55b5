// Cutting a large text into chunks that can be split into pieces independently.
//
// Invariant: a cut lies after a newline that follows a visible ASCII character and precedes an ASCII letter. Every
// splitting rule ends a piece there whatever surrounds it, so the pieces of the chunks are the pieces of the whole text.
// The cuts depend on the text and the chunk size alone, never on the number of threads.

package enum TextChunks {
  package static let standardSize = 1 << 20

  /// Ranges that cover `text` in order, each of `size` bytes or somewhat more; one may be large if no cut is found.
  package static func ranges(of text: UnsafeBufferPointer<UInt8>, size: Int = standardSize) -> [Range<Int>] {
    precondition(size > 0, "chunk size \(size) is not positive")
    var ranges: [Range<Int>] = []
    var start = 0
    while start < text.count {
      let end = cut(text, from: start + size)
      ranges.append(start..<end)
      start = end
    }
    return ranges
  }

  private static func cut(_ text: UnsafeBufferPointer<UInt8>, from position: Int) -> Int {
    var position = max(position, 2)
    while position < text.count {
      if text[position - 1] == 0x0A, (0x21...0x7E).contains(text[position - 2]), isLetter(text[position]) {
        return position
      }
      position += 1
    }
    return text.count
  }

  private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
}
