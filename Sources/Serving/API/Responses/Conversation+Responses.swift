// The items and settings of /v1/responses as a conversation.

internal import Core
internal import Inference

extension Conversation {
  /// Goes on with items. What the model said (texts, reasoning, calls) in a row is one message.
  mutating func read(items: [JSONValue], _ fields: Fields) throws(APIError) {
    var answer = AnswerMessage()
    func end(_ messages: inout [JSONValue]) {
      if !answer.isEmpty { messages.append(answer.json) }
      answer = AnswerMessage()
    }
    for (index, item) in items.enumerated() {
      let place = "input[\(index)]"
      switch item["type"]?.string ?? "message" {
      case "message":
        let types = ["input_text", "output_text", "text"]
        guard let role = item["role"]?.string,
          let text = try Self.text(item["content"], place + ".content", types: types, fields)
        else { throw fields.wrong(place, "must have a 'role' and 'content'") }
        if role == "assistant" {
          answer.add(content: text)
        } else {
          end(&messages)
          messages.append(["role": .string(role), "content": .string(text)])
        }
      case "reasoning":
        let text = try Self.text(item["content"], place + ".content", types: ["reasoning_text"], fields)
        if let text { answer.add(reasoning: text) }
      case "function_call":
        guard let id = item["call_id"]?.string, let name = item["name"]?.string else {
          throw fields.wrong(place, "lacks 'call_id' or 'name'")
        }
        answer.add(call: id, name, try Self.arguments(item["arguments"], place + ".arguments", fields))
      case "function_call_output":
        guard let id = item["call_id"]?.string else { throw fields.wrong(place, "lacks 'call_id'") }
        end(&messages)
        let text = try Self.text(item["output"], place + ".output", types: ["input_text", "output_text"], fields)
        messages.append(["role": "tool", "tool_call_id": .string(id), "content": .string(text ?? "")])
      case let type:
        throw fields.wrong(
          place,
          "is of the type \"\(type.prefix(40))\"; known are message, reasoning, function_call and function_call_output")
      }
    }
    end(&messages)
  }

  mutating func readSettings(responses fields: inout Fields) throws(APIError) {
    for (index, tool) in (try fields.array("tools") ?? []).enumerated() {
      let place = "tools[\(index)]"
      guard case .object(let object) = tool, tool["type"] == "function" else {
        throw fields.wrong(place, "must be a tool of the type \"function\"; others are not known here")
      }
      var inner = fields.inside(place, object)
      let read = Tool(
        name: try inner.required("name", inner.string("name")), description: try inner.string("description"),
        parameters: try inner.object("parameters").map { .object($0) })
      try read.check(inner)
      inner.ignore("type", "strict", "defer_loading")
      try inner.finish()
      tools.append(read)
    }
    switch fields.value("tool_choice") {
    case nil, "auto"?: choice = .auto
    case "none"?: choice = .none
    case "required"?: choice = .required
    case .object(let object)? where object["type"] == "allowed_tools":
      try readAllowed(fields.inside("tool_choice", object)) { $0["name"]?.string }
    case let value?:
      guard value["type"] == "function", let name = value["name"]?.string else {
        throw fields.wrong(
          "tool_choice",
          "must be \"none\", \"auto\", \"required\", {\"type\": \"function\", \"name\": …} or {\"type\": \"allowed_tools\", "
            + "\"mode\": …, \"tools\": […]}")
      }
      choice = .named(name)
    }
    isParallel = try fields.flag("parallel_tool_calls") ?? true
    if let object = try fields.object("text") {
      var text = fields.inside("text", object)
      grammar = try GrammarRequest.format(&text, "format")
      text.ignore("verbosity")
      try text.finish()
    }
    if let object = try fields.object("reasoning") {
      var reasoning = fields.inside("reasoning", object)
      if let effort = try reasoning.short("effort") {
        variables["reasoning_effort"] = .string(effort)
        if effort == "none" { variables["enable_thinking"] = false }
      }
      reasoning.ignore("summary", "generate_summary")
      try reasoning.finish()
    }
    try check(fields)
  }
}
