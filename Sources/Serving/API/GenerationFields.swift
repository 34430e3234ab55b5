// What requests for text have in common: how tokens are chosen, how many answers, when to stop.
//
// The names are OpenAI's, and for what OpenAI has not, those of vLLM, as clients know them.

internal import Core
internal import Formats
internal import Inference
internal import Models

/// The settings of a request for text.
struct GenerationFields {
  var sampling = SamplingConfiguration()
  /// Tokens to be written at most; nil: as many as fit.
  var limit: Int?
  /// Answers to each prompt.
  var count = 1
  /// Texts that are written to each, of which the likeliest become answers.
  var best: Int?
  var isStreamed = false
  /// A last chunk says what was used.
  var streamsUsage = false
  var priority = 0
  var tenant = ""
  var salt = ""
  /// The adapter that was named as the model.
  var adapter: String?
  /// Special tokens are left out of texts.
  var skipsSpecials = true
  /// The numbers of tokens are told beside texts.
  var returnsTokens = false
  /// Tokens of the answer that a client has already, from another server.
  var written: [Int32] = []
  /// The likeliest texts are looked for; nil: texts are sampled.
  var beams: BeamFields?
  /// The log-probabilities of the prompt's tokens are told, with so many likeliest ones.
  var promptScores: Int?
  /// Texts that are written to each prompt.
  var texts: Int { best ?? count }

  init() {}

  /// - Parameters:
  ///   - limitNames: the first that is there counts.
  ///   - stopName: what texts that end an answer are called.
  ///   - hasChoices: a request can have more than one answer.
  init(
    _ fields: inout Fields, limitNames: [String], stopName: String = "stop", hasChoices: Bool = true
  ) throws(APIError) {
    for name in limitNames {
      let given = try fields.integer(name, 0...(1 << 24))
      if limit == nil { limit = given }
    }
    isStreamed = try fields.flag("stream") ?? false
    if hasChoices {
      count = try fields.integer("n", 1...128) ?? 1
      promptScores = try fields.integer("prompt_logprobs", 0...20)
      if promptScores != nil && isStreamed { throw fields.wrong("prompt_logprobs", "is not told in streams") }
    }
    skipsSpecials = try fields.flag("skip_special_tokens") ?? true
    returnsTokens = try fields.flag("return_token_ids") ?? false
    written = try fields.tokens("resume_token_ids") ?? []
    if !written.isEmpty && count != 1 { throw fields.wrong("resume_token_ids", "continues one answer: leave out 'n'") }
    if let object = try fields.object("stream_options") {
      var options = fields.inside("stream_options", object)
      streamsUsage = try options.flag("include_usage") ?? false
      options.ignore("include_obfuscation")
      try options.finish()
      if !isStreamed { throw fields.wrong("stream_options", "is only allowed with 'stream': true") }
    }
    tenant = try fields.short("user") ?? ""
    salt = try fields.short("cache_salt") ?? ""
    priority = try fields.integer("priority", -1000...1000) ?? 0
    try readSampling(&fields, stopName: stopName)
    // What OpenAI's clients send and what has no meaning for one's own server.
    fields.ignore(
      "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key",
      "prompt_cache_retention")
  }

  private mutating func readSampling(_ fields: inout Fields, stopName: String) throws(APIError) {
    sampling.temperature = try fields.number("temperature") ?? 1
    sampling.topP = try fields.number("top_p") ?? 1
    // -1 is vLLM's word for none.
    if let count = try fields.integer("top_k", -1...(1 << 24)), count > 0 { sampling.topK = count }
    sampling.minP = try fields.number("min_p") ?? 0
    sampling.typical = try fields.number("typical_p") ?? 1
    sampling.topNSigma = try fields.number("top_n_sigma").flatMap { $0 > 0 ? $0 : nil }
    sampling.repetitionPenalty = try fields.number("repetition_penalty") ?? 1
    sampling.presencePenalty = try fields.number("presence_penalty") ?? 0
    sampling.frequencyPenalty = try fields.number("frequency_penalty") ?? 0
    sampling.dry.multiplier = try fields.number("dry_multiplier") ?? 0
    sampling.dry.base = try fields.number("dry_base") ?? sampling.dry.base
    sampling.dry.allowedLength = try fields.integer("dry_allowed_length", 1...4096) ?? sampling.dry.allowedLength
    sampling.dry.breakers = try fields.few("dry_sequence_breakers") ?? sampling.dry.breakers
    sampling.xtc.probability = try fields.number("xtc_probability") ?? 0
    sampling.xtc.threshold = try fields.number("xtc_threshold") ?? sampling.xtc.threshold
    switch try fields.integer("mirostat", 0...2) {
    case nil, 0: fields.ignore("mirostat_tau", "mirostat_eta")
    case 2?:
      if !written.isEmpty { throw fields.wrong("mirostat", "cannot go on from 'resume_token_ids'") }
      sampling.mirostat.tau = try fields.number("mirostat_tau") ?? 5
      sampling.mirostat.eta = try fields.number("mirostat_eta") ?? sampling.mirostat.eta
      if sampling.mirostat.tau <= 0 { throw fields.wrong("mirostat_tau", "must be more than 0") }
    default: throw fields.wrong("mirostat", "must be 0 (off) or 2; the first version is not there")
    }
    if let seed = try fields.integer("seed", Int.min...Int.max) {
      sampling.seed = UInt64(bitPattern: Int64(seed))
    } else {
      sampling.seed = UInt64.random(in: 0...UInt64.max)
    }
    sampling.stop = try fields.few(stopName) ?? []
    sampling.stopTokens = try fields.tokens("stop_token_ids") ?? []
    sampling.includeStop = try fields.flag("include_stop_str_in_output") ?? false
    sampling.ignoreEnd = try fields.flag("ignore_eos") ?? false
    sampling.minTokens = try fields.integer("min_tokens", 0...(1 << 24)) ?? 0
    sampling.allowedTokens = try fields.tokens("allowed_token_ids")
    if let biases = try fields.object("logit_bias") {
      for (token, bias) in biases {
        guard let token = Int(token), let bias = bias.double, abs(bias) <= 100 else {
          throw fields.wrong("logit_bias", "must map token numbers to numbers from -100 to 100")
        }
        sampling.logitBias[token] = bias
      }
    }
    // Asked one by one: to find nested settings by themselves costs more than everything else here.
    let rules = sampling.dry.problems() + sampling.xtc.problems() + sampling.mirostat.problems()
    if let problem = (sampling.problems() + rules).first {
      throw APIError(.badRequest, "\(problem).", code: "invalid_value")
    }
  }
}
