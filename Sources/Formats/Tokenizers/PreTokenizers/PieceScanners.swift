// The scanners of the splitting rules: from the start of a piece to its end, in one pass, without a regex engine.
//
// Shared by all: a run of whitespace gives its last character to the word that follows it (`\s+(?!\S)`), and an
// apostrophe with an English ending is a piece. Case-insensitive `s` also matches U+017F (long s), as Unicode's simple
// case folding has it.

/// A text with the classes of its characters.
struct TextCursor {
  let text: UnsafePointer<UInt8>
  let end: Int
  let ascii: UnsafePointer<UInt8>

  /// The class of the character at `position` and its length in bytes.
  @inline(__always)
  func character(_ position: Int) -> (kind: UInt8, length: Int) {
    let byte = text[position]
    if byte < 0x80 { return (ascii[Int(byte)], 1) }
    let (value, length) = UTF8Scan.scalar(text, position, end)
    return (CharacterClasses.of(value), length)
  }

  /// The end of the run of characters with one of the classes in `mask`.
  @inline(__always)
  func run(from start: Int, of mask: UInt8) -> Int {
    var position = start
    while position < end {
      let (kind, length) = character(position)
      if kind & mask == 0 { break }
      position += length
    }
    return position
  }

  /// The end of the run of characters with none of the classes in `mask`.
  @inline(__always)
  func run(from start: Int, without mask: UInt8) -> Int {
    var position = start
    while position < end {
      let (kind, length) = character(position)
      if kind & mask != 0 { break }
      position += length
    }
    return position
  }

  /// The end of at most `limit` characters with one of the classes in `mask`.
  @inline(__always)
  func run(from start: Int, of mask: UInt8, limit: Int) -> Int {
    var position = start
    var count = 0
    while position < end, count < limit {
      let (kind, length) = character(position)
      if kind & mask == 0 { break }
      position += length
      count += 1
    }
    return position
  }

  /// The end of an apostrophe and English ending (`'s 't 're 've 'm 'll 'd`) at `position`, or nil.
  @inline(__always)
  func contraction(_ position: Int, anyCase: Bool) -> Int? {
    guard position + 1 < end, text[position] == UInt8(ascii: "'") else { return nil }
    let fold: UInt8 = anyCase ? 0x20 : 0
    let second = text[position + 1]
    switch second | (second < 0x80 ? fold : 0) {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return position + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return position + 2 < end && text[position + 2] | fold == UInt8(ascii: "e") ? position + 3 : nil
    case UInt8(ascii: "l"):
      return position + 2 < end && text[position + 2] | fold == UInt8(ascii: "l") ? position + 3 : nil
    case 0xC5 where anyCase: return position + 2 < end && text[position + 2] == 0xBF ? position + 3 : nil
    default: return nil
    }
  }

  /// The end of a whitespace piece by `\s+(?!\S)|\s+`.
  @inline(__always)
  func whitespace(_ start: Int) -> Int {
    var position = start
    var last = start
    while position < end {
      let (kind, length) = character(position)
      if kind & CharacterClass.space == 0 { return last > start ? last : position }
      last = position
      position += length
    }
    return position
  }

  /// The end of a whitespace piece by `\s*[\r\n]+|\s+(?!\S)|\s+`; with `keepsFinalSpace`, by
  /// `\s++$|\s*[\r\n]|\s+(?!\S)|\s`.
  @inline(__always)
  func whitespaceByLines(_ start: Int, keepsFinalSpace: Bool) -> Int {
    var position = start
    var last = start
    var afterNewline = start
    while position < end {
      let (kind, length) = character(position)
      if kind & CharacterClass.space == 0 {
        if afterNewline > start { return afterNewline }
        return last > start ? last : position
      }
      last = position
      position += length
      if kind & CharacterClass.newline != 0 { afterNewline = position }
    }
    return afterNewline > start && !keepsFinalSpace ? afterNewline : position
  }
}

/// Finds where a piece ends.
protocol PieceScanner {
  /// The end of the piece that starts at `start < cursor.end`; always past `start`.
  func pieceEnd(_ cursor: TextCursor, _ start: Int) -> Int
}

private let wordMask = CharacterClass.letter | CharacterClass.number | CharacterClass.space

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
struct GPT2Scanner: PieceScanner {
  @inline(__always)
  func pieceEnd(_ cursor: TextCursor, _ start: Int) -> Int {
    if let end = cursor.contraction(start, anyCase: false) { return end }
    var position = start
    if cursor.text[start] == UInt8(ascii: " "), start + 1 < cursor.end { position += 1 }
    let (kind, length) = cursor.character(position)
    if kind & CharacterClass.letter != 0 { return cursor.run(from: position + length, of: CharacterClass.letter) }
    if kind & CharacterClass.number != 0 { return cursor.run(from: position + length, of: CharacterClass.number) }
    if kind & CharacterClass.space == 0 { return cursor.run(from: position + length, without: wordMask) }
    return cursor.whitespace(start)
  }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|` and whitespace.
struct GPT4Scanner: PieceScanner {
  let digits: Int
  let keepsFinalSpace: Bool

  @inline(__always)
  func pieceEnd(_ cursor: TextCursor, _ start: Int) -> Int {
    if let end = cursor.contraction(start, anyCase: true) { return end }
    let (kind, length) = cursor.character(start)
    var position = start + length
    if kind & CharacterClass.letter != 0 { return cursor.run(from: position, of: CharacterClass.letter) }
    if kind & CharacterClass.number != 0 {
      return cursor.run(from: position, of: CharacterClass.number, limit: digits - 1)
    }
    if kind & CharacterClass.newline == 0, position < cursor.end {
      let (next, nextLength) = cursor.character(position)
      if next & CharacterClass.letter != 0 {
        return cursor.run(from: position + nextLength, of: CharacterClass.letter)
      }
      if kind & CharacterClass.space != 0 {
        guard cursor.text[start] == UInt8(ascii: " "), next & wordMask == 0 else {
          return cursor.whitespaceByLines(start, keepsFinalSpace: keepsFinalSpace)
        }
        position += nextLength
      }
    } else if kind & CharacterClass.space != 0 {
      return cursor.whitespaceByLines(start, keepsFinalSpace: keepsFinalSpace)
    }
    position = cursor.run(from: position, without: wordMask)
    return cursor.run(from: position, of: CharacterClass.newline)
  }
}

/// The GPT-4o rule (`SplitRule.o200k.pattern`): words are cut where a capital follows a small letter.
struct GPT4oScanner: PieceScanner {
  /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` and `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
  private static let head = CharacterClass.upper | CharacterClass.uncased | CharacterClass.mark
  private static let tail = CharacterClass.lower | CharacterClass.uncased | CharacterClass.mark

  @inline(__always)
  func pieceEnd(_ cursor: TextCursor, _ start: Int) -> Int {
    let (kind, length) = cursor.character(start)
    if let end = word(cursor, start, kind, length) { return cursor.contraction(end, anyCase: true) ?? end }
    let position = start + length
    if kind & CharacterClass.number != 0 { return cursor.run(from: position, of: CharacterClass.number, limit: 2) }
    if kind & CharacterClass.space == 0 { return afterSymbols(cursor, position) }
    if cursor.text[start] == UInt8(ascii: " "), position < cursor.end {
      let (next, nextLength) = cursor.character(position)
      if next & wordMask == 0 { return afterSymbols(cursor, position + nextLength) }
    }
    return cursor.whitespaceByLines(start, keepsFinalSpace: false)
  }

  /// `[^\s\p{L}\p{N}]*[\r\n/]*`
  private func afterSymbols(_ cursor: TextCursor, _ start: Int) -> Int {
    var position = cursor.run(from: start, without: wordMask)
    while position < cursor.end,
      [UInt8(ascii: "\r"), UInt8(ascii: "\n"), UInt8(ascii: "/")].contains(cursor.text[position])
    {
      position += 1
    }
    return position
  }

  /// The two word alternatives without their ending, with the backtracking of the expression worked out.
  private func word(_ cursor: TextCursor, _ start: Int, _ kind: UInt8, _ length: Int) -> Int? {
    let isPrefix = kind & (CharacterClass.letter | CharacterClass.number | CharacterClass.newline) == 0
    let first = isPrefix ? start + length : start
    var position = first
    var afterLastTail = first  // the end of the last character of the head run that could also be a tail
    while position < cursor.end {
      let (kind, length) = cursor.character(position)
      if kind & Self.head == 0 {
        if kind & Self.tail != 0 { return cursor.run(from: position, of: Self.tail) }
        break
      }
      position += length
      if kind & Self.tail != 0 { afterLastTail = position }
    }
    if afterLastTail > first { return afterLastTail }
    if isPrefix, kind & CharacterClass.mark != 0 { return first }  // the prefix itself is a word of one mark
    return position > first ? position : nil
  }
}
