// POST /v1/responses, and GET, DELETE and cancel of those that were made: conversations as items, kept here for the next turn.

internal import Core
internal import Inference
internal import Models

extension APIService {
  func respond(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let engine = try engine
    var fields = try Fields(body: request.body)
    let adapter = try checkModel(&fields)
    var generation = try GenerationFields(&fields, limitNames: ["max_output_tokens"], hasChoices: false)
    generation.adapter = adapter
    let top = try fields.integer("top_logprobs", 0...20)
    var echo = ResponseEcho()
    let input = try echo.read(&fields)
    if echo.isBackground, !generation.written.isEmpty {
      throw fields.wrong("resume_token_ids", "is not possible with 'background': GET goes on with its stream")
    }
    if let top, top > 0 { generation.sampling.logProbabilities = top }
    if echo.includesScores, generation.sampling.logProbabilities == nil { generation.sampling.logProbabilities = 0 }

    var conversation = Conversation()
    let owner = responder.caller?.name
    let previous = try echo.previous.map { (id) throws(APIError) -> StoredResponse in
      guard let found = background[id]?.stored ?? responses[id], found.owner == owner else {
        throw APIError(
          .notFound, "There is no response '\(id)' here (any more).", parameter: "previous_response_id",
          code: "previous_response_not_found")
      }
      guard found.isFinished else {
        throw APIError(
          .badRequest, "The response '\(id)' was not finished: there is nothing to go on from.",
          parameter: "previous_response_id", code: "invalid_value")
      }
      return found
    }
    conversation.messages = previous?.messages ?? []
    try conversation.read(items: input, fields)
    try conversation.readSettings(responses: &fields)
    try fields.finish()
    let messages = conversation.messages
    if let instructions = echo.instructions {
      conversation.messages.insert(["role": "system", "content": .string(instructions)], at: 0)
    }
    let text = try self.request(conversation, generation)

    let calls = CallIDs(family.calls?.ids)
    let (id, store) = (newID("resp", "_"), echo.isStored ? responses : nil)
    var format = ResponsesFormat(
      id: id, created: now, model: adapter ?? name, echo: echo.json(generation, conversation),
      tokenizer: engine.tokenizer, calls: calls
    ) { [background, isBackground = echo.isBackground] response, said in
      // One that was cancelled or deleted is not made any more.
      if isBackground {
        background[id]?.keep(response, said)
        return
      }
      store?.keep(StoredResponse(response: response, input: input, messages: messages + said, owner: owner))
    }
    guard echo.isBackground else { return try begin(text, format, responder) }
    var stored = StoredResponse(response: format.queued, input: input, messages: messages, owner: owner)
    (stored.isFinished, stored.events) = (false, generation.isStreamed ? ResponseEvents() : nil)
    let made = BackgroundAnswer(id, stored, responder) { [responses, background] stored in
      responses.keep(stored)
      background.remove(id)
    }
    try background.add(made)
    if generation.isStreamed {
      // At once: the client is to know the name before the engine comes to it.
      made.write(format.waiting())
      try made.tell(responder, after: -1)
    } else {
      responder.send(json: format.queued)
    }
    do throws(APIError) { try begin(text, format, made) } catch { made.send(error.reply) }
  }

  /// The response that a request names, if it is there and of the same key; while it is being made, by whom.
  private func stored(
    _ request: HTTPRequest, _ responder: HTTPResponder
  ) throws(APIError) -> (response: StoredResponse, answer: BackgroundAnswer?) {
    // In this order: it is in the store before it is not unfinished any more.
    let answer = background[request.parameter]
    if let found = answer?.stored ?? responses[request.parameter], found.owner == responder.caller?.name {
      return (found, answer)
    }
    throw APIError(.notFound, "There is no response '\(request.parameter)' here (any more).", code: "not_found")
  }

  func storedResponse(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let (found, answer) = try stored(request, responder)
    let query = Dictionary(
      request.query.split(separator: "&")
        .map { $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init) }
        .map { ($0[0], $0.count > 1 ? $0[1] : "") }, uniquingKeysWith: { $1 })
    guard query["stream"] == "true" else { return responder.send(json: found.response) }
    let after = query["starting_after"] ?? "-1"
    guard let last = Int(after), last >= -1 else {
      throw APIError(
        .badRequest, "'starting_after' must be the number of an event, not '\(after.prefix(40))'.",
        parameter: "starting_after", code: "invalid_value")
    }
    if let answer { return try answer.tell(responder, after: last) }
    let events = try found.events(after: last)
    responder.beginEvents()
    responder.write(events)
    responder.end()
  }

  func storedInput(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let items = try stored(request, responder).response.input
    responder.send(json: ["object": "list", "data": .array(items), "has_more": false])
  }

  func cancelResponse(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let (found, answer) = try stored(request, responder)
    guard found.isBackground else {
      throw APIError(
        .badRequest, "The response was not made with 'background': close its connection instead.", code: "invalid_value"
      )
    }
    answer?.cancel()
    responder.send(json: answer?.stored.response ?? found.response)
  }

  func deleteResponse(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    try stored(request, responder).answer?.cancel()
    responses.forget(request.parameter)
    responder.send(json: ["id": .string(request.parameter), "object": "response", "deleted": true])
  }
}

/// What of a request a response repeats.
struct ResponseEcho {
  var instructions: String?
  var previous: String?
  var isStored = true
  var isBackground = false
  var includesScores = false
  private var text: JSONValue = ["format": ["type": "text"]]
  private var reasoning: JSONValue = ["effort": .null, "summary": .null]
  private var metadata: JSONValue = [:]
  private var tools: JSONValue = []
  private var choice: JSONValue = "auto"
  private var truncation: JSONValue = "disabled"

  /// - Returns: the items of the input; a text is one item.
  mutating func read(_ fields: inout Fields) throws(APIError) -> [JSONValue] {
    instructions = try fields.string("instructions")
    previous = try fields.string("previous_response_id")
    isStored = try fields.flag("store") ?? true
    isBackground = try fields.flag("background") ?? false
    if isBackground && !isStored {
      throw fields.wrong("background", "needs 'store': the response is to be asked for later")
    }
    if let value = fields.value("text") { text = value }
    if let value = fields.value("reasoning") { reasoning = value }
    if let value = try fields.object("metadata") { metadata = .object(value) }
    if let value = fields.value("tools") { tools = value }
    if let value = fields.value("tool_choice") { choice = value }
    if let value = fields.value("truncation") {
      if value != "disabled" { throw fields.wrong("truncation", "must be \"disabled\": nothing is left out here") }
      truncation = value
    }
    for value in try fields.array("include") ?? [] {
      switch value.string {
      case "message.output_text.logprobs"?: includesScores = true
      // Reasoning is never encrypted here: it is in the output as it is.
      case "reasoning.encrypted_content"?: break
      default: throw fields.wrong("include", "holds \(value.json.prefix(60)), which is not known here")
      }
    }
    fields.ignore("max_tool_calls", "prompt_cache_options")
    let input = try fields.required("input", fields.value("input"))
    if let text = input.string { return [["type": "message", "role": "user", "content": .string(text)]] }
    guard let items = input.array, !items.isEmpty else {
      throw fields.wrong("input", "must be text or an array of items")
    }
    return items
  }

  func json(_ generation: GenerationFields, _ conversation: Conversation) -> JSONObject {
    JSONObject([
      ("instructions", instructions.map { .string($0) } ?? .null),
      ("max_output_tokens", generation.limit.map { .number(JSONNumber($0)) } ?? .null),
      ("metadata", metadata), ("parallel_tool_calls", .bool(conversation.isParallel)),
      ("previous_response_id", previous.map { .string($0) } ?? .null), ("reasoning", reasoning),
      ("store", .bool(isStored)), ("temperature", .number(JSONNumber(generation.sampling.temperature))),
      ("text", text), ("tool_choice", choice), ("tools", tools),
      ("top_p", .number(JSONNumber(generation.sampling.topP))), ("truncation", truncation),
      ("background", .bool(isBackground)),
    ])
  }
}
