// Text out of tokens, one token at a time, without ever showing half a character.
//
// Invariant: the concatenation of everything returned equals `decode` of all tokens. Bytes are held back only while they
// can still become a character: a prefix of a valid UTF-8 sequence (Unicode 16, table 3-7), at most three bytes. Decoders
// of some files hold back a little more (see `DecodingStep`).

/// Decodes a growing sequence of tokens into printable pieces.
public struct StreamingDecoder: Sendable {
  private var decoder: any TokenDecoder
  private var pending: [UInt8] = []

  /// - Parameters:
  ///   - skippingSpecials: leave special tokens out of the text.
  ///   - prompt: tokens whose text is known already. What follows them keeps the space in front, which decoders take away
  ///     at the beginning of a text.
  public init(_ tokenizer: any Tokenizer, skippingSpecials: Bool = false, after prompt: [Int32] = []) {
    decoder = tokenizer.makeDecoder(skippingSpecials: skippingSpecials)
    var known: [UInt8] = []
    for token in prompt { decoder.push(token, into: &known) }
  }

  /// The text that `token` completes; empty while a character is still open.
  public mutating func push(_ token: Int32) -> String {
    decoder.push(token, into: &pending)
    let complete = pending.count - Self.openTail(pending)
    guard complete > 0 else { return "" }
    let text = String(decoding: pending[..<complete], as: UTF8.self)
    pending.removeFirst(complete)
    return text
  }

  /// What is left at the end: what a decoder holds back, U+FFFD for an unfinished character, or nothing.
  public mutating func finish() -> String {
    decoder.finish(into: &pending)
    let text = String(decoding: pending, as: UTF8.self)
    pending = []
    return text
  }

  /// The number of last bytes that are the beginning of a character whose rest has not come yet.
  static func openTail(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let lead = bytes[bytes.count - length]
      if lead & 0xC0 == 0x80 { continue }  // a continuation byte: look further left
      let needed =
        switch lead {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 1
        }
      guard needed > length else { return 0 }
      if length > 1 {  // the second byte has a narrower range after some leads
        let second = bytes[bytes.count - length + 1]
        let allowed: ClosedRange<UInt8> =
          switch lead {
          case 0xE0: 0xA0...0xBF
          case 0xED: 0x80...0x9F
          case 0xF0: 0x90...0xBF
          case 0xF4: 0x80...0x8F
          default: 0x80...0xBF
          }
        if !allowed.contains(second) { return 0 }
      }
      return length
    }
    return 0
  }
}
