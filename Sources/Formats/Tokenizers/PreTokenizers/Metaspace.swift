// SentencePiece's way with spaces as a pre-tokenizer: a space is written as a visible character (U+2581), each word begins
// with one, and the text is cut before them.

struct Metaspace: Sendable {
  /// Which pieces get the character in front.
  enum Prepending: String, Sendable {
    case always, first, never
  }

  var replacement: [UInt8] = SentencePieceNormalizer.space
  var prepends = Prepending.always
  var splits = true

  func split(_ pieces: inout PieceList) {
    let isFirst = pieces.isFirst
    PreTokenizer.rewrite(&pieces) { piece, start, output in
      let begin = output.count
      for byte in piece {
        if byte == 0x20 { output.append(contentsOf: replacement) } else { output.append(byte) }
      }
      let prependsHere = prepends == .always || prepends == .first && isFirst && start == 0
      if prependsHere, !output[begin...].starts(with: replacement) {
        output.insert(contentsOf: replacement, at: begin)
      }
    }
    guard splits else { return }
    var ranges: [Range<Int>] = []
    ranges.reserveCapacity(pieces.bytes.count / 4)
    pieces.bytes.withUnsafeBufferPointer { bytes in
      for piece in pieces.ranges {
        // A replacement belongs to what follows it, unless that is a replacement, too.
        var start = piece.lowerBound
        var position = start
        while position < piece.upperBound {
          if matches(bytes, position, piece.upperBound) {
            if start < position { ranges.append(start..<position) }
            start = position
            position += replacement.count
          } else {
            position += 1
          }
        }
        if start < position { ranges.append(start..<position) }
      }
    }
    pieces.ranges = ranges
  }

  @inline(__always)
  private func matches(_ text: UnsafeBufferPointer<UInt8>, _ position: Int, _ end: Int) -> Bool {
    guard text[position] == replacement[0], position + replacement.count <= end else { return false }
    for index in 1..<replacement.count where text[position + index] != replacement[index] { return false }
    return true
  }
}
