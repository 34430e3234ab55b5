// tokenizer.json, the format of Hugging Face's `tokenizers`: byte-level BPE with a known splitting rule, and our character
// tokenizer (as WordLevel over single characters). Anything else is refused, naming the part that is not supported.
//
// What a post-processor would add around a text (a begin token, for one) is not part of encoding here; templates do that.

internal import Core

/// Reads and writes tokenizer.json.
public enum TokenizerFile {
  /// The pattern that takes a text apart into single characters.
  static let characterPattern = #"[\s\S]"#

  /// Reads the tokenizer of a file, or of the `tokenizer.json` in a folder; a file named `.tiktoken` is read as one.
  /// - Parameter splitRule: how a `.tiktoken` file's text is cut, which it does not say itself.
  public static func read(path: String, splitRule: SplitRule = .gpt2) throws(FormatsError) -> any Tokenizer {
    if path.hasSuffix(".tiktoken") { return try TiktokenFile.read(path: path, splitRule: splitRule) }
    let file = try FormatsError.wrappingFile { () throws(FileError) in
      do throws(FileError) { return try MappedFile(path: path) } catch {
        guard error.code == .isDirectory else { throw error }
        return try MappedFile(path: path + "/tokenizer.json")
      }
    }
    do throws(FormatsError) {
      return try TokenizerFileContents(file.text).tokenizer()
    } catch {
      throw FormatsError(error.code, "Cannot use the tokenizer '\(file.path)': \(error.message)", cause: error)
    }
  }

  /// Writes a tokenizer so that this library and Hugging Face's read it and encode alike.
  public static func write(_ tokenizer: any Tokenizer, to path: String) throws(FormatsError) {
    let json: [UInt8]
    switch tokenizer {
    case let tokenizer as BytePairEncoding: json = try TokenizerFileText.text(of: tokenizer)
    case let tokenizer as CharacterTokenizer: json = TokenizerFileText.text(of: tokenizer)
    default:
      throw FormatsError(.unsupported, "A \(type(of: tokenizer)) cannot be written as tokenizer.json.")
    }
    try FormatsError.wrappingFile { () throws(FileError) in
      let file = try AtomicFile(path: path)
      try file.write(json)
      try file.commit()
    }
  }

  /// Writes the tokenizer_config.json that makes `transformers` load the tokenizer.json beside it.
  public static func writeConfiguration(_ tokenizer: any Tokenizer, to path: String) throws(FormatsError) {
    var members = [#""tokenizer_class": "PreTrainedTokenizerFast""#, #""clean_up_tokenization_spaces": false"#]
    if let end = tokenizer.endOfText, let spelling = tokenizer.specialTokens.first(where: { $0.value == end })?.key {
      members.append("\"eos_token\": \(JSONText.string(spelling))")
    }
    if tokenizer is CharacterTokenizer {
      members.append("\"unk_token\": \(JSONText.string(CharacterTokenizer.unknownSpelling))")
    }
    let text = "{\n  " + members.joined(separator: ",\n  ") + "\n}\n"
    try FormatsError.wrappingFile { () throws(FileError) in try AtomicFile.write(text, to: path) }
  }
}

/// The parts of a tokenizer.json that matter, as they stand in the file.
private struct TokenizerFileContents {
  private var modelType = "BPE"
  /// Bytes of all entries one after the other, as spelled.
  private var spellings: [UInt8] = []
  private var vocabulary: [(spelling: Range<Int>, token: Int)] = []
  /// The two halves of each merge, as spelled.
  private var merges: [(left: Range<Int>, right: Range<Int>)] = []
  private var added: [JSONValue] = []
  private var normalizer = JSONValue.null
  private var preTokenizer = JSONValue.null
  private var decoder = JSONValue.null
  private var model: [String: JSONValue] = [:]

  private static let maximumToken = 1 << 24

  init(_ text: UnsafeBufferPointer<UInt8>) throws(FormatsError) {
    var reader = JSONReader(text)
    var contents = TokenizerFileContents()
    try reader.object { (reader, name) throws(FormatsError) in
      switch name {
      case "model":
        try reader.object { (reader, name) throws(FormatsError) in
          switch name {
          case "vocab": try contents.readVocabulary(&reader, text)
          case "merges": try contents.readMerges(&reader, text)
          default: contents.model[name] = try reader.value()
          }
        }
      case "added_tokens": contents.added = try reader.value().array ?? []
      case "normalizer": contents.normalizer = try reader.value()
      case "pre_tokenizer": contents.preTokenizer = try reader.value()
      case "decoder": contents.decoder = try reader.value()
      default: try reader.skip()
      }
    }
    try reader.end()
    self = contents
  }

  private init() {}

  private mutating func store(
    _ reader: inout JSONReader, _ text: UnsafeBufferPointer<UInt8>
  ) throws(FormatsError) -> Range<Int> {
    var buffer: [UInt8] = []
    let start = spellings.count
    if let range = try reader.stringBytes(into: &buffer) {
      spellings.append(contentsOf: text[range])
    } else {
      spellings.append(contentsOf: buffer)
    }
    return start..<spellings.count
  }

  private mutating func readVocabulary(
    _ reader: inout JSONReader, _ text: UnsafeBufferPointer<UInt8>
  ) throws(FormatsError) {
    guard try reader.kind() == .object else { throw unsupported("a vocabulary that is not an object (Unigram)") }
    try reader.members { (reader) throws(FormatsError) in
      try store(&reader, text)
    } value: { (reader, spelling) throws(FormatsError) in
      let token = try reader.integer()
      guard (0..<Self.maximumToken).contains(token) else { throw reader.error("token number \(token) is impossible") }
      vocabulary.append((spelling, token))
    }
  }

  private mutating func readMerges(
    _ reader: inout JSONReader, _ text: UnsafeBufferPointer<UInt8>
  ) throws(FormatsError) {
    try reader.array { (reader) throws(FormatsError) in
      if try reader.kind() == .array {  // ["a", "b"]; older files have "a b"
        var halves: [Range<Int>] = []
        try reader.array { (reader) throws(FormatsError) in halves.append(try store(&reader, text)) }
        guard halves.count == 2 else { throw reader.error("a merge does not have two halves") }
        merges.append((halves[0], halves[1]))
      } else {
        let both = try store(&reader, text)
        guard let space = spellings[both].firstIndex(of: 0x20) else {
          throw reader.error("a merge does not have two halves")
        }
        merges.append((both.lowerBound..<space, space + 1..<both.upperBound))
      }
    }
  }

  func tokenizer() throws(FormatsError) -> any Tokenizer {
    let type = model["type"]?.string ?? "BPE"
    guard normalizer == .null else { throw unsupported("the normalizer \(Self.type(normalizer))") }
    switch type {
    case "BPE": return try bytePairEncoding()
    case "WordLevel": return try characterTokenizer()
    default: throw unsupported("the model \(type)")
    }
  }

  private func bytePairEncoding() throws(FormatsError) -> BytePairEncoding {
    for name in ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"] {
      let value = model[name] ?? .null
      guard value == .null || value == .string("") else { throw unsupported("the setting \(name) of the model") }
    }
    guard model["byte_fallback"]?.bool != true else { throw unsupported("byte_fallback (SentencePiece models)") }
    guard decoder == .null || Self.type(decoder) == "ByteLevel" else {
      throw unsupported("the decoder \(Self.type(decoder))")
    }
    let rule = try splitRule()
    let specials = try specialTokens()
    let size = (vocabulary.map { $0.token }.max() ?? -1) + 1
    guard size <= vocabulary.count * 2 + 1024 else { throw unsupported("a vocabulary with large gaps") }
    var tokens = [[UInt8]](repeating: [], count: size)
    for entry in vocabulary {
      var bytes: [UInt8] = []
      let isSpelled = spellings.withUnsafeBufferPointer {
        ByteAlphabet.decode(UnsafeBufferPointer(rebasing: $0[entry.spelling]), into: &bytes)
      }
      let spelling = String(decoding: spellings[entry.spelling], as: UTF8.self)
      if specials[spelling] == Int32(entry.token) { continue }
      guard isSpelled else { throw unsupported("the token '\(spelling)', which is not byte-level") }
      guard tokens[entry.token].isEmpty else {
        throw FormatsError(.malformed, "the number \(entry.token) belongs to two tokens.")
      }
      tokens[entry.token] = bytes
    }
    let table = TokenTable(tokens)
    var pairs: [(left: Int32, right: Int32)] = []
    pairs.reserveCapacity(merges.count)
    for merge in merges { pairs.append((try half(merge.left, table), try half(merge.right, table))) }
    return try BytePairEncoding(
      tokens: tokens, merges: .list(pairs), splitRule: rule, specialTokens: specials,
      takesWholePieces: model["ignore_merges"]?.bool ?? false)
  }

  private func half(_ range: Range<Int>, _ table: TokenTable) throws(FormatsError) -> Int32 {
    var bytes: [UInt8] = []
    let isSpelled = spellings.withUnsafeBufferPointer {
      ByteAlphabet.decode(UnsafeBufferPointer(rebasing: $0[range]), into: &bytes)
    }
    guard isSpelled, let token = bytes.withUnsafeBytes({ table.token(of: $0) }) else {
      let spelling = String(decoding: spellings[range], as: UTF8.self)
      throw FormatsError(.malformed, "a merge uses '\(spelling)', which is not in the vocabulary.")
    }
    return token
  }

  private func specialTokens() throws(FormatsError) -> [String: Int32] {
    var specials: [String: Int32] = [:]
    for token in added {
      guard let content = token["content"]?.string, let number = token["id"]?.integer,
        (0..<Self.maximumToken).contains(number)
      else { throw FormatsError(.malformed, "an added token lacks its content or number.") }
      for flag in ["single_word", "lstrip", "rstrip"] where token[flag]?.bool == true {
        throw unsupported("\(flag) of the added token '\(content)'")
      }
      specials[content] = Int32(number)
    }
    return specials
  }

  private func splitRule() throws(FormatsError) -> SplitRule {
    func byteLevel(_ part: JSONValue) throws(FormatsError) -> Bool {
      guard part["add_prefix_space"]?.bool != true else { throw unsupported("add_prefix_space") }
      return part["use_regex"]?.bool ?? true
    }
    if Self.type(preTokenizer) == "ByteLevel" {
      guard try byteLevel(preTokenizer) else { throw unsupported("a pre-tokenizer without a splitting rule") }
      return .gpt2
    }
    guard Self.type(preTokenizer) == "Sequence", let parts = preTokenizer["pretokenizers"]?.array, parts.count == 2,
      Self.type(parts[0]) == "Split", Self.type(parts[1]) == "ByteLevel", try !byteLevel(parts[1])
    else { throw unsupported("the pre-tokenizer \(Self.describe(preTokenizer))") }
    guard parts[0]["behavior"]?.string == "Isolated", parts[0]["invert"]?.bool != true else {
      throw unsupported("the behaviour of the Split pre-tokenizer")
    }
    let pattern = parts[0]["pattern"]?["Regex"]?.string ?? ""
    guard let rule = SplitRule(pattern: pattern) else { throw unsupported("the splitting pattern \(pattern)") }
    return rule
  }

  private func characterTokenizer() throws(FormatsError) -> CharacterTokenizer {
    guard Self.type(preTokenizer) == "Split",
      preTokenizer["pattern"]?["Regex"]?.string == TokenizerFile.characterPattern
    else { throw unsupported("a WordLevel model that is not one of single characters") }
    let specials = try specialTokens()
    var characters: [(scalar: Unicode.Scalar, token: Int)] = []
    for entry in vocabulary {
      let spelling = String(decoding: spellings[entry.spelling], as: UTF8.self)
      if specials[spelling] != nil { continue }
      guard spelling.unicodeScalars.count == 1 else { throw unsupported("the word '\(spelling)' of a WordLevel model") }
      characters.append((spelling.unicodeScalars.first!, entry.token))
    }
    let tokenizer = CharacterTokenizer(characters: characters.map { $0.scalar })
    let isSame = characters.allSatisfy {
      (0..<tokenizer.characters.count).contains($0.token) && tokenizer.characters[$0.token] == $0.scalar
    }
    guard isSame, tokenizer.specialTokens == specials else { throw unsupported("characters that are not in order") }
    return tokenizer
  }

  private func unsupported(_ what: String) -> FormatsError {
    FormatsError(
      .unsupported, "\(what) is not supported; byte-level BPE of GPT-2, GPT-4, Llama 3 or Qwen 2 is, and characters.")
  }

  private static func type(_ part: JSONValue) -> String { part["type"]?.string ?? "none" }

  private static func describe(_ part: JSONValue) -> String {
    let parts = part["pretokenizers"]?.array?.map { type($0) } ?? []
    return parts.isEmpty ? type(part) : "\(type(part))[\(parts.joined(separator: ", "))]"
  }
}
