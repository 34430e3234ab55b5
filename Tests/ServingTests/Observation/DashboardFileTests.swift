// The dashboard for Grafana asks for nothing that a server does not tell.

import Core
import FoundationEssentials
import Testing

@Suite struct DashboardFileTests {
  private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4).joined(
    separator: "/")

  @Test func everyMetricExists() throws {
    let text = try String(contentsOfFile: Self.root + "/Operations/grafana-dashboard.json", encoding: .utf8)
    let panels = try #require(try JSONValue(parsing: text)["panels"]?.array)
    let source = try String(
      contentsOfFile: Self.root + "/Sources/Serving/API/ServiceMetrics.swift", encoding: .utf8)
    let questions = panels.flatMap { $0["targets"]?.array ?? [] }.compactMap { $0["expr"]?.string }
    #expect(panels.count == 12 && questions.count > 20)
    for question in questions {
      for found in question.matches(of: /(vllm|tachornis):[a-z0-9_]+/) {
        var name = String(found.output.0)
        for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) { name.removeLast(suffix.count) }
        let isTold = source.contains("\"\(name)\"")
        #expect(isTold, "\(name)")
      }
    }
  }
}
