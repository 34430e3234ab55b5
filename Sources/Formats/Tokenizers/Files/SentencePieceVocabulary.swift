// A SentencePiece model as values, wherever they were read from, and the tokenizer that it makes.
//
// Both of its algorithms are here: Unigram over the whole normalised text, and BPE that merges by score.

struct SentencePieceVocabulary {
  /// Kinds of pieces, with their numbers in files (the same in `.model` and in GGUF).
  enum Kind: Int, Sendable {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  enum Algorithm: Sendable {
    case unigram, bytePairs
  }

  var pieces: [[UInt8]] = []
  var scores: [Float] = []
  var kinds: [Kind] = []
  var algorithm = Algorithm.unigram
  var normalizer = SentencePieceNormalizer()
  var usesByteFallback = false
  /// Whether pieces of the user are found by the normalizer, as SentencePiece does, or in the text before it.
  var protectsUserPieces = true
  var postProcessor = PostProcessor()
  var roles = TokenRoles()
  var unknownSurface = SentencePieceDecoding().unknownSurface

  func tokenizer() throws(FormatsError) -> PipelineTokenizer {
    precondition(
      pieces.count == scores.count && pieces.count == kinds.count,
      "\(pieces.count) pieces, \(scores.count) scores, \(kinds.count) kinds")
    guard !pieces.isEmpty else { throw FormatsError(.empty, "It has no pieces.") }
    var fallback = Fallback(unknown: kinds.firstIndex(of: .unknown).map { Int32($0) })
    fallback.fusesUnknown = true
    var bytes: [Int32: UInt8] = [:]
    for index in pieces.indices where kinds[index] == .byte {
      guard let byte = DecodingState.byte(pieces[index]) else {
        throw FormatsError(
          .malformed, "The byte piece '\(String(decoding: pieces[index], as: UTF8.self))' is not spelled <0x00>.")
      }
      bytes[Int32(index)] = byte
    }
    if usesByteFallback {
      guard let tokens = Fallback.byteTokens(in: TokenTable(pieces)), bytes.count == 256 else {
        throw FormatsError(.malformed, "It falls back to bytes, but has \(bytes.count) byte pieces instead of 256.")
      }
      fallback.bytes = tokens
    }
    var normalizer = normalizer
    let added = addedTokens(&normalizer)
    var decoding = SentencePieceDecoding()
    decoding.stripsFirstSpace = normalizer.addsDummyPrefix || normalizer.removesExtraSpaces
    decoding.stripsAllFirstSpaces = normalizer.removesExtraSpaces
    decoding.unknown = fallback.unknown
    decoding.unknownSurface = unknownSurface
    decoding.bytes = bytes
    var parts = PipelineTokenizer.Parts(
      added: added, normalizer: .sentencePiece(normalizer), model: model(fallback), postProcessor: postProcessor,
      decoding: .pieces(decoding), spellings: pieces)
    parts.roles = roles
    parts.repairsByteByByte = true
    return PipelineTokenizer(parts)
  }

  /// Control pieces by their spelling where specials are recognised; pieces of the user always, whole.
  private func addedTokens(_ normalizer: inout SentencePieceNormalizer) -> [AddedToken] {
    var added: [AddedToken] = []
    var protected: [(bytes: [UInt8], token: Int32)] = []
    for index in pieces.indices where !pieces[index].isEmpty {
      let token = Int32(index)
      switch kinds[index] {
      case .control: added.append(AddedToken(spelling: pieces[index], token: token))
      case .userDefined:
        if protectsUserPieces {
          protected.append((pieces[index], token))
          if algorithm == .unigram { continue }  // there they are pieces with a very good score
        }
        added.append(
          AddedToken(spelling: pieces[index], token: token, isNormalized: protectsUserPieces, isSpecial: false))
      default: break
      }
    }
    if !protected.isEmpty { normalizer.protected = PieceTrie(protected) }
    return added
  }

  private func model(_ fallback: Fallback) -> any SubwordModel {
    var table = pieces
    switch algorithm {
    case .bytePairs:
      for index in table.indices where kinds[index] != .normal && kinds[index] != .userDefined { table[index] = [] }
      var settings = CharacterPairModel.Settings()
      settings.fallback = fallback
      return CharacterPairModel(table: TokenTable(table), scores: scores, settings: settings)
    case .unigram:
      var scores = scores.map { Double($0) }
      for index in table.indices {
        switch kinds[index] {
        case .normal: break
        case .userDefined: scores[index] = Double(Float(0.1 * Double(table[index].count - 1)))
        default: table[index] = []
        }
      }
      let lowest = kinds.indices.filter { kinds[$0] == .normal }.map { scores[$0] }.min() ?? 0
      let settings = UnigramModel.Settings(lowest: lowest, addsFloats: true, fallback: fallback)
      return UnigramModel(table: TokenTable(table), scores: scores, settings: settings)
    }
  }
}
