// What a request says of a search for the likeliest texts, in the words of vLLM.

internal import Core
internal import Inference
internal import Models

/// `use_beam_search` and what belongs to it.
struct BeamFields {
  /// Texts that go on at each length: `best_of`, or as many as are wanted.
  let width: Int
  let lengthPenalty: Double
  let stopping: BeamSearch.Stopping

  /// Nil: answers are sampled.
  init?(_ fields: inout Fields, _ generation: GenerationFields) throws(APIError) {
    let isWanted = try fields.flag("use_beam_search") ?? false
    let penalty = try fields.number("length_penalty")
    let early = fields.value("early_stopping")
    guard isWanted else {
      if let name = penalty != nil ? "length_penalty" : early != nil ? "early_stopping" : nil {
        throw fields.wrong(name, "needs 'use_beam_search': true")
      }
      return nil
    }
    width = try fields.integer("best_of", 1...128) ?? generation.count
    if width < generation.count { throw fields.wrong("best_of", "must not be less than 'n', \(generation.count)") }
    lengthPenalty = penalty ?? 1
    switch early {
    case nil, .bool(false)?: stopping = .likely
    case .bool(true)?: stopping = .early
    case "never"?: stopping = .certain
    default: throw fields.wrong("early_stopping", "must be true, false or \"never\"")
    }
    if generation.limit == 0 { throw fields.wrong("max_tokens", "must be positive with 'use_beam_search'") }
    if generation.isStreamed { throw fields.wrong("stream", "is not possible with 'use_beam_search'") }
    if generation.promptScores != nil { throw fields.wrong("prompt_logprobs", "is not told with 'use_beam_search'") }
    if !generation.written.isEmpty { throw fields.wrong("resume_token_ids", "is not possible with 'use_beam_search'") }
    // What only says how the likeliest would be missed has no use; what would change them is not done.
    var rules = SamplingConfiguration(temperature: generation.sampling.temperature, seed: generation.sampling.seed)
    (rules.stopTokens, rules.ignoreEnd) = (generation.sampling.stopTokens, generation.sampling.ignoreEnd)
    if rules != generation.sampling {
      throw fields.wrong(
        "use_beam_search", "looks for the likeliest texts: leave out rules of sampling, 'stop' and 'logprobs'")
    }
  }
}
