// POST /v1/completions: texts that go on from prompts.

internal import Core
internal import Formats
internal import Inference
internal import Models

extension APIService {
  func complete(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    let engine = try engine
    var fields = try Fields(body: request.body)
    let adapter = try checkModel(&fields)
    let prompts = try prompts(&fields, engine.tokenizer)
    var generation = try GenerationFields(&fields, limitNames: ["max_tokens"])
    generation.adapter = adapter
    let scores = try fields.integer("logprobs", 0...20)
    generation.sampling.logProbabilities = scores
    let echo = try fields.flag("echo") ?? false
    // With an echo the prompt's tokens are scored like those behind it.
    if echo, let scores { generation.promptScores = max(scores, generation.promptScores ?? 0) }
    generation.beams = try BeamFields(&fields, generation)
    if generation.beams == nil, let best = try fields.integer("best_of", 1...128), best != generation.count {
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
  private func prompts(_ fields: inout Fields, _ tokenizer: any Tokenizer) throws(APIError) -> [(
    text: String, tokens: [Int32]
  )] {
    let value = try fields.required("prompt", fields.value("prompt"))
    func text(_ text: String) -> (String, [Int32]) { (text, tokenizer.encode(text, addingSpecials: true)) }
    func tokens(_ tokens: [Int32]) -> (String, [Int32]) { (tokenizer.decode(tokens), tokens) }
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
