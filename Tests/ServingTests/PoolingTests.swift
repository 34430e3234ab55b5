// Vectors, scores, rankings and labels over HTTP are those of the models themselves.

import CPUBackend
import Core
import Dispatch
import Formats
import Inference
import Models
import NIOHTTP1
import Serving
import Synchronization
import Testing

@Suite struct PoolingTests {
  private static let backend = CPUBackend(threads: 2, rowInvariant: true)
  private static let texts = ["the cat sleeps on the mat", "Cats, sleeping?", "fell the market"]
  private static var strings: JSONValue { .array(texts.map { .string($0) }) }

  /// A fixture of the encoders' tests.
  private static func path(_ name: String) -> String {
    let here = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
    return "\(here)/ModelsTests/Fixtures/\(name)"
  }

  private static func server(_ name: String) throws -> TestServer {
    try TestServer(pooling: PoolingEngine(path: path(name), backend: backend))
  }

  private func isNear(_ value: JSONValue?, _ expected: [Float]) -> Bool {
    guard let found = value?.array?.compactMap(\.double), found.count == expected.count else { return false }
    return zip(found, expected).allSatisfy { abs($0 - Double($1)) < 1e-5 }
  }

  @Test func vectors() async throws {
    let server = try Self.server("embedder")
    let expected = try TextEncoder(path: Self.path("embedder"), backend: Self.backend).embed(Self.texts)
    let reply = try await server.post("/v1/embeddings", ["input": Self.strings, "model": "tiny"])
    #expect(reply["object"] == "list" && reply["usage"]?["prompt_tokens"]?.integer ?? 0 > 10)
    let data = try #require(reply["data"]?.array)
    for (index, entry) in data.enumerated() {
      #expect(entry["object"] == "embedding" && entry["index"]?.integer == index)
      #expect(isNear(entry["embedding"], expected[index]))
    }
    let one = try await server.post("/v1/embeddings", ["input": .string(Self.texts[1]), "dimensions": 4])
    let short = expected[1].prefix(4)
    let length = short.reduce(0) { $0 + $1 * $1 }.squareRoot()
    #expect(isNear(one["data"]?[0]?["embedding"], short.map { $0 / length }))
    let packed = try await server.post(
      "/v1/embeddings", ["input": .string(Self.texts[0]), "encoding_format": "base64"])
    let text = try #require(packed["data"]?[0]?["embedding"]?.string)
    #expect(text.count == (expected[0].count * 4 + 2) / 3 * 4)
    // Token numbers are taken as they are: the prompt, which texts get, is not in front of them.
    let tokens = try await server.post("/v1/embeddings", ["input": [[5, 6], [7]]])
    #expect(tokens["data"]?.array?.count == 2)
    #expect(try await server.post("/pooling", ["input": "a"])["data"]?[0]?["object"] == "pooling")
  }

  @Test func scoresOfVectors() async throws {
    let server = try Self.server("embedder")
    let same = try await server.post("/v1/score", ["text_1": "a cat", "text_2": ["a cat", "the market"]])
    #expect(abs((same["data"]?[0]?["score"]?.double ?? 0) - 1) < 1e-5)
    #expect(same["data"]?[1]?["score"]?.double ?? 1 < 1)
  }

  @Test func rankings() async throws {
    let server = try Self.server("reranker")
    let expected = try TextClassifier(path: Self.path("reranker"), backend: Self.backend).score("a", Self.texts)
    let scores = try await server.post("/v1/score", ["text_1": "a", "text_2": Self.strings])
    #expect(isNear(.array(scores["data"]?.array?.compactMap { $0["score"] } ?? []), expected))
    let ranked = try await server.post("/v1/rerank", ["query": "a", "documents": Self.strings, "top_n": 2])
    let results = try #require(ranked["results"]?.array)
    let order = expected.indices.sorted { expected[$0] > expected[$1] }
    #expect(results.compactMap { $0["index"]?.integer } == Array(order.prefix(2)))
    #expect(results[0]["document"]?["text"] == .string(Self.texts[order[0]]))
    #expect(isNear(.array(results.compactMap { $0["relevance_score"] }), order.prefix(2).map { expected[$0] }))
    let labels = try await server.post("/classify", ["input": "a cat"])
    #expect(labels["data"]?[0]?["probs"]?.array?.count == 1 && labels["data"]?[0]?["label"]?.string != nil)
  }

  @Test(arguments: [
    ("/v1/embeddings", #"{"input": []}"#, "must be a string"), ("/v1/embeddings", #"{}"#, "'input' is missing"),
    ("/v1/embeddings", #"{"input": "a", "dimensions": 4000}"#, "'dimensions' is 4000"),
    ("/v1/embeddings", #"{"input": "a", "encoding_format": "hex"}"#, "encoding_format"),
    ("/v1/embeddings", #"{"input": "a", "task": "x"}"#, "Unknown parameter: 'task'"),
    ("/v1/embeddings", #"{"input": [[1, 99999]]}"#, "99999"),
    (
      "/v1/embeddings",
      #"{"input": "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a"}"#, "longer than"
    ),
    ("/v1/score", #"{"text_1": ["a", "b"], "text_2": ["a", "b", "c"]}"#, "as many as"),
    ("/v1/rerank", #"{"query": "a", "documents": [1]}"#, "documents"),
    ("/classify", #"{"input": "a"}"#, "cannot do that"),
    ("/v1/completions", #"{"prompt": "a"}"#, "writes no texts"),
    ("/v1/chat/completions", #"{"messages": []}"#, "/v1/embeddings"),
  ])
  func whatIsWrongIsSaid(path: String, body: String, message: String) async throws {
    let refusal = try await Self.server("embedder").refusal(path, try JSONValue(parsing: body))
    #expect(refusal.contains(message), "\(refusal)")
  }

  @Test func manyAtOnce() async throws {
    let server = try Self.server("embedder")
    let expected = try await server.post("/v1/embeddings", ["input": Self.strings])
    try await withThrowingTaskGroup(of: JSONValue.self) { group in
      for _ in 0..<16 { group.addTask { try await server.post("/v1/embeddings", ["input": Self.strings]) } }
      for try await reply in group {
        for (one, other) in zip(reply["data"]?.array ?? [], expected["data"]?.array ?? []) {
          #expect(isNear(one["embedding"], other["embedding"]?.array?.compactMap { $0.double.map { Float($0) } } ?? []))
        }
        #expect(reply["data"]?.array?.count == 3)
      }
    }
    let metrics = try await server.send(.GET, "/metrics").text
    #expect(metrics.contains("finished_reason=\"stop\"} 17"))
  }

  @Test func aDecoderGivesItsLastState() async throws {
    let server = try TestServer(poolsLastToken: true)
    let reply = try await server.post("/v1/embeddings", ["input": ["a cat", "a dog", "a cat"]])
    let vectors = try #require(reply["data"]?.array).compactMap { $0["embedding"]?.array?.compactMap(\.double) }
    #expect(vectors.count == 3 && vectors.allSatisfy { $0.count == 32 })
    #expect(vectors[0] == vectors[2] && vectors[0] != vectors[1])
    #expect(abs(vectors[0].reduce(0) { $0 + $1 * $1 } - 1) < 1e-4)
    #expect(reply["usage"]?["prompt_tokens"] == 15)
    let scores = try await server.post("/v1/score", ["text_1": "a cat", "text_2": ["a cat", "a dog"]])
    #expect(abs((scores["data"]?[0]?["score"]?.double ?? 0) - 1) < 1e-4)
    // It still writes texts.
    #expect(try await server.post("/v1/completions", ["prompt": "a"])["choices"]?[0]?["text"]?.string != nil)
    let refusal = try await TestServer().refusal("/v1/embeddings", ["input": "a"])
    #expect(refusal.contains("cannot do that"))
  }

  @Test func moreTextsThanMayWait() async throws {
    let server = try TestServer(poolsLastToken: true)
    let texts = (0..<1500).map { JSONValue.string("text \($0 % 3)") }
    async let many = server.post("/v1/embeddings", ["input": .array(texts), "user": "many", "priority": -1])
    // Others are not kept out meanwhile.
    #expect(try await server.post("/v1/completions", ["prompt": "a"])["choices"]?[0]?["text"]?.string != nil)
    let vectors = try await many["data"]?.array?.compactMap { $0["embedding"]?.json } ?? []
    #expect(vectors.count == 1500 && Set(vectors).count == 3 && vectors[0] == vectors[1497])
    let refusal = try await server.refusal("/v1/embeddings", ["input": "a", "priority": 5000])
    #expect(refusal.contains("priority"))
  }

  @Test func whatWaitsGoesByPriorityAndTenant() async throws {
    let engine = try PoolingEngine(path: Self.path("embedder"), backend: Self.backend)
    let text = engine.tokenized("the cat").0
    let (isBusy, mayGoOn) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let order = Mutex<[String]>([])
    engine.submit([text], as: .vector) { _ in
      isBusy.signal()
      mayGoOn.wait()
    }
    await Task.detached { isBusy.waitForIt() }.value
    for (name, priority) in [("a", 0), ("a", 0), ("a", 0), ("b", 0), ("c", 1)] {
      engine.submit([text], as: .vector, for: .init(tenant: name, priority: priority)) { _ in
        order.withLock { $0.append(name) }
      }
    }
    mayGoOn.signal()
    engine.drain()
    #expect(order.withLock { $0 } == ["c", "a", "b", "a", "a"])
  }
}

extension DispatchSemaphore {
  fileprivate func waitForIt() { wait() }
}
