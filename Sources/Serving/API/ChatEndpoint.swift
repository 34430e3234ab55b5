// POST /v1/chat/completions: answers in conversations.

internal import Core
internal import Formats
internal import Inference
internal import Models

extension APIService {
  func chat(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    var generation = try GenerationFields(&fields, limitNames: ["max_completion_tokens", "max_tokens"])
    let wantsLogProbabilities = try fields.flag("logprobs") ?? false
    let top = try fields.integer("top_logprobs", 0...20)
    if top != nil && !wantsLogProbabilities { throw fields.wrong("top_logprobs", "needs 'logprobs': true") }
    generation.sampling.logProbabilities = wantsLogProbabilities ? top ?? 0 : nil
    let prompt = try prompt(&fields)
    try fields.finish()
    let tokens = engine.tokenizer.encode(prompt, specials: .recognized)
    let requests = (0..<generation.count).map { answer in
      self.request(tokens, generation, defaultLimit: nil, stream: answer)
    }
    let format = ChatFormat(id: newID("chatcmpl"), created: now, model: name, tokenizer: engine.tokenizer)
    TextAnswer.begin(requests, generation, format, self, responder)
  }

  /// A message with its content as one text, as templates want it.
  private func flattened(_ message: JSONValue, _ place: String, _ fields: Fields) throws(APIError) -> JSONValue {
    guard case .object(var object) = message, message["role"]?.string != nil else {
      throw fields.wrong(place, "must be an object with a 'role'")
    }
    guard let parts = message["content"]?.array else { return message }
    let texts = parts.compactMap { $0["type"]?.string == "text" ? $0["text"]?.string : nil }
    if texts.count != parts.count {
      throw fields.wrong(place + ".content", "must be text, or parts of the type \"text\"")
    }
    object["content"] = .string(texts.joined(separator: "\n"))
    return .object(object)
  }

  /// The conversation as the model's template writes it.
  private func prompt(_ fields: inout Fields) throws(APIError) -> String {
    let messages = try fields.required("messages", fields.array("messages"))
    if messages.isEmpty { throw fields.wrong("messages", "must not be empty") }
    let flat = try messages.enumerated().map { (index, message) throws(APIError) in
      try flattened(message, "messages[\(index)]", fields)
    }
    let tools = try fields.array("tools")
    let choice = fields.value("tool_choice")
    if let choice, choice != "none", choice != "auto" {
      throw fields.wrong("tool_choice", "must be \"none\" or \"auto\"")
    }
    let continues = try fields.flag("continue_final_message") ?? false
    let begins = try fields.flag("add_generation_prompt") ?? !continues
    let variables = try fields.object("chat_template_kwargs") ?? JSONObject()
    let documents = try fields.array("documents")
    if let format = try fields.object("response_format"), format["type"]?.string != "text" {
      throw fields.wrong("response_format", "is not supported but for {\"type\": \"text\"}")
    }
    guard let template else {
      throw APIError(
        .badRequest, "The model has no chat template. Use /v1/completions, or start the server with --template FILE.",
        code: "no_chat_template")
    }
    do throws(FormatsError) {
      return try template.render(
        messages: flat, tools: choice == "none" ? nil : tools, documents: documents, addGenerationPrompt: begins,
        continueFinalMessage: continues, variables: variables)
    } catch {
      throw APIError(
        .badRequest, "The messages do not fit the model's template: \(error.message)", parameter: "messages")
    }
  }
}

/// OpenAI's `chat.completion` and its chunks.
private struct ChatFormat: AnswerFormat {
  var id: String
  var created: Int
  var model: String
  var tokenizer: any Tokenizer

  private func object(_ kind: String, _ choices: [JSONValue], usage: JSONValue? = nil) -> JSONValue {
    var result = JSONObject([
      ("id", .string(id)), ("object", .string(kind)), ("created", .number(JSONNumber(created))),
      ("model", .string(model)), ("choices", .array(choices)),
    ])
    if let usage { result["usage"] = usage }
    return .object(result)
  }

  func whole(_ choices: [Choice]) -> JSONValue {
    object(
      "chat.completion",
      choices.map { choice in
        [
          "index": .number(JSONNumber(choice.index)),
          "message": ["role": "assistant", "content": .string(choice.text), "refusal": .null],
          "logprobs": logProbabilities(choice.tokens.map(\.choice)),
          "finish_reason": .string(choice.finishReason ?? ""),
        ]
      }, usage: Serving.usage(choices, answers: choices.count))
  }

  private func logProbabilities(_ tokens: [TokenChoice]) -> JSONValue {
    guard tokens.contains(where: { $0.logProbability != nil }) else { return .null }
    func entry(_ token: Int32, _ logProbability: Float) -> JSONObject {
      let bytes = tokenizer.spelling(of: token)
      return JSONObject([
        ("token", .string(String(decoding: bytes, as: UTF8.self))), ("logprob", .number(finite(logProbability))),
        ("bytes", .array(bytes.map { .number(JSONNumber($0)) })),
      ])
    }
    return [
      "content": .array(
        tokens.map { token in
          var result = entry(token.token, token.logProbability ?? 0)
          result["top_logprobs"] = .array(token.likeliest.map { .object(entry($0.token, $0.logProbability)) })
          return .object(result)
        }), "refusal": .null,
    ]
  }

  private func chunk(_ index: Int, _ delta: JSONValue, _ token: TokenChoice? = nil, finish: String? = nil) -> String {
    let choice: JSONValue = [
      "index": .number(JSONNumber(index)), "delta": delta,
      "logprobs": token.map { logProbabilities([$0]) } ?? .null,
      "finish_reason": finish.map { .string($0) } ?? .null,
    ]
    return "data: \(object("chat.completion.chunk", [choice]).json)\n\n"
  }

  func opening(_ index: Int) -> String? { chunk(index, ["role": "assistant", "content": ""]) }
  func piece(_ index: Int, _ text: String, _ token: TokenChoice?) -> String {
    chunk(index, ["content": .string(text)], token)
  }
  func closing(_ choice: Choice, _ text: String) -> String {
    (text.isEmpty ? "" : piece(choice.index, text, nil)) + chunk(choice.index, [:], finish: choice.finishReason)
  }
  func usage(_ choices: [Choice]) -> String {
    "data: \(object("chat.completion.chunk", [], usage: Serving.usage(choices, answers: choices.count)).json)\n\n"
  }
}
