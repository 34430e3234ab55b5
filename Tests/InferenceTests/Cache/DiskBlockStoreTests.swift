// What was computed before is found after a restart, and what is damaged is computed again.

import CPUBackend
import FoundationEssentials
import Inference
import Models
import Support
import Tensors
import Testing

@Suite struct DiskBlockStoreTests {
  private static let backend = CPUBackend(threads: 2, rowInvariant: true)
  private let folder = FileManager.default.temporaryDirectory.path + "/tachornis-blocks-\(UUID().uuidString)"

  private func engine(_ model: TinyModel) throws -> InferenceEngine {
    var configuration = EngineConfiguration()
    (configuration.running, configuration.stepTokens, configuration.blockSize) = (4, 24, 4)
    configuration.cacheFolder = folder
    return try InferenceEngine(PretrainedModel(path: model.path), configuration, backend: Self.backend)
  }

  private func files() throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.split(separator: "/").count == 2 }.sorted()
  }

  @Test func blocksSurviveARestart() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let model = try TinyModel()
    var request = GenerationRequest(prompt: (0..<41).map { Int32($0) }, limit: 3)
    request.sampling = SamplingConfiguration(temperature: 1, seed: 7)
    let first = try engine(model)
    let expected = await first.answers([request])[0]
    first.drain()
    #expect(expected.end?.cached == 0)
    let written = try files()
    #expect(written.count == 10)

    let second = try engine(model)
    let again = await second.answers([request])[0]
    #expect(again.end?.cached == 40 && again.tokens == expected.tokens)
    // Another's texts are his own.
    var salted = request
    salted.salt = "secret"
    #expect(await second.answers([salted])[0].end?.cached == 0)
    second.drain()
    #expect(try files().count == 20)

    // What is damaged is as good as missing, and is written again.
    let damagedFile = URL(filePath: "\(folder)/\(written[3])")
    var bytes = try Data(contentsOf: damagedFile)
    bytes[bytes.count - 5] ^= 1
    try bytes.write(to: damagedFile)
    let third = try engine(model)
    let damaged = await third.answers([request])[0]
    #expect(damaged.end!.cached < 40 && damaged.tokens == expected.tokens)
    third.drain()
    let fourth = try engine(model)
    #expect(await fourth.answers([request])[0].end?.cached == 40)
    fourth.drain()

    // Another model has nothing of it.
    let other = try engine(TinyModel(seed: 8))
    #expect(await other.answers([request])[0].end?.cached == 0)
    other.drain()
  }

  @Test func blocksOfAdaptersSurviveARestart() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let model = try TinyModel()
    let (one, other) = (try TinyAdapter(rank: 4, seed: 1), try TinyAdapter(rank: 4, seed: 2))
    var request = GenerationRequest(prompt: (0..<41).map { Int32($0) }, limit: 3)
    request.sampling = SamplingConfiguration(temperature: 1, seed: 7)
    request.adapter = "polite"
    let first = try engine(model)
    try first.load(adapter: "polite", path: one.path)
    let expected = await first.answers([request])[0]
    first.drain()
    #expect(expected.end?.cached == 0)

    // What it is called and which are loaded before it is no matter.
    let second = try engine(model)
    try second.load(adapter: "other", path: other.path)
    try second.load(adapter: "friendly", path: one.path)
    request.adapter = "friendly"
    let again = await second.answers([request])[0]
    #expect(again.end?.cached == 40 && again.tokens == expected.tokens)
    // Another adapter of the old name has nothing of it, and neither has the bare model.
    try second.load(adapter: "polite", path: other.path)
    for name in ["polite", nil] {
      request.adapter = name
      #expect(await second.answers([request])[0].end?.cached == 0)
    }
    second.drain()
  }

  @Test func theFolderIsBounded() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let pools = (0..<2).map { index in TensorData((0..<32).map { Double($0 + index) }, shape: [8, 4]) }
    func key(_ number: Int) -> BlockKey { BlockKey(bytes: (0..<32).map { UInt8(($0 + number) % 256) }) }
    let store = try DiskBlockStore(folder: folder, limit: 16, memory: BlockMemory(pools, blocks: 4))
    for number in 0..<40 {
      store.save(key(number), from: Int32(number % 4))
      store.flush()
    }
    #expect((1...16).contains(store.count) && store.contains(key(39)) && !store.contains(key(0)))
    let reopened = try DiskBlockStore(folder: folder, limit: 16, memory: BlockMemory(pools, blocks: 4))
    #expect(reopened.count == store.count)
    #expect(reopened.load(key(39), into: 0) && !reopened.load(key(0), into: 1))
    // Block 39 was a copy of the third.
    for pool in pools { #expect(Array(pool.doubles[0..<8]) == Array(pool.doubles[24..<32])) }
  }

  @Test func aFolderThatCannotBeWrittenIsRefused() throws {
    try "".write(toFile: folder, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(throws: EngineError.self) { try engine(TinyModel()) }
  }
}
