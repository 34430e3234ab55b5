// Many texts at a time are what each would be alone: through full caches, shared beginnings, cancelled neighbours.

import CPUBackend
import Core
import Inference
import Models
import Support
import Synchronization
import Tensors
import Testing

@Suite struct EngineTests {
  private static let backend = CPUBackend(threads: 2, rowInvariant: true)
  private let tiny: TinyModel
  private let pretrained: PretrainedModel

  init() throws {
    tiny = try TinyModel()
    pretrained = try PretrainedModel(path: tiny.path)
  }

  private func engine(running: Int = 8, cache blocks: Int? = nil, waiting: Int = 100) throws -> InferenceEngine {
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.blockSize) = (running, 24, 4)
    configuration.waiting = waiting
    if let blocks { configuration.cacheBlocks = blocks }
    return try InferenceEngine(pretrained, configuration, backend: Self.backend)
  }

  private static func requests(_ count: Int, temperature: Double) -> [GenerationRequest] {
    (0..<count).map { index in
      // Every third begins as another does.
      let prompt = (0..<(5 + index * 7 % 40)).map { Int32(($0 * 7 + index % 3) % 90) }
      var request = GenerationRequest(prompt: prompt, limit: 20 + index % 5)
      request.sampling = SamplingConfiguration(temperature: temperature, seed: UInt64(index))
      return request
    }
  }

  @Test func greedyTextsAreTheGenerators() async throws {
    let generator = try Generator(pretrained, backend: Self.backend)
    let requests = Self.requests(12, temperature: 0)
    let answers = await (try engine()).answers(requests)
    for (request, answer) in zip(requests, answers) {
      var sampler = Sampler(request.sampling)
      #expect(answer.tokens == (try generator.generate(request.prompt, count: request.limit, sampler: &sampler)))
      #expect(answer.end?.reason == .length && answer.end?.prompt == request.prompt.count)
    }
  }

  @Test func sampledTextsDoNotDependOnLoad() async throws {
    let requests = Self.requests(24, temperature: 1)
    let alone = try engine(running: 1)
    var expected: [[Int32]] = []
    for request in requests { expected += await alone.answers([request]).map(\.tokens) }
    #expect(alone.statistics.preemptions == 0)
    // Room for four texts at most, so that they push each other out.
    let crowded = try engine(running: 8, cache: 40)
    let answers = await crowded.answers(requests)
    #expect(answers.map(\.tokens) == expected)
    let statistics = crowded.statistics
    #expect(statistics.preemptions > 0 && statistics.running == 0 && statistics.usedBlocks == 0)
    // Again, with what is in the cache.
    #expect(await crowded.answers(requests).map(\.tokens) == expected)
    #expect(crowded.statistics.cached > statistics.cached)
  }

  @Test func aPromptIsNotReadTwice() async throws {
    let engine = try engine()
    var request = GenerationRequest(prompt: (0..<41).map { Int32($0) }, limit: 3)
    request.sampling = SamplingConfiguration(temperature: 0)
    let first = await engine.answers([request])[0]
    let second = await engine.answers([request])[0]
    #expect(first.end?.cached == 0 && second.end?.cached == 40 && first.tokens == second.tokens)
    request.salt = "secret"
    #expect(await engine.answers([request])[0].end?.cached == 0)
  }

  @Test func stepsThatOnlyReadAreCountedApart() async throws {
    let engine = try engine()
    _ = await engine.answers([GenerationRequest(prompt: (0..<60).map { Int32($0) }, limit: 5)])
    // 24, 24 and 12 tokens are read, and the first token is written behind the last of them.
    let statistics = engine.statistics
    #expect((statistics.steps, statistics.writingSteps, statistics.written) == (7, 5, 5))
  }

  @Test func endsAreTold() async throws {
    let engine = try engine(waiting: 2)
    var request = GenerationRequest(prompt: [1, 2, 3], limit: 40)
    request.sampling = SamplingConfiguration(temperature: 0)
    let whole = await engine.answers([request])[0]
    #expect(whole.text.count == 40)
    // A stop string ends the text before it.
    let stop = String(whole.text.dropFirst(10).prefix(3))
    request.sampling.stop = [stop]
    let stopped = await engine.answers([request])[0]
    let range = whole.text.firstRange(of: stop)!
    #expect(stopped.text == String(whole.text[..<range.lowerBound]) && stopped.end?.reason == .stop)
    #expect(stopped.end?.stop == stop)
    // Too long, empty, tokens that the model does not have.
    #expect(
      await engine.answers([GenerationRequest(prompt: [1], limit: 128)])[0].refusal == .tooLong(tokens: 129, limit: 128)
    )
    #expect(await engine.answers([GenerationRequest(prompt: [], limit: 1)])[0].refusal == .emptyPrompt)
    if case .invalid(let message)? = await engine.answers([GenerationRequest(prompt: [9999], limit: 1)])[0].refusal {
      #expect(message.contains("9999"))
    } else {
      Issue.record("a token that the model does not have")
    }
    // Mirostat's limit depends on how likely each token was, which nobody knows of tokens that are given.
    var resumed = GenerationRequest(prompt: [1, 2, 3], limit: 5)
    (resumed.written, resumed.sampling.temperature, resumed.sampling.mirostat.tau) = ([4], 1, 3)
    if case .invalid(let message)? = await engine.answers([resumed])[0].refusal {
      #expect(message.contains("mirostat"))
    } else {
      Issue.record("an answer under mirostat that goes on")
    }
    resumed.sampling.mirostat.tau = 0
    #expect(await engine.answers([resumed])[0].end?.reason == .length)
    var late = request
    late.timeout = 0
    #expect(await engine.answers([late])[0].end?.reason == .deadline)
    engine.drain()
    #expect(await engine.answers([request])[0].refusal == .stopping)
  }

  @Test func aCancelledTextEndsAndOthersGoOn() async throws {
    let engine = try engine()
    let requests = Self.requests(6, temperature: 0)
    let expected = await engine.answers(requests).map(\.tokens)
    let answers = Answers(6)
    let ids = Mutex<[Int: InferenceEngine.ID]>([:])
    for (index, request) in requests.enumerated() {
      let id = engine.submit(request) { event in
        answers.receive(event, index)
        if index == 2, case .token = event, let id = ids.withLock({ $0[2] }) { engine.cancel(id) }
      }
      ids.withLock { $0[index] = id }
    }
    let found = await answers.all
    #expect(found[2].end?.reason == .cancelled && found[2].tokens.count < expected[2].count)
    for index in [0, 1, 3, 4, 5] { #expect(found[index].tokens == expected[index]) }
  }
}
