// A request as OpenTelemetry's spans: one for the request, one in it for each phase. OTLP 1.x in its JSON form
// (https://opentelemetry.io/docs/specs/otlp/), attributes by the semantic conventions for HTTP and for generative models.

internal import Core
internal import Inference

/// Makes spans of requests.
struct TraceSpans {
  /// What the program is called, its version, and the model that it serves.
  var service: String
  var version: String
  var model: String

  /// The body of `POST /v1/traces`.
  func body(_ records: [RequestRecord]) -> JSONValue {
    [
      "resourceSpans": [
        [
          "resource": [
            "attributes": [text("service.name", service), text("service.version", version)]
          ],
          "scopeSpans": [
            [
              "scope": ["name": "tachornis", "version": .string(version)],
              "spans": .array(records.flatMap(spans)),
            ]
          ],
        ]
      ]
    ]
  }

  private func spans(_ record: RequestRecord) -> [JSONValue] {
    /// Nanoseconds since 1970, as text: they have more digits than a double.
    func time(_ seconds: Double) -> JSONValue {
      .string(String(UInt64(max(0, record.unixSeconds + seconds - record.arrived) * 1e9)))
    }
    func span(_ id: String, parent: String?, _ name: String, kind: Int, _ begin: Double, _ end: Double) -> JSONObject {
      var object = JSONObject([
        ("traceId", .string(record.trace.traceID)), ("spanId", .string(id)), ("name", .string(name)),
        ("kind", .number(JSONNumber(kind))), ("startTimeUnixNano", time(begin)), ("endTimeUnixNano", time(end)),
      ])
      if let parent { object["parentSpanId"] = .string(parent) }
      return object
    }
    var root = span(
      record.trace.spanID, parent: record.trace.parentID, "\(record.method) \(record.path)", kind: 2, record.arrived,
      record.sent)
    root["attributes"] = facts(record)
    // The conventions for servers: what clients do wrong is no error of the server.
    if record.status >= 500 { root["status"] = ["code": 2] }
    guard !record.texts.isEmpty else { return [.object(root)] }
    let own = UInt64(record.trace.spanID, radix: 16) ?? 0
    let parts = record.phases.enumerated().map { index, part in
      // One after another from the request's own: as unlikely to be another's as that.
      let digits = String(max(1, own &+ UInt64(index) &+ 1), radix: 16)
      let id = String(repeating: "0", count: 16 - digits.count) + digits
      return JSONValue.object(
        span(id, parent: record.trace.spanID, part.phase.rawValue, kind: 1, part.begin, part.end))
    }
    return [.object(root)] + parts
  }

  private func facts(_ record: RequestRecord) -> JSONValue {
    var facts = [
      text("http.request.method", record.method), text("url.path", record.path),
      integer("http.response.status_code", record.status), text("tachornis.request.id", record.id),
    ]
    if !record.tenant.isEmpty { facts.append(text("enduser.id", record.tenant)) }
    guard !record.texts.isEmpty else { return .array(facts) }
    facts += [
      text("gen_ai.operation.name", record.path == "/v1/completions" ? "text_completion" : "chat"),
      text("gen_ai.request.model", model), integer("gen_ai.usage.input_tokens", record.promptTokens),
      integer("gen_ai.usage.output_tokens", record.writtenTokens),
      integer("tachornis.usage.cached_tokens", record.cachedTokens),
      attribute(
        "gen_ai.response.finish_reasons",
        ["arrayValue": ["values": .array(record.texts.map { ["stringValue": .string($0.reason.rawValue)] })]]),
    ]
    if let first = record.firstToken {
      facts.append(attribute("gen_ai.server.time_to_first_token", ["doubleValue": .number(JSONNumber(first))]))
    }
    return .array(facts)
  }

  private func attribute(_ name: String, _ value: JSONValue) -> JSONValue { ["key": .string(name), "value": value] }

  private func text(_ name: String, _ value: String) -> JSONValue { attribute(name, ["stringValue": .string(value)]) }

  /// Integers are written as text, for what was said of nanoseconds.
  private func integer(_ name: String, _ value: Int) -> JSONValue {
    attribute(name, ["intValue": .string(String(value))])
  }
}
