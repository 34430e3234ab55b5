// Keys as a client meets them: limits, priorities, and what needs no key.

import CPUBackend
import Core
import Dispatch
import Formats
import Inference
import Models
import Serving
import Support
import Testing

@Suite struct KeysAPITests {
  private let server: HTTPServer
  private let tiny: TinyModel
  private let engine: InferenceEngine

  init() throws {
    tiny = try TinyModel()
    engine = try InferenceEngine(
      PretrainedModel(path: tiny.path), backend: CPUBackend(threads: 1, rowInvariant: true))
    let keys: KeysConfiguration = try ConfigurationLoader.load(
      text: """
        { keys: [{ key: "key-of-alice", name: "alice", requestsPerMinute: 3 }, { key: "key-of-bob", name: "bob", priority: 5 },
        { key: "key-of-carol", name: "carol", tokensPerMinute: 10 }, { key: "key-of-dave", name: "dave", concurrent: 1 }] }
        """, name: "keys")
    var settings = APISettings(name: "tiny", version: "1", template: try ChatTemplate(TestServer.plainTemplate))
    settings.keys = KeyRing(keys)
    let service = APIService(engine, settings)
    var configuration = HTTPConfiguration()
    configuration.corsOrigin = "https://chat.example"
    server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, configuration, handle: service.handle)
  }

  private func ask(
    _ method: String, _ path: String, key: String? = nil, _ body: String = ""
  ) throws -> RawClient.Reply {
    let client = try #require(RawClient(port: server.port))
    let authorization = key.map { "Authorization: Bearer \($0)\r\n" } ?? ""
    client.send(
      "\(method) \(path) HTTP/1.1\r\nHost: x\r\n\(authorization)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
    return try #require(client.reply(hasBody: method != "HEAD"))
  }

  @Test func limitsAreTold() throws {
    let body = #"{"prompt": "a", "max_tokens": 1}"#
    for left in [2, 1, 0] {
      let reply = try ask("POST", "/v1/completions", key: "key-of-alice", body)
      #expect(reply.status == 200 && reply.head.contains("x-ratelimit-limit-requests: 3"))
      #expect(reply.head.contains("x-ratelimit-remaining-requests: \(left)"))
    }
    let reply = try ask("POST", "/v1/completions", key: "key-of-alice", body)
    #expect(reply.status == 429 && reply.head.contains("retry-after: ") && reply.body.contains("rate_limit_exceeded"))
    #expect(try ask("GET", "/v1/models", key: "key-of-alice").status == 200, "only what costs is counted")
  }

  @Test func tokensAreCounted() throws {
    let body = #"{"prompt": "abcdef", "max_tokens": 20}"#
    #expect(try ask("POST", "/v1/completions", key: "key-of-carol", body).status == 200)
    #expect(try ask("POST", "/v1/completions", key: "key-of-carol", body).status == 429)
  }

  @Test func tokensOfAllBeamsAreCounted() throws {
    // Five are told, thirteen are written.
    let body = #"{"prompt": "a", "max_tokens": 5, "use_beam_search": true, "best_of": 3, "ignore_eos": true}"#
    #expect(try ask("POST", "/v1/completions", key: "key-of-carol", body).status == 200)
    #expect(try ask("POST", "/v1/completions", key: "key-of-carol", body).status == 429)
  }

  /// A text holds the engine up at its first token, so that what else is asked for does not end.
  private func withEngineHeld(_ body: (_ goOn: () -> Void) throws -> Void) throws {
    let gate = DispatchSemaphore(value: 0)
    var text = GenerationRequest(prompt: [1], limit: 2)
    text.sampling.ignoreEnd = true
    let blocker = engine.submit(text) { event in if case .token = event { gate.wait() } }
    func goOn() {
      engine.cancel(blocker)
      for _ in 0..<2 { gate.signal() }
    }
    defer { goOn() }
    try body(goOn)
  }

  @Test func whatIsMadeInTheBackgroundIsUnderWay() throws {
    let (body, long) = (#"{"prompt": "a", "max_tokens": 1}"#, #"{"input": "a", "background": true}"#)
    try withEngineHeld { goOn in
      let reply = try ask("POST", "/v1/responses", key: "key-of-dave", long)
      #expect(reply.status == 200, "\(reply)")
      let id = try #require(try JSONValue(parsing: reply.body)["id"]?.string)
      let refused = try ask("POST", "/v1/completions", key: "key-of-dave", body)
      #expect(refused.status == 429 && refused.body.contains("1 requests of 'dave' are under way"), "\(refused)")
      #expect(try ask("POST", "/v1/responses/\(id)/cancel", key: "key-of-dave").status == 200)
      goOn()
      #expect(try ask("POST", "/v1/completions", key: "key-of-dave", body).status == 200)
    }
  }

  @Test func oneKeyLeavesRoomInTheBackground() throws {
    let long = #"{"input": "a", "background": true, "max_output_tokens": 2}"#
    try withEngineHeld { _ in
      for _ in 0..<32 { #expect(try ask("POST", "/v1/responses", key: "key-of-bob", long).status == 200) }
      let refused = try ask("POST", "/v1/responses", key: "key-of-bob", long)
      #expect(refused.status == 429 && refused.body.contains("32 responses of 'bob'"), "\(refused)")
      #expect(try ask("POST", "/v1/responses", key: "key-of-dave", long).status == 200)
    }
  }

  @Test func prioritiesAreTheKeys() throws {
    let body = #"{"prompt": "a", "max_tokens": 1, "priority": 3}"#
    #expect(try ask("POST", "/v1/completions", key: "key-of-bob", body).status == 200)
    let reply = try ask("POST", "/v1/completions", key: "key-of-alice", body)
    #expect(reply.status == 400 && reply.body.contains("may ask for 0 at most"), "\(reply)")
  }

  @Test func browsersAskBeforeTheyShowAKey() throws {
    let reply = try ask("OPTIONS", "/v1/chat/completions")
    #expect(reply.status == 204 && reply.head.contains("allow: POST, OPTIONS"))
    #expect(reply.head.contains("access-control-allow-origin: https://chat.example"))
    #expect(try ask("OPTIONS", "/nothing").status == 404)
    #expect(try ask("HEAD", "/health").status == 200)
    #expect(try ask("HEAD", "/v1/models").status == 401)
    let wrong = try ask("DELETE", "/v1/models", key: "key-of-bob")
    #expect(wrong.status == 405 && wrong.head.contains("allow: GET, HEAD, OPTIONS"))
  }
}
