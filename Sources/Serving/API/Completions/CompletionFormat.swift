// OpenAI's `text_completion`, whole and in chunks.

internal import Core
internal import Formats
internal import Inference
internal import Models

struct CompletionFormat: AnswerFormat {
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
  private var offsets: [Int: Int] = [:]

  init(
    id: String, created: Int, model: String, echoes: [String]?, fields: GenerationFields, showsScores: Bool,
    tokenizer: any Tokenizer
  ) {
    (self.id, self.created, self.model, self.echoes) = (id, created, model, echoes)
    (self.fields, self.showsScores, self.tokenizer) = (fields, showsScores, tokenizer)
  }

  /// Of a token's text and how likely it was; of the first of all nothing is known.
  private struct Piece {
    var text: String
    var token: Int32
    var choice: TokenChoice?
  }

  private func object(_ choices: [JSONValue], usage: JSONValue? = nil) -> JSONValue {
    var result = JSONObject([
      ("id", .string(id)), ("object", "text_completion"), ("created", .number(JSONNumber(created))),
      ("model", .string(model)), ("choices", .array(choices)),
    ])
    if let usage { result["usage"] = usage }
    return .object(result)
  }

  private func echo(_ index: Int) -> String { echoes?[index / fields.texts] ?? "" }

  private func usage(_ choices: [Choice]) -> JSONValue {
    var usage = Usage(choices, answers: fields.texts)
    if isPromptOnly { usage.written = 0 }
    return usage.json
  }

  /// No text is wanted but the echo.
  private var isPromptOnly: Bool { fields.limit == 0 }

  func whole(_ choices: [Choice]) -> JSONValue {
    let chosen = fields.best == nil ? choices : likeliest(choices)
    let written = chosen.enumerated().map { index, choice -> JSONValue in
      let tokens = isPromptOnly ? [] : choice.tokens
      let pieces =
        echoed(choice, choices) + tokens.map { Piece(text: $0.piece, token: $0.choice.token, choice: $0.choice) }
      var result = JSONObject([
        ("index", .number(JSONNumber(index))),
        ("text", .string(echo(choice.index) + (isPromptOnly ? "" : choice.text))),
        ("logprobs", scores(pieces, from: 0)), ("finish_reason", .string(choice.finishReason ?? "")),
      ])
      if fields.returnsTokens {
        result["token_ids"] = .tokens(tokens.map(\.choice.token))
        result["prompt_token_ids"] = .tokens(choice.prompt)
      }
      let scored = first(choice, choices).promptScores
      if !scored.isEmpty { result["prompt_logprobs"] = tokenizer.promptLogProbabilities(scored) }
      return .object(result)
    }
    return object(written, usage: usage(choices))
  }

  /// The first choice of the same prompt, which knows of it.
  private func first(_ choice: Choice, _ choices: [Choice]) -> Choice {
    choices[choice.index / fields.texts * fields.texts]
  }

  /// The tokens of the prompt, if they are shown and scored.
  private func echoed(_ choice: Choice, _ choices: [Choice]) -> [Piece] {
    if echoes == nil || !showsScores { return [] }
    var decoder = StreamingDecoder(tokenizer, skippingSpecials: true)
    var pieces = choice.prompt.map { Piece(text: decoder.push($0), token: $0) }
    pieces[pieces.count - 1].text += decoder.finish()
    for (index, score) in first(choice, choices).promptScores.enumerated() where index + 1 < pieces.count {
      pieces[index + 1].choice = score.choice
    }
    return pieces
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

  private func scores(_ pieces: [Piece], from start: Int) -> JSONValue {
    if !showsScores { return .null }
    func spelling(_ token: Int32) -> String { String(decoding: tokenizer.spelling(of: token), as: UTF8.self) }
    var offset = start
    var offsets: [JSONValue] = []
    for piece in pieces {
      offsets.append(.number(JSONNumber(offset)))
      offset += piece.text.unicodeScalars.count
    }
    return [
      "tokens": .array(pieces.map { .string(spelling($0.token)) }),
      "token_logprobs": .array(pieces.map { $0.choice?.logProbability.map { .number(finite($0)) } ?? .null }),
      "top_logprobs": .array(
        pieces.map { piece in
          guard let choice = piece.choice else { return .null }
          let pairs = choice.likeliest.map { (spelling($0.token), JSONValue.number(finite($0.logProbability))) }
          return .object(JSONObject(pairs))
        }),
      "text_offset": .array(offsets),
    ]
  }

  // MARK: Chunks

  private mutating func chunk(
    _ index: Int, _ text: String, _ pieces: [Piece] = [], tokens: [Int32] = [], finish: String? = nil,
    prompt: [Int32]? = nil
  ) -> String {
    var choice = JSONObject([
      ("index", .number(JSONNumber(index))), ("text", .string(text)),
      ("logprobs", pieces.isEmpty ? .null : scores(pieces, from: offsets[index] ?? 0)),
      ("finish_reason", finish.map { .string($0) } ?? .null),
    ])
    if fields.returnsTokens {
      choice["token_ids"] = .tokens(tokens)
      if let prompt { choice["prompt_token_ids"] = .tokens(prompt) }
    }
    if showsScores { offsets[index, default: 0] += text.unicodeScalars.count }
    return "data: \(object([.object(choice)]).json)\n\n"
  }

  mutating func opening(_ choices: [Choice]) -> String {
    if echoes == nil && !fields.returnsTokens { return "" }
    var text = ""
    for choice in choices {
      text += chunk(choice.index, echo(choice.index), echoed(choice, choices), prompt: choice.prompt)
    }
    return text
  }

  mutating func piece(_ index: Int, _ events: [StreamEvent], _ token: TokenChoice?) -> String {
    if isPromptOnly { return "" }
    let text = Self.text(events)
    return chunk(
      index, text, token.map { [Piece(text: text, token: $0.token, choice: $0)] } ?? [],
      tokens: token.map { [$0.token] } ?? [])
  }

  mutating func closing(_ choice: Choice, _ events: [StreamEvent]) -> String {
    chunk(choice.index, isPromptOnly ? "" : Self.text(events), finish: choice.finishReason)
  }

  /// A completion is content and nothing else.
  private static func text(_ events: [StreamEvent]) -> String {
    guard case .content(let text)? = events.first else { return "" }
    return text
  }

  func ending(_ choices: [Choice]) -> String {
    guard fields.streamsUsage else { return "data: [DONE]\n\n" }
    return "data: \(object([], usage: usage(choices)).json)\n\ndata: [DONE]\n\n"
  }
}
