// POST /v1/completions: texts that go on from prompts.

internal import Core
internal import Formats
internal import Inference
internal import Models

extension APIService {
  func complete(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    let adapter = try checkModel(&fields)
    let prompts = try prompts(&fields)
    var generation = try GenerationFields(&fields, limitNames: ["max_tokens"])
    generation.adapter = adapter
    let scores = try fields.integer("logprobs", 0...20)
    generation.sampling.logProbabilities = scores
    let echo = try fields.flag("echo") ?? false
    if let best = try fields.integer("best_of", 1...128), best != generation.count {
      if best < generation.count { throw fields.wrong("best_of", "must not be less than 'n', \(generation.count)") }
      if generation.isStreamed { throw fields.wrong("best_of", "must be 'n' where answers are streamed") }
      generation.best = best
      // By which they are compared.
      generation.sampling.logProbabilities = scores ?? 0
    }
    if try fields.string("suffix") != nil { throw fields.wrong("suffix", "is not supported: no text is filled in") }
    let grammar = try GrammarRequest(&fields)
    try fields.finish()
    if prompts.count * generation.texts > 1024 {
      throw fields.wrong("prompt", "with 'n' asks for \(prompts.count * generation.texts) texts; 1024 are the most")
    }
    let format = CompletionFormat(
      id: newID("cmpl"), created: now, model: adapter ?? name, echoes: echo ? prompts.map(\.text) : nil,
      fields: generation,
      showsScores: scores != nil, tokenizer: engine.tokenizer)
    let text = TextRequest(prompts: prompts.map(\.tokens), fields: generation, defaultLimit: 16, grammar: grammar)
    try begin(text, format, responder)
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
  let id: String
  let created: Int
  let model: String
  /// In front of each prompt's answers, if they were asked for.
  let echoes: [String]?
  let fields: GenerationFields
  /// Log-probabilities were asked for.
  let showsScores: Bool
  let tokenizer: any Tokenizer
  /// Where the next piece of each choice's text begins, in scalars.
  var offsets: [Int: Int] = [:]

  private func object(_ choices: [JSONValue], usage: JSONValue? = nil) -> JSONValue {
    var result = JSONObject([
      ("id", .string(id)), ("object", "text_completion"), ("created", .number(JSONNumber(created))),
      ("model", .string(model)), ("choices", .array(choices)),
    ])
    if let usage { result["usage"] = usage }
    return .object(result)
  }

  private func echo(_ index: Int) -> String { echoes?[index / fields.texts] ?? "" }

  func whole(_ choices: [Choice]) -> JSONValue {
    let chosen = fields.best == nil ? choices : likeliest(choices)
    let written = chosen.enumerated().map { index, choice -> JSONValue in
      let echo = echo(choice.index)
      var result = JSONObject([
        ("index", .number(JSONNumber(index))), ("text", .string(echo + choice.text)),
        ("logprobs", scores(choice.tokens, from: echo.unicodeScalars.count)),
        ("finish_reason", .string(choice.finishReason ?? "")),
      ])
      if fields.returnsTokens {
        result["token_ids"] = .tokens(choice.tokens.map(\.choice.token))
        result["prompt_token_ids"] = .tokens(choice.prompt)
      }
      return .object(result)
    }
    return object(written, usage: Usage(choices, answers: fields.texts).json)
  }

  /// Of each prompt's texts those with the highest mean log-probability, the best first.
  private func likeliest(_ choices: [Choice]) -> [Choice] {
    func mean(_ choice: Choice) -> Double {
      let scores = choice.tokens.map { Double($0.choice.logProbability ?? 0) }
      return scores.isEmpty ? -.infinity : scores.reduce(0, +) / Double(scores.count)
    }
    return stride(from: 0, to: choices.count, by: fields.texts).flatMap { first in
      choices[first..<(first + fields.texts)].map { (mean($0), $0) }.sorted { $0.0 > $1.0 }
        .prefix(fields.count).map(\.1)
    }
  }

  private func scores(_ tokens: [(choice: TokenChoice, piece: String)], from start: Int) -> JSONValue {
    if !showsScores { return .null }
    func spelling(_ token: Int32) -> String { String(decoding: tokenizer.spelling(of: token), as: UTF8.self) }
    var offset = start
    var offsets: [JSONValue] = []
    for (_, piece) in tokens {
      offsets.append(.number(JSONNumber(offset)))
      offset += piece.unicodeScalars.count
    }
    return [
      "tokens": .array(tokens.map { .string(spelling($0.choice.token)) }),
      "token_logprobs": .array(tokens.map { .number(finite($0.choice.logProbability ?? 0)) }),
      "top_logprobs": .array(
        tokens.map { token in
          let pairs = token.choice.likeliest.map { (spelling($0.token), JSONValue.number(finite($0.logProbability))) }
          return .object(JSONObject(pairs))
        }),
      "text_offset": .array(offsets),
    ]
  }

  // MARK: Chunks

  private mutating func chunk(
    _ index: Int, _ text: String, _ token: TokenChoice?, finish: String? = nil, prompt: [Int32]? = nil
  ) -> String {
    var choice = JSONObject([
      ("index", .number(JSONNumber(index))), ("text", .string(text)),
      ("logprobs", token.map { scores([($0, text)], from: offsets[index] ?? 0) } ?? .null),
      ("finish_reason", finish.map { .string($0) } ?? .null),
    ])
    if fields.returnsTokens {
      choice["token_ids"] = .tokens(token.map { [$0.token] } ?? [])
      if let prompt { choice["prompt_token_ids"] = .tokens(prompt) }
    }
    if showsScores { offsets[index, default: 0] += text.unicodeScalars.count }
    return "data: \(object([.object(choice)]).json)\n\n"
  }

  mutating func opening(_ choices: [Choice]) -> String {
    if echoes == nil && !fields.returnsTokens { return "" }
    var text = ""
    for choice in choices { text += chunk(choice.index, echo(choice.index), nil, prompt: choice.prompt) }
    return text
  }

  mutating func piece(_ index: Int, _ events: [StreamEvent], _ token: TokenChoice?) -> String {
    chunk(index, Self.text(events), token)
  }

  mutating func closing(_ choice: Choice, _ events: [StreamEvent]) -> String {
    chunk(choice.index, Self.text(events), nil, finish: choice.finishReason)
  }

  /// A completion is content and nothing else.
  private static func text(_ events: [StreamEvent]) -> String {
    guard case .content(let text)? = events.first else { return "" }
    return text
  }

  func ending(_ choices: [Choice]) -> String {
    guard fields.streamsUsage else { return "data: [DONE]\n\n" }
    return "data: \(object([], usage: Usage(choices, answers: fields.texts).json).json)\n\ndata: [DONE]\n\n"
  }
}
