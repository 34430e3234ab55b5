// The answers to one request: several texts of the engine become one reply, whole or streamed.
//
// The engine's thread leaves here what it tells, and goes on; the loop that sends makes a reply of it, of all that there is at a
// time. What is long is written beside the loop.

internal import Core
internal import Formats
internal import Inference
internal import Models
internal import Synchronization

/// Submits texts and answers with them.
final class TextAnswer: Sendable {
  /// What the engine has told and nobody has looked at.
  private struct Inbox {
    var events: [(index: Int, event: GenerationEvent)] = []
    var ids: [InferenceEngine.ID] = []
    /// Texts that have not ended.
    var running: Int
    /// Somebody is on the way to look.
    var isAwaited = false
    var isCancelled = false
  }

  private struct State {
    var choices: [Choice]
    var format: any AnswerFormat
    var left: Int
    /// Tokens to come that the client of a stream has already.
    var known: Int
    var isBegun = false
    var isOver = false
  }

  /// So many events of a reply that is sent whole hold up the loop for too long.
  private static let long = 4096

  private let engine: InferenceEngine
  private let metrics: ServiceMetrics
  private let trace: RequestTrace?
  private let responder: any AnswerChannel
  private let caller: Caller?
  private let isStreamed: Bool
  private let keepsTokens: Bool
  private let inbox: Mutex<Inbox>
  private let state: Mutex<State>

  /// - Parameters:
  ///   - texts: one for each choice.
  ///   - fetch: given the first of them, has what follows done when its blocks are here; returns what ends the wait.
  static func begin(
    _ texts: [GenerationRequest], _ request: TextRequest, _ format: any AnswerFormat, _ engine: InferenceEngine,
    _ metrics: ServiceMetrics, _ responder: any AnswerChannel,
    fetch: ((GenerationRequest, _ next: @escaping @Sendable () -> Void) -> @Sendable () -> Void)? = nil
  ) {
    let answer = TextAnswer(texts, request, format, engine, metrics, responder)
    if let error = answer.caller?.problem(with: texts) { return answer.give(error) }
    answer.trace?.submitted(texts.count)
    guard let fetch else {
      answer.submit(texts)
      return responder.whenGone { answer.cancel() }
    }
    let endWait = fetch(answer.owned(texts[0])) { answer.submit(texts) }
    responder.whenGone {
      endWait()
      answer.cancel()
    }
  }

  /// Who brings a key is who it says, whatever else the request tells.
  private func owned(_ text: GenerationRequest) -> GenerationRequest {
    guard let caller else { return text }
    var text = text
    text.tenant = caller.name
    return text
  }

  private func submit(_ texts: [GenerationRequest]) {
    // Whoever asked may have gone.
    if inbox.withLock({ $0.isCancelled }) { return texts.forEach { _ in trace?.ended(text: nil) } }
    for (index, text) in texts.enumerated() {
      let id = engine.submit(owned(text)) { self.receive($0, index) }
      inbox.withLock { $0.ids.append(id) }
    }
    // One may have been refused before the others were asked for.
    if inbox.withLock({ $0.isCancelled }) { cancel() }
  }

  private init(
    _ texts: [GenerationRequest], _ request: TextRequest, _ format: any AnswerFormat, _ engine: InferenceEngine,
    _ metrics: ServiceMetrics, _ responder: any AnswerChannel
  ) {
    (self.engine, self.metrics, self.responder, caller) = (engine, metrics, responder, responder.caller)
    trace = responder.trace
    (isStreamed, keepsTokens) = (request.fields.isStreamed, request.keepsTokens)
    let choices = texts.enumerated().map {
      Choice(index: $0, prompt: $1.prompt, answer: AnswerReader(request.family))
    }
    inbox = Mutex(Inbox(running: choices.count))
    state = Mutex(State(choices: choices, format: format, left: choices.count, known: request.fields.written.count))
  }

  private func cancel() {
    let ids = inbox.withLock { inbox in
      inbox.isCancelled = true
      return inbox.ids
    }
    for id in ids { engine.cancel(id) }
  }

  // MARK: On the engine's thread

  private func receive(_ event: GenerationEvent, _ index: Int) {
    let count = inbox.withLock { inbox -> Int? in
      let isDue: Bool
      switch event {
      case .state: return nil
      case .started:
        responder.started()
        return nil
      case .prompt: isDue = false
      case .token(_, let text): isDue = isStreamed && (keepsTokens || !text.isEmpty)
      case .ended(let end):
        inbox.running -= 1
        isDue = isStreamed || inbox.running == 0
        trace?.ended(text: end)
      case .refused, .impossible, .failed:
        isDue = true
        trace?.ended(text: nil)
      }
      inbox.events.append((index, event))
      if !isDue || inbox.isAwaited { return nil }
      inbox.isAwaited = true
      return inbox.events.count
    }
    guard let count else { return }
    if count > Self.long && !isStreamed { responder.aside { self.read() } } else { responder.perform { self.read() } }
  }

  // MARK: On the loop

  /// Reads what there is and sends what follows from it.
  private func read() {
    let (events, isCancelled) = inbox.withLock { inbox in
      defer { (inbox.events, inbox.isAwaited) = ([], false) }
      return (inbox.events, inbox.isCancelled)
    }
    for case (_, .ended(let end)) in events {
      metrics.observe(end)
      caller?.wrote(end.written)
    }
    if isCancelled { return }
    var problem: APIError?
    state.withLock { state in
      var text = ""
      for (index, event) in events where !state.isOver && problem == nil {
        switch event {
        case .refused(let refusal): problem = APIError(refusal)
        case .impossible(let message): problem = APIError(.badRequest, message, code: "impossible_answer")
        case .failed(let message): problem = APIError(.failed, message)
        case .started, .state: break
        case .prompt(let token): state.choices[index].promptScores.append(token)
        case .token(let choice, let piece): text += take(choice, piece, index, &state)
        case .ended(let end): text += take(end, index, &state)
        }
      }
      responder.write(text)
      if state.isOver && isStreamed { responder.end() }
    }
    if let problem { give(problem) }
  }

  /// Takes a token; what a stream says of it.
  private func take(_ token: TokenChoice, _ text: String, _ index: Int, _ state: inout State) -> String {
    if state.choices[index].answer.isReasoning { state.choices[index].reasoningTokens += 1 }
    let events = state.choices[index].answer.push(text)
    defer { state.known = max(0, state.known - 1) }
    if !isStreamed {
      if keepsTokens { state.choices[index].tokens.append((token, text)) }
      return ""
    }
    if events.isEmpty && !keepsTokens { return "" }
    let opening = begun(&state)
    let piece = state.format.piece(index, events, keepsTokens ? token : nil)
    return state.known == 0 ? opening + piece : ""
  }

  /// Takes the end of a text; what a stream says of it.
  private func take(_ end: GenerationEnd, _ index: Int, _ state: inout State) -> String {
    state.choices[index].end = end
    var events = state.choices[index].answer.push(end.text)
    events += state.choices[index].answer.finish()
    state.left -= 1
    if state.left == 0 { state.isOver = true }
    guard isStreamed else {
      if state.isOver {
        responder.send(HTTPReply(200, "application/json", state.format.whole(state.choices).jsonBytes))
      }
      return ""
    }
    let closing = begun(&state) + state.format.closing(state.choices[index], events)
    return state.isOver ? closing + state.format.ending(state.choices) : closing
  }

  /// Begins the stream, once.
  private func begun(_ state: inout State) -> String {
    if state.isBegun { return "" }
    state.isBegun = true
    responder.beginEvents()
    return state.format.opening(state.choices)
  }

  /// Ends the reply with an error, and the other texts.
  private func give(_ error: APIError) {
    let isFirst = state.withLock { state -> Bool in
      if state.isOver { return false }
      state.isOver = true
      if state.isBegun {
        responder.write(state.format.failure(error))
        responder.fail(error)
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
