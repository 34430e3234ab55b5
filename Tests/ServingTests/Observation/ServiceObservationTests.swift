// What a server notes of requests that it answers.

import AsyncHTTPClient
import Core
import Inference
import NIOCore
import NIOHTTP1
import Serving
import Testing

@Suite struct ServiceObservationTests {
  private let events = MemorySink<ServiceEvent>()
  private let server: TestServer

  init() throws { server = try TestServer(context: 16384, observer: events) }

  /// The records, when there are `count`.
  private func records(_ count: Int) async throws -> [RequestRecord] {
    for _ in 0..<500 {
      let records = events.events.compactMap { if case .answered(let record) = $0 { record } else { nil } }
      if records.count >= count { return records }
      try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("there are not \(count) records")
    return []
  }

  private func request(_ path: String, _ body: String, _ headers: [(String, String)] = []) -> HTTPClientRequest {
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(server.server.port)\(path)")
    request.method = .POST
    request.headers = NIOHTTP1.HTTPHeaders(headers)
    request.body = .bytes(ByteBuffer(string: body))
    return request
  }

  @Test func everyRequestIsNotedOnce() async throws {
    let trace = "0af7651916cd43dd8448eb211c80319c"
    let headers = [("x-request-id", "mine"), ("traceparent", "00-\(trace)-b7ad6b7169203331-01")]
    let reply = try await HTTPClient.shared.execute(
      request("/v1/completions", #"{"prompt": "Hello", "max_tokens": 6, "n": 2, "ignore_eos": true}"#, headers),
      timeout: .seconds(300))
    #expect(reply.headers.first(name: "x-request-id") == "mine")
    _ = try await reply.body.collect(upTo: 1 << 20)
    let bad = try await HTTPClient.shared.execute(request("/v1/completions", "{}"), timeout: .seconds(300))
    _ = try await bad.body.collect(upTo: 1 << 20)
    let records = try await records(2)
    #expect(records.count == 2)
    let first = try #require(records.first)
    #expect(first.id == "mine" && first.trace.traceID == trace && first.trace.parentID == "b7ad6b7169203331")
    #expect(first.status == 200 && !first.isAborted && first.texts.count == 2)
    #expect(first.promptTokens == 10 && first.writtenTokens == 12)
    #expect(first.phases.map(\.phase) == RequestRecord.Phase.allCases && first.phases.allSatisfy { $0.end >= $0.begin })
    #expect(abs(first.phases.reduce(0) { $0 + $1.end - $1.begin } - first.seconds) < 1e-9)
    #expect(records[1].status == 400 && records[1].texts.isEmpty && records[1].id.count == 16)
    #expect(bad.headers.first(name: "x-request-id") == records[1].id)
  }

  @Test func whoGoesAwayIsNotedWithWhatWasWritten() async throws {
    let body = #"{"prompt": "Hello", "max_tokens": 16000, "ignore_eos": true, "stream": true}"#
    var client = RawClient(port: server.server.port)
    try #require(client).send(
      "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
    try #expect(#require(client).hasMore(within: 20_000))
    client = nil
    let record = try #require(try await records(1).first)
    #expect(record.isAborted && record.status == 200 && record.texts.map(\.reason) == [.cancelled])
    #expect(record.writtenTokens > 0 && record.writtenTokens < 16000)
  }

  @Test func whoLeavesABeamSearchIsNoted() async throws {
    let body = #"{"prompt": ["Hello", "a"], "max_tokens": 16000, "ignore_eos": true, "use_beam_search": true, "n": 2}"#
    var client = RawClient(port: server.server.port)
    try #require(client).send(
      "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
    for _ in 0..<500 where server.engine?.statistics.running == 0 { try await Task.sleep(for: .milliseconds(1)) }
    client = nil
    let record = try #require(try await records(1).first)
    #expect(record.isAborted && record.texts.isEmpty)
  }
}
