// A router before real workers, as a client sees it: answers are those of a single server, also when workers die in the midst of
// them.

import AsyncHTTPClient
import Core
import Inference
import NIOCore
import NIOHTTP1
import Serving
import Support
import Synchronization
import Testing

@Suite struct RoutingTests {
  private static let requests: [(path: String, body: JSONValue)] = [
    ("/v1/completions", ["prompt": "Hello", "max_tokens": 60, "temperature": 1, "seed": 7, "stream": true]),
    (
      "/v1/completions",
      [
        "prompt": [40, 41, 42], "max_tokens": 40, "temperature": 0, "stream": true, "logprobs": 1,
        "stream_options": ["include_usage": true],
      ]
    ),
    (
      "/v1/chat/completions",
      [
        "messages": [["role": "user", "content": "Hi"]], "max_tokens": 50, "seed": 11, "stream": true,
        "return_token_ids": true, "stream_options": ["include_usage": true],
      ]
    ),
    (
      "/v1/chat/completions",
      ["messages": [["role": "user", "content": "Hi"]], "max_tokens": 50, "seed": 5, "stream": true]
    ),
  ]

  @Test func streamsGoOnWhenWorkersDie() async throws {
    let (first, second) = (try TestServer(), try TestServer())
    let proxy = try CuttingProxy(server: first.server.port)
    let front = try TestRouter([proxy.port, second.server.port]) { $0.decisions.breaker.failures = 1000 }
    var cuts = 0
    for (path, body) in RoutingTests.requests {
      let expected = try TestRouter.chunks(try await second.send(.POST, path, body).text).chunks
      // In the head, in the first chunks, in the midst of some, near the end, and not at all.
      for limit in [1, 150, 300, 555, 1000, 2222, 3333, 5000, 7777, 9000, 1 << 20] {
        proxy.cut(after: limit)
        // One of two goes to the worker that dies.
        for _ in 0..<2 {
          let reply = try await front.send("POST", path, body)
          let found = try TestRouter.chunks(reply.text)
          #expect(
            reply.status == 200 && found.chunks == expected && found.names.count == 1, "\(path), cut after \(limit)")
        }
      }
      #expect(proxy.cuts >= cuts + 8)
      cuts = proxy.cuts
    }
    #expect(try await front.metric("resumptions_total") > 10)
    #expect(try await front.metric("retries_total") > 0)
    #expect(front.service.active == 0)
  }

  @Test func streamsWithoutASeedGoOnToo() async throws {
    let (first, second) = (try TestServer(), try TestServer())
    let proxy = try CuttingProxy(server: first.server.port, limit: 2000)
    let front = try TestRouter([proxy.port, second.server.port])
    for _ in 0..<2 {
      let reply = try await front.send(
        "POST", "/v1/completions",
        ["prompt": "a", "max_tokens": 80, "stream": true, "allowed_token_ids": [40, 41, 42, 43, 44]])
      let text = try TestRouter.chunks(reply.text).chunks.compactMap { $0["choices"]?[0]?["text"]?.string }.joined()
      #expect(text.count == 80 && !reply.text.contains("token_ids"))
    }
    #expect(proxy.cuts == 1)
  }

  @Test func whatNobodyCanGoOnWithEndsWithAnError() async throws {
    let first = try TestServer()
    let proxy = try CuttingProxy(server: first.server.port, limit: 1500)
    let front = try TestRouter([proxy.port])
    let reply = try await front.send(
      "POST", "/v1/completions", ["prompt": "a", "max_tokens": 80, "seed": 1, "stream": true])
    #expect(reply.status == 200 && reply.text.contains("worker_lost") && !reply.text.contains("[DONE]"))
    // Nothing had been passed on: an error as a reply.
    proxy.cut(after: 10)
    let whole = try await front.send("POST", "/v1/completions", ["prompt": "a", "max_tokens": 8])
    #expect(whole.status == 503 && whole.text.contains("workers_failed"))
  }

  @Test func repliesAreThoseOfTheWorker() async throws {
    let worker = try TestServer()
    // One of the two addresses has nobody behind it.
    let front = try TestRouter([worker.server.port, 1])
    for (path, body) in [
      ("/v1/completions", ["prompt": "Hello", "max_tokens": 5, "temperature": 0] as JSONValue),
      ("/v1/completions", ["prompt": 7]), ("/v1/completions", "no object"), ("/tokenize", ["prompt": "ab"]),
      ("/v1/nothing", [:]),
    ] {
      let (direct, routed) = (try await worker.send(.POST, path, body), try await front.send("POST", path, body))
      #expect(direct.status == routed.status, "\(routed.text)")
      let (a, b) = (try JSONValue(parsing: direct.text), try JSONValue(parsing: routed.text))
      #expect(a["choices"] == b["choices"] && a["error"] == b["error"] && a["tokens"] == b["tokens"])
    }
    let unknown = try await front.send("POST", "/v1/completions", ["prompt": "a", "model": "gpt-9"])
    #expect(unknown.status == 404 && unknown.text.contains("There are: tiny"))
    let models = try JSONValue(parsing: try await front.send("GET", "/v1/models").text)
    #expect(models["data"]?.array?.compactMap { $0["id"]?.string } == ["tiny"])
  }

  @Test func aFullWorkerIsNotIll() async throws {
    let asked = Mutex(0)
    let full = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { request, responder in
      if request.path == "/v1/models" {
        return responder.send(HTTPReply(200, "application/json", Array(#"{"data":[]}"#.utf8)))
      }
      if request.path == "/ready" { return responder.send(HTTPReply(200, "text/plain", [])) }
      asked.withLock { $0 += 1 }
      var reply = HTTPReply(429, "application/json", Array(#"{"error":{"message":"full"}}"#.utf8))
      reply.headers = [("retry-after", "7")]
      responder.send(reply)
    }
    defer { full.shutdown() }
    let front = try TestRouter([full.port])
    for _ in 0..<10 {
      let reply = try await front.send("POST", "/v1/completions", ["prompt": "a"])
      #expect(reply.status == 429 && reply.text.contains("full"))
    }
    #expect(asked.withLock { $0 } == 10)
    #expect(front.service.workers[0].breaker.state == .closed(failures: 0))
  }

  @Test func workersAreAddedAndRemovedWithAKey() async throws {
    let worker = try TestServer()
    let front = try TestRouter([])
    let url = "http://127.0.0.1:\(worker.server.port)"
    #expect(try await front.send("GET", "/ready").status == 503)
    #expect(try await front.send("POST", "/v1/completions", ["prompt": "a"]).status == 503)
    #expect(try await front.send("POST", "/workers", ["url": .string(url)]).status == 401)
    #expect(try await front.send("POST", "/workers", ["url": "nonsense://"], key: "key").status == 400)
    #expect(try await front.send("POST", "/workers", ["url": .string(url)], key: "key").status == 200)
    #expect(try await front.send("POST", "/v1/completions", ["prompt": "a", "max_tokens": 2]).status == 200)
    let shown = try JSONValue(parsing: try await front.send("GET", "/workers", key: "key").text)
    #expect(shown["workers"]?[0]?["url"]?.string == url)
    #expect(try await front.send("DELETE", "/workers", ["url": .string(url)], key: "key").status == 200)
    #expect(try await front.send("DELETE", "/workers", ["url": .string(url)], key: "key").status == 404)
    #expect(try await front.send("GET", "/ready").status == 503)
    #expect(try await front.send("GET", "/health").status == 200)
    #expect(try await front.send("GET", "/metrics").status == 401)
    #expect(
      try await front.send("POST", "/workers", ["url": .string(url), "role": "prefill"], key: "key").status == 400)
  }

  @Test func workersAndKeysAreReplaced() async throws {
    let (first, second) = (try TestServer(), try TestServer())
    let front = try TestRouter([first.server.port])
    func group(_ server: TestServer) -> WorkerGroup {
      WorkerGroup(.given(WorkerAddress(host: "127.0.0.1", port: server.server.port)))
    }
    // A stream that is under way goes on.
    async let stream = front.send(
      "POST", "/v1/completions", ["prompt": "a", "max_tokens": 900, "ignore_eos": true, "seed": 1, "stream": true])
    for _ in 0..<500 where first.engine!.statistics.running == 0 { try await Task.sleep(for: .milliseconds(10)) }
    front.supervisor.replace([group(second)])
    func ports() -> [Int] { front.service.workers.filter { $0.health == .ready }.map(\.address.port) }
    for _ in 0..<1000 where !ports().contains(second.server.port) { try await Task.sleep(for: .milliseconds(10)) }
    #expect(try await stream.text.contains("[DONE]"))
    for _ in 0..<1000 where ports() != [second.server.port] { try await Task.sleep(for: .milliseconds(10)) }
    #expect(front.service.workers.map(\.address.port) == [second.server.port])
    var keys = front.service.keys
    keys.admin = "another"
    front.service.replace(keys)
    #expect(try await front.send("GET", "/workers", key: "key").status == 401)
    #expect(try await front.send("GET", "/workers", key: "another").status == 200)
  }

  @Test func rolesAreReplaced() async throws {
    // Nobody needs to be there.
    let front = try TestRouter([1], prefill: [2], transferKey: "shared")
    func group(_ port: Int, _ role: WorkerRole) -> WorkerGroup {
      WorkerGroup(.given(WorkerAddress(host: "127.0.0.1", port: port)), role)
    }
    func roles(_ expected: [Int: WorkerRole]) async throws {
      func now() -> [Int: WorkerRole] {
        Dictionary(uniqueKeysWithValues: front.service.workers.map { ($0.address.port, $0.role) })
      }
      for _ in 0..<1000 where now() != expected { try await Task.sleep(for: .milliseconds(10)) }
      #expect(now() == expected)
    }
    try await roles([1: .decode, 2: .prefill])
    front.supervisor.replace([group(1, .prefill), group(2, .decode)])
    try await roles([1: .prefill, 2: .decode])
    // Who is found in two roles has the first, and the other when that is gone.
    front.supervisor.replace([group(1, .prefill), group(2, .decode), group(1, .decode)])
    try await Task.sleep(for: .milliseconds(300))
    try await roles([1: .prefill, 2: .decode])
    front.supervisor.replace([group(2, .decode), group(1, .decode)])
    try await roles([1: .decode, 2: .decode])
  }

  @Test func workersSpeakTLS() async throws {
    let folder = String(
      #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/"))
    let chain = folder + "/Fixtures/server-certificate.pem"
    let worker = try TestServer(
      certificate: TLSCertificate(chain: chain, key: folder + "/Fixtures/server-key.pem"))
    let group = WorkerGroup(.given(try WorkerAddress(url: "https://localhost:\(worker.server.port)")))
    let front = try TestRouter([], groups: [group]) { $0.authority = chain }
    let body: JSONValue = ["prompt": "Hello", "max_tokens": 200, "ignore_eos": true, "seed": 3, "stream": true]
    let plain = try TestServer()
    let expected = try TestRouter.chunks(try await plain.send(.POST, "/v1/completions", body).text).chunks
    for _ in 0..<3 {
      let reply = try await front.send("POST", "/v1/completions", body)
      #expect(try TestRouter.chunks(reply.text).chunks == expected)
    }
    // By its number the certificate is right, too; with another authority it is not.
    let number = WorkerGroup(.given(try WorkerAddress(url: "https://127.0.0.1:\(worker.server.port)")))
    let byNumber = try TestRouter([], groups: [number]) { $0.authority = chain }
    #expect(try await byNumber.send("POST", "/v1/completions", body).status == 200)
    let stranger = try TestRouter([], groups: [group])
    #expect(stranger.service.workers.map(\.health) == [.down])
    #expect(throws: ServingError.self) {
      try TestRouter([]) { $0.authority = folder + "/Fixtures/server-key.pem" }
    }
  }

  @Test func predictionsAreEachModelsOwn() async throws {
    let worker = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { request, responder in
      let text = request.path == "/v1/models" ? #"{"data":[{"id":"aaaa"},{"id":"bbbb"}]}"# : "{}"
      responder.send(HTTPReply(200, "application/json", Array(text.utf8)))
    }
    defer { worker.shutdown() }
    let front = try TestRouter([worker.port]) { $0.decisions.policy = .cacheAware }
    let prompt = JSONValue.string(String(repeating: "0123456789abcdef", count: 64))
    for (model, known) in [("aaaa", 0), ("bbbb", 0), ("aaaa", 8), ("bbbb", 16)] as [(JSONValue, Int)] {
      _ = try await front.send("POST", "/v1/completions", ["model": model, "prompt": prompt])
      #expect(try await front.metric("prompt_blocks_known_total") == known)
    }
  }

  @Test func workersAreFoundInKubernetes() async throws {
    let addresses = Mutex(["127.0.0.1", "127.0.0.2"])
    let seen = Mutex("")
    let api = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { request, responder in
      seen.withLock { $0 = "\(request.path)?\(request.query) \(request.headers["authorization"] ?? "")" }
      let endpoints = addresses.withLock { $0 }.map { #"{"addresses":["\#($0)"],"conditions":{"ready":true}}"# }
      let gone = #"{"addresses":["127.0.0.9"],"conditions":{"ready":false}}"#
      let text = #"{"items":[{"ports":[{"port":9}],"endpoints":[\#((endpoints + [gone]).joined(separator: ","))]}]}"#
      responder.send(HTTPReply(200, "application/json", Array(text.utf8)))
    }
    defer { api.shutdown() }
    let source = try WorkerSource("k8s://ml/llama", api: "http://127.0.0.1:\(api.port)", token: nil)
    let front = try TestRouter([], groups: [WorkerGroup(source)])
    #expect(Set(front.service.workers.map(\.address.description)) == ["http://127.0.0.1:9", "http://127.0.0.2:9"])
    #expect(seen.withLock { $0 }.hasPrefix("/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices?labelSelector="))
    addresses.withLock { $0 = ["127.0.0.2"] }
    for _ in 0..<500 where front.service.workers.count != 1 { try await Task.sleep(for: .milliseconds(20)) }
    #expect(front.service.workers.map(\.address.host) == ["127.0.0.2"])
  }

  @Test func workersAreFoundByName() throws {
    let source = try WorkerSource("dns://localhost:9", api: "http://127.0.0.1:1", token: nil)
    let front = try TestRouter([], groups: [WorkerGroup(source)])
    #expect(front.service.workers.map(\.address.description) == ["http://127.0.0.1:9"])
    for text in ["dns://a", "k8s://a:1", "k8s://a/b:x", "k8s://a/../b:1"] {
      #expect(throws: ServingError.self) { try WorkerSource(text, api: "http://a:1", token: nil) }
    }
  }

  @Test func whoGoesAwayIsForgotten() async throws {
    let worker = try TestServer()
    let front = try TestRouter([worker.server.port])
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(front.server.port)/v1/completions")
    request.method = .POST
    let body: JSONValue = ["prompt": "a", "max_tokens": 1000, "ignore_eos": true, "stream": true]
    request.body = .bytes(ByteBuffer(string: body.json))
    var response: HTTPClientResponse? = try await HTTPClient.shared.execute(request, timeout: .seconds(300))
    for try await _ in response!.body { break }
    response = nil
    for _ in 0..<500 where front.service.active + worker.engine!.statistics.running > 0 {
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(front.service.active == 0 && worker.engine!.statistics.running == 0)
  }
}
