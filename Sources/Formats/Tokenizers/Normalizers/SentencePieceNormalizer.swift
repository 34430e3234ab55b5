// Normalisation as SentencePiece does it before segmentation (its normalizer.cc gives the rules): the character map by
// longest match, spaces collapsed and written as U+2581, one put in front.

struct SentencePieceNormalizer: Sendable {
  var map: CharacterMap?
  /// A space in front (or behind, with `spaceIsSuffix`), so that the first word looks like the others.
  var addsDummyPrefix = true
  var removesExtraSpaces = true
  var escapesSpaces = true
  var spaceIsSuffix = false
  /// Pieces that are kept as they are spelled.
  var protected: PieceTrie?

  /// The bytes of U+2581, which stands for a space in pieces.
  static let space: [UInt8] = [0xE2, 0x96, 0x81]

  /// Normalises; each byte that is not UTF-8 becomes U+FFFD.
  func apply(_ text: inout [UInt8]) {
    guard !text.isEmpty else { return }
    var output: [UInt8] = []
    output.reserveCapacity(text.count + text.count / 4 + 8)
    text.withUnsafeBufferPointer { normalize($0, into: &output) }
    text = output
  }

  private func normalize(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    var position = 0
    if removesExtraSpaces {
      while position < text.count {
        let length = step(text, position, &output)
        let isSpace = output.elementsEqual([0x20])
        output.removeAll(keepingCapacity: true)
        guard isSpace else { break }
        position += length
      }
      if position == text.count { return }
    }
    let space = escapesSpaces ? Self.space : [0x20]
    if addsDummyPrefix, !spaceIsSuffix { output.append(contentsOf: space) }
    var followsSpace = removesExtraSpaces
    while position < text.count {
      let start = output.count
      position += step(text, position, &output)
      let end = output.count
      if end == start { continue }
      if end == start + 1, output[start] != 0x20 {  // what most text is made of
        followsSpace = false
      } else {
        let dropped = followsSpace ? output[start...].prefix { $0 == 0x20 }.count : 0
        let kept = Array(output[(start + dropped)...])
        output.removeLast(end - start)
        for byte in kept {
          if byte == 0x20 { output.append(contentsOf: space) } else { output.append(byte) }
        }
        if let last = kept.last { followsSpace = last == 0x20 }
      }
      if !removesExtraSpaces { followsSpace = false }
    }
    if removesExtraSpaces {
      while output.count >= space.count, output.suffix(space.count).elementsEqual(space) {
        output.removeLast(space.count)
      }
    }
    if addsDummyPrefix, spaceIsSuffix { output.append(contentsOf: space) }
  }

  /// Appends what stands at `position`, normalised but with plain spaces, and returns how many bytes were read.
  private func step(_ text: UnsafeBufferPointer<UInt8>, _ position: Int, _ output: inout [UInt8]) -> Int {
    if let length = protected?.longestMatch(text, from: position)?.length {
      output.append(contentsOf: text[position..<position + length])
      return length
    }
    if let match = map?.longestMatch(text, from: position) {
      output.append(contentsOf: match.replacement)
      return match.length
    }
    let (value, length) = UTF8Scan.scalar(text.baseAddress!, position, text.count)
    if length == 1, value < 0x80 {
      output.append(text[position])
    } else {
      UTF8Scan.append(value, to: &output)  // U+FFFD for a byte that is not UTF-8
    }
    return length
  }
}
