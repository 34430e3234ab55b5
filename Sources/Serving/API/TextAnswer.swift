// The answers to one request: several texts of the engine become one reply, whole or streamed.
//
// What is sent is sent under the lock, so that it goes out in the order in which it was decided; sending only hands it on.

internal import Core
internal import Formats
internal import Inference
internal import Models
internal import Synchronization

/// One of the answers, as far as it has come.
struct Choice {
  var index: Int
  var text = ""
  /// What was chosen, with the piece of text that it completed.
  var tokens: [(choice: TokenChoice, piece: String)] = []
  var end: GenerationEnd?

  /// As OpenAI calls it.
  var finishReason: String? {
    end.map { end in
      switch end.reason {
      case .stop: "stop"
      case .length: "length"
      case .cancelled, .deadline: "abort"
      }
    }
  }
}

/// How an endpoint writes answers.
protocol AnswerFormat: Sendable {
  /// The reply as a whole.
  func whole(_ choices: [Choice]) -> JSONValue
  /// What comes before the first piece of a choice; nil: nothing.
  func opening(_ index: Int) -> String?
  /// A piece of a choice.
  func piece(_ index: Int, _ text: String, _ token: TokenChoice?) -> String
  /// The end of a choice, with the text that was held back.
  func closing(_ choice: Choice, _ text: String) -> String
  /// What all was used, as the last chunk.
  func usage(_ choices: [Choice]) -> String
}

/// Submits texts and answers with them.
final class TextAnswer: Sendable {
  private struct State {
    var choices: [Choice]
    var ids: [InferenceEngine.ID] = []
    var left: Int
    var isBegun = false
    var isOver = false
  }

  private let engine: InferenceEngine
  private let metrics: ServiceMetrics
  private let responder: HTTPResponder
  private let format: any AnswerFormat
  private let isStreamed: Bool
  private let streamsUsage: Bool
  private let keepsTokens: Bool
  private let state: Mutex<State>

  /// - Parameter requests: one for each choice.
  static func begin(
    _ requests: [GenerationRequest], _ fields: GenerationFields, _ format: any AnswerFormat, _ service: APIService,
    _ responder: HTTPResponder
  ) {
    let engine = service.engine
    let answer = TextAnswer(requests.count, fields, format, service, responder)
    for (index, request) in requests.enumerated() {
      let id = engine.submit(request) { answer.receive($0, index) }
      answer.state.withLock { $0.ids.append(id) }
    }
    responder.whenGone { answer.cancel() }
    // One may have been refused before the others were asked for.
    if answer.state.withLock({ $0.isOver && $0.left > 0 }) { answer.cancel() }
  }

  private init(
    _ count: Int, _ fields: GenerationFields, _ format: any AnswerFormat, _ service: APIService,
    _ responder: HTTPResponder
  ) {
    (engine, metrics, self.responder, self.format) = (service.engine, service.metrics, responder, format)
    (isStreamed, streamsUsage) = (fields.isStreamed, fields.streamsUsage)
    keepsTokens = fields.sampling.logProbabilities != nil
    state = Mutex(State(choices: (0..<count).map { Choice(index: $0) }, left: count))
  }

  private func cancel() {
    let ids = state.withLock { state in
      state.isOver = true
      return state.ids
    }
    for id in ids { engine.cancel(id) }
  }

  private func receive(_ event: GenerationEvent, _ index: Int) {
    switch event {
    case .refused(let refusal): give(APIError(refusal))
    case .failed(let message): give(APIError(.failed, message))
    case .started: break
    case .token(let choice, let text): receive(choice, text, index)
    case .ended(let end): receive(end, index)
    }
  }

  private func receive(_ token: TokenChoice, _ text: String, _ index: Int) {
    state.withLock { state in
      if state.isOver { return }
      if !isStreamed {
        state.choices[index].tokens.append((token, text))
        state.choices[index].text += text
      } else if !text.isEmpty || keepsTokens {
        responder.write(begun(&state) + format.piece(index, text, keepsTokens ? token : nil))
      }
    }
  }

  /// Begins the stream, once.
  private func begun(_ state: inout State) -> String {
    if state.isBegun { return "" }
    state.isBegun = true
    responder.begin(contentType: "text/event-stream; charset=utf-8")
    return state.choices.compactMap { format.opening($0.index) }.joined()
  }

  private func receive(_ end: GenerationEnd, _ index: Int) {
    metrics.observe(end)
    state.withLock { state in
      if state.isOver { return }
      state.choices[index].end = end
      state.choices[index].text += end.text
      state.left -= 1
      if state.left == 0 { state.isOver = true }
      guard isStreamed else {
        if state.isOver {
          responder.send(HTTPReply(200, "application/json", Array(format.whole(state.choices).json.utf8)))
        }
        return
      }
      responder.write(begun(&state) + format.closing(state.choices[index], end.text))
      if state.isOver {
        responder.write((streamsUsage ? format.usage(state.choices) : "") + "data: [DONE]\n\n")
        responder.end()
      }
    }
  }

  /// Ends the reply with an error, and the other texts.
  private func give(_ error: APIError) {
    let isFirst = state.withLock { state -> Bool in
      if state.isOver { return false }
      state.isOver = true
      if state.isBegun {
        responder.write("data: \(error.json.json)\n\n")
        responder.end()
      } else {
        responder.send(error.reply)
      }
      return true
    }
    guard isFirst else { return }
    metrics.count(error: error.kind.rawValue)
    cancel()
  }
}

extension APIError {
  init(_ refusal: Refusal) {
    switch refusal {
    case .queueFull(let count):
      self.init(.tooManyRequests, "\(count) requests wait already; try again later.", code: "queue_full")
    case .tooLong(let tokens, let limit):
      self.init(
        .badRequest,
        "The prompt and the tokens asked for are \(tokens) in all; this model has room for \(limit). Shorten the prompt or "
          + "ask for fewer.", code: "context_length_exceeded")
    case .invalid(let message): self.init(.badRequest, message, code: "invalid_value")
    case .emptyPrompt: self.init(.badRequest, "The prompt has no tokens.", parameter: "prompt", code: "invalid_value")
    case .stopping: self.init(.unavailable, "The server is being stopped.", code: "stopping")
    }
  }
}

/// What was used, in OpenAI's words. Prompts count once, however many answers there are to each.
func usage(_ choices: [Choice], answers: Int) -> JSONValue {
  let ends = choices.compactMap(\.end)
  let firsts = choices.filter { $0.index % answers == 0 }.compactMap(\.end)
  let prompt = firsts.map(\.prompt).reduce(0, +)
  let written = ends.map(\.written).reduce(0, +)
  return [
    "prompt_tokens": .number(JSONNumber(prompt)), "completion_tokens": .number(JSONNumber(written)),
    "total_tokens": .number(JSONNumber(prompt + written)),
    "prompt_tokens_details": ["cached_tokens": .number(JSONNumber(firsts.map(\.cached).reduce(0, +)))],
  ]
}

/// A log-probability as JSON can say it: OpenAI's least.
func finite(_ logProbability: Float) -> JSONNumber { JSONNumber(max(logProbability, -9999)) }

extension Tokenizer {
  /// The bytes of a token in the midst of a text: a space in front belongs to it.
  func spelling(of token: Int32) -> [UInt8] {
    var bytes: [UInt8] = []
    appendBytes(of: token, to: &bytes)
    return bytes
  }
}
