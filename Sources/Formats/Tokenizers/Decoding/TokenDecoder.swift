// Text out of tokens, one token at a time: what every tokenizer's decoder can do.

/// The state of decoding one text. The bytes of all calls, one after the other, are the decoded text.
public protocol TokenDecoder: Sendable {
  /// Appends the bytes that are certain once `token` is known, perhaps none.
  mutating func push(_ token: Int32, into bytes: inout [UInt8])
  /// Appends what was held back, when no token follows.
  mutating func finish(into bytes: inout [UInt8])
}

/// Decoding by concatenation: the bytes of each token as they are.
struct ConcatenatingDecoder: TokenDecoder {
  let tokenizer: any Tokenizer
  let skipped: Set<Int32>

  mutating func push(_ token: Int32, into bytes: inout [UInt8]) {
    if !skipped.contains(token) { tokenizer.appendBytes(of: token, to: &bytes) }
  }

  mutating func finish(into bytes: inout [UInt8]) {}
}
