// The load generator: what it sends is a function of the seed, and what it counts is what a server that is known did.

import Core
import Formats
import Serving
import Synchronization
import Testing

@Suite struct LoadTests {
  /// Streams as many events as `max_tokens` says; refuses what is no object with a prompt.
  private static func answer(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let body = try? request.body.withUnsafeBytes { try JSONValue(parsing: $0) }
    guard request.path == "/v1/completions", let count = body?["max_tokens"]?.integer, count > 0,
      let prompt = body?["prompt"]?.array, prompt.allSatisfy({ ($0.integer ?? 100) < 90 })
    else { return responder.send(HTTPReply(400, "application/json", Array("{}".utf8))) }
    responder.begin(contentType: "text/event-stream")
    for _ in 0..<count { responder.write("data: {\"choices\":[{\"text\":\"a\"}]}\n\n") }
    let usage =
      "{\"prompt_tokens\":\(prompt.count),\"completion_tokens\":\(count),\"prompt_tokens_details\":{\"cached_tokens\":1}}"
    responder.write("data: {\"choices\":[],\"usage\":\(usage)}\n\ndata: [DONE]\n\n")
    responder.end()
  }

  private func plan(_ workload: LoadWorkload, port: Int) throws -> LoadPlan {
    LoadPlan(try LoadTarget(url: "http://127.0.0.1:\(port)"), workload, goals: try LoadGoals(["e2el:60000"]))
  }

  @Test func countsWhatAServerDid() throws {
    let server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, handle: LoadTests.answer)
    defer { server.shutdown() }
    var plan = try plan(.random(input: 7, output: 5, spread: 0), port: server.port)
    (plan.requests, plan.concurrency) = (300, 8)
    let report = try plan.run()
    #expect(report.completed == 300 && report.failed == 0 && report.good == 300, "\(report.errors)")
    #expect(report.inputTokens == 2100 && report.outputTokens == 1500 && report.cachedTokens == 300)
    let json = report.json
    for name in ["mean_ttft_ms", "p99_tpot_ms", "median_itl_ms", "p95_e2el_ms", "request_goodput"] {
      #expect(json[name]?.double != nil, "\(name)")
    }
    #expect(report.text.contains("300 requests in"))
  }

  @Test func disconnectsAndWrongRequestsAreNoErrors() throws {
    let server = try HTTPServer(host: "127.0.0.1", port: 0, loops: 1, handle: LoadTests.answer)
    defer { server.shutdown() }
    var plan = try plan(.prefixes(groups: 3, prefix: 8, input: 2, output: 6), port: server.port)
    (plan.requests, plan.concurrency, plan.disconnects, plan.wrong) = (400, 4, 0.2, 0.2)
    plan.arrivals = .rate(4000, burstiness: 0.5)
    let report = try plan.run()
    #expect(report.failed == 0, "\(report.errors)")
    #expect(report.left > 20 && report.refused > 20 && report.completed + report.left + report.refused == 400)
  }

  @Test func nobodyThereIsAnError() throws {
    var plan = try plan(.random(input: 1, output: 1, spread: 0), port: 1)
    (plan.requests, plan.concurrency) = (1, 1)
    #expect(try plan.run().failed > 0)
  }

  @Test func requestsAreFunctionsOfTheSeed() throws {
    for workload in [
      LoadWorkload.random(input: 50, output: 20, spread: 0.5), .conversations,
      .prefixes(groups: 4, prefix: 10, input: 3, output: 2),
    ] {
      let requests = (0..<500).map { workload.request($0, seed: 1)! }
      #expect(requests.reversed().enumerated().allSatisfy { workload.request(499 - $0, seed: 1) == $1 })
      // Another seed asks for other texts, not only for other lengths.
      let names = { (requests: [LoadRequest]) in Set(requests.flatMap { $0.parts.map(\.name) }) }
      #expect(names(requests).isDisjoint(with: names((0..<500).map { workload.request($0, seed: 2)! })))
      #expect(requests.allSatisfy { $0.input > 0 && $0.output > 0 })
    }
  }

  @Test func tracesKeepWhatIsShared() throws {
    let lines = """
      {"timestamp": 0, "input_length": 1100, "output_length": 500, "hash_ids": [0, 1, 2]}
      {"timestamp": 3000, "input_length": 512, "output_length": 1, "hash_ids": [0]}
      """
    let workload = try LoadWorkload.trace(lines, block: 16, speed: 10)
    let first = try #require(workload.request(0, seed: 0)), second = try #require(workload.request(1, seed: 0))
    #expect(first.parts.map(\.tokens) == [16, 16, 2] && first.output == 15 && second.output == 1)
    #expect(second.time == 0.3 && second.parts[0] == first.parts[0] && workload.request(2, seed: 0) == nil)
    #expect(throws: ServingError.self) { try LoadWorkload.trace("{}", block: 16, speed: 1) }
    #expect(throws: ServingError.self) { try LoadWorkload.shareGPT("[]") }
    #expect(throws: ServingError.self) { try LoadTarget(url: "ftp://a") }
    #expect(throws: ServingError.self) { try LoadGoals(["ttft"]) }
  }
}
