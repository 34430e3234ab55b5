// Tokens that are found by their spelling before a text is cut and encoded: leftmost first, the longest of those that
// start at one place.

/// A token with a spelling of its own, outside the model's vocabulary or above it.
struct AddedToken: Sendable, Equatable {
  var spelling: [UInt8]
  var token: Int32
  /// Only where it touches no letter, digit or underscore on either side.
  var isSingleWord = false
  /// Takes the whitespace on its left, or right, with it.
  var stripsLeft = false
  var stripsRight = false
  /// Looked for in the normalised text instead of the text as it is.
  var isNormalized = false
  /// Left out by decoding that skips specials; encoded only where specials are recognised.
  var isSpecial = true
}

/// Cuts texts at added tokens.
struct AddedTokenScanner: Sendable {
  enum Part {
    case text(Range<Int>)
    case token(Int32)
  }

  private let tokens: [AddedToken]
  private let trie: PieceTrie
  private let hasOnlySpecials: Bool

  var isEmpty: Bool { tokens.isEmpty }

  /// - Parameter tokens: their spellings as they stand in the texts that will be scanned.
  init(_ tokens: [AddedToken]) {
    self.tokens = tokens
    trie = PieceTrie(tokens.enumerated().lazy.map { (bytes: $0.element.spelling, token: Int32($0.offset)) })
    hasOnlySpecials = tokens.allSatisfy { $0.isSpecial }
  }

  init(_ specials: [String: Int32]) {
    self.init(
      specials.sorted { $0.value < $1.value }.map { AddedToken(spelling: Array($0.key.utf8), token: $0.value) })
  }

  /// Calls `body` with the text parts (never empty) and tokens of `text`, in order.
  func forEachPart(
    of text: UnsafeBufferPointer<UInt8>, recognizesSpecials: Bool = true, _ body: (Part) -> Void
  ) {
    if tokens.isEmpty || hasOnlySpecials && !recognizesSpecials {
      if !text.isEmpty { body(.text(0..<text.count)) }
      return
    }
    var partStart = 0
    var position = 0
    while position < text.count {
      guard let match = trie.longestMatch(text, from: position) else {
        position += 1
        continue
      }
      let token = tokens[Int(match.token)]
      var (start, end) = (position, position + match.length)
      position = end
      if token.isSpecial, !recognizesSpecials { continue }
      if token.isSingleWord, Self.isWord(text, before: start) || Self.isWord(text, at: end) { continue }
      if token.stripsLeft { start = max(partStart, Self.spaceStart(text, before: start)) }
      if token.stripsRight { end = Self.spaceEnd(text, after: end) }
      // What the token before has taken on its right may reach over this one.
      guard end >= partStart else { continue }
      if partStart < start { body(.text(partStart..<start)) }
      body(.token(token.token))
      partStart = end
    }
    if partStart < text.count { body(.text(partStart..<text.count)) }
  }

  private static let word = ScalarSet(ScalarSet.rustWord)

  private static func character(
    _ text: UnsafeBufferPointer<UInt8>, before position: Int
  ) -> (value: UInt32, start: Int)? {
    guard position > 0 else { return nil }
    var start = position - 1
    while start > 0, text[start] & 0xC0 == 0x80, position - start < 4 { start -= 1 }
    let (value, length) = UTF8Scan.scalar(text.baseAddress!, start, text.count)
    return start + length == position ? (value, start) : (UTF8Scan.replacement, position - 1)
  }

  private static func isWord(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> Bool {
    character(text, before: position).map { word.contains($0.value) } ?? false
  }

  private static func isWord(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> Bool {
    position < text.count && word.contains(UTF8Scan.scalar(text.baseAddress!, position, text.count).value)
  }

  private static func spaceStart(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> Int {
    var start = position
    while let last = character(text, before: start), CharacterClasses.of(last.value) & CharacterClass.space != 0 {
      start = last.start
    }
    return start
  }

  private static func spaceEnd(_ text: UnsafeBufferPointer<UInt8>, after position: Int) -> Int {
    guard let base = text.baseAddress else { return position }
    return TextCursor(text: base, end: text.count, ascii: CharacterClasses.ascii)
      .run(from: position, of: CharacterClass.space)
  }
}
