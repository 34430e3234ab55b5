// How long the choice of a token takes, by rule, behind a prompt of 2,000 tokens.
//
// Invariant: the logits look like those of a trained model: most tokens normally distributed (deviation 2), 2,000 raised above
// them by a power law, as if the probability of rank r were r^-1.5, in random places.

internal import Core
internal import Models

/// Chooses tokens of a vocabulary of 128,256 by each rule whose title contains `filter`.
/// - Returns: how many rules were measured.
@discardableResult
func runSamplingBenchmarks(filter: String, json: Bool, seconds: Double, emit: (String) -> Void) throws -> Int {
  let rules = samplingRules.filter { filter.isEmpty || samplingTitle($0.name).contains(filter) }
  let logits = likelyLogits(128_256)
  let workspace = SamplingWorkspace()
  var random = RandomSequence(seed: 2)
  let prompt = (0..<2000).map { _ in Int32(random.next() % UInt64(logits.count)) }
  for (name, configuration) in rules {
    var sampler = Sampler(configuration)
    sampler.begin(after: prompt)
    let time = try logits.withUnsafeBufferPointer { logits in
      try medianTime(seconds: seconds) { _ = try sampler.next(logits, in: workspace) }
    }
    if json {
      let line = JSONObject([
        ("name", .string("sampling")), ("shape", .string("\(logits.count)")), ("variant", .string(name)),
        ("seconds", .number(JSONNumber(time))),
      ])
      emit(JSONValue.object(line).json)
    } else {
      emit("\(samplingTitle(name)): \(Numerals.fixed(time * 1e6, 1)) us")
    }
  }
  return rules.count
}

private func samplingTitle(_ rule: String) -> String { "sampling \(rule)" }

private let samplingRules: [(name: String, configuration: SamplingConfiguration)] = {
  func rules(_ change: (inout SamplingConfiguration) -> Void) -> SamplingConfiguration {
    var result = SamplingConfiguration()
    change(&result)
    return result
  }
  return [
    ("greedy", rules { $0.temperature = 0 }),
    ("temperature", rules { $0.temperature = 0.8 }),
    ("top-k 40", rules { $0.topK = 40 }),
    ("top-p 0.95", rules { $0.topP = 0.95 }),
    ("min-p 0.05", rules { $0.minP = 0.05 }),
    ("top-k 40, top-p 0.95, min-p 0.05", rules { ($0.topK, $0.topP, $0.minP) = (40, 0.95, 0.05) }),
    ("top-n-sigma 1", rules { $0.topNSigma = 1 }),
    ("typical 0.9", rules { $0.typical = 0.9 }),
    ("top-k 1000, typical 0.9", rules { ($0.topK, $0.typical) = (1000, 0.9) }),
    ("xtc", rules { $0.xtc.probability = 1 }),
    ("repetition penalty", rules { $0.repetitionPenalty = 1.1 }),
    ("dry", rules { $0.dry.multiplier = 0.8 }),
    ("greedy, 5 log-probabilities", rules { ($0.temperature, $0.logProbabilities) = (0, 5) }),
  ]
}()

private func likelyLogits(_ count: Int) -> [Float] {
  let random = RandomStream(key: 1)
  var logits = (0..<count).map { Float(2 * random.normal(at: UInt64($0))) }
  for rank in 1...2000 {
    let place = random.integer(at: UInt64(count + rank), below: count)
    logits[place] = max(logits[place], Float(20 - 1.5 * log(Double(rank))))
  }
  return logits
}
