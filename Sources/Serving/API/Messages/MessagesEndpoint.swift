// POST /v1/messages and /v1/messages/count_tokens: conversations in the words of Anthropic's API.

internal import Core
internal import Inference
internal import Models

extension APIService {
  func message(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    let adapter = try checkModel(&fields)
    var generation = try GenerationFields(
      &fields, limitNames: ["max_tokens"], stopName: "stop_sequences", hasChoices: false)
    generation.adapter = adapter
    _ = try fields.required("max_tokens", generation.limit)
    let conversation = try Conversation(messages: &fields)
    try fields.finish()
    let text = try self.request(conversation, generation)
    let format = MessagesFormat(id: newID("msg", "_"), model: adapter ?? name, calls: CallIDs(family.calls?.ids))
    try begin(text, format, responder)
  }

  func countTokens(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    let conversation = try Conversation(messages: &fields)
    try fields.finish()
    let count = try self.request(conversation, GenerationFields()).prompts[0].count
    responder.send(json: ["input_tokens": .number(JSONNumber(count))])
  }
}

extension Conversation {
  /// What a request to /v1/messages says of it.
  fileprivate init(messages fields: inout Fields) throws(APIError) {
    let given = try fields.required("messages", fields.array("messages"))
    if given.isEmpty { throw fields.wrong("messages", "must not be empty") }
    if let system = try Self.text(fields.value("system"), "system", fields) {
      messages.append(["role": "system", "content": .string(system)])
    }
    for (index, message) in given.enumerated() {
      let place = "messages[\(index)]"
      switch message["role"] {
      case "user"?: try readUser(message["content"], place + ".content", fields)
      case "assistant"?: try readAssistant(message["content"], place + ".content", fields)
      default: throw fields.wrong(place, "must be an object with a 'role', \"user\" or \"assistant\"")
      }
    }
    // A last message of the assistant is gone on with.
    if given.last?["role"] == "assistant" { (begins, continues) = (false, true) }
    for (index, tool) in (try fields.array("tools") ?? []).enumerated() {
      tools.append(try Self.tool(tool, "tools[\(index)]", fields))
    }
    try readChoice(&fields)
    if let thinking = try fields.object("thinking") {
      variables["enable_thinking"] = .bool(thinking["type"] != "disabled")
    }
    if let format = try GrammarRequest.format(&fields, "output_format") { grammar = format }
    if let object = try fields.object("output_config") {
      var config = fields.inside("output_config", object)
      if let format = try GrammarRequest.format(&config, "format") { grammar = format }
      if let effort = try config.short("effort") { variables["reasoning_effort"] = .string(effort) }
      try config.finish()
    }
    // What concerns Anthropic's own servers only.
    fields.ignore("betas", "container", "context_management", "cache_control", "inference_geo", "speed")
    try check(fields)
  }

  /// The blocks of a message; a text is one block.
  private static func blocks(_ value: JSONValue?, _ place: String, _ fields: Fields) throws(APIError) -> [JSONValue] {
    if let text = value?.string { return [["type": "text", "text": .string(text)]] }
    guard let blocks = value?.array else { throw fields.wrong(place, "must be text or an array of blocks") }
    return blocks
  }

  private mutating func readUser(_ value: JSONValue?, _ place: String, _ fields: Fields) throws(APIError) {
    var texts: [String] = []
    for (index, block) in try Self.blocks(value, place, fields).enumerated() {
      let place = "\(place)[\(index)]"
      switch block["type"] {
      case "text"?:
        guard let text = block["text"]?.string else { throw fields.wrong(place, "lacks 'text'") }
        texts.append(text)
      case "tool_result"?:
        guard let id = block["tool_use_id"]?.string else { throw fields.wrong(place, "lacks 'tool_use_id'") }
        let text = try Self.text(block["content"], place + ".content", fields) ?? ""
        messages.append(["role": "tool", "tool_call_id": .string(id), "content": .string(text)])
      default: throw fields.wrong(place, "must be a block of the type \"text\" or \"tool_result\"")
      }
    }
    if !texts.isEmpty { messages.append(["role": "user", "content": .string(texts.joined(separator: "\n"))]) }
  }

  private mutating func readAssistant(_ value: JSONValue?, _ place: String, _ fields: Fields) throws(APIError) {
    var answer = AnswerMessage()
    for (index, block) in try Self.blocks(value, place, fields).enumerated() {
      let place = "\(place)[\(index)]"
      switch block["type"] {
      case "text"?:
        guard let text = block["text"]?.string else { throw fields.wrong(place, "lacks 'text'") }
        answer.add(content: text)
      case "thinking"?: answer.add(reasoning: block["thinking"]?.string ?? "")
      case "redacted_thinking"?: break
      case "tool_use"?:
        guard let id = block["id"]?.string, let name = block["name"]?.string else {
          throw fields.wrong(place, "lacks 'id' or 'name'")
        }
        answer.add(call: id, name, try Self.arguments(block["input"], place + ".input", fields))
      default: throw fields.wrong(place, "must be a block of the type \"text\", \"thinking\" or \"tool_use\"")
      }
    }
    messages.append(answer.json)
  }

  private static func tool(_ value: JSONValue, _ place: String, _ fields: Fields) throws(APIError) -> Tool {
    guard case .object(let object) = value, value["type"] == nil || value["type"] == "custom" else {
      throw fields.wrong(place, "must be an object with 'name' and 'input_schema'; other tools are not known here")
    }
    var inner = fields.inside(place, object)
    let tool = Tool(
      name: try inner.required("name", inner.string("name")), description: try inner.string("description"),
      parameters: .object(try inner.required("input_schema", inner.object("input_schema"))))
    try tool.check(inner)
    inner.ignore(
      "type", "cache_control", "strict", "eager_input_streaming", "defer_loading", "allowed_callers", "input_examples")
    try inner.finish()
    return tool
  }

  private mutating func readChoice(_ fields: inout Fields) throws(APIError) {
    guard let object = try fields.object("tool_choice") else { return }
    var inner = fields.inside("tool_choice", object)
    switch try inner.required("type", inner.string("type")) {
    case "auto": choice = .auto
    case "any": choice = .required
    case "none": choice = .none
    case "tool": choice = .named(try inner.required("name", inner.string("name")))
    case let type: throw inner.wrong("type", "is \"\(type.prefix(40))\"; known are auto, any, tool and none")
    }
    isParallel = !(try inner.flag("disable_parallel_tool_use") ?? false)
    try inner.finish()
  }
}
