// What a sampler chooses: by its distribution, by its seed alone, within its constraint.

import Core
import Models
import Support
import Testing

@Suite struct SamplerTests {
  /// Pearson's statistic is far from its mean, the degrees of freedom, with a probability of about 1e-6 (Wilson and Hilferty).
  private static func isFar(_ statistic: Double, _ freedom: Int) -> Bool {
    let f = Double(freedom)
    let limit = 1 - 2 / (9 * f) + 4.75 * (2 / (9 * f)).squareRoot()
    return statistic > f * limit * limit * limit
  }

  @Test(arguments: [
    "temperature=1", "temperature=0.6", "topK=5", "topP=0.8", "minP=0.1", "typical=0.7", "topNSigma=1.2",
    "xtc.probability=1", "logitBias.3=1.5", "temperature=1.4",
  ]) func choosesByItsDistribution(rule: String) throws {
    var random = RandomCase("choices \(rule)")
    let logits = (0..<150).map { _ in Float(random.uniform(-1...1) * random.uniform(0...4)) }
    var rules = try ConfigurationLoader.load(SamplingConfiguration.self, overrides: [rule])
    rules.seed = UInt64(bitPattern: random.bits())
    var sampler = Sampler(rules)
    let workspace = SamplingWorkspace()
    let draws = 40_000
    var counts: [Int32: Int] = [:]
    let expected = try logits.withUnsafeBufferPointer { logits in
      for _ in 0..<draws { counts[try sampler.next(logits, in: workspace).token, default: 0] += 1 }
      return try sampler.distribution(logits, in: workspace)
    }
    // Rare tokens are counted together.
    var (statistic, freedom, rareCount, rareExpected) = (0.0, 0, 0, 0.0)
    for entry in expected {
      let mean = exp(Double(entry.logProbability)) * Double(draws)
      let count = counts.removeValue(forKey: entry.token) ?? 0
      if mean < 10 {
        rareCount += count
        rareExpected += mean
      } else {
        statistic += (Double(count) - mean) * (Double(count) - mean) / mean
        freedom += 1
      }
    }
    if rareExpected >= 5 {
      statistic += (Double(rareCount) - rareExpected) * (Double(rareCount) - rareExpected) / rareExpected
      freedom += 1
    }
    #expect(counts.isEmpty, "tokens outside the distribution: \(counts), \(random)")
    #expect(
      freedom > 1 && !Self.isFar(statistic, freedom - 1), "\(statistic) with \(freedom - 1) of freedom, \(random)")
  }

  @Test func dependsOnSeedAndPlaceOnly() throws {
    let logits = (0..<500).map { Float(sin(Double($0))) }
    func text(seed: UInt64, stream: Int = 0, disturb: Bool = false) throws -> [Int32] {
      var sampler = Sampler(SamplingConfiguration(temperature: 1, seed: seed), stream: stream)
      let workspace = SamplingWorkspace()
      return try (0..<40).map { index in
        // Another text in the same workspace, with another vocabulary and other rules.
        if disturb {
          var other = Sampler(SamplingConfiguration(temperature: 2, topK: 3, seed: UInt64(index)))
          _ = try other.next([Float](repeating: Float(index), count: 100 + 100 * index), in: workspace)
        }
        return try sampler.next(logits, in: workspace).token
      }
    }
    let first = try text(seed: 7)
    #expect(first == (try text(seed: 7)))
    #expect(first == (try text(seed: 7, disturb: true)))
    #expect(first != (try text(seed: 8)))
    #expect(first != (try text(seed: 7, stream: 1)))
    // A copy goes on alike; a token that was chosen elsewhere takes its place.
    var sampler = Sampler(SamplingConfiguration(temperature: 1, seed: 7))
    for token in first.prefix(20) { sampler.accept(token) }
    var copy = sampler
    #expect(try sampler.next(logits).token == first[20])
    #expect(try copy.next(logits).token == first[20])
  }

  /// A text under mirostat, against all of its state computed slowly; and the surprise that it aims at is reached.
  @Test(arguments: [false, true]) func mirostatAimsAtItsSurprise(hasTopK: Bool) throws {
    var rules = SamplingConfiguration(temperature: 0.9, topK: hasTopK ? 400 : nil)
    (rules.mirostat.tau, rules.seed) = (3, 11)
    let workspace = SamplingWorkspace()
    var sampler = Sampler(rules)
    var (limit, sum, compared) = (6.0, 0.0, 0)
    for step in 0..<400 {
      let stream = RandomStream(key: 5, stream: UInt64(step))
      let logits = (0..<1000).map { Float(2.5 * stream.normal(at: UInt64($0))) }
      var slow = SlowSampler(logits, rules)
      let expected = slow.distribution(xtc: false, surprise: limit)
      let found = try logits.withUnsafeBufferPointer { try sampler.distribution($0, in: workspace) }
      // What else was chosen from the workspace is of no account.
      if slow.margin > 1e-4 {
        compared += 1
        #expect(Set(found.map(\.token)) == Set(expected.keys), "step \(step)")
      }
      let token = try sampler.next(logits, in: workspace).token
      let probability = found.first { $0.token == token }.map { exp(Double($0.logProbability)) } ?? 0
      #expect(abs(probability - (expected[token] ?? 0)) < 1e-3, "step \(step)")
      sum -= log2(probability)
      limit -= 0.1 * (-log2(probability) - 3)
    }
    #expect(compared > 300 && abs(sum / 400 - 3) < 0.3, "\(sum / 400)")
  }

  @Test func greedyTakesTheFirstOfTheLargest() throws {
    var sampler = Sampler(SamplingConfiguration(temperature: 0))
    #expect(try sampler.next([.nan, 1, 3, -.infinity, 3]).token == 2)
    #expect(try sampler.next([Float](repeating: -5, count: 200)).token == 0)
    #expect(try sampler.next([0, .infinity, 1, .infinity]).token == 1)
    #expect(try sampler.next((0..<1000).map { Float($0) }).token == 999)
    // A temperature of nearly 0, and an infinite logit, are as good as 0.
    var cold = Sampler(SamplingConfiguration(temperature: 1e-300))
    #expect(try cold.next([1, 2, 1.5]).token == 1)
    #expect(try cold.next([1, .infinity, 1.5]).token == 1)
    var all = SamplingConfiguration(temperature: 0)
    (all.xtc.probability, all.typical, all.topP) = (1, 0.1, 0.1)
    var greedy = Sampler(all)
    #expect(try greedy.next([1, 1.5, 1.4]).token == 1)
  }

  @Test func nothingLeftIsAnError() throws {
    var sampler = Sampler()
    #expect(throws: ModelError.self) { try sampler.next([.nan, .nan]) }
    #expect(throws: ModelError.self) { try sampler.next([-.infinity]) }
    var rules = SamplingConfiguration()
    rules.bannedTokens = [0, 1]
    var banned = Sampler(rules)
    #expect(throws: ModelError.self) { try banned.next([1, 2]) }
    #expect(banned.chosen == 0)
  }

  // MARK: Ends

  @Test func endsWaitForMinTokens() throws {
    var rules = SamplingConfiguration(temperature: 0)
    (rules.minTokens, rules.stopTokens) = (2, [2])
    var sampler = Sampler(rules, ends: [1])
    let logits: [Float] = [0, 3, 2, 1]
    #expect(try sampler.next(logits).token == 3)
    #expect(try sampler.next(logits).token == 3)
    #expect(try sampler.next(logits).token == 1)
    #expect(sampler.ends == [1, 2])
    rules.ignoreEnd = true
    var ignoring = Sampler(rules, ends: [1])
    #expect(try (0..<4).map { _ in try ignoring.next(logits).token } == [3, 3, 2, 2])
  }

  /// Allows the given tokens one after another, then the end.
  private struct Script: TokenConstraint {
    var steps: [Set<Int32>]
    var mayEnd: Bool { steps.isEmpty || steps[0].contains(-1) }
    var mustEnd: Bool { steps.isEmpty }

    mutating func mask(into words: inout [UInt64]) {
      for token in steps.first ?? [] where token >= 0 { words[Int(token) / 64] |= 1 << UInt64(token % 64) }
    }

    mutating func accept(_ token: Int32) {
      #expect(steps[0].contains(token))
      steps.removeFirst()
    }
  }

  @Test func constraintsLimitTheText() throws {
    var random = RandomCase("constraints")
    for vocabulary in [70, 64, 200] {
      let logits = (0..<vocabulary).map { _ in Float(random.uniform(-2...2)) }
      var steps: [Set<Int32>] = (0..<30).map { _ in
        Set((0..<random.integer(1...5)).map { _ in Int32(random.integer(1...vocabulary - 1)) })
      }
      var rules = SamplingConfiguration(temperature: 1, seed: UInt64(bitPattern: random.bits()))
      rules.allowedTokens = random.bool() ? (0..<Int32(vocabulary)).map(\.self) : nil
      var sampler = Sampler(rules, ends: [0], constraint: Script(steps: steps))
      for step in steps {
        #expect(!sampler.mustEnd)
        let token = try sampler.next(logits).token
        #expect(step.contains(token), "\(random)")
      }
      #expect(sampler.mustEnd)
      #expect(try sampler.next(logits).token == 0, "nothing but the end is left, \(random)")
      // Where the end is allowed beside one unlikely token, it is taken, unless it is too early.
      steps = [[5, -1]]
      var likely = logits
      (likely[0], likely[5]) = (50, -50)
      var ending = Sampler(ends: [0], constraint: Script(steps: steps))
      #expect(try ending.next(likely).token == 0)
      rules = SamplingConfiguration()
      rules.minTokens = 1
      var waiting = Sampler(rules, ends: [0], constraint: Script(steps: steps))
      #expect(try waiting.next(likely).token == 5)
    }
    // Constraint and allowed tokens that have nothing in common.
    var rules = SamplingConfiguration()
    rules.allowedTokens = [3]
    var sampler = Sampler(rules, constraint: Script(steps: [[4]]))
    #expect(throws: ModelError.self) { try sampler.next([Float](repeating: 0, count: 8)) }
  }

  // MARK: Log-probabilities

  @Test func logProbabilitiesAreTheModels() throws {
    for index in 0..<20 {
      var random = RandomCase("log-probabilities", index)
      let logits = (0..<random.choice([1, 64, 3000])).map { _ in Float(random.uniform(-8...8)) }
      var rules = SamplingConfiguration(temperature: 0.5, topK: 3)
      (rules.logProbabilities, rules.repetitionPenalty) = (random.choice([0, 1, 5]), 1.5)
      var sampler = Sampler(rules)
      sampler.begin(after: [0])
      let choice = try sampler.next(logits)
      let normalizer = log(logits.map { exp(Double($0)) }.reduce(0, +))
      let expected = logits.map { Double($0) - normalizer }
      #expect(abs(Double(try #require(choice.logProbability)) - expected[Int(choice.token)]) < 1e-4, "\(random)")
      let order = expected.indices.sorted { (expected[$0], -$0) > (expected[$1], -$1) }.prefix(rules.logProbabilities!)
      #expect(choice.likeliest.map { Int($0.token) } == Array(order), "\(random)")
      for entry in choice.likeliest { #expect(abs(Double(entry.logProbability) - expected[Int(entry.token)]) < 1e-4) }
    }
    var silent = Sampler()
    #expect(try silent.next([1, 2]).logProbability == nil)
  }

  // MARK: Configuration

  @Test(arguments: [
    "temperature=-1", "topK=0", "topP=0", "topP=1.5", "minP=-0.1", "typical=0", "topNSigma=0", "repetitionPenalty=0",
    "presencePenalty=1000", "penaltyLastTokens=0", "dry.base=0.5", "dry.allowedLength=0", "dry.breakers=[\"\"]",
    "xtc.probability=2", "mirostat.tau=-1", "mirostat.eta=2", "xtc.threshold=0", "logitBias.-3=1", "logitBias.x=1",
    "allowedTokens=[]", "bannedTokens=[-1]",
    "minTokens=-1", "stop=[\"\"]", "logProbabilities=-1", "penaltyPrompt=some",
  ]) func nonsenseIsRefused(setting: String) {
    #expect(throws: ConfigurationError.self) {
      try ConfigurationLoader.load(SamplingConfiguration.self, overrides: [setting])
    }
  }

  @Test func tokensMustBeTheModels() throws {
    var rules = SamplingConfiguration()
    rules.logitBias = [10: 1]
    try rules.check(vocabulary: 11)
    #expect(throws: ModelError.self) { try rules.check(vocabulary: 10) }
    rules = SamplingConfiguration()
    rules.allowedTokens = [3, 12]
    #expect(throws: ModelError.self) { try rules.check(vocabulary: 10) }
  }
}
