// How byte-level tokenizers cut a text before merging: in tokenizer.json patterns, in GGUF files a name (`tokenizer.ggml.pre`).

internal import Core

/// The ways of cutting that both have.
enum GGUFSplitting {
  /// The pattern of ByteLevel itself.
  private static let gpt2 = "gpt-2"

  private static let contractions = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)"#
  private static let rest = #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let restWithSlash = #" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let words = #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
  private static let capitals = #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#

  /// Names and the patterns that stand before ByteLevel, each cutting what the one before left.
  private static let patterns: [(name: String, patterns: [String])] = [
    ("llama-bpe", [contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"# + rest]),
    ("qwen2", [contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"# + rest]),
    (
      "gpt-4o",
      ["\(words)\(contractions)?|\(capitals)\(contractions)?|" + #"\p{N}{1,3}|"# + restWithSlash]
    ),
    ("tekken", ["\(words)|\(capitals)|" + #"\p{N}|"# + restWithSlash]),
    (
      "deepseek-v3",
      [
        #"\p{N}{1,3}"#, "[一-龥぀-ゟ゠-ヿ]+",
        ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"##
          + #" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      ]
    ),
  ]

  /// The name of a pre-tokenizer; nil: it has none.
  static func name(of preTokenizer: JSONValue) -> String? {
    let parts = preTokenizer["pretokenizers"]?.array ?? [preTokenizer]
    guard let bytes = parts.last, bytes["type"]?.string == "ByteLevel", bytes["add_prefix_space"]?.bool != true else {
      return nil
    }
    if bytes["use_regex"]?.bool ?? true { return parts.count == 1 ? gpt2 : nil }
    let found = parts.dropLast().map { part -> String? in
      let isPlain = part["type"]?.string == "Split" && part["behavior"]?.string == "Isolated"
      return isPlain && part["invert"]?.bool != true ? part["pattern"]?["Regex"]?.string : nil
    }
    return patterns.first { $0.patterns == found }?.name
  }

  /// The pre-tokenizer of a name; nil: it is not known.
  static func preTokenizer(_ name: String) -> JSONValue? {
    func bytes(splits: Bool) -> JSONValue {
      ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(splits)]
    }
    if name == gpt2 { return bytes(splits: true) }
    guard let found = patterns.first(where: { $0.name == name }) else { return nil }
    let splits: [JSONValue] = found.patterns.map {
      ["type": "Split", "pattern": ["Regex": .string($0)], "behavior": "Isolated", "invert": false]
    }
    return ["type": "Sequence", "pretokenizers": .array(splits + [bytes(splits: false)])]
  }
}
