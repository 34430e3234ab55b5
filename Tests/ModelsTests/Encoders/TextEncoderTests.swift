// Vectors and scores of texts are those of sentence-transformers (Scripts/make-encoder-fixtures.py), whatever else is in the
// list.

import CPUBackend
import Core
import FoundationEssentials
import Models
import Tensors
import Testing

struct TextEncoderTests {
  private static let backend = CPUBackend(threads: 2)
  private let embedder = Fixture(name: "embedder").path
  private let reranker = Fixture(name: "reranker").path

  @Test(arguments: ["none", "query"]) func vectorsAreThoseOfSentenceTransformers(prompt: String) throws {
    let expected = try Expected(embedder)
    let encoder = try TextEncoder(path: embedder, backend: Self.backend)
    let found = try encoder.embed(expected.texts, prompt: #require(encoder.prompts[prompt]))
    for (index, (found, wanted)) in zip(found, expected.rows(prompt)).enumerated() {
      #expect(found.count == wanted.count)
      #expect(relativeError(found.map(Double.init), wanted) < 1e-5, "text \(index)")
    }
  }

  @Test func vectorsDependOnTheirTextAlone() throws {
    let texts = try Expected(embedder).texts
    let encoder = try TextEncoder(path: embedder, backend: Self.backend)
    let together = try encoder.embed(texts + texts.reversed())
    for (index, text) in texts.enumerated() {
      let alone = try encoder.embed([text])[0].map(Double.init)
      #expect(relativeError(alone, together[index].map(Double.init)) < 1e-5)
      #expect(relativeError(alone, together[2 * texts.count - 1 - index].map(Double.init)) < 1e-5)
    }
    #expect(try encoder.embed([]) == [])
  }

  @Test func poolingsOfStates() {
    let states: [Float] = [1, -2, 3, 4, 5, -6]
    func pooled(_ pooling: Pooling) -> [Float] { states.withUnsafeBufferPointer { pooling($0, width: 2) } }
    #expect(pooled(.cls) == [1, -2])
    #expect(pooled(.last) == [5, -6])
    #expect(pooled(.max) == [5, 4])
    let root = Float(3).squareRoot()
    let expected: [(Pooling, [Float])] = [
      (.mean, [3, -4.0 / 3]), (.meanRoot, [9 / root, -4 / root]), (.weightedMean, [22.0 / 6, -2]),
    ]
    for (pooling, wanted) in expected {
      #expect(zip(pooled(pooling), wanted).allSatisfy { abs($0 - $1) < 1e-6 }, "\(pooling)")
    }
  }

  @Test func whatIsBeyondTheLimitIsNotRead() throws {
    let encoder = try TextEncoder(path: reranker, pooling: .last, limit: 5, backend: Self.backend)
    let found = try encoder.embed(["cat cat cat", "cat cat cat mat mat", "cat cat mat"])
    #expect(found[0] == found[1])
    #expect(found[0] != found[2])
    #expect(throws: ModelError.self) { try TextEncoder(path: reranker, limit: 2, backend: Self.backend) }
  }

  @Test func spellingsOfSpecialTokensAreText() throws {
    let encoder = try TextEncoder(path: embedder, backend: Self.backend)
    let found = try encoder.embed(["cat [SEP] mat", "cat [ sep ] mat"])
    #expect(found[0] == found[1])
  }

  @Test func scoresAreThoseOfCrossEncoders() throws {
    let expected = try Expected(reranker)
    let classifier = try TextClassifier(path: reranker, backend: Self.backend)
    let scores = try expected.texts.flatMap { try classifier.score($0, expected.texts) }
    #expect(relativeError(scores.map(Double.init), expected.numbers("scores")) < 1e-5)
  }

  @Test func modelsWithoutTheHeadAreRefused() throws {
    #expect(throws: ModelError.self) { try TextClassifier(path: embedder, backend: Self.backend) }
    let error = #expect(throws: ModelError.self) { try PretrainedModel(path: embedder) }
    #expect(error?.message.contains("embed") == true)
  }

  @Test func unknownModulesAreRefused() throws {
    try withTemporaryFolder { folder in
      let copy = folder + "/model"
      try FileManager.default.copyItem(atPath: embedder, toPath: copy)
      for (name, text) in [
        ("modules.json", "[{\"path\": \"\", \"type\": \"x.Transformer\"}, {\"path\": \"1\", \"type\": \"x.LSTM\"}]"),
        ("modules.json", "{"), ("1_Pooling/config.json", "{\"pooling_mode\": \"median\"}"),
        ("2_Dense/config.json", "{\"in_features\": 47, \"out_features\": 10}"),
      ] {
        let path = "\(copy)/\(name)"
        let old = try #require(FileManager.default.contents(atPath: path))
        FileManager.default.createFile(atPath: path, contents: Data(text.utf8))
        #expect(throws: ModelError.self, "\(text)") { try TextEncoder(path: copy, backend: Self.backend) }
        FileManager.default.createFile(atPath: path, contents: old)
      }
    }
  }
}

/// What the peers computed.
private struct Expected {
  private let json: JSONValue
  let texts: [String]

  init(_ folder: String) throws {
    let data = try #require(FileManager.default.contents(atPath: folder + "/expected.json"))
    json = try JSONValue(parsing: String(decoding: data, as: UTF8.self))
    texts = json["texts"]!.array!.map { $0.string! }
  }

  func numbers(_ key: String) -> [Double] { json[key]!.array!.map { $0.double! } }
  func rows(_ key: String) -> [[Double]] { json[key]!.array!.map { $0.array!.map { $0.double! } } }
}
