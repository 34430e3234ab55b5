// A tokenizer.json as the metadata of GGUF files (`tokenizer.ggml.*`): byte-level BPE ("gpt2"), BPE that falls back to bytes, as
// SentencePiece has it ("llama"), and WordPiece ("bert").
//
// Invariant: ggml's tokenizer makes the same tokens of a text, or the vocabulary is refused.

internal import Core
internal import Formats
internal import FoundationEssentials

/// Makes the metadata of a model's folder.
struct GGUFVocabulary {
  private(set) var metadata: [(key: String, value: GGUFValue)] = []
  private let file: TokenizerParts
  private let options: JSONObject
  private var tokens: [String] = []
  private var kinds: [Kind] = []
  /// By spelling in bytes: Swift takes strings for equal that look the same, of which a vocabulary may have several.
  private var numbers: [[UInt8]: Int] = [:]

  /// What a token is, by ggml's numbers.
  enum Kind: Int32 {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  /// Reads tokenizer.json and tokenizer_config.json.
  ///
  /// - Parameters:
  ///   - count: rows of the token embedding; those without a token get a name.
  ///   - config: config.json, for the special tokens that tokenizer_config.json does not name.
  init(folder: String, count: Int, config: JSONObject) throws {
    file = try TokenizerParts(path: folder + "/tokenizer.json")
    options = try Self.options(folder + "/tokenizer_config.json")
    let isWords = file.model["type"] == "WordPiece"
    guard isWords || file.model["type"] ?? "BPE" == "BPE", !file.vocabulary.isEmpty else {
      throw ModelError(
        .unsupported,
        "The tokenizer of '\(folder)' is neither BPE nor WordPiece; only these can be put into a GGUF file.")
    }
    let fallsBack = file.model["byte_fallback"]?.bool == true
    try fill(count: count, bytes: fallsBack)
    if isWords { try addWords() } else if fallsBack { addPieces() } else { try addByteLevel() }
    addSpecials(config, isWords: isWords)
    if let template = try Self.template(folder, options) { add("tokenizer.chat_template", .string(template)) }
  }

  private static func options(_ path: String) throws -> JSONObject {
    guard FileManager.default.fileExists(atPath: path) else { return JSONObject() }
    return try MappedFile(path: path).withBytes { try JSONValue(parsing: $0) }.object ?? JSONObject()
  }

  private mutating func add(_ key: String, _ value: GGUFValue) { metadata.append((key, value)) }

  // MARK: Tokens

  private mutating func fill(count: Int, bytes: Bool) throws {
    let unknown = file.model["unk_token"]?.string
    tokens = (0..<count).map { "[PAD\($0)]" }
    kinds = [Kind](repeating: .unused, count: count)
    func put(_ token: String, _ number: Int?, _ kind: Kind) throws {
      guard let number, tokens.indices.contains(number) else {
        throw ModelError(
          .badWeights,
          "The token '\(token)' has a number beyond the \(count) rows of the token embedding; the tokenizer and the weights "
            + "do not belong together.")
      }
      tokens[number] = token
      kinds[number] = kind
      numbers[Array(token.utf8)] = number
    }
    for (token, number) in file.vocabulary {
      try put(token, number, token == unknown ? .unknown : bytes && Self.isByte(token) ? .byte : .normal)
    }
    for added in file.added {
      guard let token = added["content"]?.string else { continue }
      let kind: Kind = token == unknown ? .unknown : added["special"]?.bool == true ? .control : .userDefined
      try put(token, added["id"]?.integer, kind)
    }
  }

  /// `<0x0A>`
  private static func isByte(_ token: String) -> Bool {
    token.utf8.count == 6 && token.hasPrefix("<0x") && token.hasSuffix(">")
      && UInt8(token.dropFirst(3).dropLast(), radix: 16) != nil
  }

  private mutating func addTokens(model: String, pre: String) {
    add("tokenizer.ggml.model", .string(model))
    add("tokenizer.ggml.pre", .string(pre))
    add("tokenizer.ggml.tokens", .array(GGUFArray(strings: tokens)))
    add("tokenizer.ggml.token_type", .array(GGUFArray(numbers: kinds.map(\.rawValue))))
  }

  /// SentencePiece merges the pair whose token has the highest score, where BPE takes the earliest merge.
  private mutating func addPieces() {
    var scores = [Float](repeating: 0, count: tokens.count)
    var seen: Set<Int> = []
    for (left, right) in file.merges {
      guard let number = numbers[Array(left.utf8) + Array(right.utf8)], seen.insert(number).inserted else { continue }
      scores[number] = -Float(seen.count)
    }
    for number in tokens.indices where kinds[number] == .normal && !seen.contains(number) {
      scores[number] = -Float(seen.count + 1)
    }
    addTokens(model: "llama", pre: "default")
    add("tokenizer.ggml.scores", .array(GGUFArray(numbers: scores)))
    add("tokenizer.ggml.add_space_prefix", .bool(addsSpace))
  }

  /// Whether a space is put in front of a text.
  private var addsSpace: Bool {
    func any(_ part: JSONValue, _ test: (JSONValue) -> Bool) -> Bool {
      let parts = (part["normalizers"] ?? part["pretokenizers"])?.array ?? [part]
      return parts.contains(where: test)
    }
    return any(file.normalizer) { $0["type"]?.string == "Prepend" }
      || any(file.preTokenizer) {
        $0["type"]?.string == "Metaspace" && $0["prepend_scheme"]?.string != "never"
          && $0["add_prefix_space"]?.bool != false
      }
  }

  /// Words begin with U+2581 here, where they continue one they have nothing in front.
  private mutating func addWords() throws {
    let normalizer = file.normalizer
    guard normalizer["type"] == "BertNormalizer", file.preTokenizer["type"] == "BertPreTokenizer",
      file.model["continuing_subword_prefix"] ?? "##" == "##"
    else {
      throw ModelError(
        .unsupported,
        "The tokenizer cuts texts into words in another way than BERT, for which GGUF files have no words.")
    }
    for number in tokens.indices where kinds[number] == .normal {
      // By scalars: a sign that combines is one character with what stands in front of it.
      let scalars = tokens[number].unicodeScalars
      let continues = scalars.starts(with: "##".unicodeScalars)
      tokens[number] = continues ? String(scalars.dropFirst(2)) : "\u{2581}" + tokens[number]
    }
    addTokens(model: "bert", pre: "default")
    let lowercases = normalizer["lowercase"]?.bool ?? true
    add("tokenizer.ggml.normalizer.lowercase", .bool(lowercases))
    add("tokenizer.ggml.normalizer.strip_accents", .bool(normalizer["strip_accents"]?.bool ?? lowercases))
  }

  private mutating func addByteLevel() throws {
    guard let pre = GGUFSplitting.name(of: file.preTokenizer) else {
      throw ModelError(
        .unsupported,
        "The tokenizer cuts texts in a way that has no name in GGUF files: \(file.preTokenizer.json.prefix(400))")
    }
    guard file.normalizer == .null || file.normalizer["type"] == "NFC" else {
      throw ModelError(
        .unsupported, "The tokenizer's normalizer has no equivalent in GGUF files: \(file.normalizer.json.prefix(400))")
    }
    addTokens(model: "gpt2", pre: pre)
    add("tokenizer.ggml.merges", .array(GGUFArray(strings: file.merges.map { "\($0.left) \($0.right)" })))
  }

  // MARK: Special tokens

  private mutating func addSpecials(_ config: JSONObject, isWords: Bool) {
    // Encoders have their first and last tokens under names of their own.
    let roles = [
      (["bos", "cls"], "bos"), (["eos", "sep"], isWords ? "seperator" : "eos"), (["unk"], "unknown"),
      (["pad"], "padding"), (["mask"], "mask"),
    ]
    for (names, key) in roles {
      let number = named(names) ?? stated(names, config)
      if let number { add("tokenizer.ggml.\(key)_token_id", .uint32(UInt32(number))) }
    }
    if isWords { return }
    let (first, last) = addedByTemplate
    add("tokenizer.ggml.add_bos_token", .bool(options["add_bos_token"]?.bool ?? first))
    add("tokenizer.ggml.add_eos_token", .bool(options["add_eos_token"]?.bool ?? last))
  }

  /// What tokenizer_config.json says of the first of some roles.
  private func named(_ roles: [String]) -> Int? {
    for role in roles {
      let option = options["\(role)_token"]
      if let token = option?.string ?? option?["content"]?.string, let number = numbers[Array(token.utf8)] {
        return number
      }
    }
    return nil
  }

  /// What config.json says of them.
  private func stated(_ roles: [String], _ config: JSONObject) -> Int? {
    for role in roles {
      let number = config["\(role)_token_id"].flatMap { $0.integer ?? $0.array?.first?.integer }
      if let number, tokens.indices.contains(number) { return number }
    }
    return nil
  }

  /// Whether the post-processor puts special tokens before and behind a text.
  private var addedByTemplate: (first: Bool, last: Bool) {
    let parts = file.postProcessor["processors"]?.array ?? [file.postProcessor]
    guard let single = parts.lazy.compactMap({ $0["single"]?.array }).first else { return (false, false) }
    return (single.first?["SpecialToken"] != nil, single.count > 1 && single.last?["SpecialToken"] != nil)
  }

  /// The chat template: a file of its own, or a setting of the tokenizer.
  private static func template(_ folder: String, _ options: JSONObject) throws -> String? {
    let path = folder + "/chat_template.jinja"
    if FileManager.default.fileExists(atPath: path) {
      return try MappedFile(path: path).withBytes { String(decoding: $0, as: UTF8.self) }
    }
    guard let option = options["chat_template"] else { return nil }
    let named = option.array?.first { $0["name"]?.string == "default" }
    return option.string ?? named?["template"]?.string
  }
}
