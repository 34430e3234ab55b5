// /ready says yes once the first request would wait for nothing.

import AsyncHTTPClient
import CPUBackend
import Dispatch
import Formats
import Inference
import Models
import NIOCore
import NIOHTTP1
import Serving
import Support
import Testing

@Suite struct ReadinessTests {
  /// A tokenizer whose tables take as long as the test wants.
  private struct SlowTokenizer: Tokenizer {
    let base: any Tokenizer
    let tables = DispatchSemaphore(value: 0)

    var vocabularySize: Int { base.vocabularySize }
    var specialTokens: [String: Int32] { base.specialTokens }
    var endOfText: Int32? { base.endOfText }
    var fingerprint: UInt64 { base.fingerprint }

    func encode(_ text: UnsafeBufferPointer<UInt8>, specials: SpecialTokenHandling, into tokens: inout [Int32]) {
      tables.wait()
      base.encode(text, specials: specials, into: &tokens)
      tables.signal()
    }

    func appendBytes(of token: Int32, to bytes: inout [UInt8]) { base.appendBytes(of: token, to: &bytes) }
  }

  @Test func readyMeansThatTheTokenizerHasItsTables() async throws {
    let tiny = try TinyModel()
    let pretrained = try PretrainedModel(path: tiny.path)
    let tokenizer = SlowTokenizer(base: try pretrained.tokenizer())
    let engine = try InferenceEngine(
      pretrained.model, pretrained.weights(), tokenizer: tokenizer, ends: [], EngineConfiguration(),
      backend: CPUBackend(threads: 1, rowInvariant: true))
    let service = APIService(engine, APISettings(name: "tiny", version: "1"))
    let server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, handle: service.handle)
    func status(_ path: String) async throws -> Int {
      let request = HTTPClientRequest(url: "http://127.0.0.1:\(server.port)\(path)")
      return Int(try await HTTPClient.shared.execute(request, timeout: .seconds(300)).status.code)
    }
    #expect(try await status("/ready") == 503 && !engine.isReady)
    #expect(try await status("/health") == 200)
    tokenizer.tables.signal()
    while !engine.isReady { await Task.yield() }
    #expect(try await status("/ready") == 200)
    service.drain()
    #expect(try await status("/ready") == 503)
  }
}
