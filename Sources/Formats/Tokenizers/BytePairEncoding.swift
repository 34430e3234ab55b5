// Byte-level byte-pair encoding (Sennrich, Haddow, Birch 2016; Radford et al. 2019): a piece of text starts as single
// bytes, and the pair of neighbours with the lowest rank is merged until no pair is in the table.
//
// Invariant: every byte has a token, so every byte string encodes, and decoding is concatenation. The value is immutable;
// encoders borrow scratch memory from a pool, so any number of threads may encode at once.

/// A byte-level BPE tokenizer: vocabulary, merges, splitting rule, special tokens.
public final class BytePairEncoding: Tokenizer {
  /// Where the ranks of merges come from.
  package enum Merges: Sendable {
    /// Pairs in order of rank; the result of each is the token with the joined bytes (Hugging Face).
    case list([(left: Int32, right: Int32)])
    /// Any two tokens whose joined bytes are a token merge, and the rank is its number (tiktoken).
    case vocabulary
  }

  public let splitRule: SplitRule
  public let specialTokens: [String: Int32]
  public let vocabularySize: Int
  public let endOfText: Int32?
  public let fingerprint: UInt64

  let model: ByteLevelModel
  /// Spelling of special tokens by number.
  private let specialSpellings: [Int32: [UInt8]]
  private let specialScanner: AddedTokenScanner
  private let pool = ScratchPool()

  var table: TokenTable { model.table }

  /// Makes a tokenizer.
  ///
  /// `tokens` are the byte strings of tokens 0, 1, 2, … (empty for a hole). Throws `FormatsError` where a byte has no
  /// token, a merge has no result, or a special token's number is taken.
  package convenience init(
    tokens: [[UInt8]], merges: Merges, splitRule: SplitRule, specialTokens: [String: Int32],
    takesWholePieces: Bool? = nil, endOfText: String? = nil
  ) throws(FormatsError) {
    // Holes at the end (special tokens that a file lists in its vocabulary as well) are no part of the table.
    let tokens = Array(tokens.prefix((tokens.lastIndex { !$0.isEmpty } ?? -1) + 1))
    let model = try ByteLevelModel(
      table: TokenTable(tokens), merges: merges, takesWholePieces: takesWholePieces)
    try self.init(model, splitRule: splitRule, specialTokens: specialTokens, endOfText: endOfText)
  }

  init(
    _ model: ByteLevelModel, splitRule: SplitRule, specialTokens: [String: Int32], endOfText: String? = nil
  ) throws(FormatsError) {
    for byte in 0..<256 where [UInt8(byte)].withUnsafeBytes({ model.table.token(of: $0) }) == nil {
      throw FormatsError(
        .malformed, "The vocabulary has no token for the byte \(byte); a byte-level vocabulary needs all 256.")
    }
    self.model = model
    self.splitRule = splitRule
    self.specialTokens = specialTokens
    var spellings: [Int32: [UInt8]] = [:]
    for (spelling, token) in specialTokens {
      guard token >= 0, !spelling.isEmpty else {
        throw FormatsError(.malformed, "Special token '\(spelling)' has number \(token): empty or negative.")
      }
      if Int(token) < model.table.count, !model.table[token].isEmpty, !model.table[token].elementsEqual(spelling.utf8) {
        throw FormatsError(.malformed, "Special token '\(spelling)' has number \(token), which another token has.")
      }
      spellings[token] = Array(spelling.utf8)
    }
    specialSpellings = spellings
    specialScanner = AddedTokenScanner(specialTokens)
    vocabularySize = max(model.table.count, (specialTokens.values.max().map { Int($0) } ?? -1) + 1)
    self.endOfText = Self.findEndOfText(specialTokens, preferred: endOfText)
    fingerprint = Self.fingerprint(model, splitRule, specialTokens)
  }

  /// The tokenizer without merges: one token per byte, then end of text.
  public static func bytes(splitRule: SplitRule = .gpt2) -> BytePairEncoding {
    // 256 single bytes satisfy every condition of the initialiser.
    try! BytePairEncoding(
      tokens: (0..<256).map { [UInt8($0)] }, merges: .list([]), splitRule: splitRule,
      specialTokens: [endOfTextSpelling: 256])
  }

  public func encode(_ text: UnsafeBufferPointer<UInt8>, specials: SpecialTokenHandling, into tokens: inout [Int32]) {
    pool.encode(into: &tokens) { scratch in
      if specials == .recognized, !specialTokens.isEmpty {
        specialScanner.forEachPart(of: text) { part in
          switch part {
          case .text(let range): model.encode(UnsafeBufferPointer(rebasing: text[range]), splitRule, scratch)
          case .token(let token): scratch.append(token)
          }
        }
      } else {
        model.encode(text, splitRule, scratch)
      }
    }
  }

  public func appendBytes(of token: Int32, to bytes: inout [UInt8]) {
    if let spelling = specialSpellings[token] {
      bytes.append(contentsOf: spelling)
    } else if token >= 0, Int(token) < table.count {
      bytes.append(contentsOf: table[token])
    }
  }

  static func findEndOfText(_ specials: [String: Int32], preferred: String?) -> Int32? {
    let usual = [
      preferred, endOfTextSpelling, "<|end_of_text|>", "<|eot_id|>", "<|im_end|>", "</s>", "<eos>",
      "<|end▁of▁sentence|>",
    ]
    for spelling in usual {
      if let spelling, let token = specials[spelling] { return token }
    }
    return nil
  }

  private static func fingerprint(
    _ model: ByteLevelModel, _ rule: SplitRule, _ specials: [String: Int32]
  ) -> UInt64 {
    var hash = Hashing.string("bpe \(rule.rawValue) \(model.takesWholePieces)")
    model.table.bytes.withUnsafeBytes { hash = Hashing.bytes($0, seed: hash) }
    model.table.offsets.withUnsafeBytes { hash = Hashing.bytes($0, seed: hash) }
    if case .list(let pairs) = model.merges {
      for pair in pairs { hash = Hashing.fold(hash, UInt64(UInt32(pair.left)) << 32 | UInt64(UInt32(pair.right))) }
    }
    for (spelling, token) in specials.sorted(by: { $0.value < $1.value }) {
      hash = Hashing.string(spelling, seed: hash ^ UInt64(token))
    }
    return hash
  }
}
