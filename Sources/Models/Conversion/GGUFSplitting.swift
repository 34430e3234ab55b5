// How byte-level tokenizers cut a text before merging: in tokenizer.json a pattern, in GGUF files a name (`tokenizer.ggml.pre`).

internal import Core

/// The ways of cutting that both have.
enum GGUFSplitting {
  /// The pattern of ByteLevel itself.
  private static let gpt2 = "gpt-2"

  /// Names and the patterns that stand before ByteLevel.
  private static let patterns: [(name: String, pattern: String)] = [
    (
      "llama-bpe",
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    ),
    (
      "qwen2",
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    ),
    (
      "gpt-4o",
      #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"#
        + #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"#
        + #"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    ),
    (
      "tekken",
      #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"#
        + #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"#
        + #"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    ),
  ]

  /// The name of a pre-tokenizer; nil: it has none.
  static func name(of preTokenizer: JSONValue) -> String? {
    let parts = preTokenizer["pretokenizers"]?.array ?? [preTokenizer]
    guard let bytes = parts.last, bytes["type"]?.string == "ByteLevel", bytes["add_prefix_space"]?.bool != true else {
      return nil
    }
    let splits = bytes["use_regex"]?.bool == false
    switch (parts.count, splits) {
    case (1, false): return gpt2
    case (2, true):
      guard parts[0]["type"]?.string == "Split", parts[0]["behavior"]?.string == "Isolated",
        parts[0]["invert"]?.bool != true, let pattern = parts[0]["pattern"]?["Regex"]?.string
      else { return nil }
      return patterns.first { $0.pattern == pattern }?.name
    default: return nil
    }
  }

  /// The pre-tokenizer of a name; nil: it is not known.
  static func preTokenizer(_ name: String) -> JSONValue? {
    func bytes(splits: Bool) -> JSONValue {
      ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(splits)]
    }
    if name == gpt2 { return bytes(splits: true) }
    guard let pattern = patterns.first(where: { $0.name == name })?.pattern else { return nil }
    let split: JSONValue = [
      "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false,
    ]
    return ["type": "Sequence", "pretokenizers": [split, bytes(splits: false)]]
  }
}
