// Anthropic's `message` and the events of its stream: blocks one after the other, each begun, filled and ended.

internal import Core
internal import Inference
internal import Models

struct MessagesFormat: AnswerFormat {
  let id: String
  let model: String
  let calls: CallIDs
  /// The number of the block that is being written, and its kind.
  private var block = -1
  private var kind: AnswerPart.Kind?

  init(id: String, model: String, calls: CallIDs) { (self.id, self.model, self.calls) = (id, model, calls) }

  private func message(_ content: [JSONValue], _ choice: Choice, _ usage: JSONValue) -> JSONValue {
    [
      "id": .string(id), "type": "message", "role": "assistant", "model": .string(model), "content": .array(content),
      "stop_reason": stopReason(choice), "stop_sequence": stopSequence(choice), "usage": usage,
    ]
  }

  private func stopReason(_ choice: Choice) -> JSONValue {
    guard let end = choice.end else { return .null }
    switch end.reason {
    case .stop: return choice.answer.hasCalls ? "tool_use" : end.stop == nil ? "end_turn" : "stop_sequence"
    case .length: return "max_tokens"
    case .cancelled, .deadline: return "pause_turn"
    }
  }

  private func stopSequence(_ choice: Choice) -> JSONValue { choice.end?.stop.map { .string($0) } ?? .null }

  /// Tokens that were in the cache are no input here.
  private func usage(_ choice: Choice) -> JSONValue {
    let usage = Usage([choice], answers: 1)
    return [
      "input_tokens": .number(JSONNumber(usage.prompt - usage.cached)), "cache_creation_input_tokens": 0,
      "cache_read_input_tokens": .number(JSONNumber(usage.cached)),
      "output_tokens": .number(JSONNumber(usage.written)),
    ]
  }

  func whole(_ choices: [Choice]) -> JSONValue {
    var tools = 0
    let content = choices[0].answer.parts.map { part -> JSONValue in
      switch part.kind {
      case .content: return Self.start(.content, text: part.text)
      case .reasoning: return Self.start(.reasoning, text: part.text)
      case .call:
        tools += 1
        let input = (try? JSONValue(parsing: part.text)) ?? [:]
        return start(call: tools - 1, part.name, input)
      }
    }
    return message(content, choices[0], usage(choices[0]))
  }

  private static func start(_ kind: AnswerPart.Kind, text: String) -> JSONValue {
    kind == .reasoning
      ? ["type": "thinking", "thinking": .string(text), "signature": ""] : ["type": "text", "text": .string(text)]
  }

  private func start(call: Int, _ name: String, _ input: JSONValue) -> JSONValue {
    let id = calls.id(id, 0, call, name: name, prefix: "toolu_")
    return ["type": "tool_use", "id": .string(id), "name": .string(name), "input": input]
  }

  // MARK: Events

  private func event(_ type: String, _ members: [(String, JSONValue)] = []) -> String {
    "event: \(type)\ndata: \(JSONValue.object(JSONObject([("type", .string(type))] + members)).json)\n\n"
  }

  mutating func opening(_ choices: [Choice]) -> String {
    let usage: JSONValue = ["input_tokens": .number(JSONNumber(choices[0].prompt.count)), "output_tokens": 0]
    return event("message_start", [("message", message([], choices[0], usage))])
  }

  mutating func piece(_ index: Int, _ events: [StreamEvent], _ token: TokenChoice?) -> String {
    var text = ""
    for event in events {
      switch event {
      case .content(let piece):
        text += begin(.content, Self.start(.content, text: ""))
        text += delta("text_delta", "text", piece)
      case .reasoning(let piece):
        text += begin(.reasoning, Self.start(.reasoning, text: ""))
        text += delta("thinking_delta", "thinking", piece)
      case .call(let call, let name): text += begin(.call, start(call: call, name, [:]))
      case .arguments(_, let piece): text += delta("input_json_delta", "partial_json", piece)
      case .done: break
      }
    }
    return text
  }

  private mutating func begin(_ kind: AnswerPart.Kind, _ content: JSONValue) -> String {
    // Every call is a block of its own.
    if self.kind == kind, kind != .call { return "" }
    let before = end()
    block += 1
    self.kind = kind
    return before
      + event("content_block_start", [("index", .number(JSONNumber(block))), ("content_block", content)])
  }

  private func delta(_ type: String, _ name: String, _ text: String) -> String {
    event(
      "content_block_delta",
      [("index", .number(JSONNumber(block))), ("delta", ["type": .string(type), name: .string(text)])])
  }

  private mutating func end() -> String {
    if kind == nil { return "" }
    kind = nil
    return event("content_block_stop", [("index", .number(JSONNumber(block)))])
  }

  mutating func closing(_ choice: Choice, _ events: [StreamEvent]) -> String {
    let reasons: JSONValue = ["stop_reason": stopReason(choice), "stop_sequence": stopSequence(choice)]
    return piece(0, events, nil) + end() + event("message_delta", [("delta", reasons), ("usage", usage(choice))])
  }

  func ending(_ choices: [Choice]) -> String { event("message_stop") }
  func failure(_ error: APIError) -> String { "event: error\ndata: \(error.anthropicJSON.json)\n\n" }
  func refusal(_ error: APIError) -> HTTPReply { error.anthropicReply }
}

extension APIError {
  /// The error in Anthropic's shape.
  var anthropicJSON: JSONValue {
    let type =
      switch kind {
      case .badRequest, .wrongMethod, .timeout, .conflict, .uriTooLong, .expectationFailed, .headTooLarge:
        "invalid_request_error"
      case .unauthorized: "authentication_error"
      case .forbidden: "permission_error"
      case .notFound: "not_found_error"
      case .tooLarge: "request_too_large"
      case .tooManyRequests: "rate_limit_error"
      case .failed: "api_error"
      case .unavailable: "overloaded_error"
      }
    return ["type": "error", "error": ["type": .string(type), "message": .string(message)]]
  }

  var anthropicReply: HTTPReply {
    var reply = reply
    reply.body = anthropicJSON.jsonBytes
    return reply
  }
}
