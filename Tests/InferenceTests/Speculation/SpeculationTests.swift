// Drafts change how soon a text is there, and nothing else.

import CPUBackend
import Core
import Inference
import Models
import Support
import Tensors
import Testing

@Suite struct SpeculationTests {
  private static let backend = CPUBackend(threads: 2, rowInvariant: true)
  private let tiny: TinyModel
  private let pretrained: PretrainedModel

  init() throws {
    tiny = try TinyModel()
    pretrained = try PretrainedModel(path: tiny.path)
  }

  private func engine(
    _ method: SpeculationMethod, draft: DraftSource? = nil, running: Int = 4, cache blocks: Int? = nil, ways: Int = 3
  ) throws -> InferenceEngine {
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.blockSize) = (running, 24, 4)
    configuration.waiting = 4000
    (configuration.speculation, configuration.draftTokens, configuration.draftWays) = (method, 6, ways)
    if let blocks { configuration.cacheBlocks = blocks }
    return try InferenceEngine(pretrained, draft: draft, configuration, backend: Self.backend)
  }

  /// Prompts that repeat themselves, so that there is something to look up.
  private static func requests(_ count: Int, temperature: Double) -> [GenerationRequest] {
    (0..<count).map { index in
      let prompt = (0..<30).map { Int32($0 * 7 % (5 + index % 4) + index % 3) }
      var request = GenerationRequest(prompt: prompt, limit: 30 + index % 5)
      request.sampling = SamplingConfiguration(temperature: temperature, seed: UInt64(index))
      if index % 3 == 1 { (request.sampling.topP, request.sampling.repetitionPenalty) = (0.9, 1.1) }
      return request
    }
  }

  @Test(arguments: [0, 0.7], [SpeculationMethod.lookup, .suffix, .draft])
  func textsAreThoseWithoutDrafts(temperature: Double, method: SpeculationMethod) async throws {
    let requests = Self.requests(12, temperature: temperature)
    let expected = await (try engine(.none)).answers(requests)
    let other = try TinyModel(seed: 9)
    let draft = method == .draft ? DraftSource.model(try PretrainedModel(path: other.path)) : nil
    // Once with room, once so crowded that texts push each other out.
    for blocks in [nil, 40] {
      let engine = try engine(method, draft: draft, cache: blocks)
      let answers = await engine.answers(requests)
      #expect(answers.map(\.tokens) == expected.map(\.tokens) && answers.map(\.text) == expected.map(\.text))
      let statistics = engine.statistics
      #expect(statistics.drafted > 0 && statistics.usedBlocks == 0)
      #expect((0...statistics.drafted).contains(statistics.accepted))
      // Again, from what is cached, and from what was written.
      #expect(await engine.answers(requests).map(\.tokens) == expected.map(\.tokens))
    }
  }

  @Test func aModelThatDraftsForItselfIsAlwaysRight() async throws {
    for temperature in [0, 1.0] {
      let (plain, drafting) = (
        try engine(.none, running: 1), try engine(.draft, draft: .model(pretrained), running: 1, ways: 1)
      )
      for request in Self.requests(6, temperature: temperature) {
        for engine in [plain, drafting] { _ = await engine.answers([request]) }
      }
      let statistics = drafting.statistics
      #expect(statistics.accepted == statistics.drafted && statistics.drafted > 0)
      #expect(statistics.steps == plain.statistics.steps - statistics.accepted, "each drafted token saves a step")
    }
  }

  @Test func whatOthersWroteIsDraftedButNotWithASalt() {
    let request = GenerationRequest(prompt: [50, 3, 77], limit: 9)
    var salted = request
    salted.salt = "mine"
    let answer: [Int32] = [12, 9, 4, 8]
    let cases: [(GenerationRequest, GenerationRequest, Bool, [Int32]?)] = [
      (request, request, true, answer), (request, request, false, nil), (salted, request, true, nil),
      (request, salted, true, nil),
    ]
    for (first, second, others, expected) in cases {
      let drafter = SuffixDrafter(others: others)
      drafter.begin(1, first)
      drafter.computed(EngineStep(parts: []), [1: ChosenTokens([50, 3, 77] + answer, isEnd: true)], features: nil)
      drafter.end(1)
      drafter.begin(2, second)
      #expect(drafter.prospect(of: 2, most: 6, ways: 1)?.tokens.first == expected)
    }
  }

  @Test func anEndOfAnotherTextHidesNoOtherWay() throws {
    let drafter = SuffixDrafter(others: true)
    drafter.begin(1, GenerationRequest(prompt: [1], limit: 9))
    drafter.computed(EngineStep(parts: []), [1: ChosenTokens([50, 3, 77, 12, 9], isEnd: true)], features: nil)
    drafter.end(1)
    // Five of its last tokens ended the other text, two stood in its own.
    drafter.begin(2, GenerationRequest(prompt: [12, 9, 5, 50, 3, 77, 12, 9], limit: 9))
    let prospect = try #require(drafter.prospect(of: 2, most: 6, ways: 1))
    #expect(prospect.tokens == [[5, 50, 3, 77, 12, 9]] && prospect.counts == [6] && prospect.sort == 1)
    drafter.begin(3, GenerationRequest(prompt: [50, 3, 77, 12, 9], limit: 9))
    #expect(drafter.prospect(of: 3, most: 6, ways: 1) == nil)
  }

  /// Of drafts from the text, in chains and trees of a model's, and in trees of a head's.
  @Test(arguments: [(SpeculationMethod.lookup, 3, false), (.draft, 1, false), (.draft, 4, false), (.draft, 4, true)])
  func theDistributionIsTheModels(method: SpeculationMethod, ways: Int, isHead: Bool) async throws {
    // The first token of many answers, and the second behind the first that is likeliest, against their probabilities.
    let other = try TinyModel(seed: 9)
    let head = try TinyHead(vocabulary: pretrained.model.vocabulary)
    let path = isHead ? head.path : other.path
    let draft = method == .draft ? try DraftSource(path: path, for: pretrained) : nil
    var request = GenerationRequest(prompt: [5, 6, 7, 8, 5, 6, 7, 8, 5, 6], limit: 3)
    request.sampling = SamplingConfiguration(temperature: 1.5)
    let engine = try engine(method, draft: draft, running: 4, ways: ways)
    let count = 3000
    let requests = (0..<count).map { index in
      var request = request
      request.sampling.seed = UInt64(index)
      return request
    }
    let answers = await engine.answers(requests)
    #expect(engine.statistics.drafted > 0)
    var firsts: [Int32: Int] = [:]
    for answer in answers { firsts[answer.tokens[0], default: 0] += 1 }
    let first = firsts.max { $0.value < $1.value }!.key
    var seconds: [Int32: Int] = [:]
    for answer in answers where answer.tokens[0] == first { seconds[answer.tokens[1], default: 0] += 1 }
    for (prefix, counts) in [([], firsts), ([first], seconds)] {
      let generator = try Generator(pretrained, backend: Self.backend)
      let logits = try generator.logits(after: request.prompt + prefix)
      let expected = try logits.withUnsafeBufferPointer {
        try Sampler(request.sampling).distribution($0, in: SamplingWorkspace())
      }
      #expect(Self.deviation(counts, expected) < 4)
    }
  }

  /// Pearson's chi-squared as deviations of the normal distribution that it is nearly like (Wilson and Hilferty, 1931); rare
  /// tokens are put together.
  private static func deviation(_ counts: [Int32: Int], _ expected: [TokenProbability]) -> Double {
    let all = Double(counts.values.reduce(0, +))
    var (sum, cells, rest) = (0.0, 0, (found: all, expected: all))
    for token in expected {
      let mean = all * exp(Double(token.logProbability))
      guard mean >= 5 else { continue }
      let found = Double(counts[token.token] ?? 0)
      sum += (found - mean) * (found - mean) / mean
      cells += 1
      rest = (rest.found - found, rest.expected - mean)
    }
    if rest.expected >= 1 {
      sum += (rest.found - rest.expected) * (rest.found - rest.expected) / rest.expected
      cells += 1
    }
    let freedom = Double(cells - 1)
    let cube = cbrt(sum / freedom)
    return (cube - (1 - 2 / (9 * freedom))) / (2 / (9 * freedom)).squareRoot()
  }
}
