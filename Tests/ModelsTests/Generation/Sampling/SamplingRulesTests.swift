// Every rule, and all together, against the slow sampler, against transformers (Scripts/make-sampling-fixtures.py), and against
// cases that were computed by hand.

import Core
import Formats
import FoundationEssentials
import Models
import Support
import Testing

@Suite struct SamplingRulesTests {
  /// The distribution as a dictionary of probabilities.
  private static func distribution(
    _ sampler: Sampler, _ logits: [Float], _ workspace: SamplingWorkspace = SamplingWorkspace()
  ) throws -> [Int32: Double] {
    let found = try logits.withUnsafeBufferPointer { try sampler.distribution($0, in: workspace) }
    #expect(Set(found.map(\.token)).count == found.count)
    return Dictionary(uniqueKeysWithValues: found.map { ($0.token, exp(Double($0.logProbability))) })
      .filter { $0.value > 1e-30 }
  }

  private static func expectEqual(_ found: [Int32: Double], _ expected: [Int32: Double], _ what: String) {
    let expected = expected.filter { $0.value > 1e-30 }
    #expect(Set(found.keys) == Set(expected.keys), "\(what): \(found.count) tokens, not \(expected.count)")
    for (token, probability) in expected {
      #expect(abs((found[token] ?? 0) - probability) < 1e-4 * probability + 1e-6, "token \(token), \(what)")
    }
  }

  /// Logits as awkward as they come: any size, steep and flat, ties, NaN and infinities.
  private static func logits(_ random: inout RandomCase) -> [Float] {
    let count = random.choice([1, 2, 63, 64, 65, 127, 500, 1000, random.integer(0...9) == 0 ? 20_000 : 3000])
    let steepness = random.choice([0.01, 1, 4, 20])
    let hasTies = random.integer(0...3) == 0
    return (0..<count).map { index in
      if index > 0, random.integer(0...40) == 0 { return random.bool() ? .nan : -.infinity }
      let value = random.uniform(-1...1) * random.uniform(0...3) * steepness
      return Float(hasTies ? value.rounded() : value)
    }
  }

  private static func rules(_ random: inout RandomCase, vocabulary: Int) -> SamplingConfiguration {
    var rules = SamplingConfiguration(temperature: random.choice([0.3, 0.8, 1, 1.7]))
    func maybe(_ change: () -> Void) { if random.integer(0...2) == 0 { change() } }
    maybe { rules.temperatureFirst = true }
    maybe { rules.topK = random.choice([1, 2, 7, 40, 500, 5000]) }
    maybe { rules.topP = random.choice([0.05, 0.5, 0.9, 0.999]) }
    maybe { rules.minP = random.choice([0.001, 0.05, 0.4, 1]) }
    maybe { rules.typical = random.choice([0.1, 0.5, 0.95]) }
    maybe { rules.topNSigma = random.choice([0.5, 1, 3]) }
    maybe { rules.repetitionPenalty = random.choice([0.7, 1.2]) }
    maybe { rules.presencePenalty = random.choice([-0.5, 1]) }
    maybe { rules.frequencyPenalty = 0.3 }
    maybe { rules.penaltyLastTokens = random.integer(1...12) }
    maybe { rules.penaltyPrompt = random.choice(PenalizedPrompt.allCases) }
    maybe { rules.dry.multiplier = 0.8 }
    maybe { rules.dry.lastTokens = random.integer(1...15) }
    maybe { rules.dry.allowedLength = random.integer(1...4) }
    maybe { rules.xtc.probability = 1 }
    maybe { rules.xtc.threshold = random.choice([0.01, 0.1, 0.3]) }
    maybe { rules.mirostat.tau = random.choice([0.1, 1, 3, 8]) }
    maybe { rules.logitBias = vocabulary > 1 ? [0: 2, vocabulary / 2: -3] : [:] }
    maybe { rules.bannedTokens = vocabulary > 2 ? [1] : [] }
    maybe { rules.allowedTokens = random.bool() ? [0, Int32(vocabulary - 1)] : (0..<Int32(vocabulary)).map(\.self) }
    return rules
  }

  @Test func agreesWithTheSlowSampler() throws {
    let workspace = SamplingWorkspace()
    var compared = 0
    for index in 0..<200 {
      var random = RandomCase("sampling rules", index)
      let logits = Self.logits(&random)
      let rules = Self.rules(&random, vocabulary: logits.count)
      let alphabet = Int32(min(logits.count, 3)) - 1
      let (prompt, written) = (random.integer(0...20), random.integer(0...20))
      func text(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(random.integer(0...Int(alphabet))) } }
      let (before, after) = (text(prompt), text(written))
      var sampler = Sampler(rules)
      sampler.begin(after: before)
      for token in after { sampler.accept(token) }
      var slow = SlowSampler(logits, rules, prompt: before, written: after)
      let expected = slow.distribution(xtc: rules.xtc.probability == 1)
      // Choices that floats cannot tell apart may fall otherwise.
      if slow.margin < 2e-6 { continue }
      compared += 1
      let found = try Self.distribution(sampler, logits, workspace)
      Self.expectEqual(found, expected, "\(random) of \(logits.count) logits, \(ConfigurationLoader.json(rules).json)")
    }
    #expect(compared > 100, "only \(compared) cases were clear")
  }

  @Test func agreesWithTransformers() throws {
    let path = Fixture.all[0].path.dropLast("gpt2".count) + "sampling.json"
    let cases = try JSONValue(parsing: String(contentsOfFile: String(path), encoding: .utf8))
    for fixture in cases.array ?? [] {
      let configuration = try #require(fixture["configuration"]).json
      let rules = try ConfigurationLoader.load(SamplingConfiguration.self, text: configuration, name: "fixture")
      func numbers(_ key: String) -> [Double] { (fixture[key]?.array ?? []).compactMap(\.double) }
      var sampler = Sampler(rules)
      sampler.begin(after: numbers("prompt").map { Int32($0) })
      var expected: [Int32: Double] = [:]
      for (token, value) in try #require(fixture["left"]?.object) {
        expected[try #require(Int32(token))] = exp(try #require(value.double))
      }
      Self.expectEqual(try Self.distribution(sampler, numbers("logits").map { Float($0) }), expected, configuration)
    }
    #expect(cases.array?.count == 15)
  }

  // MARK: By hand

  @Test func repetitionsAreHeldBack() throws {
    // Tokens a b c d; "a b c d a b": the end "a b" stood before c, so c gets 0.5 * 2^(2 - 2), and nothing else anything.
    var rules = SamplingConfiguration()
    (rules.dry.multiplier, rules.dry.base) = (0.5, 2)
    var sampler = Sampler(rules)
    sampler.begin(after: [0, 1, 2, 3, 0, 1])
    let flat = [Float](repeating: 0, count: 4)
    let total = 3 + exp(-0.5)
    Self.expectEqual(
      try Self.distribution(sampler, flat),
      [0: 1 / total, 1: 1 / total, 2: exp(-0.5) / total, 3: 1 / total], "a b c d a b")
    // With c the repetition has three tokens: d gets 0.5 * 2.
    sampler.accept(2)
    let next = 3 + exp(-1.0)
    Self.expectEqual(
      try Self.distribution(sampler, flat), [0: 1 / next, 1: 1 / next, 2: 1 / next, 3: exp(-1.0) / next], "… c")
  }

  @Test func repetitionsEndAtBreakers() throws {
    // Characters: the text repeats "x:yz" with a colon in it.
    let tokenizer = CharacterTokenizer(characters: "xyz:ab".unicodeScalars)
    var rules = SamplingConfiguration()
    rules.dry.multiplier = 1
    let flat = [Float](repeating: 0, count: tokenizer.vocabularySize)
    func penalized(_ text: String, breakers: [String]) throws -> [String] {
      rules.dry.breakers = breakers
      var sampler = Sampler(rules, tokenizer: tokenizer)
      sampler.begin(after: tokenizer.encode(text))
      let found = try Self.distribution(sampler, flat)
      let most = found.values.max()!
      return found.filter { $0.value < most * 0.99 }.keys.sorted().map { tokenizer.decode([$0]) }
    }
    #expect(try penalized("x:yz x:y".filter { $0 != " " }, breakers: []) == ["z"])
    // Behind the colon only "y" is repeated, which is shorter than 2.
    #expect(try penalized("x:yzx:y", breakers: [":"]) == [])
    #expect(try penalized("x:abyx:ab", breakers: [":"]) == ["y"])
    // A breaker of several tokens, and a token that is one by itself.
    #expect(try penalized("abxyzabxy", breakers: ["bx"]) == [])
    #expect(try penalized("abxyzabxy", breakers: ["ab"]) == ["z"])
    #expect(try penalized("xy:ayxy", breakers: [":"]) == [])
  }

  @Test func topChoicesAreExcluded() throws {
    // Probabilities 0.4, 0.3, 0.2, 0.1: of those of at least 0.2 the least likely stays.
    let logits: [Float] = [0.4, 0.3, 0.2, 0.1].map { Float(log($0)) }
    var rules = SamplingConfiguration()
    (rules.xtc.probability, rules.xtc.threshold) = (1, 0.15)
    Self.expectEqual(try Self.distribution(Sampler(rules), logits), [2: 2.0 / 3, 3: 1.0 / 3], "all")
    rules.topK = 3
    Self.expectEqual(try Self.distribution(Sampler(rules), logits), [2: 1], "after top-k")
    rules.xtc.threshold = 0.6
    #expect(try Self.distribution(Sampler(rules), logits).count == 3, "no two tokens have 0.6")
    // As often as its probability says.
    (rules.topK, rules.xtc.probability, rules.xtc.threshold) = (nil, 0.25, 0.15)
    var sampler = Sampler(rules)
    var excluded = 0
    for _ in 0..<4000 {
      if try Self.distribution(sampler, logits).count == 2 { excluded += 1 }
      sampler.accept(0)
    }
    #expect(abs(excluded - 1000) < 150, "\(excluded) of 4000")
  }

  @Test func deviationsAreMeasured() throws {
    // Mean 2, deviation 2: 0, 0, 4, 4 and the largest, 4.
    var rules = SamplingConfiguration()
    rules.topNSigma = 1.9
    #expect(try Self.distribution(Sampler(rules), [0, 4, 0, 4, -.infinity]).keys.sorted() == [1, 3])
    rules.topNSigma = 2.1
    #expect(try Self.distribution(Sampler(rules), [0, 4, 0, 4, -.infinity]).keys.sorted() == [0, 1, 2, 3])
  }

  @Test func penaltiesCountAsTheyShould() throws {
    var rules = SamplingConfiguration()
    (rules.presencePenalty, rules.frequencyPenalty) = (1, 0.5)
    var sampler = Sampler(rules)
    sampler.begin(after: [0, 0, 1])
    sampler.accept(1)
    sampler.accept(1)
    // vLLM: only what was written counts; 1 + 2 * 0.5.
    Self.expectEqual(
      try Self.distribution(sampler, [0, 2]), [0: 0.5, 1: 0.5], "the prompt does not count")
    rules.penaltyPrompt = .all
    sampler = Sampler(rules)
    sampler.begin(after: [0, 0, 1])
    sampler.accept(1)
    sampler.accept(1)
    // llama.cpp: 0 was there twice, 1 three times; 2 - 2 and 2.5 - 2.5.
    Self.expectEqual(try Self.distribution(sampler, [2, 2.5]), [0: 0.5, 1: 0.5], "the prompt counts")
  }
}
