// The tokenizer of a GGUF file as tokenizer.json and tokenizer_config.json, for `transformers` and everything that reads its
// folders.

internal import Core
internal import Formats

/// Makes both files.
struct TokenizerFolder {
  private let file: GGUFFile
  private let tokens: [String]
  private let kinds: [Int]

  init(_ file: GGUFFile) throws {
    self.file = file
    tokens = try file.metadata["tokenizer.ggml.tokens"]?.array?.strings() ?? []
    let kinds = try file.metadata["tokenizer.ggml.token_type"]?.array?.integers()
    let normal = Int(GGUFVocabulary.Kind.normal.rawValue)
    self.kinds = kinds ?? [Int](repeating: normal, count: tokens.count)
    guard !tokens.isEmpty, self.kinds.count == tokens.count else {
      throw ModelError(
        .badConfiguration, "'\(file.path)' holds no tokenizer, or one whose lists are not of one length.")
    }
  }

  private func setting(_ key: String) -> GGUFValue? { file.metadata["tokenizer.ggml.\(key)"] }
  private func flag(_ key: String, default fallback: Bool) -> Bool { setting(key)?.bool ?? fallback }

  func write(to folder: String) throws {
    let model = setting("model")?.string
    let text: [UInt8]
    switch model {
    case "gpt2": text = try byteLevel()
    case "llama": text = try pieces()
    case "bert": text = words()
    default:
      throw ModelError(
        .unsupported,
        "The tokenizer of '\(file.path)' is of the kind '\(model ?? "?")'; only gpt2, llama and bert are converted.")
    }
    try text.withUnsafeBytes { try AtomicFile.write($0, to: folder + "/tokenizer.json") }
    try AtomicFile.write(JSONValue.object(options).json + "\n", to: folder + "/tokenizer_config.json")
  }

  // MARK: Models

  private func byteLevel() throws -> [UInt8] {
    let pre = setting("pre")?.string ?? "gpt-2"
    guard let preTokenizer = GGUFSplitting.preTokenizer(pre) else {
      throw ModelError(.unsupported, "'\(file.path)' cuts texts as '\(pre)' does, which is not converted yet.")
    }
    let merges = try setting("merges")?.array?.strings() ?? []
    let pairs = try merges.map { merge in
      guard let space = merge.unicodeScalars.firstIndex(of: " ") else {
        throw ModelError(.cannotRead, "A merge of '\(file.path)' has not two halves: '\(merge)'.")
      }
      return (String(merge[..<space]), String(merge[merge.unicodeScalars.index(after: space)...]))
    }
    let bytes: JSONValue = [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    ]
    return text(
      normalizer: pre == "qwen2" ? ["type": "NFC"] : .null, preTokenizer: preTokenizer, decoder: bytes,
      plainProcessor: bytes,
      model: [("byte_fallback", false), ("ignore_merges", .bool(pre == "llama-bpe" || pre == "tekken"))], merges: pairs)
  }

  private func pieces() throws -> [UInt8] {
    let space = "\u{2581}"
    let prefix = flag("add_space_prefix", default: true)
    let replace: JSONValue = ["type": "Replace", "pattern": ["String": " "], "content": .string(space)]
    let prepend: JSONValue = ["type": "Prepend", "prepend": .string(space)]
    var decoders: [JSONValue] = [
      ["type": "Replace", "pattern": ["String": .string(space)], "content": " "], ["type": "ByteFallback"],
      ["type": "Fuse"],
    ]
    if prefix { decoders.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
    var model: [(String, JSONValue)] = [("fuse_unk", true), ("byte_fallback", true), ("ignore_merges", false)]
    if let unknown = kinds.firstIndex(of: Int(GGUFVocabulary.Kind.unknown.rawValue)) {
      model.append(("unk_token", .string(tokens[unknown])))
    }
    return text(
      normalizer: ["type": "Sequence", "normalizers": .array(prefix ? [prepend, replace] : [replace])],
      preTokenizer: .null, decoder: ["type": "Sequence", "decoders": .array(decoders)], plainProcessor: .null,
      model: model, merges: try mergesOfScores())
  }

  private func words() -> [UInt8] {
    let normalizer: JSONValue = [
      "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
      "strip_accents": .bool(flag("normalizer.strip_accents", default: true)),
      "lowercase": .bool(flag("normalizer.lowercase", default: true)),
    ]
    return text(
      normalizer: normalizer, preTokenizer: ["type": "BertPreTokenizer"],
      decoder: ["type": "WordPiece", "prefix": "##", "cleanup": true], plainProcessor: .null, type: "WordPiece",
      model: [
        ("unk_token", .string(special("unknown")?.token ?? "[UNK]")), ("continuing_subword_prefix", "##"),
        ("max_input_chars_per_word", 100),
      ])
  }

  /// As tokenizer.json spells it.
  private func spelling(_ number: Int) -> String {
    let token = tokens[number]
    guard isWords, kinds[number] == GGUFVocabulary.Kind.normal.rawValue else { return token }
    let scalars = token.unicodeScalars
    return scalars.first == "\u{2581}" ? String(scalars.dropFirst()) : "##" + token
  }

  /// Every way to put a token together of two others, the token of the highest score first.
  private func mergesOfScores() throws -> [(String, String)] {
    let scores = try setting("scores")?.array?.doubles() ?? []
    guard scores.count == tokens.count else {
      throw ModelError(.badConfiguration, "'\(file.path)' has \(scores.count) scores for \(tokens.count) tokens.")
    }
    let plain = tokens.indices.filter { kinds[$0] == GGUFVocabulary.Kind.normal.rawValue }
    let numbers = Dictionary(plain.map { (Array(tokens[$0].utf8), $0) }, uniquingKeysWith: { first, _ in first })
    var merges: [(score: Double, left: Int, right: Int)] = []
    for number in plain {
      let bytes = Array(tokens[number].utf8)
      for cut in bytes.indices.dropFirst() where bytes[cut] & 0xC0 != 0x80 {
        if let left = numbers[Array(bytes[..<cut])], let right = numbers[Array(bytes[cut...])] {
          merges.append((scores[number], left, right))
        }
      }
    }
    merges.sort { ($1.score, $0.left, $0.right) < ($0.score, $1.left, $1.right) }
    return merges.map { (tokens[$0.left], tokens[$0.right]) }
  }

  // MARK: Files

  /// The text of tokenizer.json. Vocabularies do not go through JSONObject, for which spellings that look alike are one key.
  private func text(
    normalizer: JSONValue, preTokenizer: JSONValue, decoder: JSONValue, plainProcessor: JSONValue,
    type: String = "BPE", model: [(String, JSONValue)], merges: [(String, String)]? = nil
  ) -> [UInt8] {
    var json = Array(#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":"#.utf8)
    json += Array(JSONValue.array(added).json.utf8)
    let processor = template ?? plainProcessor
    for (name, part) in [
      ("normalizer", normalizer), ("pre_tokenizer", preTokenizer), ("post_processor", processor), ("decoder", decoder),
    ] {
      json += Array(",\"\(name)\":\(part.json)".utf8)
    }
    json += Array(#","model":{"type":"\#(type)""#.utf8)
    for (name, part) in model { json += Array(",\"\(name)\":\(part.json)".utf8) }
    json += Array(#","vocab":{"#.utf8)
    var first = true
    for number in tokens.indices where kinds[number] != GGUFVocabulary.Kind.unused.rawValue {
      if !first { json.append(UInt8(ascii: ",")) }
      first = false
      JSONText.append(spelling(number), to: &json)
      json += Array(":\(number)".utf8)
    }
    json.append(UInt8(ascii: "}"))
    guard let merges else { return json + Array("}}\n".utf8) }
    json += Array(#","merges":["#.utf8)
    for (index, (left, right)) in merges.enumerated() {
      json += Array((index == 0 ? "[" : ",[").utf8)
      JSONText.append(left, to: &json)
      json.append(UInt8(ascii: ","))
      JSONText.append(right, to: &json)
      json.append(UInt8(ascii: "]"))
    }
    return json + Array("]}}\n".utf8)
  }

  /// Tokens that are found before a text is cut.
  private var added: [JSONValue] {
    tokens.indices.compactMap { number in
      guard let kind = GGUFVocabulary.Kind(rawValue: Int32(truncatingIfNeeded: kinds[number])),
        [.unknown, .control, .userDefined].contains(kind)
      else { return nil }
      return [
        "id": .integer(number), "content": .string(tokens[number]), "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": .bool(kind != .userDefined),
      ]
    }
  }

  /// The special token of a role.
  private func special(_ role: String) -> (number: Int, token: String)? {
    guard let number = setting("\(role)_token_id")?.integer, tokens.indices.contains(number) else { return nil }
    return (number, tokens[number])
  }

  private var isWords: Bool { setting("model")?.string == "bert" }
  private var addsFirst: Bool { flag("add_bos_token", default: setting("model")?.string != "gpt2") }
  private var addsLast: Bool { isWords || flag("add_eos_token", default: false) }
  /// What stands in front of a text; older files of encoders have another name for it.
  private var firstToken: (number: Int, token: String)? { special("bos") ?? (isWords ? special("cls") : nil) }
  /// What stands behind a text.
  private var lastToken: (number: Int, token: String)? { special(isWords ? "seperator" : "eos") }

  /// The post-processor that puts special tokens around texts; nil: none are.
  private var template: JSONValue? {
    let first = addsFirst ? firstToken : nil
    let last = addsLast ? lastToken : nil
    if first == nil, last == nil { return nil }
    func piece(_ token: String, _ type: Int) -> JSONValue {
      ["SpecialToken": ["id": .string(token), "type_id": .integer(type)]]
    }
    func sequence(_ name: String, _ type: Int) -> [JSONValue] {
      let text: JSONValue = ["Sequence": ["id": .string(name), "type_id": .integer(type)]]
      return [first.map { piece($0.token, type) }, text, last.map { piece($0.token, type) }].compactMap(\.self)
    }
    let specials = [first, last].compactMap(\.self).map { special in
      (
        special.token,
        [
          "id": .string(special.token), "ids": [.integer(special.number)], "tokens": [.string(special.token)],
        ] as JSONValue
      )
    }
    return [
      "type": "TemplateProcessing", "single": .array(sequence("A", 0)),
      "pair": .array(sequence("A", 0) + sequence("B", 1).dropFirst(isWords ? 1 : 0)),
      "special_tokens": .object(JSONObject(specials)),
    ]
  }

  /// What tokenizer_config.json says.
  private var options: JSONObject {
    var options = JSONObject([
      ("tokenizer_class", "PreTrainedTokenizerFast"), ("clean_up_tokenization_spaces", false),
      ("add_bos_token", .bool(addsFirst)), ("add_eos_token", .bool(addsLast)),
    ])
    if let first = firstToken { options[isWords ? "cls_token" : "bos_token"] = .string(first.token) }
    if let last = lastToken { options[isWords ? "sep_token" : "eos_token"] = .string(last.token) }
    for (role, key) in [("unk", "unknown"), ("pad", "padding"), ("mask", "mask")] {
      if let special = special(key) { options["\(role)_token"] = .string(special.token) }
    }
    if let template = file.metadata["tokenizer.chat_template"]?.string { options["chat_template"] = .string(template) }
    return options
  }
}
