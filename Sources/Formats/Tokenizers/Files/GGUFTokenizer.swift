// The tokenizer in the metadata of a GGUF file (`tokenizer.ggml.*`): SentencePiece BPE (`llama`), byte-level BPE (`gpt2`),
// WordPiece (`bert`) and SentencePiece Unigram (`t5`).
//
// Keys and defaults are those of llama.cpp, whose test texts all of this is checked with.

package enum GGUFTokenizer {
  /// Makes the tokenizer that the metadata describe.
  package static func read(metadata: [String: GGUFValue]) throws(FormatsError) -> any Tokenizer {
    try Reader(metadata: metadata).tokenizer()
  }

  private struct Reader {
    typealias Kind = SentencePieceVocabulary.Kind

    let metadata: [String: GGUFValue]

    private func value(_ name: String) -> GGUFValue? { metadata["tokenizer.ggml." + name] }
    private func flag(_ name: String) -> Bool? { value(name)?.bool }

    private func array<Element>(
      _ name: String, _ read: (GGUFArray) throws -> [Element]
    ) throws(FormatsError) -> [Element]? {
      guard let value = value(name) else { return nil }
      var reason = "it is no list"
      do {
        if let array = value.array { return try read(array) }
      } catch { reason = "\(error)" }
      throw FormatsError(.malformed, "Its 'tokenizer.ggml.\(name)' cannot be used: \(reason)")
    }

    func tokenizer() throws(FormatsError) -> any Tokenizer {
      guard let kind = value("model")?.string else {
        throw FormatsError(.missing, "It has no tokenizer (tokenizer.ggml.model); give one with --tokenizer.")
      }
      guard let tokens = try array("tokens", { try $0.strings() }), !tokens.isEmpty else {
        throw FormatsError(.malformed, "Its tokenizer has no tokens (tokenizer.ggml.tokens).")
      }
      let pieces = tokens.map { Array($0.utf8) }
      let types = try array("token_type") { try $0.integers() } ?? []
      let scores = try array("scores") { try $0.doubles() } ?? []
      guard types.isEmpty || types.count == pieces.count, scores.isEmpty || scores.count == pieces.count else {
        throw FormatsError(
          .malformed, "Its \(pieces.count) tokens have \(types.count) types and \(scores.count) scores.")
      }
      var kinds = types.map { Kind(rawValue: $0) ?? .normal }
      if kinds.isEmpty { kinds = [Kind](repeating: .normal, count: pieces.count) }
      switch kind {
      case "llama", "t5": return try sentencePiece(pieces, kinds, scores, isUnigram: kind == "t5")
      case "gpt2", "gemma4": return try bytePairs(pieces, kinds, kind == "gemma4" ? "gemma4" : nil)
      case "bert": return try wordPieces(pieces, kinds)
      default:
        throw FormatsError(
          .unsupported, "Its tokenizer is of the kind '\(kind)'; llama, gpt2, bert and t5 are supported.")
      }
    }

    private func token(_ name: String, _ count: Int, default number: Int? = nil) -> Int32? {
      guard let token = value(name + "_token_id")?.integer ?? number, (0..<count).contains(token) else { return nil }
      return Int32(token)
    }

    /// Roles, with numbers that are customary where the file does not say.
    private func roles(_ count: Int, begin: Int? = nil, end: Int? = nil, unknown: Int? = nil) -> TokenRoles {
      var roles = TokenRoles()
      roles.beginOfText = token("bos", count, default: begin)
      roles.endOfText = token("eos", count, default: end)
      roles.unknown = token("unknown", count, default: unknown)
      roles.padding = token("padding", count)
      roles.mask = token("mask", count)
      roles.endOfAnswer = Set([roles.endOfText, token("eot", count), token("eom", count)].compactMap { $0 })
      return roles
    }

    private func postProcessor(_ roles: TokenRoles, begin: Bool, end: Bool) -> PostProcessor {
      PostProcessor(
        before: flag("add_bos_token") ?? begin ? roles.beginOfText.map { [$0] } ?? [] : [],
        after: flag("add_eos_token") ?? end ? roles.endOfText.map { [$0] } ?? [] : [])
    }

    /// Control tokens, and those of the user, which are always found.
    private func added(_ pieces: [[UInt8]], _ kinds: [Kind]) -> [AddedToken] {
      pieces.indices.compactMap { index in
        guard kinds[index] == .control || kinds[index] == .userDefined, !pieces[index].isEmpty else { return nil }
        return AddedToken(
          spelling: pieces[index], token: Int32(index), isSpecial: kinds[index] == .control)
      }
    }

    private func sentencePiece(
      _ pieces: [[UInt8]], _ kinds: [Kind], _ scores: [Double], isUnigram: Bool
    ) throws(FormatsError) -> any Tokenizer {
      guard scores.count == pieces.count else { throw FormatsError(.malformed, "Its tokens have no scores.") }
      var vocabulary = SentencePieceVocabulary()
      vocabulary.pieces = pieces
      vocabulary.kinds = kinds
      vocabulary.scores = scores.map { Float($0) }
      vocabulary.algorithm = isUnigram ? .unigram : .bytePairs
      vocabulary.usesByteFallback = kinds.filter { $0 == .byte }.count == 256
      vocabulary.protectsUserPieces = isUnigram
      vocabulary.normalizer.addsDummyPrefix = flag("add_space_prefix") ?? true
      vocabulary.normalizer.removesExtraSpaces = flag("remove_extra_whitespaces") ?? false
      if let map = try array("precompiled_charsmap", { try $0.integers() }), !map.isEmpty {
        vocabulary.normalizer.map = try CharacterMap(map.map { UInt8(truncatingIfNeeded: $0) })
      }
      vocabulary.roles =
        isUnigram ? roles(pieces.count, end: 1, unknown: 2) : roles(pieces.count, begin: 1, end: 2, unknown: 0)
      vocabulary.postProcessor = postProcessor(vocabulary.roles, begin: !isUnigram, end: isUnigram)
      return try vocabulary.tokenizer()
    }

    private func bytePairs(
      _ pieces: [[UInt8]], _ kinds: [Kind], _ pre: String?
    ) throws(FormatsError) -> any Tokenizer {
      let split = try GGUFTextSplit.named(pre ?? value("pre")?.string ?? "default")
      guard let merges = try array("merges", { try $0.strings() }) else {
        throw FormatsError(.malformed, "Its tokenizer has no merges (tokenizer.ggml.merges).")
      }
      let table = TokenTable(pieces)
      var pairs: [(left: Int32, right: Int32, result: Int32)] = []
      pairs.reserveCapacity(merges.count)
      for merge in merges {
        let utf8 = Array(merge.utf8)
        guard let space = utf8.dropFirst().firstIndex(of: 0x20),
          let left = utf8[..<space].withUnsafeBytes({ table.token(of: $0) }),
          let right = utf8[(space + 1)...].withUnsafeBytes({ table.token(of: $0) }),
          let result = (utf8[..<space] + utf8[(space + 1)...]).withUnsafeBytes({ table.token(of: $0) })
        else {
          throw FormatsError(.malformed, "Its merge '\(merge)' is not two tokens that make a third.")
        }
        pairs.append((left, right, result))
      }
      let roles = roles(pieces.count)
      var parts = PipelineTokenizer.Parts(
        added: added(pieces, kinds), preTokenizer: .sequence(split.steps),
        model: try model(pieces, kinds, pairs, split),
        postProcessor: postProcessor(roles, begin: split.addsBegin, end: false),
        decoding: .chain([.byteLevel]), spellings: pieces)
      if !split.isByteLevel {
        parts.normalizer = .replace(.literal([0x20]), with: SentencePieceNormalizer.space)
        parts.decoding = .chain(
          [.replace(.literal(SentencePieceNormalizer.space), with: [0x20]), .byteFallback, .fuse])
      }
      parts.roles = roles
      return PipelineTokenizer(parts)
    }

    private func model(
      _ pieces: [[UInt8]], _ kinds: [Kind], _ pairs: [(left: Int32, right: Int32, result: Int32)],
      _ split: GGUFTextSplit
    ) throws(FormatsError) -> any SubwordModel {
      guard split.isByteLevel else {
        var settings = CharacterPairModel.Settings()
        let table = TokenTable(pieces)
        settings.fallback.bytes = Fallback.byteTokens(in: table)
        settings.fallback.unknown = token("unknown", pieces.count)
        return CharacterPairModel(table: table, merges: pairs, settings: settings)
      }
      var tokens: [[UInt8]] = []
      tokens.reserveCapacity(pieces.count)
      for index in pieces.indices {
        var bytes: [UInt8] = []
        let isSpelled = pieces[index].withUnsafeBufferPointer { ByteAlphabet.decode($0, into: &bytes) }
        guard kinds[index] == .normal else {
          tokens.append([])
          continue
        }
        // A token that the alphabet does not spell can be made by no text.
        tokens.append(isSpelled ? bytes : [])
      }
      return try ByteLevelModel(
        table: TokenTable(tokens), merges: .list(pairs.map { ($0.left, $0.right) }),
        takesWholePieces: split.takesWholePieces)
    }

    /// Words begin with U+2581 here; other models spell what continues a word with `##` instead.
    private func wordPieces(_ pieces: [[UInt8]], _ kinds: [Kind]) throws(FormatsError) -> any Tokenizer {
      let spellings = pieces.indices.map { index -> [UInt8] in
        if kinds[index] != .normal { return pieces[index] }
        if pieces[index].starts(with: SentencePieceNormalizer.space) {
          return Array(pieces[index].dropFirst(SentencePieceNormalizer.space.count))
        }
        return Array("##".utf8) + pieces[index]
      }
      let table = TokenTable(spellings)
      var roles = roles(pieces.count, begin: 101, end: 102, unknown: 100)
      let end = token("seperator", pieces.count) ?? token("separator", pieces.count) ?? roles.endOfText
      roles.endOfText = end
      guard let unknown = roles.unknown else {
        throw FormatsError(.malformed, "Its WordPiece tokenizer has no token for unknown words.")
      }
      let first = flag("add_bos_token") ?? true ? token("cls", pieces.count) ?? roles.beginOfText : nil
      let begin = first.map { [$0] } ?? []
      let ends = end.map { [$0] } ?? []
      let normalizer = BertNormalizer(
        stripsAccents: flag("normalizer.strip_accents") ?? true, lowercases: flag("normalizer.lowercase") ?? true)
      var parts = PipelineTokenizer.Parts(
        added: added(pieces, kinds), normalizer: .bert(normalizer), preTokenizer: .bert,
        model: WordPieceModel(table: table, unknown: unknown, prefix: Array("##".utf8), longestWord: .max),
        postProcessor: PostProcessor(
          single: [.special(begin, type: 0), .first(type: 0), .special(ends, type: 0)],
          pair: [
            .special(begin, type: 0), .first(type: 0), .special(ends, type: 0), .second(type: 1),
            .special(ends, type: 1),
          ]),
        decoding: .chain([.wordPiece(prefix: Array("##".utf8), cleansUp: true)]), spellings: spellings)
      parts.roles = roles
      return PipelineTokenizer(parts)
    }
  }
}
