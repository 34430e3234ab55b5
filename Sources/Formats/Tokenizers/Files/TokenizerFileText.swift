// The text of a tokenizer.json. The same tokenizer always gives the same bytes.

enum TokenizerFileText {
  /// A byte-level BPE with its merges; throws where merges that are implied by a vocabulary cannot be spelled out.
  static func text(of tokenizer: BytePairEncoding) throws(FormatsError) -> [UInt8] {
    var json = head(tokenizer.specialTokens)
    let byteLevel = { (regex: Bool) in
      #"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": \#(regex)}"#
    }
    if tokenizer.splitRule == .gpt2 {
      add("  \"pre_tokenizer\": \(byteLevel(true)),\n", &json)
    } else {
      let pattern = JSONText.string(tokenizer.splitRule.pattern)
      let split = #"{"type": "Split", "pattern": {"Regex": \#(pattern)}, "behavior": "Isolated", "invert": false}"#
      add("  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\(split), \(byteLevel(false))]},\n", &json)
    }
    add("  \"post_processor\": null,\n  \"decoder\": \(byteLevel(true)),\n", &json)
    add("  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,\n", &json)
    add("    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false,\n", &json)
    add(
      "    \"byte_fallback\": false, \"ignore_merges\": \(tokenizer.model.takesWholePieces),\n    \"vocab\": {", &json)
    var isFirst = true
    func entry(_ spelling: String, _ token: Int32) {
      add(isFirst ? "\n      " : ",\n      ", &json)
      isFirst = false
      JSONText.append(spelling, to: &json)
      add(": \(token)", &json)
    }
    let spellings = (0..<Int32(tokenizer.table.count)).map { ByteAlphabet.encode(tokenizer.table[$0]) }
    for (token, spelling) in spellings.enumerated() where !spelling.isEmpty { entry(spelling, Int32(token)) }
    for (spelling, token) in tokenizer.specialTokens.sorted(by: { $0.value < $1.value }) { entry(spelling, token) }
    add("\n    },\n    \"merges\": [", &json)
    for (index, merge) in try merges(of: tokenizer).enumerated() {
      add(index == 0 ? "\n      [" : ",\n      [", &json)
      JSONText.append(spellings[Int(merge.left)], to: &json)
      add(", ", &json)
      JSONText.append(spellings[Int(merge.right)], to: &json)
      add("]", &json)
    }
    add("\n    ]\n  }\n}\n", &json)
    return json
  }

  /// A character tokenizer, as a vocabulary of one-character words.
  static func text(of tokenizer: CharacterTokenizer) -> [UInt8] {
    var json = head(tokenizer.specialTokens)
    let pattern = JSONText.string(TokenizerFile.characterPattern)
    add(
      #"  "pre_tokenizer": {"type": "Split", "pattern": {"Regex": \#(pattern)}, "behavior": "Isolated", "#
        + "\"invert\": false},\n", &json)
    add("  \"post_processor\": null,\n  \"decoder\": {\"type\": \"Fuse\"},\n", &json)
    add("  \"model\": {\n    \"type\": \"WordLevel\", \"unk_token\": ", &json)
    JSONText.append(CharacterTokenizer.unknownSpelling, to: &json)
    add(",\n    \"vocab\": {", &json)
    let specials = tokenizer.specialTokens.sorted { $0.value < $1.value }.map { $0.key }
    let words = tokenizer.characters.map { String($0) } + specials
    for (token, word) in words.enumerated() {
      add(token == 0 ? "\n      " : ",\n      ", &json)
      JSONText.append(word, to: &json)
      add(": \(token)", &json)
    }
    add("\n    }\n  }\n}\n", &json)
    return json
  }

  private static func add(_ text: String, _ json: inout [UInt8]) { json.append(contentsOf: text.utf8) }

  private static func head(_ specials: [String: Int32]) -> [UInt8] {
    var json: [UInt8] = []
    add("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [", &json)
    for (index, (spelling, token)) in specials.sorted(by: { $0.value < $1.value }).enumerated() {
      add("\(index == 0 ? "" : ",")\n    {\"id\": \(token), \"content\": ", &json)
      JSONText.append(spelling, to: &json)
      add(#", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}"#, &json)
    }
    add("\n  ],\n  \"normalizer\": null,\n", &json)
    return json
  }

  /// The merges in order of rank. Of a vocabulary that implies its merges, each token's is the last step on the way to it.
  private static func merges(of tokenizer: BytePairEncoding) throws(FormatsError) -> [(left: Int32, right: Int32)] {
    switch tokenizer.model.merges {
    case .list(let list): return list
    case .vocabulary:
      var list: [(left: Int32, right: Int32)] = []
      for token in 0..<Int32(tokenizer.table.count) where tokenizer.table[token].count > 1 {
        let parts = parts(Array(tokenizer.table[token]), below: token, tokenizer.table)
        guard parts.count == 2 else {
          throw FormatsError(
            .unsupported,
            "Token \(token) of this vocabulary cannot be made by merging; write a .tiktoken file instead.")
        }
        list.append((parts[0], parts[1]))
      }
      return list
    }
  }

  /// The tokens of bytes by merges of rank lower than `limit`; slow and plain, for tokens are short.
  private static func parts(_ bytes: [UInt8], below limit: Int32, _ table: TokenTable) -> [Int32] {
    bytes.withUnsafeBytes { bytes in
      var starts = Array(0...bytes.count)
      func token(_ first: Int, _ last: Int) -> Int32? {
        table.token(of: UnsafeRawBufferPointer(rebasing: bytes[starts[first]..<starts[last]]))
      }
      while starts.count > 2 {
        var best: (rank: Int32, index: Int)?
        for index in 0..<starts.count - 2 {
          if let rank = token(index, index + 2), rank < best?.rank ?? limit { best = (rank, index) }
        }
        guard let best else { break }
        starts.remove(at: best.index + 1)
      }
      return (0..<starts.count - 1).map { token($0, $0 + 1)! }
    }
  }
}
