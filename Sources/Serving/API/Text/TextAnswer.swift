// The answers to one request: several texts of the engine become one reply, whole or streamed.
//
// What is sent is sent under the lock, so that it goes out in the order in which it was decided; sending only hands it on.

internal import Core
internal import Formats
internal import Inference
internal import Models
internal import Synchronization

/// Submits texts and answers with them.
final class TextAnswer: Sendable {
  private struct State {
    var choices: [Choice]
    var format: any AnswerFormat
    var ids: [InferenceEngine.ID] = []
    var left: Int
    /// Tokens to come that the client of a stream has already.
    var known: Int
    var isBegun = false
    var isOver = false
  }

  private let engine: InferenceEngine
  private let metrics: ServiceMetrics
  private let responder: HTTPResponder
  private let isStreamed: Bool
  private let keepsTokens: Bool
  private let state: Mutex<State>

  /// - Parameter texts: one for each choice.
  static func begin(
    _ texts: [GenerationRequest], _ request: TextRequest, _ format: any AnswerFormat, _ service: APIService,
    _ responder: HTTPResponder
  ) {
    let engine = service.engine
    let answer = TextAnswer(texts, request, format, service, responder)
    for (index, text) in texts.enumerated() {
      let id = engine.submit(text) { answer.receive($0, index) }
      answer.state.withLock { $0.ids.append(id) }
    }
    responder.whenGone { answer.cancel() }
    // One may have been refused before the others were asked for.
    if answer.state.withLock({ $0.isOver && $0.left > 0 }) { answer.cancel() }
  }

  private init(
    _ texts: [GenerationRequest], _ request: TextRequest, _ format: any AnswerFormat, _ service: APIService,
    _ responder: HTTPResponder
  ) {
    (engine, metrics, self.responder) = (service.engine, service.metrics, responder)
    (isStreamed, keepsTokens) = (request.fields.isStreamed, request.keepsTokens)
    let choices = texts.enumerated().map {
      Choice(index: $0, prompt: $1.prompt, answer: AnswerReader(request.family))
    }
    state = Mutex(State(choices: choices, format: format, left: choices.count, known: request.fields.written.count))
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
      if state.choices[index].answer.isReasoning { state.choices[index].reasoningTokens += 1 }
      let events = state.choices[index].answer.push(text)
      if !isStreamed {
        if keepsTokens { state.choices[index].tokens.append((token, text)) }
      } else if !events.isEmpty || keepsTokens {
        let opening = begun(&state)
        let piece = state.format.piece(index, events, keepsTokens ? token : nil)
        if state.known == 0 { responder.write(opening + piece) }
      }
      state.known = max(0, state.known - 1)
    }
  }

  /// Begins the stream, once.
  private func begun(_ state: inout State) -> String {
    if state.isBegun { return "" }
    state.isBegun = true
    responder.begin(contentType: "text/event-stream; charset=utf-8")
    return state.format.opening(state.choices)
  }

  private func receive(_ end: GenerationEnd, _ index: Int) {
    metrics.observe(end)
    state.withLock { state in
      if state.isOver { return }
      state.choices[index].end = end
      var events = state.choices[index].answer.push(end.text)
      events += state.choices[index].answer.finish()
      state.left -= 1
      if state.left == 0 { state.isOver = true }
      guard isStreamed else {
        if state.isOver {
          responder.send(HTTPReply(200, "application/json", Array(state.format.whole(state.choices).json.utf8)))
        }
        return
      }
      let opening = begun(&state)
      responder.write(opening + state.format.closing(state.choices[index], events))
      if state.isOver {
        responder.write(state.format.ending(state.choices))
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
        responder.write(state.format.failure(error))
        responder.end()
      } else {
        responder.send(state.format.refusal(error))
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
