// Finding the spellings of special tokens in a text: leftmost first, the longest of those that start at one place.

/// Cuts texts at special tokens.
struct SpecialTokenScanner {
  enum Part {
    case text(Range<Int>)
    case special(Int32)
  }

  /// Candidates by first byte, each list with the longest spelling first.
  private var candidates = [[(spelling: [UInt8], token: Int32)]](repeating: [], count: 256)

  init(_ specials: [String: Int32]) {
    for (spelling, token) in specials {
      let bytes = Array(spelling.utf8)
      guard let first = bytes.first else { continue }
      candidates[Int(first)].append((bytes, token))
    }
    for index in candidates.indices {
      candidates[index].sort { ($0.spelling.count, $1.token) > ($1.spelling.count, $0.token) }
    }
  }

  /// Calls `body` with the text parts (never empty) and special tokens of `text`, in order.
  func forEachPart(of text: UnsafeBufferPointer<UInt8>, _ body: (Part) -> Void) {
    var partStart = 0
    var position = 0
    while position < text.count {
      if let match = match(text, at: position) {
        if partStart < position { body(.text(partStart..<position)) }
        body(.special(match.token))
        position += match.length
        partStart = position
      } else {
        position += 1
      }
    }
    if partStart < text.count { body(.text(partStart..<text.count)) }
  }

  private func match(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> (token: Int32, length: Int)? {
    for candidate in candidates[Int(text[position])] {
      let end = position + candidate.spelling.count
      if end <= text.count, text[position..<end].elementsEqual(candidate.spelling) {
        return (candidate.token, candidate.spelling.count)
      }
    }
    return nil
  }
}
