// Texts with adapters are what each would be alone, bit for bit, whatever adapters are beside it, and however often they are
// replaced and forgotten meanwhile.

import CPUBackend
import Core
import Inference
import Models
import Support
import Synchronization
import Tensors
import Testing

@Suite struct AdapterServingTests {
  private static let backend = CPUBackend(threads: 2, rowInvariant: true)
  private let tiny: TinyModel
  private let pretrained: PretrainedModel
  /// Of different ranks and maps.
  private let adapters: [TinyAdapter]

  init() throws {
    tiny = try TinyModel()
    pretrained = try PretrainedModel(path: tiny.path)
    adapters = try [
      TinyAdapter(rank: 2, seed: 1), TinyAdapter(rank: 8, maps: ["self_attn.q_proj", "mlp.gate_proj"], seed: 2),
      TinyAdapter(rank: 5, maps: ["self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj"], seed: 3),
    ]
  }

  private func engine(
    running: Int = 8, slots: Int = 8, precision: WeightPrecision = .stored, cache blocks: Int? = nil
  ) throws -> InferenceEngine {
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.blockSize) = (running, 24, 4)
    (configuration.adapterSlots, configuration.adapterRank, configuration.cacheBlocks) = (slots, 8, blocks)
    if precision == .stored { return try InferenceEngine(pretrained, configuration, backend: Self.backend) }
    return try InferenceEngine(
      pretrained.model, pretrained.weights(precision), tokenizer: pretrained.tokenizer(), ends: [], configuration,
      pretrained: pretrained, backend: Self.backend)
  }

  /// What an engine said of a request: tokens and the bits of their log-probabilities.
  private struct Answer: Equatable, Sendable {
    var tokens: [Int32] = []
    var scores: [UInt32] = []
    var refusal: Refusal?
    var failure: String?
  }

  /// - Parameter began: called once the first token is there.
  private func answer(
    _ engine: InferenceEngine, _ request: GenerationRequest, began: @escaping @Sendable () -> Void = {}
  ) async -> Answer {
    let answer = Mutex(Answer())
    return await withCheckedContinuation { continuation in
      engine.submit(request) { event in
        let end: Answer? = answer.withLock { answer in
          switch event {
          case .started, .prompt, .state: return nil
          case .token(let choice, _):
            answer.tokens.append(choice.token)
            answer.scores.append(choice.logProbability!.bitPattern)
            if answer.tokens.count == 1 { began() }
            return nil
          case .ended: break
          case .refused(let refusal): answer.refusal = refusal
          case .failed(let message), .impossible(let message): answer.failure = message
          }
          return answer
        }
        if let end { continuation.resume(returning: end) }
      }
    }
  }

  private func answers(_ engine: InferenceEngine, _ requests: [GenerationRequest]) async -> [Answer] {
    await withTaskGroup(of: (Int, Answer).self) { group in
      for (index, request) in requests.enumerated() { group.addTask { (index, await answer(engine, request)) } }
      var result = Array(repeating: Answer(), count: requests.count)
      for await (index, answer) in group { result[index] = answer }
      return result
    }
  }

  /// - Parameter names: of adapters, given in turns; nil: none.
  private func requests(_ count: Int, _ names: [String?], limit: Int = 20) -> [GenerationRequest] {
    (0..<count).map { index in
      // Every third begins as another does, with another adapter.
      let prompt = (0..<(5 + index * 7 % 40)).map { Int32(($0 * 7 + index % 3) % 90) }
      var request = GenerationRequest(prompt: prompt, limit: limit + index % 5)
      request.sampling = SamplingConfiguration(temperature: index % 2 == 0 ? 0 : 1, seed: UInt64(index))
      request.sampling.logProbabilities = 0
      request.adapter = names[index % names.count]
      return request
    }
  }

  @Test(arguments: [WeightPrecision.stored, .bfloat16])
  func mixedTextsAreWhatEachIsAlone(precision: WeightPrecision) async throws {
    let requests = requests(24, ["a", nil, "b", "c"])
    let bare = try engine(running: 1, precision: precision)
    let alone = try engine(running: 1, precision: precision)
    let crowded = try engine(precision: precision, cache: 60)
    for (name, adapter) in zip(["a", "b", "c"], adapters) {
      try crowded.load(adapter: name, path: adapter.path)
    }
    var expected: [Answer] = []
    for request in requests {
      // Each with an engine that knows no other adapter, or none at all.
      for (name, adapter) in zip(["a", "b", "c"], adapters) where name == request.adapter {
        try alone.load(adapter: name, path: adapter.path)
      }
      expected.append(await answer(request.adapter == nil ? bare : alone, request))
      if let name = request.adapter { try alone.unload(adapter: name) }
    }
    #expect(Set(expected.map(\.tokens)).count > 20)
    #expect(await answers(crowded, requests) == expected)
    // Again, with what is in a cache that has room for all.
    let roomy = try engine(precision: precision)
    for (name, adapter) in zip(["a", "b", "c"], adapters) { try roomy.load(adapter: name, path: adapter.path) }
    for _ in 0..<2 { #expect(await answers(roomy, requests) == expected) }
    #expect(roomy.statistics.cached > 0)
  }

  @Test func greedyTextsAreTheGenerators() async throws {
    let engine = try engine()
    for (index, adapter) in adapters.enumerated() { try engine.load(adapter: "\(index)", path: adapter.path) }
    for index in adapters.indices {
      var request = requests(1, ["\(index)"])[0]
      request.prompt = [1, 2, 3, 4, 5]
      let found = await answer(engine, request)
      let adapter = try LowRankAdapter(path: adapters[index].path, for: pretrained)
      let generator = try Generator(pretrained, adapter: adapter, backend: Self.backend)
      var sampler = Sampler(request.sampling)
      #expect(found.tokens == (try generator.generate(request.prompt, count: request.limit, sampler: &sampler)))
    }
  }

  @Test func moreAdaptersThanPlacesTakeTurns() async throws {
    let names = (0..<5).map { "adapter \($0)" }
    let all = try (0..<5).map { try TinyAdapter(rank: 1 + $0, seed: UInt64(10 + $0)) }
    let (few, alone) = (try engine(slots: 2, cache: 60), try engine(running: 1))
    for (name, adapter) in zip(names, all) {
      for engine in [few, alone] { try engine.load(adapter: name, path: adapter.path) }
    }
    let requests = requests(30, names + [nil])
    var expected: [Answer] = []
    for request in requests { expected.append(await answer(alone, request)) }
    #expect(await answers(few, requests) == expected)
    #expect(few.statistics.running == 0 && few.statistics.usedBlocks == 0)
  }

  @Test func textsKeepTheAdapterThatTheyBeganWith() async throws {
    let engine = try engine()
    var request = requests(1, ["a"], limit: 60)[0]
    request.prompt = [7, 8, 9]
    var expected: [Answer] = []
    for adapter in adapters {
      try engine.load(adapter: "a", path: adapter.path, replacing: true)
      expected.append(await answer(engine, request))
    }
    #expect(Set(expected.map(\.tokens)).count == 3)
    try engine.load(adapter: "a", path: adapters[0].path, replacing: true)
    // Each is replaced while its text is written, the last is forgotten.
    let (old, new) = await (
      during(engine, request) { try engine.load(adapter: "a", path: adapters[2].path, replacing: true) },
      during(engine, request) { try engine.unload(adapter: "a") }
    )
    #expect(old == expected[0] && new == expected[2])
    let refused = await answer(engine, request)
    #expect(refused.refusal == .invalid("There is no adapter 'a'."))
    #expect(engine.adapters.isEmpty)
  }

  /// A text, after whose first token something is done.
  private func during(
    _ engine: InferenceEngine, _ request: GenerationRequest, _ change: () throws -> Void
  ) async -> Answer {
    let began = AsyncStream<Void>.makeStream()
    async let text = answer(engine, request) { began.continuation.finish() }
    for await _ in began.stream {}
    #expect(throws: Never.self) { try change() }
    return await text
  }

  @Test func whatCannotBeLoadedIsSaid() async throws {
    let engine = try engine()
    try engine.load(adapter: "a", path: adapters[0].path)
    let known = engine.adapters
    #expect(known.map(\.name) == ["a"] && known[0].path == adapters[0].path && known[0].rank == 2)
    let large = try TinyAdapter(rank: 9, seed: 1)
    func message(_ body: () throws -> Void) -> String {
      #expect(throws: EngineError.self, performing: body)?.message ?? ""
    }
    #expect(message { try engine.load(adapter: "a", path: adapters[1].path) }.contains("is loaded already"))
    #expect(message { try engine.load(adapter: "b", path: large.path) }.contains("of rank 9; the most is 8"))
    #expect(message { try engine.unload(adapter: "b") } == "There is no adapter 'b'.")
    #expect(throws: ModelError.self) { try engine.load(adapter: "b", path: tiny.path) }
    engine.drain()
    #expect(message { try engine.load(adapter: "b", path: adapters[1].path) }.contains("no more requests"))
  }
}
