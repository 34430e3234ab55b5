// POST /v1/completions: texts that go on from prompts.

internal import Core
internal import Formats
internal import Inference
internal import Models

extension APIService {
  func complete(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    let prompts = try prompts(&fields)
    var generation = try GenerationFields(&fields, limitNames: ["max_tokens"])
    generation.sampling.logProbabilities = try fields.integer("logprobs", 0...20)
    let echo = try fields.flag("echo") ?? false
    if let best = try fields.integer("best_of", 1...128), best != generation.count {
      throw fields.wrong("best_of", "must be 'n', \(generation.count): all answers are given")
    }
    try fields.finish()
    if prompts.count * generation.count > 1024 {
      throw fields.wrong("prompt", "with 'n' asks for \(prompts.count * generation.count) texts; 1024 are the most")
    }
    let requests = prompts.flatMap { prompt in
      (0..<generation.count).map { answer in
        self.request(prompt.tokens, generation, defaultLimit: 16, stream: answer)
      }
    }
    let format = CompletionFormat(
      id: newID("cmpl"), created: now, model: name, prompts: echo ? prompts.map(\.text) : nil,
      answers: generation.count, tokenizer: engine.tokenizer)
    TextAnswer.begin(requests, generation, format, self, responder)
  }

  /// A string, several, the tokens of one prompt, or of several.
  private func prompts(_ fields: inout Fields) throws(APIError) -> [(text: String, tokens: [Int32])] {
    let value = try fields.required("prompt", fields.value("prompt"))
    func text(_ text: String) -> (String, [Int32]) { (text, engine.tokenizer.encode(text, addingSpecials: true)) }
    func tokens(_ tokens: [Int32]) -> (String, [Int32]) { (engine.tokenizer.decode(tokens), tokens) }
    if let one = value.string { return [text(one)] }
    if let array = value.array, !array.isEmpty {
      let strings = array.compactMap(\.string)
      if strings.count == array.count { return strings.map(text) }
      if let one = value.tokens { return [tokens(one)] }
      let several = array.compactMap(\.tokens)
      if several.count == array.count { return several.map(tokens) }
    }
    throw fields.wrong("prompt", "must be a string, an array of strings, or token numbers")
  }
}

/// OpenAI's `text_completion`.
private struct CompletionFormat: AnswerFormat {
  var id: String
  var created: Int
  var model: String
  /// In front of each prompt's answers, if they were asked for.
  var prompts: [String]?
  /// To each prompt.
  var answers: Int
  var tokenizer: any Tokenizer

  private func object(_ choices: [JSONValue], usage: JSONValue? = nil) -> JSONValue {
    var result = JSONObject([
      ("id", .string(id)), ("object", "text_completion"), ("created", .number(JSONNumber(created))),
      ("model", .string(model)), ("choices", .array(choices)),
    ])
    if let usage { result["usage"] = usage }
    return .object(result)
  }

  private func echo(_ index: Int) -> String { prompts?[index / answers] ?? "" }

  func whole(_ choices: [Choice]) -> JSONValue {
    object(
      choices.map { choice in
        [
          "index": .number(JSONNumber(choice.index)), "text": .string(echo(choice.index) + choice.text),
          "logprobs": logProbabilities(choice), "finish_reason": .string(choice.finishReason ?? ""),
        ]
      }, usage: Serving.usage(choices, answers: answers))
  }

  private func logProbabilities(_ choice: Choice) -> JSONValue {
    guard choice.tokens.contains(where: { $0.choice.logProbability != nil }) else { return .null }
    return logProbabilities(choice.tokens.map(\.choice), pieces: choice.tokens.map(\.piece), from: echo(choice.index))
  }

  private func logProbabilities(_ tokens: [TokenChoice], pieces: [String], from text: String) -> JSONValue {
    var offset = text.unicodeScalars.count
    var offsets: [JSONValue] = []
    for piece in pieces {
      offsets.append(.number(JSONNumber(offset)))
      offset += piece.unicodeScalars.count
    }
    return [
      "tokens": .array(tokens.map { .string(String(decoding: tokenizer.spelling(of: $0.token), as: UTF8.self)) }),
      "token_logprobs": .array(tokens.map { .number(finite($0.logProbability ?? 0)) }),
      "top_logprobs": .array(
        tokens.map { token in
          .object(
            JSONObject(
              token.likeliest.map {
                (String(decoding: tokenizer.spelling(of: $0.token), as: UTF8.self), .number(finite($0.logProbability)))
              }))
        }),
      "text_offset": .array(offsets),
    ]
  }

  private func chunk(_ index: Int, _ text: String, _ token: TokenChoice?, finish: String?) -> String {
    let choice: JSONValue = [
      "index": .number(JSONNumber(index)), "text": .string(text),
      "logprobs": token.map { logProbabilities([$0], pieces: [text], from: "") } ?? .null,
      "finish_reason": finish.map { .string($0) } ?? .null,
    ]
    return "data: \(object([choice]).json)\n\n"
  }

  func opening(_ index: Int) -> String? { prompts == nil ? nil : chunk(index, echo(index), nil, finish: nil) }
  func piece(_ index: Int, _ text: String, _ token: TokenChoice?) -> String { chunk(index, text, token, finish: nil) }
  func closing(_ choice: Choice, _ text: String) -> String {
    chunk(choice.index, text, nil, finish: choice.finishReason)
  }
  func usage(_ choices: [Choice]) -> String {
    "data: \(object([], usage: Serving.usage(choices, answers: answers)).json)\n\n"
  }
}
