// Drafts of heads change how soon a text is there, and nothing else; and a head that is right is believed.

import CPUBackend
import Core
import Inference
import Models
import Support
import Synchronization
import Tensors
import Testing

@Suite struct HeadDraftTests {
  private static let backend = CPUBackend(threads: 2, rowInvariant: true)

  private static func engine(
    _ model: PretrainedModel, _ method: SpeculationMethod, draft: DraftSource? = nil, running: Int = 4,
    cache blocks: Int? = nil, ways: Int = 3, context: Int? = nil
  ) throws -> InferenceEngine {
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.blockSize) = (running, 24, 4)
    (configuration.speculation, configuration.draftTokens, configuration.draftWays) = (method, 5, ways)
    if let blocks { configuration.cacheBlocks = blocks }
    configuration.context = context
    return try InferenceEngine(
      model, try model.weights(), draft: draft, tokenizer: try model.tokenizer(), ends: model.endTokens, configuration,
      backend: backend, clock: SlowClock())
  }

  /// To which every step takes long, however many tokens it has: what is drafted does not depend on the machine.
  private final class SlowClock: SecondsClock {
    private let reads = Mutex(0.0)
    let unixSeconds = 0.0
    var seconds: Double {
      reads.withLock {
        $0 += 1
        return $0
      }
    }
  }

  private static func requests(_ count: Int, temperature: Double) -> [GenerationRequest] {
    (0..<count).map { index in
      var request = GenerationRequest(
        prompt: (0..<(9 + index % 23)).map { Int32($0 * 7 % (11 + index % 4) + index % 3) }, limit: 30 + index % 5)
      request.sampling = SamplingConfiguration(temperature: temperature, seed: UInt64(index))
      if index % 3 == 1 { (request.sampling.topP, request.sampling.repetitionPenalty) = (0.9, 1.1) }
      return request
    }
  }

  /// Asks twice, once with room and once so crowded that texts push each other out.
  private static func expectSameTexts(_ model: PretrainedModel, _ method: SpeculationMethod, _ draft: DraftSource?)
    async throws
  {
    for temperature in [0, 0.8] {
      let requests = requests(12, temperature: temperature)
      let expected = await (try engine(model, .none)).answers(requests)
      for (blocks, ways) in [(nil, 3), (40, 3), (nil, 1)] {
        let engine = try engine(model, method, draft: draft, cache: blocks, ways: ways)
        for _ in 0..<2 {
          let answers = await engine.answers(requests)
          #expect(answers.map(\.tokens) == expected.map(\.tokens) && answers.map(\.text) == expected.map(\.text))
        }
        let statistics = engine.statistics
        #expect(statistics.drafted > 0 && statistics.usedBlocks == 0)
        #expect((0...statistics.drafted).contains(statistics.accepted))
      }
    }
  }

  @Test(arguments: [nil, 20] as [Int?]) func textsAreThoseWithoutAnEagle(known: Int?) async throws {
    let tiny = try TinyModel()
    let model = try PretrainedModel(path: tiny.path)
    let folder = try TinyHead(
      vocabulary: model.model.vocabulary, known: known, settings: ", \"eagle_aux_hidden_state_layer_ids\": [0, 1, 2]")
    try await Self.expectSameTexts(model, .draft, try DraftSource(path: folder.path, for: model))
  }

  @Test func textsAreThoseWithoutTheModelsOwnLayer() async throws {
    let tiny = try TinyPredictor()
    try await Self.expectSameTexts(try PretrainedModel(path: tiny.path), .mtp, nil)
  }

  /// The share of drafts that a layer for the token after the next gets accepted, in texts that are written one at a time.
  private static func acceptance(_ tiny: TinyPredictor, temperature: Double) async throws -> Double {
    let engine = try engine(try PretrainedModel(path: tiny.path), .mtp, running: 1, ways: 1)
    for var request in requests(8, temperature: temperature) {
      request.limit = 60
      _ = await engine.answers([request])
    }
    let statistics = engine.statistics
    #expect(statistics.drafted > 0)
    return Double(statistics.accepted) / Double(statistics.drafted)
  }

  /// The layer of `TinyPredictor` computes what the model does, but for the first token: were it given the wrong states,
  /// positions or keys, it would be wrong. What it has from its keys and values matters.
  @Test func aHeadThatComputesWhatTheModelDoesIsNearlyAlwaysRight() async throws {
    let right = try TinyPredictor()
    let deaf = try TinyPredictor {
      let map = $0["model.layers.1.self_attn.o_proj.weight"]!
      $0["model.layers.1.self_attn.o_proj.weight"] = TensorData(map.type)
    }
    let (greedy, sampled) = (
      try await Self.acceptance(right, temperature: 0), try await Self.acceptance(right, temperature: 0.8)
    )
    let without = try await Self.acceptance(deaf, temperature: 0.8)
    #expect(greedy > 0.9 && sampled > 0.6 && without < sampled - 0.15, "\(greedy), \(sampled), \(without)")
  }

  /// What layers add is nothing.
  private static func forgetThePast(_ tensors: inout [String: TensorData]) {
    for (name, data) in tensors where name.contains("o_proj") || name.contains("down_proj") {
      tensors[name] = TensorData(data.type)
    }
  }

  @Test func anEagleThatComputesWhatTheModelDoesIsAlwaysRight() async throws {
    // The model's next token depends on the last one alone, and so does the head's.
    let tiny = try TinyModel(change: Self.forgetThePast)
    let model = try PretrainedModel(path: tiny.path)
    let folder = try TinyHead(vocabulary: model.model.vocabulary) { tensors in
      Self.forgetThePast(&tensors)
      tensors["fc.bias"] = TensorData(TensorType(.float32, [32]))
      tensors["fc.weight"] = .firstHalf(32)
    }
    let engine = try Self.engine(
      model, .draft, draft: try DraftSource(path: folder.path, for: model), running: 1, ways: 1)
    for request in Self.requests(6, temperature: 0) where request.sampling.repetitionPenalty == 1 {
      _ = await engine.answers([request])
    }
    #expect(engine.statistics.drafted > 0 && engine.statistics.accepted == engine.statistics.drafted)
  }

  /// One element of the embedding is that of one token alone, and the head adds to it: it holds that token to be likeliest
  /// everywhere, and next to it the right one.
  @Test func anotherWayIsTakenWhereTheFirstIsWrong() async throws {
    let tiny = try TinyModel { weights in
      Self.forgetThePast(&weights)
      let table = weights["model.embed_tokens.weight"]!
      var values = table.doubles
      for index in values.indices {
        if index / 32 == 90 { values[index] = 0 }
        if index % 32 == 31 { values[index] = index / 32 == 90 ? 1 : 0 }
      }
      weights["model.embed_tokens.weight"] = TensorData(values, shape: table.shape)
    }
    let model = try PretrainedModel(path: tiny.path)
    let folder = try TinyHead(vocabulary: model.model.vocabulary) { tensors in
      Self.forgetThePast(&tensors)
      tensors["fc.bias"] = TensorData((0..<32).map { $0 == 31 ? 1e3 : 0 }, shape: [32])
      tensors["fc.weight"] = .firstHalf(32)
    }
    let source = try DraftSource(path: folder.path, for: model)
    let requests = Self.requests(6, temperature: 0).map { request in
      var request = request
      request.sampling.repetitionPenalty = 1
      return request
    }
    var accepted: [Int] = []
    for ways in [1, 2] {
      let engine = try Self.engine(model, .draft, draft: source, running: 1, ways: ways)
      let plain = try Self.engine(model, .none, running: 1)
      for request in requests {
        let expected = await plain.answers([request])
        #expect(await engine.answers([request]).map(\.tokens) == expected.map(\.tokens))
      }
      #expect(engine.statistics.drafted > 0)
      accepted.append(engine.statistics.accepted)
    }
    #expect(accepted[0] == 0 && accepted[1] > 0, "\(accepted)")
  }

  @Test func textsAreAsShortAsAHeadNeedsThemUnlessTheOperatorSaysOtherwise() throws {
    let tiny = try TinyModel(context: 400)
    let model = try PretrainedModel(path: tiny.path)
    let folder = try TinyHead(vocabulary: model.model.vocabulary)
    let head = try DraftSource(path: folder.path, for: model)
    #expect(try Self.engine(model, .none).context == 400)
    #expect(try Self.engine(model, .draft, draft: head).context == 256)
    #expect(try Self.engine(model, .draft, draft: head, context: 100).context == 100)
    let error = #expect(throws: EngineError.self) { _ = try Self.engine(model, .draft, draft: head, context: 300) }
    #expect(error?.message.contains("engine.context") == true)
  }

  @Test func whatIsMissingIsSaid() throws {
    let tiny = try TinyModel()
    let model = try PretrainedModel(path: tiny.path)
    #expect(throws: ModelError.self) { _ = try Self.engine(model, .mtp) }
    #expect(throws: EngineError.self) { _ = try Self.engine(model, .draft) }
  }
}
