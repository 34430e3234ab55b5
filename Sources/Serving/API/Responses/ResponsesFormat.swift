// OpenAI's `response` and the events of its stream: items one after the other, each added, filled and done.

internal import Core
internal import Formats
internal import Inference
internal import Models

struct ResponsesFormat: AnswerFormat {
  let id: String
  let created: Int
  let model: String
  /// What of the request is repeated.
  let echo: JSONObject
  let tokenizer: any Tokenizer
  let calls: CallIDs
  /// Given the response when it is complete, and the message that it is.
  let keep: @Sendable (JSONValue, [JSONValue]) -> Void
  private var sequence = 0
  /// The item that is being written, and how many there were.
  private var open: AnswerPart?
  private var items = 0

  init(
    id: String, created: Int, model: String, echo: JSONObject, tokenizer: any Tokenizer, calls: CallIDs,
    keep: @escaping @Sendable (JSONValue, [JSONValue]) -> Void
  ) {
    (self.id, self.created, self.model, self.echo) = (id, created, model, echo)
    (self.tokenizer, self.calls, self.keep) = (tokenizer, calls, keep)
  }

  // MARK: Objects

  private func response(_ status: String, _ output: [JSONValue], _ choice: Choice?) -> JSONValue {
    let details: JSONValue = status == "incomplete" ? ["reason": "max_output_tokens"] : .null
    var result = JSONObject([
      ("id", .string(id)), ("object", "response"), ("created_at", .number(JSONNumber(created))),
      ("status", .string(status)), ("error", .null),
      ("incomplete_details", details),
      ("model", .string(model)), ("output", .array(output)),
    ])
    for (name, value) in echo { result[name] = value }
    result["usage"] = choice.map { usage($0) } ?? .null
    return .object(result)
  }

  private func usage(_ choice: Choice) -> JSONValue {
    let usage = Usage([choice], answers: 1)
    return [
      "input_tokens": .number(JSONNumber(usage.prompt)),
      "input_tokens_details": ["cached_tokens": .number(JSONNumber(usage.cached))],
      "output_tokens": .number(JSONNumber(usage.written)),
      "output_tokens_details": ["reasoning_tokens": .number(JSONNumber(usage.reasoning))],
      "total_tokens": .number(JSONNumber(usage.prompt + usage.written)),
    ]
  }

  private func itemID(_ kind: AnswerPart.Kind, _ index: Int) -> JSONValue {
    let prefix =
      switch kind {
      case .reasoning: "rs"
      case .content: "msg"
      case .call: "fc"
      }
    return .string("\(prefix)_\(id.dropFirst(5))\(index)")
  }

  private func item(
    _ part: AnswerPart, _ index: Int, _ status: String, scores: JSONValue = []
  ) -> JSONValue {
    let id = itemID(part.kind, index)
    switch part.kind {
    case .reasoning:
      let content = part.text.isEmpty ? [] : [self.content(part)]
      return [
        "id": id, "type": "reasoning", "summary": [], "content": .array(content), "status": .string(status),
      ]
    case .content:
      let content = status == "in_progress" ? [] : [self.content(part, scores)]
      return [
        "id": id, "type": "message", "role": "assistant", "status": .string(status), "content": .array(content),
      ]
    case .call:
      return [
        "id": id, "type": "function_call", "status": .string(status), "arguments": .string(part.text),
        "call_id": .string(calls.id(self.id, 0, index, name: part.name)), "name": .string(part.name),
      ]
    }
  }

  private func content(_ part: AnswerPart, _ scores: JSONValue = []) -> JSONValue {
    part.kind == .reasoning
      ? ["type": "reasoning_text", "text": .string(part.text)]
      : ["type": "output_text", "text": .string(part.text), "annotations": [], "logprobs": scores]
  }

  private func scores(_ tokens: [TokenChoice]) -> JSONValue {
    tokens.contains { $0.logProbability != nil } ? tokenizer.logProbabilities(tokens) : []
  }

  /// The complete response, which is kept.
  private func completed(_ choice: Choice) -> (status: String, json: JSONValue) {
    let isWhole = choice.end?.reason == .stop
    let parts = choice.answer.parts
    let scored = parts.lastIndex { $0.kind == .content }
    var answer = AnswerMessage()
    var output: [JSONValue] = []
    for (index, part) in parts.enumerated() {
      let isCut = !isWhole && index == parts.count - 1
      output.append(
        item(
          part, index, isCut ? "incomplete" : "completed",
          scores: index == scored ? scores(choice.tokens.map(\.choice)) : []))
      switch part.kind {
      case .content: answer.add(content: part.text)
      case .reasoning: answer.add(reasoning: part.text)
      case .call:
        // Of one that was cut off there is nothing to go on from.
        guard let arguments = try? JSONValue(parsing: part.text) else { continue }
        answer.add(call: calls.id(id, 0, index, name: part.name), part.name, arguments)
      }
    }
    let status = isWhole ? "completed" : "incomplete"
    let response = response(status, output, choice)
    keep(response, [answer.json])
    return (status, response)
  }

  /// The response before anything of it is known.
  var queued: JSONValue { response("queued", [], nil) }

  func whole(_ choices: [Choice]) -> JSONValue { completed(choices[0]).json }

  // MARK: Events

  private mutating func event(_ name: String, _ members: [(String, JSONValue)]) -> String {
    let type = "response.\(name)"
    let object = JSONObject(
      [("type", .string(type)), ("sequence_number", .number(JSONNumber(sequence)))] + members)
    sequence += 1
    return "event: \(type)\ndata: \(JSONValue.object(object).json)\n\n"
  }

  /// Where in the output the item is that is being written.
  private func place(_ kind: AnswerPart.Kind) -> [(String, JSONValue)] {
    let item = [("item_id", itemID(kind, items)), ("output_index", JSONValue.number(JSONNumber(items)))]
    return kind == .call ? item : item + [("content_index", 0)]
  }

  /// What a stream from the background begins with, before anything of the answer is known.
  mutating func waiting() -> String {
    event("created", [("response", queued)]) + event("queued", [("response", queued)])
  }

  mutating func opening(_ choices: [Choice]) -> String {
    let response = response("in_progress", [], nil)
    let created = sequence == 0 ? event("created", [("response", response)]) : ""
    return created + event("in_progress", [("response", response)])
  }

  mutating func piece(_ index: Int, _ events: [StreamEvent], _ token: TokenChoice?) -> String {
    let scores = token.map { self.scores([$0]) } ?? []
    var text = ""
    for event in events {
      switch event {
      case .content(let piece):
        text += fill(.content, piece, "output_text.delta", [("logprobs", scores)])
      case .reasoning(let piece): text += fill(.reasoning, piece, "reasoning_text.delta", [])
      case .call(_, let name): text += begin(AnswerPart(kind: .call, name: name))
      case .arguments(_, let piece): text += fill(.call, piece, "function_call_arguments.delta", [])
      case .done: break
      }
    }
    return text
  }

  private mutating func fill(
    _ kind: AnswerPart.Kind, _ piece: String, _ name: String, _ members: [(String, JSONValue)]
  ) -> String {
    let begun = open?.kind == kind ? "" : begin(AnswerPart(kind: kind))
    open?.text += piece
    return begun + event(name, place(kind) + [("delta", .string(piece))] + members)
  }

  private mutating func begin(_ part: AnswerPart) -> String {
    var text = end("completed")
    open = part
    text += event(
      "output_item.added",
      [("output_index", .number(JSONNumber(items))), ("item", item(part, items, "in_progress"))])
    if part.kind != .call { text += event("content_part.added", place(part.kind) + [("part", content(part))]) }
    return text
  }

  private mutating func end(_ status: String) -> String {
    guard let part = open else { return "" }
    open = nil
    var text: String
    switch part.kind {
    case .content:
      text = event("output_text.done", place(part.kind) + [("text", .string(part.text)), ("logprobs", [])])
    case .reasoning: text = event("reasoning_text.done", place(part.kind) + [("text", .string(part.text))])
    case .call:
      text = event(
        "function_call_arguments.done",
        place(part.kind) + [("name", .string(part.name)), ("arguments", .string(part.text))])
    }
    if part.kind != .call { text += event("content_part.done", place(part.kind) + [("part", content(part))]) }
    text += event(
      "output_item.done", [("output_index", .number(JSONNumber(items))), ("item", item(part, items, status))])
    items += 1
    return text
  }

  mutating func closing(_ choice: Choice, _ events: [StreamEvent]) -> String {
    piece(0, events, nil) + end(choice.end?.reason == .stop ? "completed" : "incomplete")
  }

  mutating func ending(_ choices: [Choice]) -> String {
    let (status, response) = completed(choices[0])
    return event(status, [("response", response)])
  }

  mutating func failure(_ error: APIError) -> String {
    let object: JSONValue = [
      "type": "error", "sequence_number": .number(JSONNumber(sequence)), "message": .string(error.message),
      "code": error.code.map { .string($0) } ?? .null, "param": error.parameter.map { .string($0) } ?? .null,
    ]
    return "event: error\ndata: \(object.json)\n\n"
  }
}
