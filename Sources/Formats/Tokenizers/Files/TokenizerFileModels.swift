// From the contents of a tokenizer.json to a tokenizer.

internal import Core

extension TokenizerFileContents {
  /// - Parameters:
  ///   - roles: what the files around this one say about tokens.
  ///   - source: gives the text of this file, so that the tokenizer can be written as it was.
  func tokenizer(_ roles: NamedRoles, _ source: @escaping @Sendable () -> [UInt8]) throws(FormatsError) -> any Tokenizer
  {
    if let characters = characterTokenizer() { return characters }
    let isByteLevel = modelType == "BPE" && worksOnBytes
    let preTokenizer = try TokenizerFileParts.preTokenizer(preTokenizer, spellsBytes: !isByteLevel)
    let normalizer = try TokenizerFileParts.normalizer(normalizer)
    let postProcessor = try TokenizerFileParts.postProcessor(postProcessor)
    let decoder = try TokenizerFileParts.decoder(decoder)
    let spellings = try tokens()
    let model: any SubwordModel
    if isByteLevel, let bytes = try byteLevelModel() {
      if let rule = preTokenizer?.onlyRule, bytes.isComplete, normalizer == nil,
        postProcessor == PostProcessor(), isPlain(decoder),
        added.allSatisfy({ $0.isSpecial && !$0.isSingleWord && !$0.stripsLeft && !$0.stripsRight })
      {
        return try BytePairEncoding(
          bytes, splitRule: rule, specialTokens: specialTokens, endOfText: roles.endOfText)
      }
      model = bytes
    } else {
      model = try otherModel(TokenTable(spellings))
    }
    var parts = PipelineTokenizer.Parts(
      added: added, normalizer: normalizer,
      preTokenizer: isByteLevel && !(model is ByteLevelModel)
        ? try TokenizerFileParts.preTokenizer(self.preTokenizer, spellsBytes: true) : preTokenizer,
      model: model, postProcessor: postProcessor, decoding: .chain(decoder), spellings: spellings)
    parts.source = source
    let size = max(spellings.count, (added.map { Int($0.token) }.max() ?? -1) + 1)
    guard postProcessor.tokens.allSatisfy({ (0..<size).contains(Int($0)) }) else {
      throw FormatsError(.malformed, "Its post-processor adds a token that is not among the \(size) of the vocabulary.")
    }
    parts.roles = roles.resolved(TokenTable(spellings), added, unknown: self.model["unk_token"]?.string)
    return PipelineTokenizer(parts)
  }

  private func isPlain(_ decoder: [DecodingStep]) -> Bool {
    if case .byteLevel = decoder.first, decoder.count == 1 { return true }
    return self.decoder == .null
  }

  private var specialTokens: [String: Int32] {
    Dictionary(
      added.map { (String(decoding: $0.spelling, as: UTF8.self), $0.token) }, uniquingKeysWith: { first, _ in first })
  }

  /// Whether bytes are what the model sees: ByteLevel is the last pre-tokenizer, and nothing else is asked of the model.
  private var worksOnBytes: Bool {
    let last = preTokenizer["pretokenizers"]?.array?.last ?? preTokenizer
    guard TokenizerFileParts.type(last) == "ByteLevel", model["byte_fallback"]?.bool != true else { return false }
    return ["continuing_subword_prefix", "end_of_word_suffix", "unk_token"].allSatisfy {
      (model[$0]?.string ?? "").isEmpty
    }
  }

  /// The vocabulary as bytes; nil where a token is not spelled in the byte alphabet.
  private func byteLevelModel() throws(FormatsError) -> ByteLevelModel? {
    try refuseDropout()
    let specials = Set(added.map { $0.spelling })
    var tokens = try self.tokens()
    for token in tokens.indices where !tokens[token].isEmpty {
      if specials.contains(tokens[token]) {
        tokens[token] = []
        continue
      }
      var bytes: [UInt8] = []
      guard tokens[token].withUnsafeBufferPointer({ ByteAlphabet.decode($0, into: &bytes) }) else { return nil }
      tokens[token] = bytes
    }
    // Holes at the end are the numbers of special tokens, and no part of the table.
    let table = TokenTable(Array(tokens.prefix((tokens.lastIndex { !$0.isEmpty } ?? -1) + 1)))
    var pairs: [(left: Int32, right: Int32)] = []
    pairs.reserveCapacity(merges.count)
    func half(_ range: Range<Int>) throws(FormatsError) -> Int32 {
      var bytes: [UInt8] = []
      _ = self[range].withUnsafeBufferPointer { ByteAlphabet.decode($0, into: &bytes) }
      guard let token = bytes.withUnsafeBytes({ table.token(of: $0) }) else { throw missing(range) }
      return token
    }
    for merge in merges { pairs.append((try half(merge.left), try half(merge.right))) }
    return try ByteLevelModel(
      table: table, merges: .list(pairs), takesWholePieces: model["ignore_merges"]?.bool ?? false)
  }

  private func missing(_ range: Range<Int>) -> FormatsError {
    FormatsError(.malformed, "A merge uses '\(string(range))', which is not in the vocabulary.")
  }

  private func refuseDropout() throws(FormatsError) {
    guard model["dropout"]?.double ?? 0 == 0 else {
      throw FormatsError(.unsupported, "Its model has dropout, which makes encoding random; set it to null.")
    }
  }

  private func otherModel(_ table: TokenTable) throws(FormatsError) -> any SubwordModel {
    let unknown = model["unk_token"]?.string.flatMap { table.token(spelled: $0) }
    switch modelType {
    case "BPE": return try characterPairs(table, unknown)
    case "Unigram":
      guard scores.count == vocabulary.count, scores.allSatisfy({ $0.isFinite }) else {
        throw FormatsError(.malformed, "Its Unigram model has \(vocabulary.count) pieces, but \(scores.count) scores.")
      }
      let unknown = model["unk_id"]?.integer
      guard vocabulary.indices.contains(unknown ?? 0) else {
        throw FormatsError(.malformed, "Its unknown token has the number \(unknown ?? 0), which no piece has.")
      }
      var settings = UnigramModel.Settings(lowest: scores.min() ?? 0)
      settings.fallback.unknown = unknown.map { Int32($0) }
      settings.fallback.fusesUnknown = true
      if model["byte_fallback"]?.bool == true { settings.fallback.bytes = Fallback.byteTokens(in: table) }
      return UnigramModel(table: table, scores: scores, settings: settings)
    case "WordPiece":
      guard let unknown else {
        throw FormatsError(.malformed, "Its WordPiece model lacks the token for unknown words.")
      }
      return WordPieceModel(
        table: table, unknown: unknown, prefix: Array((model["continuing_subword_prefix"]?.string ?? "##").utf8),
        longestWord: model["max_input_chars_per_word"]?.integer ?? 100)
    case "WordLevel": return WordLevelModel(table: table, unknown: unknown)
    default:
      throw FormatsError(
        .unsupported,
        "Its model is of the kind \(modelType), which is not supported; BPE, Unigram, WordPiece and WordLevel are.")
    }
  }

  private func characterPairs(_ table: TokenTable, _ unknown: Int32?) throws(FormatsError) -> CharacterPairModel {
    try refuseDropout()
    var settings = CharacterPairModel.Settings()
    settings.continuingPrefix = Array((model["continuing_subword_prefix"]?.string ?? "").utf8)
    settings.endSuffix = Array((model["end_of_word_suffix"]?.string ?? "").utf8)
    settings.takesWholePieces = model["ignore_merges"]?.bool ?? false
    settings.fallback.unknown = unknown
    settings.fallback.fusesUnknown = model["fuse_unk"]?.bool ?? false
    if model["byte_fallback"]?.bool == true { settings.fallback.bytes = Fallback.byteTokens(in: table) }
    var list: [(left: Int32, right: Int32, result: Int32)] = []
    list.reserveCapacity(merges.count)
    var joined: [UInt8] = []
    for merge in merges {
      guard let left = self[merge.left].withUnsafeBytes({ table.token(of: $0) }) else { throw missing(merge.left) }
      guard let right = self[merge.right].withUnsafeBytes({ table.token(of: $0) }) else { throw missing(merge.right) }
      joined.removeAll(keepingCapacity: true)
      joined.append(contentsOf: self[merge.left])
      joined.append(contentsOf: self[merge.right].dropFirst(settings.continuingPrefix.count))
      guard let result = joined.withUnsafeBytes({ table.token(of: $0) }) else {
        throw FormatsError(
          .malformed, "A merge makes '\(String(decoding: joined, as: UTF8.self))', which is not in the vocabulary.")
      }
      list.append((left, right, result))
    }
    return CharacterPairModel(table: table, merges: list, settings: settings)
  }

  /// Our own tokenizer of single characters, if this is the file of one.
  private func characterTokenizer() -> CharacterTokenizer? {
    guard modelType == "WordLevel", preTokenizer["pattern"]?["Regex"]?.string == TokenizerFile.characterPattern,
      normalizer == .null
    else { return nil }
    let specials = specialTokens
    var characters: [(scalar: Unicode.Scalar, token: Int)] = []
    for entry in vocabulary {
      let spelling = string(entry.spelling)
      if specials[spelling] != nil { continue }
      guard spelling.unicodeScalars.count == 1 else { return nil }
      characters.append((spelling.unicodeScalars.first!, entry.token))
    }
    let tokenizer = CharacterTokenizer(characters: characters.map { $0.scalar })
    let isSame = characters.allSatisfy {
      (0..<tokenizer.characters.count).contains($0.token) && tokenizer.characters[$0.token] == $0.scalar
    }
    return isSame && tokenizer.specialTokens == specials ? tokenizer : nil
  }
}

extension Fallback {
  /// The tokens `<0x00>` ... `<0xFF>`, if a vocabulary has them all.
  static func byteTokens(in table: TokenTable) -> [Int32]? {
    let tokens = (0..<256).compactMap { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return table.token(spelled: "<0x\(digits.count == 1 ? "0" : "")\(digits)>")
    }
    return tokens.count == 256 ? tokens : nil
  }
}
