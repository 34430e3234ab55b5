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
            "attributes": attributes([
              ("service.name", .string(service)), ("service.version", .string(version)),
            ])
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
    root["attributes"] = attributes(facts(record))
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

  private func facts(_ record: RequestRecord) -> [(String, JSONValue)] {
    func integer(_ value: Int) -> JSONValue { .number(JSONNumber(value)) }
    var facts: [(String, JSONValue)] = [
      ("http.request.method", .string(record.method)), ("url.path", .string(record.path)),
      ("http.response.status_code", integer(record.status)), ("tachornis.request.id", .string(record.id)),
    ]
    if !record.tenant.isEmpty { facts.append(("enduser.id", .string(record.tenant))) }
    guard !record.texts.isEmpty else { return facts }
    facts += [
      (
        "gen_ai.operation.name",
        record.path.hasSuffix("/completions") && !record.path.contains("chat") ? "text_completion" : "chat"
      ),
      ("gen_ai.request.model", .string(model)), ("gen_ai.usage.input_tokens", integer(record.promptTokens)),
      ("gen_ai.usage.output_tokens", integer(record.writtenTokens)),
      ("gen_ai.response.finish_reasons", .array(record.texts.map { .string($0.reason.rawValue) })),
      ("tachornis.usage.cached_tokens", integer(record.cachedTokens)),
    ]
    if let first = record.firstToken {
      facts.append(("gen_ai.server.time_to_first_token", .number(JSONNumber(first))))
    }
    return facts
  }

  private func attributes(_ facts: [(String, JSONValue)]) -> JSONValue {
    .array(facts.map { ["key": .string($0.0), "value": value($0.1)] })
  }

  /// A value with its kind.
  private func value(_ value: JSONValue) -> JSONValue {
    switch value {
    case .string: ["stringValue": value]
    case .bool: ["boolValue": value]
    case .number(let number):
      // Integers are written as text, for what was said of nanoseconds.
      if let integer: Int = number.integer() { ["intValue": .string(String(integer))] } else { ["doubleValue": value] }
    case .array(let values): ["arrayValue": ["values": .array(values.map(self.value))]]
    case .object, .null: ["stringValue": .string(value.json)]
    }
  }
}
