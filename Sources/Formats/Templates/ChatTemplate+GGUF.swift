// The chat templates of a GGUF file: `tokenizer.chat_template`, and others behind it by name.

internal import Core

extension ChatTemplate {
  /// The special tokens of templates and what GGUF files call their numbers.
  private static let tokenKeys = [
    ("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("sep_token", "seperator"),
    ("pad_token", "padding"),
  ]

  /// Reads the chat template of a GGUF file.
  ///
  /// Throws `FormatsError`: `.missing` where the file has none.
  public init(_ file: GGUFFile) throws(FormatsError) {
    let key = "tokenizer.chat_template"
    guard let text = file.metadata[key]?.string else {
      throw FormatsError(
        .missing,
        "'\(file.path)' has no chat template (\(key)): it is not a chat model, or pass the template yourself.")
    }
    var texts = [(name: "default", text: text)]
    for other in file.keys where other.hasPrefix(key + ".") {
      if let text = file.metadata[other]?.string { texts.append((String(other.dropFirst(key.count + 1)), text)) }
    }
    do {
      try self.init(named: texts, specialTokens: ChatTemplate.specialTokens(file))
    } catch {
      let code = (error as? FormatsError)?.code ?? .malformed
      throw FormatsError(code, "Cannot use the chat template of '\(file.path)'.", cause: error)
    }
  }

  private static func specialTokens(_ file: GGUFFile) throws -> JSONObject {
    var names: [Int: [String]] = [:]
    for (name, key) in tokenKeys {
      if let token = file.metadata["tokenizer.ggml.\(key)_token_id"]?.integer { names[token, default: []].append(name) }
    }
    var result = JSONObject()
    var token = 0
    try file.metadata["tokenizer.ggml.tokens"]?.array?.forEachString { spelling in
      for name in names[token] ?? [] { result[name] = .string(String(decoding: spelling, as: UTF8.self)) }
      token += 1
    }
    return result
  }
}
