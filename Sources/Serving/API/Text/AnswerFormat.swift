// What answers to a request for text are, and how an endpoint writes them.

internal import Core
internal import Formats
internal import Inference
internal import Models

/// One of the answers, as far as it has come.
struct Choice: Sendable {
  let index: Int
  /// What it goes on from.
  let prompt: [Int32]
  var answer: AnswerReader
  /// What was chosen, with the piece of text that it completed, if that is wanted.
  var tokens: [(choice: TokenChoice, piece: String)] = []
  /// How likely the prompt's tokens are, from the second on, if that is wanted: of the first choice of each prompt.
  var promptScores: [PromptToken] = []
  var reasoningTokens = 0
  var end: GenerationEnd?

  var text: String { answer.text(.content) ?? "" }

  /// As OpenAI calls it.
  var finishReason: String? {
    end.map { end in
      switch end.reason {
      case .stop: answer.hasCalls ? "tool_calls" : "stop"
      case .length: "length"
      case .cancelled, .deadline: "abort"
      }
    }
  }
}

/// How an endpoint writes answers. What a stream has told is its own to remember.
protocol AnswerFormat: Sendable {
  /// The reply as a whole.
  func whole(_ choices: [Choice]) -> JSONValue
  /// What a stream begins with.
  mutating func opening(_ choices: [Choice]) -> String
  /// What has come of a choice.
  ///
  /// - Parameter token: the token that it came with, if tokens are kept.
  mutating func piece(_ index: Int, _ events: [StreamEvent], _ token: TokenChoice?) -> String
  /// The end of a choice, with what came with it.
  mutating func closing(_ choice: Choice, _ events: [StreamEvent]) -> String
  /// What a stream ends with.
  mutating func ending(_ choices: [Choice]) -> String
  /// An error in the midst of a stream.
  mutating func failure(_ error: APIError) -> String
  /// An error instead of a reply.
  func refusal(_ error: APIError) -> HTTPReply
}

extension AnswerFormat {
  func failure(_ error: APIError) -> String { "data: \(error.json.json)\n\n" }
  func refusal(_ error: APIError) -> HTTPReply { error.reply }
}

/// How many tokens were read and written.
struct Usage {
  var prompt = 0
  /// Of them, those that were in the cache.
  var cached = 0
  var written = 0
  var reasoning = 0

  /// - Parameter answers: to each prompt; prompts count once.
  init(_ choices: [Choice], answers: Int) {
    for choice in choices {
      guard let end = choice.end else { continue }
      if choice.index % answers == 0 {
        prompt += end.prompt
        cached += end.cached
      }
      written += end.written
      reasoning += choice.reasoningTokens
    }
  }

  /// In the words of OpenAI's completions.
  var json: JSONValue {
    [
      "prompt_tokens": .number(JSONNumber(prompt)), "completion_tokens": .number(JSONNumber(written)),
      "total_tokens": .number(JSONNumber(prompt + written)),
      "prompt_tokens_details": ["cached_tokens": .number(JSONNumber(cached))],
      "completion_tokens_details": ["reasoning_tokens": .number(JSONNumber(reasoning))],
    ]
  }
}

/// A log-probability as JSON can say it: OpenAI's least.
func finite(_ logProbability: Float) -> JSONNumber { JSONNumber(max(logProbability, -9999)) }

extension JSONValue {
  /// Numbers of tokens.
  static func tokens(_ tokens: some Sequence<Int32>) -> JSONValue { .array(tokens.map { .number(JSONNumber($0)) }) }
}

extension Tokenizer {
  /// The bytes of a token in the midst of a text: a space in front belongs to it.
  func spelling(of token: Int32) -> [UInt8] {
    var bytes: [UInt8] = []
    appendBytes(of: token, to: &bytes)
    return bytes
  }

  /// vLLM's description of a prompt's tokens, of which the first is like nothing before it.
  func promptLogProbabilities(_ tokens: [PromptToken]) -> JSONValue {
    func entry(_ token: Int32, _ logProbability: Float, rank: Int) -> (String, JSONValue) {
      (
        String(token),
        [
          "logprob": .number(finite(logProbability)), "rank": .number(JSONNumber(rank)),
          "decoded_token": .string(String(decoding: spelling(of: token), as: UTF8.self)),
        ]
      )
    }
    return .array(
      [.null]
        + tokens.map { token in
          let chosen = entry(token.choice.token, token.choice.logProbability ?? 0, rank: token.rank)
          let others = token.choice.likeliest.enumerated().map { entry($1.token, $1.logProbability, rank: $0 + 1) }
          return .object(JSONObject(others + [chosen]))
        })
  }

  /// OpenAI's description of tokens of a message, with the likeliest others.
  func logProbabilities(_ tokens: [TokenChoice]) -> JSONValue {
    func entry(_ token: Int32, _ logProbability: Float) -> JSONObject {
      let bytes = spelling(of: token)
      return JSONObject([
        ("token", .string(String(decoding: bytes, as: UTF8.self))), ("logprob", .number(finite(logProbability))),
        ("bytes", .array(bytes.map { .number(JSONNumber($0)) })),
      ])
    }
    return .array(
      tokens.map { token in
        var result = entry(token.token, token.logProbability ?? 0)
        result["top_logprobs"] = .array(token.likeliest.map { .object(entry($0.token, $0.logProbability)) })
        return .object(result)
      })
  }
}
