// OpenAI's `chat.completion` and its chunks; reasoning as vLLM has it, in `reasoning_content`.

internal import Core
internal import Formats
internal import Inference
internal import Models

/// What calls of tools are called, by which their results are told apart.
struct CallIDs: Sendable {
  private let kind: CallSyntax.IDs

  init(_ kind: CallSyntax.IDs?) { self.kind = kind ?? .any }

  /// - Parameters:
  ///   - reply: the id of the reply, which no other has.
  ///   - call: the number of the call among those of the choice.
  func id(_ reply: String, _ choice: Int, _ call: Int, name: String, prefix: String = "call_") -> String {
    if kind == .functions { return "functions.\(name):\(call)" }
    let digits = reply.utf8.suffix(32)
    let number = digits.reduce(into: UInt64(choice) << 32 | UInt64(call)) { hash, digit in
      hash = (hash ^ UInt64(digit)) &* 0x100_0000_01B3
    }
    let text = String(number, radix: 36) + "00000000"
    if kind == .nineCharacters { return String(text.prefix(9)) }
    return "\(prefix)\(String(decoding: digits, as: UTF8.self).prefix(16))\(text.prefix(8))"
  }
}

struct ChatFormat: AnswerFormat {
  let id: String
  let created: Int
  let model: String
  let tokenizer: any Tokenizer
  let streamsUsage: Bool
  let showsReasoning: Bool
  let tellsTokens: Bool
  let calls: CallIDs

  private func object(_ kind: String, _ choices: [JSONValue], usage: JSONValue? = nil) -> JSONObject {
    var result = JSONObject([
      ("id", .string(id)), ("object", .string(kind)), ("created", .number(JSONNumber(created))),
      ("model", .string(model)), ("choices", .array(choices)),
    ])
    if let usage { result["usage"] = usage }
    return result
  }

  func whole(_ choices: [Choice]) -> JSONValue {
    let written = choices.map { choice -> JSONValue in
      var result = JSONObject([
        ("index", .number(JSONNumber(choice.index))), ("message", message(choice)),
        ("logprobs", logProbabilities(choice.tokens.map(\.choice))),
        ("finish_reason", .string(choice.finishReason ?? "")),
      ])
      if tellsTokens { result["token_ids"] = .tokens(choice.tokens.map(\.choice.token)) }
      return .object(result)
    }
    var result = object("chat.completion", written, usage: Usage(choices, answers: choices.count).json)
    if tellsTokens { result["prompt_token_ids"] = .tokens(choices[0].prompt) }
    if !choices[0].promptScores.isEmpty {
      result["prompt_logprobs"] = tokenizer.promptLogProbabilities(choices[0].promptScores)
    }
    return .object(result)
  }

  private func message(_ choice: Choice) -> JSONValue {
    let calls = choice.answer.parts.filter { $0.kind == .call }
    let content = choice.answer.text(.content)
    var message = JSONObject([
      ("role", "assistant"), ("content", content.map { .string($0) } ?? (calls.isEmpty ? "" : .null)),
      ("refusal", .null),
    ])
    if showsReasoning, let reasoning = choice.answer.text(.reasoning) {
      message["reasoning_content"] = .string(reasoning)
    }
    if !calls.isEmpty {
      message["tool_calls"] = .array(
        calls.enumerated().map { number, call in
          [
            "id": .string(self.calls.id(id, choice.index, number, name: call.name)), "type": "function",
            "function": ["name": .string(call.name), "arguments": .string(call.text)],
          ]
        })
    }
    return .object(message)
  }

  private func logProbabilities(_ tokens: [TokenChoice]) -> JSONValue {
    guard tokens.contains(where: { $0.logProbability != nil }) else { return .null }
    return ["content": tokenizer.logProbabilities(tokens), "refusal": .null]
  }

  // MARK: Chunks

  private func chunk(_ index: Int, _ delta: JSONValue, _ token: TokenChoice? = nil, finish: String? = nil) -> String {
    var choice = JSONObject([
      ("index", .number(JSONNumber(index))), ("delta", delta),
      ("logprobs", token.map { logProbabilities([$0]) } ?? .null),
      ("finish_reason", finish.map { .string($0) } ?? .null),
    ])
    if tellsTokens { choice["token_ids"] = .tokens(token.map { [$0.token] } ?? []) }
    return "data: \(JSONValue.object(object("chat.completion.chunk", [.object(choice)])).json)\n\n"
  }

  func opening(_ choices: [Choice]) -> String {
    choices.map { choice in
      let delta: JSONValue = ["role": "assistant", "content": ""]
      guard tellsTokens else { return chunk(choice.index, delta) }
      var first = object(
        "chat.completion.chunk",
        [["index": .number(JSONNumber(choice.index)), "delta": delta, "logprobs": .null, "finish_reason": .null]])
      first["prompt_token_ids"] = .tokens(choice.prompt)
      return "data: \(JSONValue.object(first).json)\n\n"
    }.joined()
  }

  func piece(_ index: Int, _ events: [StreamEvent], _ token: TokenChoice?) -> String {
    let deltas = events.compactMap { delta(index, $0) }
    // A token of which nothing is to be seen yet is told all the same.
    if deltas.isEmpty { return token.map { chunk(index, ["content": ""], $0) } ?? "" }
    // With the last of what it brings: who has its number has all of it.
    return deltas.enumerated().map { chunk(index, $1, $0 == deltas.count - 1 ? token : nil) }.joined()
  }

  private func delta(_ index: Int, _ event: StreamEvent) -> JSONValue? {
    switch event {
    case .content(let text): return ["content": .string(text)]
    case .reasoning(let text): return showsReasoning ? ["reasoning_content": .string(text)] : nil
    case .call(let call, let name):
      return [
        "tool_calls": [
          [
            "index": .number(JSONNumber(call)), "id": .string(calls.id(id, index, call, name: name)),
            "type": "function", "function": ["name": .string(name), "arguments": ""],
          ]
        ]
      ]
    case .arguments(let call, let text):
      return ["tool_calls": [["index": .number(JSONNumber(call)), "function": ["arguments": .string(text)]]]]
    case .done: return nil
    }
  }

  func closing(_ choice: Choice, _ events: [StreamEvent]) -> String {
    piece(choice.index, events, nil) + chunk(choice.index, [:], finish: choice.finishReason)
  }

  func ending(_ choices: [Choice]) -> String {
    guard streamsUsage else { return "data: [DONE]\n\n" }
    let usage = Usage(choices, answers: choices.count).json
    return "data: \(JSONValue.object(object("chat.completion.chunk", [], usage: usage)).json)\n\ndata: [DONE]\n\n"
  }
}
