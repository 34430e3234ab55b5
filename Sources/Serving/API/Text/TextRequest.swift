// What every endpoint for text brings a request to: prompts, how to go on from them, how answers are read.

internal import Core
internal import Inference
internal import Models

/// Texts that a request asks for.
struct TextRequest: Sendable {
  var prompts: [[Int32]]
  var fields: GenerationFields
  /// How many tokens are written if nobody says; nil: as many as fit.
  var defaultLimit: Int?
  /// What answers are held to.
  var grammar: GrammarRequest?
  /// How the model marks reasoning and calls; nil: not at all.
  var family: StreamFamily?
  /// Tokens are told one by one, with what is known of them.
  var keepsTokens: Bool { fields.sampling.logProbabilities != nil || fields.returnsTokens }
}

extension APIService {
  /// Submits the texts of a request; compiles what they are held to first, where that is not known yet.
  func begin(_ request: TextRequest, _ format: any AnswerFormat, _ responder: any AnswerChannel) throws(APIError) {
    let engine = try engine
    if let beams = request.fields.beams {
      guard request.grammar == nil else {
        throw APIError(
          .badRequest,
          "Texts that are looked for with 'use_beam_search' cannot be held to a grammar or to calls of tools.",
          parameter: "use_beam_search", code: "invalid_value")
      }
      return BeamAnswer.begin(request, beams, format, engine, metrics, responder)
    }
    guard let grammar = request.grammar else { return submit(request, engine, nil, format, responder) }
    if let known = grammars.known(grammar) { return submit(request, engine, known, format, responder) }
    responder.aside {
      do throws(GrammarError) {
        self.submit(request, engine, try self.grammars.entry(for: grammar), format, responder)
      } catch {
        let error = APIError(.badRequest, error.message, code: "invalid_grammar")
        self.metrics.count(error: error.kind.rawValue)
        responder.send(format.refusal(error))
      }
    }
  }

  private func submit(
    _ request: TextRequest, _ engine: InferenceEngine, _ grammar: GrammarCache.Entry?, _ format: any AnswerFormat,
    _ responder: any AnswerChannel
  ) {
    let fields = request.fields
    let requests = request.prompts.flatMap { prompt in
      (0..<fields.texts).map { answer in
        let room = max(engine.context - prompt.count, 1)
        var result = GenerationRequest(prompt: prompt, limit: fields.limit ?? min(request.defaultLimit ?? room, room))
        (result.sampling, result.stream) = (fields.sampling, answer)
        (result.written, result.adapter) = (fields.written, fields.adapter)
        (result.priority, result.tenant, result.salt) = (fields.priority, fields.tenant, fields.salt)
        if answer == 0 { result.promptLogProbabilities = fields.promptScores }
        // The prompt alone is computed with a token, of which nobody is told.
        if fields.promptScores != nil { result.limit = max(1, result.limit) }
        result.constraint = grammar.map { GrammarMatcher($0.masks) }
        // Markers may be special tokens, and are taken out when the answer is read.
        result.skipsSpecials = fields.skipsSpecials && request.family == nil
        return result
      }
    }
    TextAnswer.begin(requests, request, format, engine, metrics, responder, fetch: fetch(request, engine, responder))
  }

  /// Fetches the prompt's blocks from the worker that the router has named, if it has; of answers that somebody waits for.
  private func fetch(
    _ request: TextRequest, _ engine: InferenceEngine, _ channel: any AnswerChannel
  ) -> ((GenerationRequest, @escaping @Sendable () -> Void) -> @Sendable () -> Void)? {
    guard let transfer = settings.transfer, let responder = channel as? HTTPResponder,
      let worker = responder.prefillWorker
    else { return nil }
    let isOne = request.prompts.count == 1 && request.fields.adapter == nil && request.fields.promptScores == nil
    return { text, next in
      transfer.wait {
        let outcome = isOne ? await transfer.fetch(text, from: worker, into: engine) : .needless
        responder.add(headers: [(PrefillOutcome.header, outcome.rawValue)])
      } then: {
        next()
      }
    }
  }
}
