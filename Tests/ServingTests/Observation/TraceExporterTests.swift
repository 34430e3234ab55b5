// Spans as a collector gets them.

import Core
import Inference
import Serving
import Synchronization
import Testing

@Suite struct TraceExporterTests {
  private let received = Received()

  private final class Received: Sendable {
    let bodies = Mutex<[JSONValue]>([])
    let notices = Mutex<[String]>([])
  }

  private func record(_ number: Int, status: Int = 200) -> RequestRecord {
    var record = RequestRecord(
      id: "request \(number)", trace: TraceContext(header: nil, random: (7, UInt64(number), 9)), method: "POST",
      path: "/v1/chat/completions", unixSeconds: 1_700_000_000, arrived: 10)
    var times = RequestTimes(arrived: 10.25)
    (times.started, times.firstToken, times.lastToken, times.ended) = (10.5, 11, 12, 12)
    record.texts = [GenerationEnd(reason: .stop, prompt: 5, cached: 4, written: 3, times: times)]
    (record.status, record.sent) = (status, 12.5)
    return record
  }

  @Test func aCollectorGetsSpansInBatches() async throws {
    let collector = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { [received] request, responder in
      #expect(request.path == "/v1/traces" && request.headers["x-key"] == "secret")
      let body = try? JSONValue(parsing: String(decoding: request.body, as: UTF8.self))
      received.bodies.withLock { $0.append(body ?? .null) }
      responder.send(HTTPReply(200, "application/json", Array("{}".utf8)))
    }
    defer { collector.shutdown() }
    let exporter = try TraceExporter(
      endpoint: "http://127.0.0.1:\(collector.port)", headers: [("x-key", "secret")], model: "tiny", version: "1.2.3"
    ) { [received] notice in received.notices.withLock { $0.append(notice) } }
    exporter.receive(.answered(record(1)))
    exporter.receive(.answered(record(2, status: 500)))
    await exporter.drain()
    let bodies = received.bodies.withLock { $0 }
    #expect(bodies.count == 1 && received.notices.withLock { $0 }.isEmpty)
    let spans = try #require(
      bodies.first?["resourceSpans"]?.array?.first?["scopeSpans"]?.array?.first?["spans"]?.array)
    #expect(spans.count == 12)
    #expect(spans[0]["name"] == "POST /v1/chat/completions" && spans[0]["kind"] == 2)
    #expect(spans[0]["startTimeUnixNano"] == "1700000000000000000" && spans[0]["status"] == nil)
    #expect(spans[0]["endTimeUnixNano"] == "1700000002500000000" && spans[6]["status"]?["code"] == 2)
    #expect(
      spans[1..<6].allSatisfy { $0["parentSpanId"] == spans[0]["spanId"] && $0["traceId"] == spans[0]["traceId"] })
    #expect(spans[1..<6].compactMap { $0["name"]?.string } == ["encode", "queue", "prefill", "decode", "send"])
    #expect(Set(spans.compactMap { "\($0["traceId"]!.json) \($0["spanId"]!.json)" }).count == 12)
    let facts = try #require(spans[0]["attributes"]?.array)
    #expect(facts.contains(["key": "gen_ai.usage.input_tokens", "value": ["intValue": "5"]]))
    #expect(facts.contains(["key": "gen_ai.server.time_to_first_token", "value": ["doubleValue": 1]]))
  }

  @Test func aCollectorThatIsGoneIsToldOfOnce() async throws {
    let gone = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1) { _, _ in }
    let port = gone.port
    gone.shutdown()
    let exporter = try TraceExporter(
      endpoint: "http://127.0.0.1:\(port)/", model: "tiny", version: "1.2.3", timeout: 0.5
    ) { [received] notice in received.notices.withLock { $0.append(notice) } }
    for number in 0..<2 {
      exporter.receive(.answered(record(number)))
      await exporter.drain()
    }
    let notices = received.notices.withLock { $0 }
    #expect(notices.count == 1 && notices[0].contains("http://127.0.0.1:\(port)/v1/traces"))
    #expect(throws: ServingError.self) {
      try TraceExporter(endpoint: "localhost:4318", model: "", version: "") { _ in }
    }
  }
}
