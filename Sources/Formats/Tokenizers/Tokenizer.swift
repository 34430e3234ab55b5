// What every tokenizer can do: bytes to integers and back.
//
// Invariant: decoding what was encoded gives the same bytes (a character tokenizer replaces what it does not know). Text
// is bytes here, since models meet invalid UTF-8; strings are a convenience on top.

/// What to do with the spelling of a special token, such as `<|endoftext|>`, in a text.
public enum SpecialTokenHandling: Sendable {
  /// It is ordinary text. Right for anything that comes from outside.
  case asText
  /// It becomes the special token. Right for templates that we write ourselves.
  case recognized
}

/// Turns text into token numbers `0 ..< vocabularySize` and back.
public protocol Tokenizer: Sendable {
  /// One more than the largest token number.
  var vocabularySize: Int { get }
  /// The spelling and number of each special token.
  var specialTokens: [String: Int32] { get }
  /// The special token between documents, if there is one.
  var endOfText: Int32? { get }
  /// Equal for tokenizers that encode every text alike; changes with vocabulary, merges, splitting rule or specials.
  var fingerprint: UInt64 { get }

  /// Appends the tokens of UTF-8 `text`. Bytes that are not valid UTF-8 are allowed.
  func encode(_ text: UnsafeBufferPointer<UInt8>, specials: SpecialTokenHandling, into tokens: inout [Int32])

  /// Appends the bytes that `token` stands for: nothing for a number that is not in the vocabulary.
  func appendBytes(of token: Int32, to bytes: inout [UInt8])
}

extension Tokenizer {
  /// The tokens of a string.
  public func encode(_ text: String, specials: SpecialTokenHandling = .asText) -> [Int32] {
    var text = text
    return text.withUTF8 { utf8 in
      var tokens: [Int32] = []
      tokens.reserveCapacity(utf8.count / 3 + 4)
      encode(utf8, specials: specials, into: &tokens)
      return tokens
    }
  }

  /// The tokens of bytes.
  public func encode(_ bytes: [UInt8], specials: SpecialTokenHandling = .asText) -> [Int32] {
    bytes.withUnsafeBufferPointer { buffer in
      var tokens: [Int32] = []
      encode(buffer, specials: specials, into: &tokens)
      return tokens
    }
  }

  /// The exact bytes of a sequence of tokens; special tokens appear as their spelling.
  public func decodeBytes(_ tokens: some Sequence<Int32>) -> [UInt8] {
    var bytes: [UInt8] = []
    for token in tokens { appendBytes(of: token, to: &bytes) }
    return bytes
  }

  /// The text of a sequence of tokens; what is not valid UTF-8 becomes U+FFFD.
  public func decode(_ tokens: some Sequence<Int32>) -> String {
    String(decoding: decodeBytes(tokens), as: UTF8.self)
  }

  /// The special token of this spelling.
  public func specialToken(_ spelling: String) -> Int32? { specialTokens[spelling] }
}

/// The usual spelling of the token between documents.
package let endOfTextSpelling = "<|endoftext|>"
