// POST /v1/chat/completions: answers in conversations.

internal import Core
internal import Inference
internal import Models

extension APIService {
  func chat(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let engine = try engine
    var fields = try Fields(body: request.body)
    let adapter = try checkModel(&fields)
    var generation = try GenerationFields(&fields, limitNames: ["max_completion_tokens", "max_tokens"])
    generation.adapter = adapter
    let wantsLogProbabilities = try fields.flag("logprobs") ?? false
    let top = try fields.integer("top_logprobs", 0...20)
    if top != nil && !wantsLogProbabilities { throw fields.wrong("top_logprobs", "needs 'logprobs': true") }
    generation.sampling.logProbabilities = wantsLogProbabilities ? top ?? 0 : nil
    generation.beams = try BeamFields(&fields, generation)
    let conversation = try Conversation(chat: &fields)
    let showsReasoning = try fields.flag("include_reasoning") ?? true
    try fields.finish()
    let text = try self.request(conversation, generation)
    let format = ChatFormat(
      id: newID("chatcmpl"), created: now, model: adapter ?? name, tokenizer: engine.tokenizer,
      streamsUsage: generation.streamsUsage, showsReasoning: showsReasoning, tellsTokens: generation.returnsTokens,
      calls: CallIDs(family.calls?.ids))
    try begin(text, format, responder)
  }
}

extension Conversation {
  /// What a chat request says of it.
  fileprivate init(chat fields: inout Fields) throws(APIError) {
    let given = try fields.required("messages", fields.array("messages"))
    if given.isEmpty { throw fields.wrong("messages", "must not be empty") }
    for (index, message) in given.enumerated() {
      messages.append(try Self.message(message, "messages[\(index)]", fields))
    }
    for (index, tool) in (try fields.array("tools") ?? []).enumerated() {
      tools.append(try Self.tool(tool, "tools[\(index)]", fields))
    }
    try readChoice(&fields)
    isParallel = try fields.flag("parallel_tool_calls") ?? true
    grammar = try GrammarRequest(&fields)
    continues = try fields.flag("continue_final_message") ?? false
    begins = try fields.flag("add_generation_prompt") ?? !continues
    variables = try fields.object("chat_template_kwargs") ?? JSONObject()
    if let effort = try fields.short("reasoning_effort"), variables["reasoning_effort"] == nil {
      variables["reasoning_effort"] = .string(effort)
      if effort == "none", variables["enable_thinking"] == nil { variables["enable_thinking"] = false }
    }
    documents = try fields.array("documents")
    try check(fields)
  }

  /// A message with its content as one text and the arguments of calls as objects, as templates want them.
  private static func message(_ value: JSONValue, _ place: String, _ fields: Fields) throws(APIError) -> JSONValue {
    guard case .object(var message) = value, let role = message["role"]?.string else {
      throw fields.wrong(place, "must be an object with a 'role'")
    }
    if role == "tool", message["content"] == nil { throw fields.wrong(place, "is a tool's result and lacks 'content'") }
    message["content"] = try text(message["content"], place + ".content", fields).map { .string($0) } ?? .null
    guard let calls = message["tool_calls"], calls != .null else {
      message["tool_calls"] = nil
      return .object(message)
    }
    guard let calls = calls.array else { throw fields.wrong(place + ".tool_calls", "must be an array") }
    var read: [JSONValue] = []
    for (index, call) in calls.enumerated() {
      let place = "\(place).tool_calls[\(index)]"
      guard case .object(var object) = call, case .object(var function)? = object["function"],
        function["name"]?.string != nil
      else { throw fields.wrong(place, "must be an object with a 'function' that has a 'name'") }
      function["arguments"] = try arguments(function["arguments"], place + ".function.arguments", fields)
      object["function"] = .object(function)
      read.append(.object(object))
    }
    message["tool_calls"] = read.isEmpty ? nil : .array(read)
    return .object(message)
  }

  /// The arguments of a call, which come as text, as an object.
  static func arguments(_ value: JSONValue?, _ place: String, _ fields: Fields) throws(APIError) -> JSONValue {
    guard let value, value != .null, value != "" else { return [:] }
    let parsed = value.string.flatMap { try? JSONValue(parsing: $0) } ?? value
    guard case .object = parsed else { throw fields.wrong(place, "must be a JSON object, as text") }
    return parsed
  }

  private static func tool(_ value: JSONValue, _ place: String, _ fields: Fields) throws(APIError) -> Tool {
    guard value["type"] == nil || value["type"] == "function", case .object(let function)? = value["function"] else {
      throw fields.wrong(place, "must be {\"type\": \"function\", \"function\": {…}}; other tools are not known here")
    }
    var inner = fields.inside(place + ".function", function)
    let tool = Tool(
      name: try inner.required("name", inner.string("name")), description: try inner.string("description"),
      parameters: try inner.object("parameters").map { .object($0) })
    try tool.check(inner)
    inner.ignore("strict")
    try inner.finish()
    return tool
  }

  private mutating func readChoice(_ fields: inout Fields) throws(APIError) {
    switch fields.value("tool_choice") {
    case nil, "auto"?: choice = .auto
    case "none"?: choice = .none
    case "required"?: choice = .required
    case .object(let object)? where object["type"] == "allowed_tools":
      var inner = fields.inside("tool_choice", object)
      inner.ignore("type")
      let allowed = try inner.required("allowed_tools", inner.object("allowed_tools"))
      try inner.finish()
      try readAllowed(inner.inside("allowed_tools", allowed)) { $0["function"]?["name"]?.string }
    case let value?:
      guard let name = value["function"]?["name"]?.string else {
        throw fields.wrong(
          "tool_choice",
          "must be \"none\", \"auto\", \"required\", {\"type\": \"function\", \"function\": {\"name\": …}} or {\"type\": "
            + "\"allowed_tools\", \"allowed_tools\": {\"mode\": …, \"tools\": […]}}")
      }
      choice = .named(name)
    }
  }
}
