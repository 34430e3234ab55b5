// Prompts are read on one worker and answered by another: what clients get is what one worker alone would say, whatever happens to
// the one that reads.

import AsyncHTTPClient
import Core
import Inference
import NIOCore
import NIOHTTP1
import Serving
import Support
import Synchronization
import Testing

@Suite struct PrefillTests {
  private static func transfer(_ key: String = "shared", patience: Int = 300) throws -> CacheTransfer {
    try CacheTransfer(key: key, patience: patience)
  }

  /// The worker that answers, alone and with help.
  private let alone: TestServer
  private let writer: TestServer

  init() throws {
    alone = try TestServer()
    writer = try TestServer(transfer: Self.transfer())
  }

  private func router(prefill: [Int], _ change: (inout RouterOptions) -> Void = { _ in }) throws -> TestRouter {
    try TestRouter([writer.server.port], prefill: prefill, transferKey: "shared") { options in
      options.decisions.prefillBlocks = 2
      options.decisions.breaker.failures = 1000
      change(&options)
    }
  }

  private static func prompt(_ number: Int, _ length: Int = 600) -> String {
    String((0..<length).map { Character(Unicode.Scalar(UInt8(33 + ($0 * $0 + number * 31 + $0 / 7) % 90))) })
  }

  /// Requests of every form, with long prompts.
  private static func requests(_ number: Int) -> [(path: String, body: JSONValue)] {
    let text = JSONValue.string(prompt(number))
    return [
      ("/v1/completions", ["prompt": text, "max_tokens": 30, "temperature": 1, "seed": 7, "stream": true, "n": 1]),
      ("/v1/completions", ["prompt": text, "max_tokens": 30, "seed": 8, "n": 3]),
      (
        "/v1/chat/completions",
        [
          "messages": [["role": "user", "content": text]], "max_tokens": 30, "seed": 11, "stream": true,
          "stream_options": ["include_usage": true],
        ]
      ),
      ("/v1/messages", ["messages": [["role": "user", "content": text]], "max_tokens": 30, "temperature": 0]),
      ("/v1/responses", ["input": text, "max_output_tokens": 30, "temperature": 0]),
    ]
  }

  /// Asks both and compares what they say.
  private func expectSame(_ router: TestRouter, _ path: String, _ body: JSONValue, _ note: String) async throws {
    let (direct, routed) = (try await alone.send(.POST, path, body), try await router.send("POST", path, body))
    #expect(direct.status == 200 && routed.status == 200, "\(note): \(routed.text)")
    if body["stream"] == true {
      #expect(try TestRouter.chunks(direct.text).chunks == TestRouter.chunks(routed.text).chunks, "\(note)")
    } else {
      func content(_ text: String) throws -> [JSONValue?] {
        let reply = try JSONValue(parsing: text)
        let output = reply["output"]?.array?.map { $0["content"] ?? .null }
        return [reply["choices"], reply["content"], output.map { .array($0) }]
      }
      #expect(try content(direct.text) == content(routed.text), "\(note)")
    }
  }

  /// How often something became of a prompt.
  private func count(_ router: TestRouter, _ outcome: PrefillOutcome) async throws -> Int {
    try await router.metric("prefills_total{outcome=\"\(outcome.rawValue)\"")
  }

  @Test func answersAreThoseOfOneWorker() async throws {
    // With another number of threads: its blocks have the same bits.
    let reader = try TestServer(threads: 1, transfer: Self.transfer())
    let router = try router(prefill: [reader.server.port])
    for (number, path) in Self.requests(1).map(\.path).enumerated() {
      // A prompt of its own each, so that all of it is to be read.
      let own = Self.requests(10 + number)[number].body
      let (read, cached) = (reader.engine!.statistics.read, writer.engine!.statistics.cached)
      try await expectSame(router, path, own, path)
      #expect(reader.engine!.statistics.read - read >= 500, "\(path) was read there")
      #expect(writer.engine!.statistics.cached - cached >= 500, "\(path) was not read here")
    }
    #expect(try await count(router, .moved) == 5)
    // What is known here is not sent elsewhere.
    let asked = reader.engine!.statistics.asked
    try await expectSame(router, Self.requests(10)[0].path, Self.requests(10)[0].body, "again")
    // Nor is what is short.
    try await expectSame(router, "/v1/completions", ["prompt": "Hello", "max_tokens": 5, "seed": 1], "short")
    #expect(try await router.metric("prefills_total") == 5 && reader.engine!.statistics.asked == asked)
    #expect(router.service.workers.allSatisfy { $0.active == 0 && $0.unread == 0 })
    let metrics = try await writer.send(.GET, "/metrics").text
    #expect(metrics.contains("tachornis:cache_transfers_total{model_name=\"tiny\",engine=\"0\",outcome=\"moved\"} 5"))
  }

  @Test func blocksMoveOverTLS() async throws {
    let fixtures =
      String(#filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/"))
      + "/Fixtures/server-"
    let certificate = try TLSCertificate(chain: fixtures + "certificate.pem", key: fixtures + "key.pem")
    let reader = try TestServer(transfer: Self.transfer(), certificate: certificate)
    let authority = fixtures + "certificate.pem"
    for (trusts, outcome) in [(true, PrefillOutcome.moved), (false, .unreachable)] {
      let writer = try TestServer(
        transfer: CacheTransfer(key: "shared", authority: trusts ? authority : nil, patience: 300))
      let group = WorkerGroup(
        .given(WorkerAddress(host: "localhost", port: reader.server.port, isEncrypted: true)), .prefill)
      let router = try TestRouter([writer.server.port], groups: [group], transferKey: "shared") {
        ($0.decisions.prefillBlocks, $0.authority) = (2, authority)
      }
      try await expectSame(router, "/v1/completions", Self.requests(35)[0].body, "over TLS")
      #expect(try await count(router, outcome) == 1)
    }
  }

  @Test func aReaderMayDieAnywhere() async throws {
    let reader = try TestServer(transfer: Self.transfer())
    let proxy = try CuttingProxy(server: reader.server.port)
    let router = try router(prefill: [proxy.port])
    for (number, limit) in [1, 100, 250, 1000, 5000, 20_000, 60_000].enumerated() {
      proxy.cut(after: limit)
      let (path, body) = Self.requests(20 + number)[number % 3]
      try await expectSame(router, path, body, "cut after \(limit)")
    }
    #expect(proxy.cuts == 7)
    #expect(try await count(router, .unreachable) == 7)
    // What came before the end was of use.
    #expect(writer.engine!.statistics.cached > 300)
    proxy.cut(after: nil)
    try await expectSame(router, Self.requests(40)[0].path, Self.requests(40)[0].body, "well again")
    #expect(try await count(router, .moved) == 1)
  }

  @Test func whoeverCannotReadIsNotNeeded() async throws {
    let (path, _) = Self.requests(0)[0]
    let otherModel = try TestServer(seed: 6, transfer: Self.transfer())
    let otherKey = try TestServer(transfer: Self.transfer("another"))
    let without = try TestServer()
    for (number, reader) in [otherModel, otherKey, without].enumerated() {
      let router = try router(prefill: [reader.server.port])
      try await expectSame(router, path, Self.requests(50 + number)[0].body, "worker \(number)")
      #expect(try await count(router, .unusable) == 1)
    }
    // Nobody is there: the router sees that, and soon asks no more.
    let router = try router(prefill: [1]) { $0.decisions.breaker.failures = 2 }
    try await expectSame(router, path, Self.requests(60)[0].body, "nobody")
    #expect(try await router.metric("prefills_total") == 0)
  }

  @Test func nonsenseDoesNotTouchTheCache() async throws {
    // What a hostile or a broken worker might send, with a head that is right.
    let form = writer.engine!.blockForm!
    let mode = Mutex(0)
    let liar = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { request, responder in
      if request.path == "/v1/models" {
        let models = #"{"data":[{"id":"tiny","owned_by":"tachornis"}]}"#
        return responder.send(HTTPReply(200, "application/json", Array(models.utf8)))
      }
      guard request.path == "/v1/cache/blocks" else { return responder.send(HTTPReply(200, "text/plain", [])) }
      let tokens = (try? JSONValue(parsing: String(decoding: request.body, as: UTF8.self)))?["tokens"]?.array ?? []
      let text = MovedText(tokens: tokens.compactMap { $0.integer.map { Int32($0) } })
      let keys = text.keys(blockSize: form.tokens)
      let block = [UInt8](repeating: 0x41, count: form.bytes)
      var bytes = BlockStreamReader.head(form, first: 0)
      switch mode.withLock({ $0 }) {
      case 0: bytes = Array("no blocks at all, but much else, so much that it would do for a head and more".utf8)
      case 1: bytes += BlockRecord.header(keys[1], block) + block
      case 2: bytes += BlockRecord.header(keys[0], block) + block.dropLast() + [0]
      case 3: bytes += [UInt8](repeating: 0, count: 1 << 20)
      default: bytes = []
      }
      responder.send(HTTPReply(200, "application/octet-stream", bytes))
    }
    defer { liar.shutdown() }
    let router = try router(prefill: [liar.port])
    for number in 0..<5 {
      mode.withLock { $0 = number }
      let cached = writer.engine!.statistics.cached
      try await expectSame(router, "/v1/completions", Self.requests(70 + number)[0].body, "nonsense \(number)")
      #expect(writer.engine!.statistics.cached == cached)
    }
    #expect(try await count(router, .damaged) == 5)
    #expect(router.service.workers.contains { $0.role == .prefill && $0.failures == 5 })
  }

  @Test func aSilentReaderIsGivenUp() async throws {
    let silent = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { request, responder in
      if request.path == "/v1/cache/blocks" { return }
      responder.send(HTTPReply(200, "application/json", Array(#"{"data":[{"id":"tiny"}]}"#.utf8)))
    }
    defer { silent.shutdown() }
    let hasty = try TestServer(transfer: Self.transfer(patience: 1))
    let router = try TestRouter([hasty.server.port], prefill: [silent.port], transferKey: "shared") {
      $0.decisions.prefillBlocks = 2
    }
    try await expectSame(router, "/v1/completions", Self.requests(80)[0].body, "silence")
    // It may have much to do: that is no illness.
    #expect(try await count(router, .busy) == 1)
    #expect(router.service.workers.allSatisfy { $0.failures == 0 })
  }

  @Test func blocksAreForWhoeverHasTheKey() async throws {
    func ask(_ server: TestServer, _ body: JSONValue, key: String?) async throws -> (Int, String) {
      var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.server.port)/v1/cache/blocks")
      request.method = .POST
      if let key { request.headers.add(name: "x-transfer-key", value: key) }
      request.body = .bytes(ByteBuffer(string: body.json))
      let response = try await HTTPClient.shared.execute(request, timeout: .seconds(300))
      return (Int(response.status.code), String(buffer: try await response.body.collect(upTo: 1 << 24)))
    }
    let form = JSONValue.string(writer.engine!.blockForm!.fingerprint)
    let good: JSONValue = ["form": form, "tokens": [40, 41, 42, 43]]
    #expect(try await ask(alone, good, key: "shared").0 == 403)
    #expect(try await ask(writer, good, key: nil).0 == 401)
    #expect(try await ask(writer, good, key: "other").0 == 401)
    #expect(try await ask(writer, good, key: "shared").0 == 200)
    // The key may change while the server runs.
    let changing = try Self.transfer()
    let changed = try TestServer(transfer: changing)
    changing.replace(key: "new")
    #expect(try await ask(changed, good, key: "shared").0 == 401)
    #expect(try await ask(changed, good, key: "new").0 == 200)
    #expect(try await ask(writer, ["form": "x", "tokens": [40]], key: "shared").0 == 409)
    for body: JSONValue in [
      ["tokens": [40]], ["form": form], ["form": form, "tokens": []], ["form": form, "tokens": [-1, 2, 3, 4]],
      ["form": form, "tokens": [9999, 2, 3, 4]], ["form": form, "tokens": "a"],
      ["form": form, "tokens": [1], "from": -1],
      ["form": form, "tokens": [40, 41, 42, 43], "blocks": 1],
    ] {
      let (status, text) = try await ask(writer, body, key: "shared")
      #expect(status == 400 || body["tokens"] == [] && status == 200, "\(body.json): \(status) \(text.prefix(200))")
    }
    #expect(try await writer.send(.GET, "/v1/cache/blocks").status == 405)
    // Clients cannot send workers anywhere.
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(writer.server.port)/v1/completions")
    request.method = .POST
    request.headers.add(name: "x-prefill-worker", value: "http://127.0.0.1:1")
    request.body = .bytes(ByteBuffer(string: Self.requests(90)[1].body.json))
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(300))
    #expect(response.status == .ok && response.headers["x-prefill"].isEmpty)
  }

  @Test func whoGoesAwayEndsReadingToo() async throws {
    let slow = Mutex<HTTPResponder?>(nil)
    let gone = Mutex(false)
    let reader = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { request, responder in
      if request.path == "/v1/cache/blocks" {
        responder.whenGone { gone.withLock { $0 = true } }
        return slow.withLock { $0 = responder }
      }
      responder.send(HTTPReply(200, "application/json", Array(#"{"data":[{"id":"tiny"}]}"#.utf8)))
    }
    defer { reader.shutdown() }
    let router = try router(prefill: [reader.port])
    let body = Self.requests(95)[0].body
    let task = Task { try await router.send("POST", "/v1/completions", body) }
    for _ in 0..<500 where slow.withLock({ $0 == nil }) { try await Task.sleep(for: .milliseconds(10)) }
    task.cancel()
    for _ in 0..<500 where !gone.withLock({ $0 }) || router.service.active > 0 {
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(gone.withLock { $0 } && router.service.active == 0 && writer.engine!.statistics.running == 0)
  }
}
