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
  /// A router on a port of its own.
  private final class Front {
    let service: RouterService
    let server: HTTPServer
    let supervisor: WorkerSupervisor

    init(_ ports: [Int], sources: [WorkerSource] = [], _ change: (inout RouterOptions) -> Void = { _ in }) throws {
      var options = RouterOptions()
      (options.decisions.policy, options.interval, options.adminKey) = (.roundRobin, 0.1, "key")
      change(&options)
      service = RouterService(options, version: "1")
      server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, handle: service.handle)
      supervisor = WorkerSupervisor(
        service, ports.map { .given(WorkerAddress(host: "127.0.0.1", port: $0)) } + sources)
    }

    deinit {
      supervisor.stop()
      server.shutdown()
    }

    func send(
      _ method: String, _ path: String, _ body: JSONValue? = nil, key: String? = nil
    ) async throws -> (status: Int, text: String) {
      var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.port)\(path)")
      request.method = .init(rawValue: method)
      if let key { request.headers.add(name: "authorization", value: "Bearer \(key)") }
      if let body { request.body = .bytes(ByteBuffer(string: body.json)) }
      let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
      return (Int(response.status.code), String(buffer: try await response.body.collect(upTo: 1 << 24)))
    }

    /// The value of a metric, over all workers.
    func metric(_ name: String) async throws -> Int {
      let lines = try await send("GET", "/metrics").text.split(separator: "\n").filter {
        $0.hasPrefix("tachornis_router_\(name)")
      }
      return lines.reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
    }
  }

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

  /// The chunks of a stream without what is different each time; its name once.
  private func chunks(_ text: String) throws -> (chunks: [JSONValue], names: Set<String>) {
    let events = text.split(separator: "\n\n").map { String($0.dropFirst(6)) }
    #expect(events.last == "[DONE]", "\(text.suffix(300))")
    var names: Set<String> = []
    let chunks = try events.dropLast().map { event -> JSONValue in
      guard case .object(var object) = try JSONValue(parsing: event) else { return .null }
      names.insert("\(object["id"]!.json) \(object["created"]!.json)")
      (object["id"], object["created"]) = (nil, nil)
      if var usage = object["usage"]?.object {
        usage["prompt_tokens_details"] = nil
        object["usage"] = .object(usage)
      }
      return .object(object)
    }
    return (chunks, names)
  }

  @Test func streamsGoOnWhenWorkersDie() async throws {
    let (first, second) = (try TestServer(), try TestServer())
    let proxy = try CuttingProxy(server: first.server.port)
    let front = try Front([proxy.port, second.server.port]) { $0.decisions.breaker.failures = 1000 }
    var cuts = 0
    for (path, body) in RoutingTests.requests {
      let expected = try chunks(try await second.send(.POST, path, body).text).chunks
      // In the head, in the first chunks, in the midst of some, near the end, and not at all.
      for limit in [1, 150, 300, 555, 1000, 2222, 3333, 5000, 7777, 9000, 1 << 20] {
        proxy.cut(after: limit)
        // One of two goes to the worker that dies.
        for _ in 0..<2 {
          let reply = try await front.send("POST", path, body)
          let found = try chunks(reply.text)
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
    let front = try Front([proxy.port, second.server.port])
    for _ in 0..<2 {
      let reply = try await front.send(
        "POST", "/v1/completions",
        ["prompt": "a", "max_tokens": 80, "stream": true, "allowed_token_ids": [40, 41, 42, 43, 44]])
      let text = try chunks(reply.text).chunks.compactMap { $0["choices"]?[0]?["text"]?.string }.joined()
      #expect(text.count == 80 && !reply.text.contains("token_ids"))
    }
    #expect(proxy.cuts == 1)
  }

  @Test func whatNobodyCanGoOnWithEndsWithAnError() async throws {
    let first = try TestServer()
    let proxy = try CuttingProxy(server: first.server.port, limit: 1500)
    let front = try Front([proxy.port])
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
    let front = try Front([worker.server.port, 1])
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
    let front = try Front([full.port])
    for _ in 0..<10 {
      let reply = try await front.send("POST", "/v1/completions", ["prompt": "a"])
      #expect(reply.status == 429 && reply.text.contains("full"))
    }
    #expect(asked.withLock { $0 } == 10)
    #expect(front.service.workers[0].breaker.state == .closed(failures: 0))
  }

  @Test func workersAreAddedAndRemovedWithAKey() async throws {
    let worker = try TestServer()
    let front = try Front([])
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
    let front = try Front([], sources: [source])
    #expect(Set(front.service.workers.map(\.address.description)) == ["http://127.0.0.1:9", "http://127.0.0.2:9"])
    #expect(seen.withLock { $0 }.hasPrefix("/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices?labelSelector="))
    addresses.withLock { $0 = ["127.0.0.2"] }
    for _ in 0..<500 where front.service.workers.count != 1 { try await Task.sleep(for: .milliseconds(20)) }
    #expect(front.service.workers.map(\.address.host) == ["127.0.0.2"])
  }

  @Test func workersAreFoundByName() throws {
    let source = try WorkerSource("dns://localhost:9", api: "http://127.0.0.1:1", token: nil)
    let front = try Front([], sources: [source])
    #expect(front.service.workers.map(\.address.description) == ["http://127.0.0.1:9"])
    for text in ["dns://a", "k8s://a:1", "k8s://a/b:x", "k8s://a/../b:1"] {
      #expect(throws: ServingError.self) { try WorkerSource(text, api: "http://a:1", token: nil) }
    }
  }

  @Test func whoGoesAwayIsForgotten() async throws {
    let worker = try TestServer()
    let front = try Front([worker.server.port])
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(front.server.port)/v1/completions")
    request.method = .POST
    let body: JSONValue = ["prompt": "a", "max_tokens": 1000, "ignore_eos": true, "stream": true]
    request.body = .bytes(ByteBuffer(string: body.json))
    var response: HTTPClientResponse? = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
    for try await _ in response!.body { break }
    response = nil
    for _ in 0..<500 where front.service.active + worker.engine!.statistics.running > 0 {
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(front.service.active == 0 && worker.engine!.statistics.running == 0)
  }
}
