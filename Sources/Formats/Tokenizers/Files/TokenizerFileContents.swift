// A tokenizer.json as it stands in the file: vocabulary and merges as bytes, everything else as values.
//
// Vocabularies have up to a quarter of a million entries, so their spellings share one array instead of being Strings.

internal import Core

struct TokenizerFileContents {
  /// Bytes of all entries one after the other, as spelled.
  private var spellings: [UInt8] = []
  private(set) var vocabulary: [(spelling: Range<Int>, token: Int)] = []
  /// The score of each entry, where the vocabulary is a list with scores (Unigram).
  private(set) var scores: [Double] = []
  /// The two halves of each merge, as spelled.
  private(set) var merges: [(left: Range<Int>, right: Range<Int>)] = []
  private(set) var hasMerges = false
  private(set) var added: [AddedToken] = []
  private(set) var normalizer = JSONValue.null
  private(set) var preTokenizer = JSONValue.null
  private(set) var postProcessor = JSONValue.null
  private(set) var decoder = JSONValue.null
  /// The settings of the model, without vocabulary and merges.
  private(set) var model = JSONValue.null

  static let maximumToken = 1 << 24

  init(_ text: UnsafeBufferPointer<UInt8>) throws(FormatsError) {
    var reader = JSONReader(text)
    var contents = TokenizerFileContents()
    var settings = JSONObject()
    try reader.object { (reader, name) throws(FormatsError) in
      switch name {
      case "model":
        try reader.object { (reader, name) throws(FormatsError) in
          switch name {
          case "vocab": try contents.readVocabulary(&reader, text)
          case "merges": try contents.readMerges(&reader, text)
          default: settings[name] = try reader.value()
          }
        }
      case "added_tokens": contents.added = try Self.addedTokens(try reader.value())
      case "normalizer": contents.normalizer = try reader.value()
      case "pre_tokenizer": contents.preTokenizer = try reader.value()
      case "post_processor": contents.postProcessor = try reader.value()
      case "decoder": contents.decoder = try reader.value()
      default: try reader.skip()
      }
    }
    try reader.end()
    contents.model = .object(settings)
    self = contents
  }

  private init() {}

  /// The bytes of a spelling.
  subscript(range: Range<Int>) -> ArraySlice<UInt8> { spellings[range] }

  func string(_ range: Range<Int>) -> String { String(decoding: spellings[range], as: UTF8.self) }

  /// The model's kind; files of old versions do not say it.
  var modelType: String {
    if let type = model["type"]?.string { return type }
    if !scores.isEmpty { return "Unigram" }
    if hasMerges { return "BPE" }
    return model["continuing_subword_prefix"] == nil ? "WordLevel" : "WordPiece"
  }

  /// The spelling of every number from 0, empty for those without.
  func tokens() throws(FormatsError) -> [[UInt8]] {
    let size = (vocabulary.map { $0.token }.max() ?? -1) + 1
    guard size <= vocabulary.count * 2 + 1024 else {
      throw FormatsError(.unsupported, "The vocabulary has large gaps: \(vocabulary.count) tokens up to \(size - 1).")
    }
    var tokens = [[UInt8]](repeating: [], count: size)
    for entry in vocabulary {
      guard tokens[entry.token].isEmpty else {
        throw FormatsError(.malformed, "The number \(entry.token) belongs to two tokens.")
      }
      tokens[entry.token] = Array(spellings[entry.spelling])
    }
    return tokens
  }

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
    guard try reader.kind() == .object else {  // [["piece", score], ...]
      try reader.array { (reader) throws(FormatsError) in
        var spelling: Range<Int>?
        try reader.array { (reader) throws(FormatsError) in
          if spelling == nil {
            spelling = try store(&reader, text)
          } else {
            scores.append(try reader.number())
          }
        }
        guard let spelling, scores.count == vocabulary.count + 1 else {
          throw reader.error("an entry of the vocabulary is not a piece and its score")
        }
        vocabulary.append((spelling, vocabulary.count))
      }
      return
    }
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
    hasMerges = true
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

  /// The tokens of an `added_tokens_decoder`: an object of numbers and tokens.
  static func addedTokens(byNumber value: JSONValue?) throws(FormatsError) -> [AddedToken] {
    var tokens: [JSONValue] = []
    for (number, token) in value?.object ?? JSONObject() {
      guard let number = Int(number), var token = token.object else {
        throw FormatsError(.malformed, "An entry of added_tokens_decoder is no token with a number.")
      }
      token["id"] = .number(JSONNumber(number))
      tokens.append(.object(token))
    }
    return try addedTokens(.array(tokens))
  }

  private static func addedTokens(_ value: JSONValue) throws(FormatsError) -> [AddedToken] {
    var tokens: [AddedToken] = []
    for token in value.array ?? [] {
      guard let content = token["content"]?.string, let number = token["id"]?.integer,
        (0..<maximumToken).contains(number)
      else { throw FormatsError(.malformed, "An added token lacks its content or number.") }
      let isSpecial = token["special"]?.bool ?? false
      tokens.append(
        AddedToken(
          spelling: Array(content.utf8), token: Int32(number), isSingleWord: token["single_word"]?.bool ?? false,
          stripsLeft: token["lstrip"]?.bool ?? false, stripsRight: token["rstrip"]?.bool ?? false,
          isNormalized: token["normalized"]?.bool ?? !isSpecial, isSpecial: isSpecial))
    }
    return tokens
  }
}
