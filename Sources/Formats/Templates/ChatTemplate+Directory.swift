// Finds the chat templates of a model's directory, in the places that `transformers` knows.

internal import Core
internal import FoundationEssentials

extension ChatTemplate {
  /// The special tokens that templates know by name.
  private static let tokenNames = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// Reads the chat template of a Hugging Face directory: chat_template.jinja (with additional_chat_templates/*.jinja),
  /// or else chat_template.json, or else the `chat_template` of tokenizer_config.json; the special tokens come from
  /// tokenizer_config.json and special_tokens_map.json.
  ///
  /// Throws `FormatsError`: `.missing` where the directory has none.
  public init(directory: String) throws(FormatsError) {
    let configuration = try Self.json(directory + "/tokenizer_config.json")
    let tokens = try Self.json(directory + "/special_tokens_map.json")
    var specialTokens = JSONObject()
    for name in Self.tokenNames {
      if let token = Self.spelling(configuration?[name]) ?? Self.spelling(tokens?[name]) {
        specialTokens[name] = .string(token)
      }
    }
    var texts: [(name: String, text: String)] = []
    if let text = try Self.text(directory + "/chat_template.jinja") {
      texts = [("default", text)] + (try Self.additional(directory + "/additional_chat_templates"))
    } else if let file = try Self.json(directory + "/chat_template.json") {
      texts = try Self.templates(file["chat_template"], in: "chat_template.json")
    } else if let member = configuration?["chat_template"] {
      texts = try Self.templates(member, in: "tokenizer_config.json")
    }
    guard !texts.isEmpty else {
      throw FormatsError(
        .missing,
        "'\(directory)' has no chat template (chat_template.jinja, or \"chat_template\" in tokenizer_config.json): it is "
          + "not a chat model, or pass the template yourself.")
    }
    do throws(FormatsError) {
      try self.init(named: texts, specialTokens: specialTokens)
    } catch {
      throw FormatsError(error.code, "Cannot use the chat template of '\(directory)': \(error.message)", cause: error)
    }
  }

  /// A token as a string or as an object with its "content".
  private static func spelling(_ value: JSONValue?) -> String? { value?.string ?? value?["content"]?.string }

  /// One template as a string, or a list of objects with "name" and "template".
  private static func templates(
    _ value: JSONValue?, in file: String
  ) throws(FormatsError) -> [(name: String, text: String)] {
    switch value {
    case .string(let text): return [("default", text)]
    case nil, .null: return []
    case .array(let members):
      return try members.map { (member) throws(FormatsError) in
        guard let name = member["name"]?.string, let text = member["template"]?.string else {
          throw FormatsError(.malformed, "A chat template in \(file) lacks its \"name\" or \"template\".")
        }
        return (name, text)
      }
    case .some(let value):
      throw FormatsError(.malformed, "The chat_template of \(file) is a string or a list, but found \(value.kind).")
    }
  }

  private static func additional(_ folder: String) throws(FormatsError) -> [(name: String, text: String)] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    var texts: [(name: String, text: String)] = []
    for name in names.sorted() where name.hasSuffix(".jinja") {
      if let text = try text(folder + "/" + name) { texts.append((String(name.dropLast(6)), text)) }
    }
    return texts
  }

  /// The text of a file; nil if there is none.
  private static func text(_ path: String) throws(FormatsError) -> String? {
    let file: MappedFile
    do throws(FileError) { file = try MappedFile(path: path) } catch {
      guard error.code == .missing else { throw FormatsError(error) }
      return nil
    }
    guard let text = file.withBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw FormatsError(.binary, "'\(path)' is not UTF-8 text.")
    }
    return text
  }

  /// The JSON of a file; nil if there is none.
  private static func json(_ path: String) throws(FormatsError) -> JSONValue? {
    guard let text = try text(path) else { return nil }
    do throws(JSONError) { return try JSONValue(parsing: text) } catch {
      throw FormatsError(.malformed, "'\(path)' is not JSON: \(error.message).", cause: error)
    }
  }
}
