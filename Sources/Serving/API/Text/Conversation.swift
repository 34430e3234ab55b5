// A conversation to be gone on with: what chat, responses and messages all translate their requests to, in the words of
// OpenAI's chat, which are those that templates read.

internal import Core
internal import Formats
internal import Inference

/// A function that the model may call.
struct Tool: Sendable {
  var name: String
  var description: String?
  /// A JSON schema of its arguments.
  var parameters: JSONValue?

  /// - Throws: if the name is none that all families of models can write.
  func check(_ fields: Fields) throws(APIError) {
    let isPlain = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
        true
      default: false
      }
    }
    if name.isEmpty || name.utf8.count > 128 || !isPlain {
      throw fields.wrong("name", "must be 1 to 128 of the characters a-z, A-Z, 0-9, _, - and .")
    }
  }

  var json: JSONValue {
    var function = JSONObject([("name", .string(name))])
    if let description { function["description"] = .string(description) }
    function["parameters"] = parameters ?? ["type": "object", "properties": [:]]
    return ["type": "function", "function": .object(function)]
  }
}

/// Whether tools are called.
enum ToolChoice: Sendable, Equatable {
  case none, auto, required
  case named(String)
}

struct Conversation: Sendable {
  /// As templates want them, contents being texts.
  var messages: [JSONValue] = []
  var tools: [Tool] = []
  var choice = ToolChoice.auto
  /// The names of the tools that may be called; nil: all.
  var allowed: Set<String>?
  /// An answer may have several calls.
  var isParallel = true
  /// What answers are held to.
  var grammar: GrammarRequest?
  var documents: [JSONValue]?
  /// What else the template knows.
  var variables = JSONObject()
  /// Ends with the beginning of the answer, or where the last message ends.
  var begins = true
  var continues = false

  /// - Throws: if the choice names a tool that there is not.
  func check(_ fields: Fields) throws(APIError) {
    switch choice {
    case .none, .auto: break
    case .required:
      if tools.isEmpty { throw fields.wrong("tool_choice", "asks for a call, but there are no 'tools'") }
    case .named(let name):
      if !tools.contains(where: { $0.name == name }) {
        throw fields.wrong("tool_choice", "names '\(name.prefix(40))', which is none of 'tools'")
      }
    }
    if case .none = choice { return }
    var names: Set<String> = []
    for tool in tools where !names.insert(tool.name).inserted {
      throw fields.wrong("tools", "has two of the name '\(tool.name)'")
    }
  }

  /// Reads `mode` and `tools` of a choice of the type `allowed_tools`.
  ///
  /// - Parameter name: what a description of a tool names.
  mutating func readAllowed(_ fields: Fields, name: (JSONValue) -> String?) throws(APIError) {
    var fields = fields
    switch try fields.required("mode", fields.string("mode")) {
    case "auto": choice = .auto
    case "required": choice = .required
    case let mode: throw fields.wrong("mode", "is \"\(mode.prefix(40))\"; it must be \"auto\" or \"required\"")
    }
    var names: Set<String> = []
    for (index, tool) in try fields.required("tools", fields.array("tools")).enumerated() {
      let place = "tools[\(index)]"
      guard tool["type"] == "function", let name = name(tool) else {
        throw fields.wrong(place, "must be a function with a name, as 'tools' has them")
      }
      guard tools.contains(where: { $0.name == name }) else {
        throw fields.wrong(place, "names '\(name.prefix(40))', which is none of the request's 'tools'")
      }
      names.insert(name)
    }
    if names.isEmpty { throw fields.wrong("tools", "must not be empty; to allow none, choose \"none\"") }
    fields.ignore("type")
    try fields.finish()
    allowed = names
  }

  /// The texts of parts of the types `types`, put together; a text as it is; nil if there is none.
  static func text(
    _ value: JSONValue?, _ place: String, types: [String] = ["text"], _ fields: Fields
  ) throws(APIError) -> String? {
    guard let value, value != .null else { return nil }
    if let text = value.string { return text }
    guard let parts = value.array else { throw fields.wrong(place, "must be text or an array of parts") }
    let texts = parts.compactMap { part in
      types.contains(part["type"]?.string ?? "") ? part["text"]?.string : nil
    }
    if texts.count != parts.count {
      let known = types.map { "\"\($0)\"" }.joined(separator: " or ")
      throw fields.wrong(place, "must be text, or parts of the type \(known)")
    }
    return texts.joined(separator: "\n")
  }
}

extension APIService {
  /// The texts that a conversation asks for.
  func request(_ conversation: Conversation, _ fields: GenerationFields) throws(APIError) -> TextRequest {
    let engine = try engine
    let prompt = try prompt(conversation)
    let (family, grammar) = reading(conversation, after: prompt)
    return TextRequest(
      prompts: [engine.tokenizer.encode(prompt, specials: .recognized)], fields: fields, grammar: grammar,
      family: family)
  }

  /// A conversation as the model's template writes it.
  private func prompt(_ conversation: Conversation) throws(APIError) -> String {
    guard let template = settings.template else {
      throw APIError(
        .badRequest, "The model has no chat template. Use /v1/completions, or start the server with --template FILE.",
        code: "no_chat_template")
    }
    let tools = conversation.choice == .none || conversation.tools.isEmpty ? nil : conversation.tools.map(\.json)
    do throws(FormatsError) {
      return try template.render(
        messages: conversation.messages, tools: tools, documents: conversation.documents,
        addGenerationPrompt: conversation.begins, continueFinalMessage: conversation.continues,
        variables: conversation.variables)
    } catch {
      throw APIError(
        .badRequest, "The messages do not fit the model's template: \(error.message)", parameter: "messages")
    }
  }

  /// How answers are read, and what they are held to.
  private func reading(
    _ conversation: Conversation, after prompt: String
  ) -> (StreamFamily?, GrammarRequest?) {
    var family = family
    let canCall = conversation.choice != .none && !conversation.tools.isEmpty
    // Where nobody knows how the model writes calls, those that are asked for are the plainest.
    let isAsked = canCall && conversation.choice != .auto
    if isAsked || conversation.grammar != nil, canCall, family.calls == nil { family = family.withPlainCalls }
    var tools = conversation.tools
    if case .named(let name) = conversation.choice { tools.removeAll { $0.name != name } }
    if let allowed = conversation.allowed { tools.removeAll { !allowed.contains($0.name) } }
    let grammar = GrammarRequest(
      family, tools: canCall ? tools.map { CalledTool(name: $0.name, schema: $0.parameters?.json) } : [],
      mustCall: isAsked, isLimited: tools.count < conversation.tools.count, isSingle: !conversation.isParallel,
      content: conversation.grammar, after: prompt)
    let isHeld = conversation.grammar != nil && !canCall
    let reader = family.answering(prompt, canCall: canCall, isHeld: isHeld)
    return (reader.isPlain ? nil : reader, grammar)
  }
}
