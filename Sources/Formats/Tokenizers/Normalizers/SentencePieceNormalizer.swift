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
    output.reserveCapacity(text.count + text.count / 2 + 8)
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
    if addsDummyPrefix, !spaceIsSuffix { appendSpace(to: &output) }
    var followsSpace = removesExtraSpaces
    var characters: [UInt8] = []
    while position < text.count {
      if isKept(text, position) {  // what most text is made of
        if text[position] != 0x20 {
          output.append(text[position])
          followsSpace = false
        } else if !followsSpace {
          appendSpace(to: &output)
          followsSpace = removesExtraSpaces
        }
        position += 1
        continue
      }
      characters.removeAll(keepingCapacity: true)
      position += step(text, position, &characters)
      var isAtStart = true
      for byte in characters {
        if byte != 0x20 {
          output.append(byte)
        } else if isAtStart, followsSpace {
          continue
        } else {
          appendSpace(to: &output)
        }
        isAtStart = false
      }
      if !isAtStart { followsSpace = removesExtraSpaces && characters.last == 0x20 }
    }
    if removesExtraSpaces {
      let space = escapesSpaces ? Self.space : [0x20]
      while output.count >= space.count, output.suffix(space.count).elementsEqual(space) {
        output.removeLast(space.count)
      }
    }
    if addsDummyPrefix, spaceIsSuffix { appendSpace(to: &output) }
  }

  @inline(__always)
  private func appendSpace(to output: inout [UInt8]) {
    if escapesSpaces {
      output.append(0xE2)
      output.append(0x96)
      output.append(0x81)
    } else {
      output.append(0x20)
    }
  }

  /// Whether the byte at `position` is a character that stands for itself.
  @inline(__always)
  private func isKept(_ text: UnsafeBufferPointer<UInt8>, _ position: Int) -> Bool {
    if protected != nil { return false }
    guard let map else { return text[position] < 0x80 }
    return map.keeps(text, position)
  }

  /// Appends what stands at `position`, normalised but with plain spaces, and returns how many bytes were read.
  private func step(_ text: UnsafeBufferPointer<UInt8>, _ position: Int, _ output: inout [UInt8]) -> Int {
    if let length = protected?.longestMatch(text, from: position)?.length {
      output.append(contentsOf: text[position..<position + length])
      return length
    }
    if let length = map?.appendLongestMatch(text, from: position, to: &output) { return length }
    let (value, length) = UTF8Scan.scalar(text.baseAddress!, position, text.count)
    if length == 1, value < 0x80 {
      output.append(text[position])
    } else {
      UTF8Scan.append(value, to: &output)  // U+FFFD for a byte that is not UTF-8
    }
    return length
  }
}
