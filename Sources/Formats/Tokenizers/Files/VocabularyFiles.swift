// Folders of older checkpoints have no tokenizer.json but the vocabulary in files of its own: vocab.txt (WordPiece), or
// vocab.json and merges.txt (byte-level BPE), with the rest in the code of a class that tokenizer_config.json names.
//
// They are read as the tokenizer.json that they amount to: what `transformers` makes of the same folder. A class whose
// code is not known here is refused, since its tokens would be wrong.

internal import Core

struct VocabularyFiles {
  /// The class of the tokenizer in lower case without "Tokenizer", or the model's type: "bert", "gpt2", "qwen2", ...
  let kind: String
  private let folder: String
  private let configuration: JSONValue
  private let addedTokens: JSONValue

  private static let wordPieces = ["bert", "distilbert", "electra", "mobilebert", "lxmert", "squeezebert", "convbert"]
  /// GPT-2's rule and no more.
  private static let plainPairs = ["gpt2", "gptneo", "gptneox", "gptj", "codegen", "phi", "opt", "starcoder2"]
  private static let robertaPairs = ["roberta", "bart", "longformer", "led"]
  private static let qwenPairs = ["qwen2", "qwen2moe", "qwen3", "qwen3moe"]

  /// The special tokens of a class in order, where the folder does not name others.
  var defaults: [(name: String, spelling: String)] {
    switch kind {
    case _ where kind.isEmpty || Self.wordPieces.contains(kind):
      [
        ("unk_token", "[UNK]"), ("sep_token", "[SEP]"), ("pad_token", "[PAD]"), ("cls_token", "[CLS]"),
        ("mask_token", "[MASK]"),
      ]
    case _ where Self.robertaPairs.contains(kind):
      [
        ("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"), ("sep_token", "</s>"),
        ("pad_token", "<pad>"), ("cls_token", "<s>"), ("mask_token", "<mask>"),
      ]
    case "opt": [("bos_token", "</s>"), ("eos_token", "</s>"), ("unk_token", "</s>"), ("pad_token", "<pad>")]
    case _ where Self.qwenPairs.contains(kind):
      [("eos_token", endOfTextSpelling), ("pad_token", endOfTextSpelling)]
    default: ["bos_token", "eos_token", "unk_token"].map { ($0, endOfTextSpelling) }
    }
  }

  init(folder: String) throws(FormatsError) {
    self.folder = folder
    configuration = try NamedRoles.value(folder + "/tokenizer_config.json") ?? .null
    addedTokens = try NamedRoles.value(folder + "/added_tokens.json") ?? .null
    var name = configuration["tokenizer_class"]?.string ?? ""
    for suffix in ["Fast", "Tokenizer"] where name.hasSuffix(suffix) { name.removeLast(suffix.count) }
    if name.isEmpty || name == "PreTrained" {
      name = try NamedRoles.value(folder + "/config.json")?["model_type"]?.string ?? ""
    }
    kind = name.lowercased().filter { $0 != "_" && $0 != "-" }
  }

  /// The tokenizer.json of a folder with vocab.txt: a token a line.
  func wordPieces() throws(FormatsError) -> [UInt8] {
    let isBERT = kind.isEmpty || Self.wordPieces.contains(kind)
    guard isBERT else { throw unknownClass("vocab.txt", Self.wordPieces) }
    let file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: folder + "/vocab.txt") }
    var vocabulary = Vocabulary()
    var lines = file.text.split(separator: 0x0A, omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    for line in lines { vocabulary.append(Array(line.last == 0x0D ? line.dropLast() : line)) }
    let unknown = role("unk_token") ?? "[UNK]"
    let added = try added(vocabulary)
    guard vocabulary[unknown] != nil else {
      throw FormatsError(.malformed, "Its vocab.txt lacks the token '\(unknown)' for unknown words.")
    }
    let lowercases = configuration["do_lower_case"]?.bool ?? true
    let normalizer: JSONValue = [
      "type": "BertNormalizer", "clean_text": true,
      "handle_chinese_chars": .bool(configuration["tokenize_chinese_chars"]?.bool ?? true),
      "strip_accents": configuration["strip_accents"] ?? .null, "lowercase": .bool(lowercases),
    ]
    return text(
      added: added, normalizer: normalizer, preTokenizer: ["type": "BertPreTokenizer"],
      postProcessor: try around("BertProcessing", vocabulary, added, begin: "cls_token", end: "sep_token"),
      decoder: ["type": "WordPiece", "prefix": "##", "cleanup": true],
      model: [
        "type": "WordPiece", "unk_token": .string(unknown), "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
      ], vocabulary: vocabulary.json)
  }

  /// The tokenizer.json of a folder with vocab.json and merges.txt.
  func bytePairs() throws(FormatsError) -> [UInt8] {
    let known = Self.plainPairs + Self.robertaPairs + Self.qwenPairs
    guard known.contains(kind) else { throw unknownClass("vocab.json and merges.txt", known) }
    let path = folder + "/vocab.json"
    let vocabularyFile = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
    let vocabulary = try Vocabulary(json: vocabularyFile.text)
    let added = try added(vocabulary)
    let addsSpace = configuration["add_prefix_space"]?.bool ?? false
    let byteLevel = { (splits: Bool) -> JSONValue in
      ["type": "ByteLevel", "add_prefix_space": .bool(addsSpace), "trim_offsets": true, "use_regex": .bool(splits)]
    }
    var normalizer = JSONValue.null
    var preTokenizer = byteLevel(true)
    var postProcessor = JSONValue.null
    if Self.qwenPairs.contains(kind) {
      normalizer = ["type": "NFC"]
      let split: JSONValue = [
        "type": "Split", "pattern": ["Regex": .string(SplitRule.qwen2.pattern)], "behavior": "Isolated",
        "invert": false,
      ]
      preTokenizer = ["type": "Sequence", "pretokenizers": [split, byteLevel(false)]]
    } else if Self.robertaPairs.contains(kind) {
      postProcessor = try around("RobertaProcessing", vocabulary, added, begin: "cls_token", end: "sep_token")
    } else if configuration["add_bos_token"]?.bool ?? (kind == "opt") {
      postProcessor = try beginning(vocabulary, added)
    }
    return text(
      added: added, normalizer: normalizer, preTokenizer: preTokenizer, postProcessor: postProcessor,
      decoder: byteLevel(true), model: ["type": "BPE", "fuse_unk": false, "byte_fallback": false],
      vocabulary: Array(vocabularyFile.text), merges: try merges())
  }

  // MARK: Special tokens

  /// How the folder spells a role, or else its class.
  private func role(_ name: String) -> String? {
    if let value = configuration[name] { return value.string ?? value["content"]?.string }
    return defaults.first { $0.name == name }?.spelling
  }

  /// The entries of `added_tokens`: those that the folder lists, and the special tokens, in new numbers where the
  /// vocabulary has none for them.
  private func added(_ vocabulary: Vocabulary) throws(FormatsError) -> [JSONValue] {
    var tokens: [Int: JSONObject] = [:]
    var spellings: Set<String> = []
    func insert(_ number: Int, _ token: JSONObject) {
      guard let spelling = token["content"]?.string, spellings.insert(spelling).inserted else { return }
      var token = token
      token["id"] = .number(JSONNumber(number))
      tokens[number] = token
    }
    for (number, token) in configuration["added_tokens_decoder"]?.object ?? JSONObject() {
      guard let number = Int(number), let token = token.object else {
        throw FormatsError(.malformed, "Its tokenizer_config.json has an entry of added_tokens_decoder without number.")
      }
      insert(number, token)
    }
    var named: [JSONValue] = []
    for name in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map({ $0 + "_token" }) {
      if let value = configuration[name], value != .null {
        named.append(value)
      } else if configuration[name] == nil, let spelling = role(name) {
        named.append(.string(spelling))
      }
    }
    named += configuration["additional_special_tokens"]?.array ?? configuration["extra_special_tokens"]?.array ?? []
    let listed = addedTokens.object ?? JSONObject()
    for (spelling, number) in listed {
      guard let number = number.integer, (0..<TokenizerFileContents.maximumToken).contains(number) else {
        throw FormatsError(.malformed, "Its added_tokens.json gives '\(spelling)' no number that a token can have.")
      }
      let isSpecial = named.contains { $0.string == spelling || $0["content"]?.string == spelling }
      insert(number, Self.token(spelling, isSpecial: isSpecial))
    }
    var next = max(vocabulary.count, (tokens.keys.max() ?? -1) + 1)
    for value in named {
      guard let spelling = value.string ?? value["content"]?.string, !spellings.contains(spelling) else { continue }
      var token = value.object ?? Self.token(spelling, isSpecial: true)
      token["special"] = true
      if let number = vocabulary[spelling] {
        insert(number, token)
      } else {
        insert(next, token)
        next += 1
      }
    }
    return tokens.sorted { $0.key < $1.key }.map { .object($0.value) }
  }

  private static func token(_ spelling: String, isSpecial: Bool) -> JSONObject {
    JSONObject([
      ("content", .string(spelling)), ("single_word", false), ("lstrip", false), ("rstrip", false),
      ("normalized", .bool(!isSpecial)), ("special", .bool(isSpecial)),
    ])
  }

  private func number(
    _ spelling: String, _ vocabulary: Vocabulary, _ added: [JSONValue]
  ) throws(FormatsError) -> JSONValue {
    let number = added.first { $0["content"]?.string == spelling }?["id"]?.integer ?? vocabulary[spelling]
    guard let number else { throw FormatsError(.malformed, "Its vocabulary lacks the special token '\(spelling)'.") }
    return .number(JSONNumber(number))
  }

  private func around(
    _ type: String, _ vocabulary: Vocabulary, _ added: [JSONValue], begin: String, end: String
  ) throws(FormatsError) -> JSONValue {
    let (begin, end) = (role(begin) ?? "", role(end) ?? "")
    return [
      "type": .string(type), "cls": [.string(begin), try number(begin, vocabulary, added)],
      "sep": [.string(end), try number(end, vocabulary, added)], "trim_offsets": true, "add_prefix_space": false,
    ]
  }

  private func beginning(_ vocabulary: Vocabulary, _ added: [JSONValue]) throws(FormatsError) -> JSONValue {
    guard let begin = role("bos_token") else { return .null }
    let special: JSONValue = ["SpecialToken": ["id": .string(begin), "type_id": 0]]
    let texts: [JSONValue] = [["Sequence": ["id": "A", "type_id": 0]], ["Sequence": ["id": "B", "type_id": 1]]]
    let tokens = JSONObject([
      (begin, JSONValue.object(JSONObject([("ids", .array([try number(begin, vocabulary, added)]))])))
    ])
    return [
      "type": "TemplateProcessing", "single": [special, texts[0]], "pair": [special, texts[0], special, texts[1]],
      "special_tokens": .object(tokens),
    ]
  }

  // MARK: The text

  /// The lines of merges.txt, without the first if it names a version.
  private func merges() throws(FormatsError) -> [UInt8] {
    let path = folder + "/merges.txt"
    let file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
    var json: [UInt8] = []
    for (number, line) in file.text.split(separator: 0x0A).enumerated() {
      let line = line.last == 0x0D ? line.dropLast() : line
      if line.isEmpty || number == 0 && line.starts(with: "#version".utf8) { continue }
      if !json.isEmpty { json.append(UInt8(ascii: ",")) }
      JSONText.append(String(decoding: line, as: UTF8.self), to: &json)
    }
    return json
  }

  private func text(
    added: [JSONValue], normalizer: JSONValue, preTokenizer: JSONValue, postProcessor: JSONValue, decoder: JSONValue,
    model: JSONValue, vocabulary: [UInt8], merges: [UInt8]? = nil
  ) -> [UInt8] {
    let head: JSONValue = [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added), "normalizer": normalizer,
      "pre_tokenizer": preTokenizer, "post_processor": postProcessor, "decoder": decoder,
    ]
    // Vocabularies are too large to be values.
    var json = Array(head.json.dropLast().utf8)
    json += Array(",\"model\":".utf8) + Array(model.json.dropLast().utf8) + Array(",\"vocab\":".utf8) + vocabulary
    if let merges { json += Array(",\"merges\":[".utf8) + merges + Array("]".utf8) }
    return json + Array("}}".utf8)
  }

  private func unknownClass(_ files: String, _ known: [String]) -> FormatsError {
    let name = kind.isEmpty ? "tokenizer_config.json names no class" : "its class is '\(kind)'"
    return FormatsError(
      .unsupported,
      "It has \(files) and no tokenizer.json, and \(name); known are \(known.joined(separator: ", ")). Save the "
        + "tokenizer with transformers (AutoTokenizer.from_pretrained(...).save_pretrained(...)), which writes "
        + "tokenizer.json.")
  }
}

/// Spellings and their numbers. Spellings are bytes: composed and decomposed letters are equal as Strings.
private struct Vocabulary {
  private var numbers: [[UInt8]: Int] = [:]
  private var spellings: [[UInt8]] = []
  private(set) var count = 0

  init() {}

  /// Reads vocab.json.
  init(json text: UnsafeBufferPointer<UInt8>) throws(FormatsError) {
    var reader = JSONReader(text)
    var numbers: [[UInt8]: Int] = [:]
    try reader.object { (reader, name) throws(FormatsError) in numbers[Array(name.utf8)] = try reader.integer() }
    try reader.end()
    guard numbers.values.allSatisfy({ (0..<TokenizerFileContents.maximumToken).contains($0) }) else {
      throw FormatsError(.malformed, "vocab.json gives a token a number that no token can have.")
    }
    self.numbers = numbers
    count = (numbers.values.max() ?? -1) + 1
  }

  subscript(spelling: String) -> Int? { numbers[Array(spelling.utf8)] }

  /// Adds a line of vocab.txt; of equal ones the last counts.
  mutating func append(_ spelling: [UInt8]) {
    numbers[spelling] = count
    spellings.append(spelling)
    count += 1
  }

  /// An object of spellings and numbers.
  var json: [UInt8] {
    var json: [UInt8] = [UInt8(ascii: "{")]
    for (number, spelling) in spellings.enumerated() where numbers[spelling] == number {
      if json.count > 1 { json.append(UInt8(ascii: ",")) }
      JSONText.append(String(decoding: spelling, as: UTF8.self), to: &json)
      json.append(contentsOf: ":\(number)".utf8)
    }
    return json + [UInt8(ascii: "}")]
  }
}
