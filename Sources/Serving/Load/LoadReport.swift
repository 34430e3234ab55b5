// What a load generator measured, in the words of `vllm bench serve`.
//
// TTFT: from the request to the first event of the stream. TPOT: (end - TTFT) / (tokens - 1). ITL: between events. E2E: to the last
// event. Where requests come at set times, all are counted from then, not from when a connection was free: a server that stalls does
// not look better for it.

package import Core

/// Times that a request must keep to be counted as good, in milliseconds.
package struct LoadGoals: Sendable {
  package var firstToken: Double?
  package var tokenTime: Double?
  package var whole: Double?

  /// - Parameter pairs: `ttft:200`, `tpot:50`, `e2el:1000`.
  package init(_ pairs: [String]) throws {
    for pair in pairs {
      let parts = pair.split(separator: ":")
      guard parts.count == 2, let value = Double(parts[1]), value > 0 else {
        throw ServingError("'\(pair)' is no goal; give ttft:200, tpot:50 or e2el:1000, in milliseconds.")
      }
      switch parts[0] {
      case "ttft": firstToken = value
      case "tpot": tokenTime = value
      case "e2el": whole = value
      default: throw ServingError("There is no goal '\(parts[0])'; there are ttft, tpot and e2el.")
      }
    }
  }

  var isEmpty: Bool { firstToken == nil && tokenTime == nil && whole == nil }
}

/// A request that was answered.
struct LoadSample {
  /// Milliseconds.
  var firstToken: Double
  var whole: Double
  var output: Int
  var tokenTime: Double? { output > 1 ? (whole - firstToken) / Double(output - 1) : nil }
}

/// The measurements of a run.
package struct LoadReport: Sendable {
  package var seconds = 0.0
  package var completed = 0
  package var errors: [String: Int] = [:]
  /// What the server said the first time, for each kind of error.
  var answers: [String: String] = [:]
  /// Requests that this side broke off, and wrong ones that were refused as they should be.
  package var left = 0
  package var refused = 0
  package var inputTokens = 0
  package var cachedTokens = 0
  package var outputTokens = 0
  package var good = 0
  var firstToken: [Float] = []
  var tokenTime: [Float] = []
  var betweenTokens: [Float] = []
  var whole: [Float] = []
  let goals: LoadGoals
  let streams: Bool

  init(goals: LoadGoals, streams: Bool) { (self.goals, self.streams) = (goals, streams) }

  package var failed: Int { errors.values.reduce(0, +) }

  mutating func add(_ sample: LoadSample) {
    completed += 1
    outputTokens += sample.output
    whole.append(Float(sample.whole))
    if streams {
      firstToken.append(Float(sample.firstToken))
      if let time = sample.tokenTime { tokenTime.append(Float(time)) }
    }
    let isGood =
      sample.firstToken <= goals.firstToken ?? .infinity && sample.whole <= goals.whole ?? .infinity
      && (sample.tokenTime ?? 0) <= goals.tokenTime ?? .infinity
    if isGood { good += 1 }
  }

  private struct Distribution {
    var mean = 0.0
    var sorted: [Float]

    init(_ values: [Float]) {
      sorted = values.sorted()
      if !values.isEmpty { mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count) }
    }

    /// The nearest rank.
    func percentile(_ share: Double) -> Double {
      guard let last = sorted.last else { return 0 }
      let rank = Int((share * Double(sorted.count)).rounded(.up)) - 1
      return Double(sorted.indices.contains(rank) ? sorted[max(rank, 0)] : last)
    }
  }

  private var distributions: [(name: String, title: String, values: Distribution)] {
    var all = [("e2el", "end to end", Distribution(whole))]
    if streams {
      all.insert(
        contentsOf: [
          ("ttft", "time to first token", Distribution(firstToken)),
          ("tpot", "time per output token", Distribution(tokenTime)),
          ("itl", "between tokens", Distribution(betweenTokens)),
        ], at: 0)
    }
    return all
  }

  private func rate(_ count: Int) -> Double { seconds > 0 ? Double(count) / seconds : 0 }

  /// With the names of `vllm bench serve --save-result`.
  package var json: JSONValue {
    var result = JSONObject()
    func set(_ name: String, _ value: Double) { result[name] = .number(JSONNumber(value)) }
    set("duration", seconds)
    set("completed", Double(completed))
    set("failed", Double(failed))
    set("disconnected", Double(left))
    set("refused_as_expected", Double(refused))
    set("total_input_tokens", Double(inputTokens))
    set("total_cached_tokens", Double(cachedTokens))
    set("total_output_tokens", Double(outputTokens))
    set("request_throughput", rate(completed))
    if !goals.isEmpty { set("request_goodput", rate(good)) }
    set("output_throughput", rate(outputTokens))
    set("total_token_throughput", rate(inputTokens + outputTokens))
    for (name, _, values) in distributions {
      set("mean_\(name)_ms", values.mean)
      set("median_\(name)_ms", values.percentile(0.5))
      for percent in [90, 95, 99] { set("p\(percent)_\(name)_ms", values.percentile(Double(percent) / 100)) }
      set("max_\(name)_ms", values.percentile(1))
    }
    result["errors"] = .object(
      JSONObject(errors.sorted { $0.key < $1.key }.map { ($0.key, .number(JSONNumber($0.value))) }))
    return .object(result)
  }

  /// For people.
  package var text: String {
    var lines = [
      "\(completed) requests in \(decimal(seconds)) s: \(decimal(rate(completed))) requests/s, "
        + "\(decimal(rate(outputTokens))) output tokens/s, \(decimal(rate(inputTokens + outputTokens))) tokens/s"
    ]
    if inputTokens > 0 {
      let share = 100 * Double(cachedTokens) / Double(inputTokens)
      lines.append("prompts: \(inputTokens) tokens, \(decimal(share))% of them in the server's cache")
    }
    if !goals.isEmpty { lines.append("good: \(good) requests, \(decimal(rate(good))) requests/s") }
    if left > 0 { lines.append("broken off by this side: \(left)") }
    if refused > 0 { lines.append("wrong requests that were refused: \(refused)") }
    func cell(_ text: String) -> String { String(repeating: " ", count: max(0, 11 - text.count)) + text }
    lines.append(
      String(repeating: " ", count: 24) + ["mean", "median", "p90", "p95", "p99", "max"].map(cell).joined() + "  (ms)")
    for (_, title, values) in distributions {
      let numbers = [values.mean] + [0.5, 0.9, 0.95, 0.99, 1].map(values.percentile)
      let name = title + String(repeating: " ", count: 24 - title.count)
      lines.append(name + numbers.map { cell(decimal($0)) }.joined())
    }
    for (kind, count) in errors.sorted(by: { $0.key < $1.key }) {
      lines.append("error: \(count) x \(kind) \(answers[kind] ?? "")")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Three digits, or all in front of the point.
  private func decimal(_ value: Double) -> String {
    let digits = value >= 100 ? 1.0 : value >= 10 ? 10.0 : value >= 1 ? 100.0 : 1000.0
    let rounded = (value * digits).rounded() / digits
    let text = "\(rounded)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
