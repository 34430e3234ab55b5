// POST /v1/responses, and GET and DELETE of those that were made: conversations as items, kept here for the next turn.

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
    if let top, top > 0 { generation.sampling.logProbabilities = top }
    if echo.includesScores, generation.sampling.logProbabilities == nil { generation.sampling.logProbabilities = 0 }

    var conversation = Conversation()
    let owner = responder.caller?.name
    let previous = try echo.previous.map { (id) throws(APIError) -> StoredResponse in
      guard let found = responses[id], found.owner == owner else {
        throw APIError(
          .notFound, "There is no response '\(id)' here (any more).", parameter: "previous_response_id",
          code: "previous_response_not_found")
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
    let store = echo.isStored ? responses : nil
    let format = ResponsesFormat(
      id: newID("resp", "_"), created: now, model: adapter ?? name, echo: echo.json(generation, conversation),
      tokenizer: engine.tokenizer, calls: calls
    ) { response, answer in
      store?.keep(StoredResponse(response: response, input: input, messages: messages + answer, owner: owner))
    }
    try begin(text, format, responder)
  }

  /// The response that a request names, if it is there and of the same key.
  private func stored(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) -> StoredResponse {
    if let found = responses[request.parameter], found.owner == responder.caller?.name { return found }
    throw APIError(.notFound, "There is no response '\(request.parameter)' here (any more).", code: "not_found")
  }

  func storedResponse(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    responder.send(json: try stored(request, responder).response)
  }

  func storedInput(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let items = try stored(request, responder).input
    responder.send(json: ["object": "list", "data": .array(items), "has_more": false])
  }

  func deleteResponse(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    _ = try stored(request, responder)
    responses.forget(request.parameter)
    responder.send(json: ["id": .string(request.parameter), "object": "response", "deleted": true])
  }
}

/// What of a request a response repeats.
struct ResponseEcho {
  var instructions: String?
  var previous: String?
  var isStored = true
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
    if try fields.flag("background") == true { throw fields.wrong("background", "is not supported; stream instead") }
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
      ("top_p", .number(JSONNumber(generation.sampling.topP))), ("truncation", truncation), ("background", false),
    ])
  }
}
