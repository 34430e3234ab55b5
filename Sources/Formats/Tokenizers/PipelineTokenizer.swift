// A tokenizer put together from parts, as tokenizer.json describes them: added tokens, normalizer, pre-tokenizer, model,
// post-processor, decoder. SentencePiece models and the tokenizers in GGUF files are made of the same parts.
//
// Invariant: encoding is what `tokenizers` does, part by part. Input that is not UTF-8 is repaired first, with U+FFFD for
// each maximal part of a character (as Python and Swift do) or, for SentencePiece, for each byte; only a byte-level model
// without normalizer takes it as it is.

/// A tokenizer made of parts; immutable, any number of threads may encode at once.
public final class PipelineTokenizer: Tokenizer {
  enum Decoding: Sendable {
    case chain([DecodingStep])
    case pieces(SentencePieceDecoding)
  }

  /// What a tokenizer is made of.
  struct Parts: Sendable {
    var added: [AddedToken] = []
    var normalizer: Normalizer?
    var preTokenizer: PreTokenizer?
    var model: any SubwordModel
    var postProcessor = PostProcessor()
    var decoding: Decoding
    /// How each token is spelled for the decoder; added tokens replace those of the same number.
    var spellings: [[UInt8]]
    var roles = TokenRoles()
    /// Whether the normalizer takes bytes that are not UTF-8.
    var repairsByteByByte = false
    /// Gives the tokenizer.json that all this was read from.
    var source: (@Sendable () -> [UInt8])?
  }

  public let vocabularySize: Int
  public let specialTokens: [String: Int32]
  public let roles: TokenRoles

  private let parts: Parts
  private let spellings: TokenTable
  private let skipped: Set<Int32>
  /// Added tokens to look for in the text as it is, and in the normalised one.
  private let rawScanner: AddedTokenScanner
  private let normalizedScanner: AddedTokenScanner
  private let byteModel: ByteLevelModel?
  private let onlyRule: SplitRule?
  private let pool = ScratchPool()

  init(_ parts: Parts) {
    var parts = parts
    var spellings = parts.spellings
    // What the normalised text is searched for is also what decoding shows. SentencePiece protects its tokens instead.
    var added = parts.added
    if case .sentencePiece = parts.normalizer {
    } else {
      for index in added.indices where added[index].isNormalized { parts.normalizer?.apply(&added[index].spelling) }
    }
    for token in added {
      let missing = Int(token.token) + 1 - spellings.count
      if missing > 0 { spellings += [[UInt8]](repeating: [], count: missing) }
      spellings[Int(token.token)] = token.spelling
    }
    parts.spellings = []  // the table has them
    self.parts = parts
    self.spellings = TokenTable(spellings)
    vocabularySize = spellings.count
    let specials = parts.added.filter { $0.isSpecial }
    specialTokens = Dictionary(
      parts.added.map { (String(decoding: $0.spelling, as: UTF8.self), $0.token) },
      uniquingKeysWith: { first, _ in first })
    skipped = Set(specials.map { $0.token })
    roles = parts.roles
    rawScanner = AddedTokenScanner(added.filter { !$0.isNormalized })
    normalizedScanner = AddedTokenScanner(added.filter { $0.isNormalized })
    byteModel = parts.model as? ByteLevelModel
    onlyRule = byteModel == nil ? nil : parts.preTokenizer?.onlyRule
  }

  public var fingerprint: UInt64 {
    var hash = parts.model.fingerprint
    for token in parts.added {
      hash = token.spelling.withUnsafeBytes { Hashing.bytes($0, seed: hash ^ UInt64(UInt32(bitPattern: token.token))) }
      hash = Hashing.string(
        "\(token.isSingleWord) \(token.stripsLeft) \(token.stripsRight) \(token.isNormalized)", seed: hash)
    }
    // These are values without identity; their description is all that encoding depends on.
    return Hashing.string(
      "\(String(describing: parts.normalizer)) \(String(describing: parts.preTokenizer))", seed: hash)
  }

  public var endOfText: Int32? { roles.endOfText }

  public func encode(_ text: UnsafeBufferPointer<UInt8>, specials: SpecialTokenHandling, into tokens: inout [Int32]) {
    pool.encode(into: &tokens) { scratch in
      let takesAnyBytes =
        onlyRule != nil && parts.normalizer == nil && byteModel?.isComplete == true || parts.repairsByteByByte
      if takesAnyBytes || UTF8Scan.isValid(text) {
        encode(text, specials == .recognized, scratch)
      } else {
        let repaired = Array(String(decoding: text, as: UTF8.self).utf8)
        repaired.withUnsafeBufferPointer { encode($0, specials == .recognized, scratch) }
      }
    }
  }

  private func encode(_ text: UnsafeBufferPointer<UInt8>, _ recognizes: Bool, _ scratch: EncodingScratch) {
    rawScanner.forEachPart(of: text, recognizesSpecials: recognizes) { part in
      switch part {
      case .token(let token): scratch.append(token)
      case .text(let range):
        encodePart(UnsafeBufferPointer(rebasing: text[range]), range.lowerBound == 0, recognizes, scratch)
      }
    }
  }

  private func encodePart(
    _ text: UnsafeBufferPointer<UInt8>, _ isFirst: Bool, _ recognizes: Bool, _ scratch: EncodingScratch
  ) {
    let isNormal = parts.normalizer.map { $0.keepsASCII && UTF8Scan.isASCII(text) } ?? true
    if isNormal, normalizedScanner.isEmpty, let byteModel, let onlyRule {
      byteModel.encode(text, onlyRule, scratch)
      return
    }
    var normalized = Array(text)
    if !isNormal { parts.normalizer?.apply(&normalized) }
    normalized.withUnsafeBufferPointer { buffer in
      normalizedScanner.forEachPart(of: buffer, recognizesSpecials: recognizes) { part in
        switch part {
        case .token(let token): scratch.append(token)
        case .text(let range):
          if let byteModel, let onlyRule {
            byteModel.encode(UnsafeBufferPointer(rebasing: buffer[range]), onlyRule, scratch)
          } else {
            var pieces = PieceList(
              range.count == buffer.count ? normalized : Array(buffer[range]), isFirst: isFirst && range.lowerBound == 0
            )
            parts.preTokenizer?.split(&pieces)
            encode(pieces, scratch)
          }
        }
      }
    }
  }

  private func encode(_ pieces: PieceList, _ scratch: EncodingScratch) {
    let model = parts.model
    pieces.bytes.withUnsafeBufferPointer { bytes in
      for piece in pieces.ranges where !piece.isEmpty {
        model.forEachPart(of: UnsafeBufferPointer(rebasing: bytes[piece])) { part in
          let start = piece.lowerBound + part.lowerBound
          let range = start..<start + part.count
          guard part.count <= PieceCache.longestPiece else {
            model.encode(UnsafeBufferPointer(rebasing: bytes[range]), scratch)
            return
          }
          let key = PieceCache.key(bytes.baseAddress! + start, part.count, bytes.count - start)
          if scratch.appendCached(key) { return }
          let first = scratch.count
          model.encode(UnsafeBufferPointer(rebasing: bytes[range]), scratch)
          scratch.remember(key, from: first)
        }
      }
    }
  }

  public func addSpecials(_ first: [Int32], _ second: [Int32]?) -> TokenizedText {
    parts.postProcessor.apply(first, second)
  }

  public func makeDecoder(skippingSpecials: Bool) -> any TokenDecoder {
    let skipped = skippingSpecials ? skipped : []
    switch parts.decoding {
    case .chain(let steps): return RememberingDecoder(ChainDecoder(steps, spellings: spellings, skipped: skipped))
    case .pieces(let decoding):
      return RememberingDecoder(SentencePieceDecoder(decoding, spellings: spellings, skipped: skipped))
    }
  }

  /// The bytes of a token in the middle of a text. Where they depend on what follows, those at the end of a text.
  public func appendBytes(of token: Int32, to bytes: inout [UInt8]) {
    guard token >= 0, Int(token) < spellings.count else { return }
    let spelling = Array(spellings[token])
    switch parts.decoding {
    case .pieces(let decoding): bytes.append(contentsOf: decoding.bytes(of: token, spelling))
    case .chain(let steps):
      if let byte = DecodingState.byte(spelling), steps.contains(where: { $0.decodesBytes }) {
        bytes.append(byte)
        return
      }
      // A token before it takes what decoders do only at the beginning.
      var decoder = ChainDecoder(steps, spellings: TokenTable([[UInt8(ascii: "x")], spelling]), skipped: [])
      var text: [UInt8] = []
      decoder.push(0, into: &text)
      decoder.push(1, into: &text)
      decoder.finish(into: &text)
      bytes.append(contentsOf: text.dropFirst())
    }
  }

  /// The text of the tokenizer.json that this was read from, if it was.
  var source: [UInt8]? { parts.source?() }
}
