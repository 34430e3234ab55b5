// The likeliest texts behind a prompt as the answers to a request: a beam search through the engine.
//
// Each step asks the engine for one token behind each of the texts, as requests like any other: what they share is in its cache, so that
// a step costs as much as that of so many streams. Invariant: the result is that of `beamSearch` with the same model.

internal import Core
internal import Formats
internal import Inference
internal import Models
internal import Synchronization

/// Searches behind each prompt of a request, one after the other, and answers with what was found.
final class BeamAnswer: Sendable {
  private struct State {
    var search: BeamSearch
    var choices: [Choice] = []
    /// What is known of the texts of this step.
    var likeliest: [[TokenProbability]] = []
    var left = 0
    var ids: [InferenceEngine.ID] = []
    /// Of the prompt's first step, and of the last token.
    var end: GenerationEnd?
    var isOver = false
  }

  private let request: TextRequest
  private let beams: BeamFields
  private let format: any AnswerFormat
  private let engine: InferenceEngine
  private let metrics: ServiceMetrics
  private let responder: any AnswerChannel
  /// How many of the likeliest tokens behind each text are asked for.
  private let candidates: Int
  private let state: Mutex<State>

  static func begin(
    _ request: TextRequest, _ beams: BeamFields, _ format: any AnswerFormat, _ engine: InferenceEngine,
    _ metrics: ServiceMetrics, _ responder: any AnswerChannel
  ) {
    let answer = BeamAnswer(request, beams, format, engine, metrics, responder)
    let prompts = request.prompts.map { answer.generation($0, []) }
    responder.trace?.submitted(prompts.count)
    if let error = responder.caller?.problem(with: prompts) ?? answer.problem { return answer.give(error) }
    responder.whenGone { answer.cancel() }
    answer.ask()
  }

  private init(
    _ request: TextRequest, _ beams: BeamFields, _ format: any AnswerFormat, _ engine: InferenceEngine,
    _ metrics: ServiceMetrics, _ responder: any AnswerChannel
  ) {
    (self.request, self.beams, self.format) = (request, beams, format)
    (self.engine, self.metrics, self.responder) = (engine, metrics, responder)
    let search = Self.search(request, beams, engine, prompt: 0)
    candidates = search.candidates
    state = Mutex(State(search: search))
  }

  private static func search(
    _ request: TextRequest, _ beams: BeamFields, _ engine: InferenceEngine, prompt: Int
  ) -> BeamSearch {
    let sampling = request.fields.sampling
    let ends = (sampling.ignoreEnd ? [] : engine.ends).union(sampling.stopTokens)
    let room = max(engine.context - request.prompts[prompt].count, 1)
    return BeamSearch(
      width: beams.width, count: request.fields.limit ?? min(request.defaultLimit ?? room, room), ends: ends,
      lengthPenalty: beams.lengthPenalty, stopping: beams.stopping)
  }

  /// What cannot be searched for.
  private var problem: APIError? {
    for (index, prompt) in request.prompts.enumerated() {
      let tokens = prompt.count + Self.search(request, beams, engine, prompt: index).count
      if tokens > engine.context { return APIError(Refusal.tooLong(tokens: tokens, limit: engine.context)) }
    }
    guard candidates <= min(engine.vocabulary, 1000) else {
      return APIError(
        .badRequest, "\(beams.width) beams are too many for a vocabulary of \(engine.vocabulary).", parameter: "n",
        code: "invalid_value")
    }
    return nil
  }

  private func generation(_ prompt: [Int32], _ written: [Int32]) -> GenerationRequest {
    var result = GenerationRequest(prompt: prompt + written, limit: 1)
    result.sampling.temperature = 0
    result.sampling.logProbabilities = candidates
    result.adapter = request.fields.adapter
    (result.priority, result.salt) = (request.fields.priority, request.fields.salt)
    result.tenant = responder.caller?.name ?? request.fields.tenant
    return result
  }

  /// Asks for what may follow the texts of this step.
  private func ask() {
    let requests = state.withLock { state -> [GenerationRequest] in
      if state.isOver { return [] }
      let prompt = request.prompts[state.choices.count / request.fields.texts]
      let running = state.search.running
      state.likeliest = Array(repeating: [], count: running.count)
      (state.left, state.ids) = (running.count, [])
      return running.map { generation(prompt, $0.tokens) }
    }
    for (index, text) in requests.enumerated() {
      let id = engine.submit(text) { self.receive($0, index) }
      state.withLock { $0.ids.append(id) }
    }
    if state.withLock({ $0.isOver }) { cancel() }
  }

  // MARK: On the engine's thread

  private func receive(_ event: GenerationEvent, _ index: Int) {
    switch event {
    case .started, .state, .prompt: return
    case .token(let choice, _): state.withLock { $0.likeliest[index] = choice.likeliest }
    case .refused(let refusal): give(APIError(refusal))
    case .impossible(let message): give(APIError(.badRequest, message))
    case .failed(let message): give(APIError(.failed, message))
    case .ended(let end):
      // Every text of a step was computed, whether it is among those that are found or not.
      responder.caller?.wrote(end.written)
      let isStepOver = state.withLock { state in
        if state.end == nil { state.end = end } else { state.end!.times.lastToken = end.times.lastToken }
        state.end!.times.ended = end.times.ended
        state.left -= 1
        return state.left == 0 && !state.isOver
      }
      // To sort many candidates takes long for a thread that others wait for.
      if isStepOver { responder.aside { self.advance() } }
    }
  }

  // MARK: Beside the loop

  private func advance() {
    let isDone = state.withLock { state -> Bool in
      state.search.advance(state.likeliest)
      if !state.search.running.isEmpty { return false }
      finish(&state)
      if state.choices.count < request.prompts.count * request.fields.texts {
        let next = state.choices.count / request.fields.texts
        state.search = Self.search(request, beams, engine, prompt: next)
        state.end = nil
        return false
      }
      state.isOver = true
      return true
    }
    guard isDone else { return ask() }
    let choices = state.withLock { $0.choices }
    for choice in choices {
      metrics.observe(choice.end!)
      if choice.index % request.fields.texts == 0 { responder.trace?.ended(text: choice.end) }
    }
    responder.send(HTTPReply(200, "application/json", format.whole(choices).jsonBytes))
  }

  /// Makes choices of what was found behind a prompt.
  private func finish(_ state: inout State) {
    let prompt = request.prompts[state.choices.count / request.fields.texts]
    for found in state.search.found.prefix(request.fields.count) {
      var choice = Choice(index: state.choices.count, prompt: prompt, answer: AnswerReader(request.family))
      var decoder = StreamingDecoder(
        engine.tokenizer, skippingSpecials: request.fields.skipsSpecials && request.family == nil, after: prompt)
      for token in found.tokens {
        let piece = decoder.push(token)
        choice.tokens.append((TokenChoice(token: token), piece))
        if choice.answer.isReasoning { choice.reasoningTokens += 1 }
        _ = choice.answer.push(piece)
      }
      _ = choice.answer.push(decoder.finish())
      _ = choice.answer.finish()
      var end = state.end!
      end.reason = found.length > found.tokens.count ? .stop : .length
      (end.prompt, end.written) = (prompt.count, found.length)
      choice.end = end
      state.choices.append(choice)
    }
  }

  // MARK: Ends

  private func cancel() {
    let (ids, isFirst) = state.withLock { state in
      defer { state.isOver = true }
      return (state.ids, !state.isOver)
    }
    for id in ids { engine.cancel(id) }
    if isFirst { giveUp() }
  }

  /// There are no texts of which the request's record would wait for the end.
  private func giveUp() { for _ in request.prompts { responder.trace?.ended(text: nil) } }

  private func give(_ error: APIError) {
    let isFirst = state.withLock { state in
      defer { state.isOver = true }
      return !state.isOver
    }
    guard isFirst else { return }
    giveUp()
    responder.send(format.refusal(error))
    metrics.count(error: error.kind.rawValue)
    cancel()
  }
}
