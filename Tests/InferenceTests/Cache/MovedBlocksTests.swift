// One engine reads, another goes on: the text is that of one alone.

import CPUBackend
import Core
import Inference
import Models
import Support
import Synchronization
import Testing

@Suite struct MovedBlocksTests {
  private let model: TinyModel

  init() throws { model = try TinyModel() }

  private func engine(
    threads: Int = 2, blocks: Int? = nil, moves: Bool = true, _ change: (inout EngineConfiguration) -> Void = { _ in }
  ) throws -> InferenceEngine {
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.blockSize) = (4, 24, 4)
    (configuration.cacheBlocks, configuration.context) = (blocks, blocks.map { $0 * 4 })
    change(&configuration)
    return try InferenceEngine(
      PretrainedModel(path: model.path), configuration, movesBlocks: moves,
      backend: CPUBackend(threads: threads, rowInvariant: true))
  }

  private static func request(_ count: Int = 42) -> GenerationRequest {
    var request = GenerationRequest(prompt: (0..<count).map { Int32($0 * 7 % 90) }, limit: 20)
    request.sampling = SamplingConfiguration(temperature: 1, seed: 7)
    return request
  }

  /// The full blocks of a request's prompt, all but its last token.
  private func blocks(
    _ engine: InferenceEngine, of request: GenerationRequest, from first: Int = 0, most: Int = 3
  ) async -> (blocks: [[UInt8]], text: MovedText) {
    var reading = request
    reading.prompt = Array(request.prompt.prefix((request.prompt.count - 1) / 4 * 4))
    let all = Collected()
    let problem = await engine.read(reading, from: first, most: most) { blocks in
      #expect(!blocks.isEmpty && blocks.count <= most)
      all.blocks += blocks
      return true
    }
    if let problem { Issue.record("\(problem)") }
    return (all.blocks, MovedText(tokens: reading.prompt, salt: request.salt))
  }

  private final class Collected { var blocks: [[UInt8]] = [] }

  @Test func goesOnWithTheSameBits() async throws {
    let request = Self.request()
    let alone = try engine()
    let expected = await alone.answers([request])[0]
    // Another number of threads, other steps, another size of the cache.
    let reader = try engine(threads: 1, blocks: 64) { $0.stepTokens = 7 }
    #expect(reader.blockForm == alone.blockForm)
    let (blocks, text) = await blocks(reader, of: request)
    #expect(blocks.count == 10)
    let writer = try engine()
    // In two parts.
    #expect(await writer.adopt(Array(blocks[..<6]), from: 0, of: text))
    #expect(await writer.known(text) == 6)
    #expect(await writer.adopt(Array(blocks[6...]), from: 6, of: text))
    let answer = await writer.answers([request])[0]
    #expect(answer.end?.cached == 40 && answer.tokens == expected.tokens)
    // What it has is what it was given.
    #expect(await self.blocks(writer, of: request).blocks == blocks)
    #expect(await self.blocks(writer, of: request, from: 4).blocks == Array(blocks[4...]))
    // Twice is once.
    #expect(await writer.adopt(blocks, from: 0, of: text))
    // Another's texts are his own.
    var salted = request
    salted.salt = "secret"
    #expect(await writer.answers([salted])[0].end?.cached == 0)
  }

  @Test func damagedBitsWouldBeSeen() async throws {
    // That the test above can fail: with other bits the text is another.
    let request = Self.request()
    let reader = try engine()
    let expected = await reader.answers([request])[0]
    var (blocks, text) = await blocks(reader, of: request)
    for place in stride(from: 2, to: blocks[0].count, by: 4) { blocks[0][place] ^= 0x40 }
    let writer = try engine()
    #expect(await writer.adopt(blocks, from: 0, of: text))
    let answer = await writer.answers([request])[0]
    #expect(answer.end?.cached == 40 && answer.tokens != expected.tokens)
  }

  @Test func whatDoesNotFitIsNotTaken() async throws {
    let request = Self.request()
    let (blocks, text) = await blocks(try engine(), of: request)
    let writer = try engine(blocks: 8)
    // A gap, another size, more than the text has, no room.
    #expect(await !writer.adopt(Array(blocks[2..<4]), from: 2, of: text))
    #expect(await !writer.adopt([blocks[0].dropLast()], from: 0, of: text))
    #expect(await !writer.adopt(blocks + blocks, from: 0, of: text))
    #expect(await !writer.adopt(blocks, from: 0, of: text))
    #expect(await writer.known(text) == 0)
    // What others keep gives way.
    #expect(await writer.adopt(Array(blocks[..<8]), from: 0, of: text))
    let other = MovedText(tokens: Array(text.tokens.reversed()))
    #expect(await writer.adopt(Array(blocks[..<6]), from: 0, of: other))
    #expect(await writer.known(text) <= 2)
    #expect(try engine(moves: false).blockForm == nil)
    #expect(await !(try engine(moves: false)).adopt(blocks, from: 0, of: text))
  }

  @Test func readingIsRefusedAndEndsAsOtherTextsDo() async throws {
    let reader = try engine(blocks: 8)
    let long = Self.request(60)
    let refused = await reader.read(long, from: 0, most: 4) { _ in true }
    guard case .refused(.tooLong)? = refused else {
      Issue.record("\(String(describing: refused))")
      return
    }
    // Whoever wants no more ends it.
    _ = await reader.read(Self.request(24), from: 0, most: 1) { _ in false }
    for _ in 0..<500 where reader.statistics.running > 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(reader.statistics.running == 0 && reader.statistics.waiting == 0)
    reader.drain()
    let stopped = await reader.read(Self.request(24), from: 0, most: 4) { _ in true }
    guard case .refused(.stopping)? = stopped else {
      Issue.record("\(String(describing: stopped))")
      return
    }
  }

  @Test func whoeverLeavesBeforeTheFirstBlockIsNotWaitedFor() async throws {
    // Texts of a higher priority have the only place, one after another, until the test has seen enough.
    let reader = try engine { $0.running = 1 }
    let isOver = Mutex(false)
    let clock = MonotonicClock()
    let end = clock.seconds + 600
    var long = GenerationRequest(prompt: [1, 2, 3], limit: 100)
    (long.priority, long.sampling.ignoreEnd) = (1, true)
    @Sendable func occupy(_ request: GenerationRequest, _ started: @escaping @Sendable () -> Void) {
      if isOver.withLock({ $0 }) || clock.seconds > end { return }
      reader.submit(request) { event in
        switch event {
        case .started: started()
        case .ended: occupy(request) {}
        default: break
        }
      }
    }
    let started = AsyncStream<Void>.makeStream()
    occupy(long) { started.continuation.finish() }
    for await _ in started.stream {}
    let (asked, request) = (AsyncStream<Void>.makeStream(), Self.request())
    let got = Mutex(0)
    let reading = Task {
      asked.continuation.finish()
      return await reader.read(request, from: 0, most: 4) { blocks in
        got.withLock { $0 += blocks.count }
        return true
      }
    }
    for await _ in asked.stream {}
    try await Task.sleep(for: .milliseconds(50))
    reading.cancel()
    #expect(await reading.value == nil && got.withLock { $0 } == 0)
    isOver.withLock { $0 = true }
  }

  @Test func blocksThatAreGivenStay() async throws {
    let request = Self.request()
    let (expected, text) = await blocks(try engine(), of: request)
    let reader = try engine(blocks: 16)
    var reading = request
    reading.prompt = text.tokens
    let got = Collected()
    let problem = await reader.read(reading, from: 0, most: 2) { blocks in
      got.blocks += blocks
      // Each of these needs six of sixteen blocks.
      for number in 0..<3 {
        let tokens = (0..<20).map { Int32(($0 * 3 + got.blocks.count * 5 + number + 11) % 90) }
        _ = await reader.answers([GenerationRequest(prompt: tokens, limit: 4)])
      }
      return true
    }
    #expect(problem == nil && got.blocks == expected)
    // Then they are let go: somebody else has all of the cache.
    #expect(await reader.answers([GenerationRequest(prompt: (0..<60).map { Int32($0) }, limit: 4)])[0].end != nil)
    #expect(await reader.known(text) == 0)
  }

  @Test func blocksThatAreGivenMakeWayWhereNothingElseGoesOn() async throws {
    let reader = try engine(blocks: 16)
    let got = Collected()
    let problem = await reader.read(Self.request(), from: 0, most: 2) { blocks in
      got.blocks += blocks
      let answer = await reader.answers([GenerationRequest(prompt: (0..<60).map { Int32($0) }, limit: 4)])[0]
      #expect(answer.end != nil)
      return true
    }
    guard case .ended? = problem else {
      Issue.record("\(String(describing: problem))")
      return
    }
    #expect(got.blocks.count == 2)
  }

  @Test func blocksReachTheDisk() async throws {
    let folder = "\(model.path)/blocks"
    let request = Self.request()
    let (blocks, text) = await blocks(try engine(), of: request)
    let first = try engine { $0.cacheFolder = folder }
    #expect(await first.adopt(blocks, from: 0, of: text))
    first.drain()
    let second = try engine { $0.cacheFolder = folder }
    #expect(await second.answers([request])[0].end?.cached == 40)
    second.drain()
  }
}
