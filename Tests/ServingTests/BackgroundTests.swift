// Responses that are made in the background: asked for later, told from any event on, cancelled.

import AsyncHTTPClient
import Core
import Dispatch
import Formats
import Inference
import Models
import NIOCore
import NIOHTTP1
import Serving
import Testing

@Suite struct BackgroundTests {
  private static let body: JSONValue = ["input": "Hi", "max_output_tokens": 30, "temperature": 0, "background": true]

  private func get(_ server: TestServer, _ path: String) async throws -> JSONValue {
    let (status, text) = try await server.send(.GET, path)
    #expect(status == 200, "\(text)")
    return try JSONValue(parsing: text)
  }

  /// Asks until the response is no longer being made.
  private func finished(_ server: TestServer, _ id: String) async throws -> JSONValue {
    for _ in 0..<1000 {
      let response = try await get(server, "/v1/responses/\(id)")
      if !["queued", "in_progress"].contains(response["status"]) { return response }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw CancellationError()
  }

  private func events(_ text: String) throws -> [JSONValue] {
    try text.split(separator: "\n\n").map { event in
      try JSONValue(parsing: String(event.split(separator: "\n").last!.dropFirst("data: ".count)))
    }
  }

  @Test func aResponseIsAskedForLater() async throws {
    let server = try TestServer()
    let first = try await server.post("/v1/responses", Self.body)
    #expect(first["status"] == "queued" && first["output"] == [] && first["background"] == true)
    let id = try #require(first["id"]?.string)
    let response = try await finished(server, id)
    let plain = try await server.post("/v1/responses", Self.body.with(("background", false)))
    #expect(response["status"] == plain["status"] && response["usage"]?["output_tokens"] == 30)
    #expect(response["output"]?[0]?["content"] == plain["output"]?[0]?["content"])
    // It is gone on from like any other.
    let next = try await server.post(
      "/v1/responses", Self.body.with(("background", false), ("previous_response_id", .string(id))))
    #expect(next["status"] == "incomplete")
    let refusal = try await server.send(.GET, "/v1/responses/\(id)?stream=true")
    #expect(refusal.status == 400 && refusal.text.contains("no events"))
    for query in ["=", "=&stream", "&", "stream=false&="] {
      #expect(try await get(server, "/v1/responses/\(id)?\(query)") == response)
    }
    let cancelled = try await server.send(.POST, "/v1/responses/\(id)/cancel")
    #expect(try JSONValue(parsing: cancelled.text) == response)
    let other = try await server.send(.POST, "/v1/responses/\(plain["id"]!.string!)/cancel")
    #expect(other.status == 400 && other.text.contains("background"))
  }

  @Test func aStreamIsTakenUpAgain() async throws {
    let server = try TestServer()
    let told = try await server.events("/v1/responses", Self.body)
    let id = try #require(told[0].data["response"]?["id"]?.string)
    #expect(told.prefix(3).map(\.name) == ["response.created", "response.queued", "response.in_progress"])
    #expect(told[0].data["response"]?["status"] == "queued" && told.last?.name == "response.incomplete")
    #expect(told.map { $0.data["sequence_number"]?.integer } == Array(0..<told.count))
    for after in [-1, 0, 7, told.count - 1, Int.max] {
      let again = try await server.send(.GET, "/v1/responses/\(id)?stream=true&starting_after=\(after)")
      #expect(try events(again.text) == told.dropFirst(min(after, told.count) + 1).map(\.data))
    }
    #expect(try await server.send(.GET, "/v1/responses/\(id)?stream=true&starting_after=x").status == 400)
  }

  @Test func whoGoesAwayMayComeBack() async throws {
    let server = try TestServer()
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.server.port)/v1/responses")
    request.method = .POST
    let body = Self.body.with(("max_output_tokens", 700), ("stream", true), ("ignore_eos", true))
    request.body = .bytes(ByteBuffer(string: body.json))
    var response: HTTPClientResponse? = try await HTTPClient.shared.execute(request, timeout: .seconds(300))
    var text = ""
    for try await piece in response!.body {
      text += String(buffer: piece)
      if text.contains("response.created") && text.hasSuffix("\n\n") { break }
    }
    response = nil
    let id = try #require(try events(text)[0]["response"]?["id"]?.string)
    // Joined while it is made, then told again from what is kept.
    let joined = try await server.send(.GET, "/v1/responses/\(id)?stream=true&starting_after=1")
    let whole = try events(try await server.send(.GET, "/v1/responses/\(id)?stream=true").text)
    #expect(try events(joined.text) == Array(whole.dropFirst(2)))
    #expect(whole.map { $0["sequence_number"]?.integer } == Array(0..<whole.count))
    #expect(whole.last?["response"]?["usage"]?["output_tokens"] == 700)
  }

  @Test func aStreamBeginsBeforeItsText() async throws {
    let server = try TestServer()
    let engine = try #require(server.engine)
    // Nothing is written before the client knows the response's name.
    let gate = DispatchSemaphore(value: 0)
    var other = GenerationRequest(prompt: [1], limit: 2)
    other.sampling.ignoreEnd = true
    let blocker = engine.submit(other) { event in if case .token = event { gate.wait() } }
    defer {
      engine.cancel(blocker)
      for _ in 0..<2 { gate.signal() }
    }
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.server.port)/v1/responses")
    request.method = .POST
    request.body = .bytes(ByteBuffer(string: Self.body.with(("stream", true)).json))
    var text = ""
    for try await piece in try await HTTPClient.shared.execute(request, timeout: .seconds(300)).body {
      text += String(buffer: piece)
      if text.contains("response.queued") && text.hasSuffix("\n\n") { break }
    }
    let told = try events(text)
    #expect(told.map { $0["type"] } == ["response.created", "response.queued"])
  }

  @Test func whoCancelsEndsTheWork() async throws {
    let server = try TestServer()
    let engine = try #require(server.engine)
    // Another text holds the engine up at each of its tokens, so that steps come when they are asked for.
    let gate = DispatchSemaphore(value: 0)
    var other = GenerationRequest(prompt: [1], limit: 1000)
    other.sampling.ignoreEnd = true
    let blocker = engine.submit(other) { event in if case .token = event { gate.wait() } }
    let long = Self.body.with(("max_output_tokens", 1000), ("ignore_eos", true))
    let id = try #require(try await server.post("/v1/responses", long)["id"]?.string)
    var status: JSONValue?
    for _ in 0..<200 where status != "in_progress" {
      gate.signal()
      try await Task.sleep(for: .milliseconds(5))
      status = try await get(server, "/v1/responses/\(id)")["status"]
    }
    #expect(status == "in_progress")
    let refusal = try await server.refusal("/v1/responses", ["input": "a", "previous_response_id": .string(id)])
    #expect(refusal.contains("was not finished"))
    let cancelled = try await server.send(.POST, "/v1/responses/\(id)/cancel")
    #expect(cancelled.status == 200)
    #expect(try JSONValue(parsing: cancelled.text)["status"] == "cancelled")
    #expect(try await get(server, "/v1/responses/\(id)")["status"] == "cancelled")
    engine.cancel(blocker)
    for _ in 0..<1000 { gate.signal() }
    for _ in 0..<500 where engine.statistics.running > 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(engine.statistics.running == 0 && engine.statistics.written < 1000)
    #expect(try await server.send(.DELETE, "/v1/responses/\(id)").status == 200)
    #expect(try await server.send(.GET, "/v1/responses/\(id)").status == 404)
  }

  @Test func whatIsDeletedStaysDeleted() async throws {
    let server = try TestServer()
    let engine = try #require(server.engine)
    var ids: [String] = []
    // Some while they are made, some just as they end.
    for count in 0..<40 {
      let body = Self.body.with(("max_output_tokens", .number(JSONNumber(1 + count % 4))))
      let id = try #require(try await server.post("/v1/responses", body)["id"]?.string)
      try await Task.sleep(for: .microseconds(count * 100))
      #expect(try await server.send(.DELETE, "/v1/responses/\(id)").status == 200)
      ids.append(id)
    }
    for _ in 0..<500 where engine.statistics.running > 0 { try await Task.sleep(for: .milliseconds(10)) }
    try await Task.sleep(for: .milliseconds(50))
    for id in ids { #expect(try await server.send(.GET, "/v1/responses/\(id)").status == 404) }
  }

  @Test func whatCannotBeMadeHasFailed() async throws {
    let server = try TestServer()
    let format: JSONValue = ["format": ["type": "json_schema", "name": "a", "schema": ["type": "texts"]]]
    let first = try await server.post("/v1/responses", Self.body.with(("text", format)))
    let response = try await finished(server, try #require(first["id"]?.string))
    #expect(response["status"] == "failed")
    #expect(response["error"]?["message"]?.string?.contains("schema") == true)
    let told = try await server.events("/v1/responses", Self.body.with(("text", format)))
    #expect(told.last?.name == "response.failed")
    #expect(try await server.refusal("/v1/responses", Self.body.with(("store", false))).contains("'store'"))
    let resumed = Self.body.with(("resume_token_ids", [5]))
    #expect(try await server.refusal("/v1/responses", resumed).contains("'resume_token_ids'"))
  }

  @Test func whatFailsInItsMidstSaysWhy() async throws {
    let server = try TestServer()
    let quote = try #require(server.engine).tokenizer.encode("\"", addingSpecials: false)
    // Behind its first character nothing can follow.
    let told = try await server.events(
      "/v1/responses",
      Self.body.with(
        ("text", ["format": ["type": "json_schema", "name": "a", "schema": ["enum": ["b"]]]]),
        ("allowed_token_ids", .array(quote.map { .number(JSONNumber($0)) }))))
    #expect(told.contains { $0.name == "response.output_text.delta" })
    let error = try #require(told.first { $0.name == "error" }?.data["message"]?.string)
    #expect(told.last?.name == "response.failed")
    #expect(told.last?.data["response"]?["error"]?["message"]?.string == error)
    let id = try #require(told[0].data["response"]?["id"]?.string)
    #expect(try await get(server, "/v1/responses/\(id)")["error"]?["message"]?.string == error)
  }

  @Test func whatIsKeptOfStreamsIsBounded() throws {
    var events = ResponseEvents()
    for number in 0..<5000 { events.append("event: a\ndata: \(number)\(String(repeating: " ", count: 1000))\n\n") }
    #expect(events.bytes <= 2 << 20 && events.next == 5000 && events.first > 0)
    #expect(throws: APIError.self) { try events.after(0) }
    #expect(try events.after(4998).contains("data: 4999 "))
    #expect(try events.after(events.first - 1).contains("data: \(events.first) "))
    #expect(try events.after(4999) == "")
    #expect(try events.after(Int.max) == "")
  }
}
