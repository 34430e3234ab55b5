// `.tiktoken` files: one token a line, its bytes in base64 and its rank, which is also its number.
//
// The file knows neither the splitting rule nor the special tokens; the reader of the file must.

internal import Core

package enum TiktokenFile {
  /// Reads a vocabulary; merges are implied by it. Special tokens are numbered by the caller, or, if given only as
  /// spellings, follow the last rank in order.
  package static func read(
    path: String, splitRule: SplitRule, specialTokens: [String] = [endOfTextSpelling]
  ) throws(FormatsError) -> BytePairEncoding {
    let file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
    let tokens = try parse(file.text, path: path)
    var specials: [String: Int32] = [:]
    for (index, spelling) in specialTokens.enumerated() { specials[spelling] = Int32(tokens.count + index) }
    return try BytePairEncoding(tokens: tokens, merges: .vocabulary, splitRule: splitRule, specialTokens: specials)
  }

  /// Reads a file with what tokenizer_config.json beside it says about special tokens and the expression that cuts texts
  /// (`pattern`, or that of a known class); without one a published encoding by its name, or another with `rule`.
  static func read(path: String, named rule: SplitRule?) throws(FormatsError) -> any Tokenizer {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let file = try FormatsError.wrappingFile { () throws(FileError) in try MappedFile(path: path) }
    let tokens = try parse(file.text, path: path)
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    if let configuration = try NamedRoles.value(folder + "/tokenizer_config.json"),
      let described = try described(tokens, configuration, rule, NamedRoles(folder: folder))
    {
      return described
    }
    func make(_ own: SplitRule, _ specials: [String: Int32]) throws(FormatsError) -> BytePairEncoding {
      try BytePairEncoding(tokens: tokens, merges: .vocabulary, splitRule: rule ?? own, specialTokens: specials)
    }
    if name.hasPrefix("cl100k") {
      return try make(
        .cl100k,
        [
          endOfTextSpelling: 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260,
          "<|endofprompt|>": 100276,
        ])
    }
    if name.hasPrefix("o200k") { return try make(.o200k, [endOfTextSpelling: 199999, "<|endofprompt|>": 200018]) }
    if name.hasPrefix("p50k") || name.hasPrefix("r50k") { return try make(.gpt2, [endOfTextSpelling: 50256]) }
    if name.hasPrefix("qwen") {
      return try make(.qwen2, [endOfTextSpelling: 151643, "<|im_start|>": 151644, "<|im_end|>": 151645])
    }
    if name.hasSuffix(".model") {  // Llama 3 as Meta publishes it
      var specials: [String: Int32] = [:]
      let spellings = [
        "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
        "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>",
        "<|eot_id|>", "<|python_tag|>",
      ]
      for (index, spelling) in spellings.enumerated() { specials[spelling] = Int32(tokens.count + index) }
      return try make(.llama3, specials)
    }
    return try make(.gpt2, [endOfTextSpelling: Int32(tokens.count)])
  }

  /// The tokenizer that a tokenizer_config.json describes; nil if it says nothing about how texts are cut.
  private static func described(
    _ tokens: [[UInt8]], _ configuration: JSONValue, _ rule: SplitRule?, _ names: NamedRoles
  ) throws(FormatsError) -> (any Tokenizer)? {
    let rules = [
      "TikTokenTokenizer": "kimi-k2", "ChatGLM4Tokenizer": "glm4", "QWenTokenizer": "qwen2", "DbrxTokenizer": "dbrx",
    ]
    let added = try TokenizerFileContents.addedTokens(byNumber: configuration["added_tokens_decoder"])
    let steps: [PreTokenizer]
    if let rule {
      steps = [.rule(rule)]
    } else if let pattern = configuration["pattern"]?.string ?? configuration["pat_str"]?.string {
      steps = [try PipelineTokenizer.cut(pattern)]
    } else if let name = configuration["tokenizer_class"]?.string.flatMap({ rules[$0] }) {
      steps = try GGUFTextSplit.named(name).steps
    } else {
      return nil
    }
    let roles = names.resolved(TokenTable([]), added, unknown: nil)
    return try PipelineTokenizer(ranks: tokens, steps: steps, added: added, roles: roles, addsBegin: false)
  }

  /// Whether a text begins like one of these files: base64, a space, and the number 0.
  static func isOne(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    let line = text.prefix(64).prefix { $0 != 0x0A }
    guard line.count >= 6, line.suffix(2).elementsEqual([0x20, 0x30]) else { return false }
    return Base64.decode(UnsafeBufferPointer(rebasing: text[..<(line.count - 2)])) != nil
  }

  /// Writes the vocabulary. Throws for a tokenizer whose merges are not those that its vocabulary implies.
  package static func write(_ tokenizer: BytePairEncoding, to path: String) throws(FormatsError) {
    if case .list(let merges) = tokenizer.model.merges {
      for (rank, merge) in merges.enumerated() {
        let joined = Array(tokenizer.table[merge.left] + tokenizer.table[merge.right])
        let result = joined.withUnsafeBytes { tokenizer.table.token(of: $0) }
        guard let result, result >= 256, rank == Int(result) - 256 else {
          throw FormatsError(
            .unsupported,
            "This tokenizer cannot be written as .tiktoken: its merges are not in the order of its tokens. "
              + "Write tokenizer.json instead.")
        }
      }
    }
    var output: [UInt8] = []
    for token in 0..<Int32(tokenizer.table.count) where !tokenizer.table[token].isEmpty {
      Base64.append(tokenizer.table[token], to: &output)
      output.append(contentsOf: " \(token)\n".utf8)
    }
    let bytes = output
    try FormatsError.wrappingFile { () throws(FileError) in
      let file = try AtomicFile(path: path)
      try file.write(bytes)
      try file.commit()
    }
  }

  private static func parse(_ text: UnsafeBufferPointer<UInt8>, path: String) throws(FormatsError) -> [[UInt8]] {
    var tokens: [[UInt8]] = []
    tokens.reserveCapacity(text.count / 16)
    var position = 0
    var line = 0
    while position < text.count {
      let end = text[position...].firstIndex(of: 0x0A) ?? text.count
      line += 1
      defer { position = end + 1 }
      if position == end { continue }
      guard let space = text[position..<end].firstIndex(of: 0x20),
        let bytes = Base64.decode(UnsafeBufferPointer(rebasing: text[position..<space])),
        let rank = decimal(text[(space + 1)..<end])
      else {
        throw FormatsError(.malformed, "'\(path)', line \(line): base64, a space and a rank were expected.")
      }
      if rank >= tokens.count { tokens += [[UInt8]](repeating: [], count: rank + 1 - tokens.count) }
      guard tokens[rank].isEmpty else {
        throw FormatsError(.malformed, "'\(path)', line \(line): rank \(rank) is there twice.")
      }
      tokens[rank] = bytes
    }
    guard !tokens.isEmpty else { throw FormatsError(.empty, "'\(path)' holds no tokens.") }
    return tokens
  }

  private static func decimal(_ digits: Slice<UnsafeBufferPointer<UInt8>>) -> Int? {
    guard !digits.isEmpty, digits.count <= 8 else { return nil }  // a hundred million tokens are no vocabulary
    var value = 0
    for digit in digits {
      if digit == 0x0D { continue }
      guard (0x30...0x39).contains(digit) else { return nil }
      value = value * 10 + Int(digit - 0x30)
    }
    return value
  }
}
