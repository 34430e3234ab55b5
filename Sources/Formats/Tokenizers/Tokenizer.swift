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
  /// The tokens with a part to play, as far as the tokenizer names them.
  var roles: TokenRoles { get }
  /// Equal for tokenizers that encode every text alike; changes with vocabulary, merges, splitting rule or specials.
  var fingerprint: UInt64 { get }

  /// Appends the tokens of UTF-8 `text`. Bytes that are not valid UTF-8 are allowed.
  func encode(_ text: UnsafeBufferPointer<UInt8>, specials: SpecialTokenHandling, into tokens: inout [Int32])

  /// Appends the bytes that `token` stands for: nothing for a number that is not in the vocabulary.
  func appendBytes(of token: Int32, to bytes: inout [UInt8])

  /// Puts the special tokens around a text, or two texts, that the model was trained with: begin and end, `[CLS]` and
  /// `[SEP]`. Without such tokens the texts follow each other.
  func addSpecials(_ first: [Int32], _ second: [Int32]?) -> TokenizedText

  /// A decoder for one text.
  /// - Parameter skippingSpecials: leave special tokens out.
  func makeDecoder(skippingSpecials: Bool) -> any TokenDecoder
}

/// The tokens that play a part in what a model reads and writes.
public struct TokenRoles: Sendable, Equatable {
  /// Stands before a text (`bos`, or `[CLS]`).
  public var beginOfText: Int32?
  /// Stands after a text (`eos`, or `[SEP]`).
  public var endOfText: Int32?
  /// Stands for what no token covers.
  public var unknown: Int32?
  /// Fills shorter texts of a batch up.
  public var padding: Int32?
  /// Stands for a word to be guessed.
  public var mask: Int32?
  /// All tokens that end a model's answer; `endOfText` is one of them if there is one.
  public var endOfAnswer: Set<Int32> = []

  public init() {}
}

extension Tokenizer {
  public var roles: TokenRoles {
    var roles = TokenRoles()
    roles.endOfText = endOfText
    if let endOfText { roles.endOfAnswer = [endOfText] }
    return roles
  }

  /// The tokens of a string.
  /// - Parameter addingSpecials: put the begin and end tokens around it that the model was trained with.
  public func encode(
    _ text: String, specials: SpecialTokenHandling = .asText, addingSpecials: Bool = false
  ) -> [Int32] {
    var text = text
    return text.withUTF8 { utf8 in
      var tokens: [Int32] = []
      tokens.reserveCapacity(utf8.count / 3 + 4)
      encode(utf8, specials: specials, into: &tokens)
      return addingSpecials ? addSpecials(tokens, nil).tokens : tokens
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

  /// Two texts for a model that compares them, with the special tokens around them.
  public func encodePair(_ first: String, _ second: String) -> TokenizedText {
    addSpecials(encode(first), encode(second))
  }

  public func addSpecials(_ first: [Int32], _ second: [Int32]?) -> TokenizedText {
    PostProcessor().apply(first, second)
  }

  public func makeDecoder(skippingSpecials: Bool) -> any TokenDecoder {
    ConcatenatingDecoder(tokenizer: self, skipped: skippingSpecials ? Set(specialTokens.values) : [])
  }

  /// The exact bytes of a sequence of tokens; special tokens appear as their spelling unless they are skipped.
  public func decodeBytes(_ tokens: some Sequence<Int32>, skippingSpecials: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = []
    var decoder = makeDecoder(skippingSpecials: skippingSpecials)
    // An array, whose elements cost no call each.
    for token in Array(tokens) { decoder.push(token, into: &bytes) }
    decoder.finish(into: &bytes)
    return bytes
  }

  /// The text of a sequence of tokens; what is not valid UTF-8 becomes U+FFFD.
  public func decode(_ tokens: some Sequence<Int32>, skippingSpecials: Bool = false) -> String {
    String(decoding: decodeBytes(tokens, skippingSpecials: skippingSpecials), as: UTF8.self)
  }

  /// The special token of this spelling.
  public func specialToken(_ spelling: String) -> Int32? { specialTokens[spelling] }
}

/// The usual spelling of the token between documents.
package let endOfTextSpelling = "<|endoftext|>"
