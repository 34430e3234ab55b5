// The endpoints of one model.

internal import Core
package import Formats
package import Inference
internal import Models
internal import Synchronization

/// Answers requests with an engine.
public final class APIService: Sendable {
  package let engine: InferenceEngine
  /// What the model is called.
  public let name: String
  let template: ChatTemplate?
  /// Keys of which a request must bring one; nil: none is needed.
  private let keys: KeyRing?
  private let version: String
  /// Whether requests may load adapters from the server's disk.
  let allowsAdapterLoading: Bool
  /// How the model marks reasoning and calls.
  let family: StreamFamily
  let grammars: GrammarCache
  let background = BackgroundWork()
  let responses = ResponseStore()
  let metrics = ServiceMetrics()
  private let ids: Mutex<RandomSequence>
  private let clock = MonotonicClock()
  /// Set while the server is being stopped: balancers send nothing more.
  private let isDraining = Mutex(false)

  /// - Parameters:
  ///   - family: how the model marks reasoning and calls of tools; nil: as its template says.
  ///   - version: of this program.
  ///   - allowsAdapterLoading: whether requests may name folders on the server's disk to load adapters from.
  package init(
    _ engine: InferenceEngine, name: String, template: ChatTemplate?, family: StreamFamily? = nil, version: String,
    keys: KeyRing? = nil, allowsAdapterLoading: Bool = false
  ) {
    self.allowsAdapterLoading = allowsAdapterLoading
    self.family = family ?? StreamFamily(template: template)
    grammars = GrammarCache(engine, markers: self.family.markers)
    (self.engine, self.name, self.template, self.keys, self.version) = (engine, name, template, keys, version)
    ids = Mutex(RandomSequence(seed: UInt64.random(in: 0...UInt64.max), stream: 1))
  }

  /// Says no to /ready from now on, and ends when all requests have.
  public func drain() {
    isDraining.withLock { $0 = true }
    engine.drain()
  }

  package func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
    do throws(APIError) {
      metrics.count(path: request.path)
      try route(request, responder)
    } catch {
      refused(error)
      responder.send(request.path.hasPrefix("/v1/messages") ? error.anthropicReply : error.reply)
    }
  }

  /// Counts a reply that is an error.
  package func refused(_ error: APIError) { metrics.count(error: error.kind.rawValue) }

  private func route(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    // Whether the process lives and is ready, and no more, can be asked by anybody: balancers have no keys.
    switch request.path {
    case "/health": return responder.send(text: "")
    case "/ready":
      if isDraining.withLock({ $0 }) { throw APIError(.unavailable, "The server is being stopped.", code: "stopping") }
      return responder.send(text: "")
    default: break
    }
    // Browsers ask what they may ask before they show a key.
    if request.method == "OPTIONS" { return try options(request, responder) }
    try authenticate(request, responder)
    // The reply to HEAD is that to GET without its body.
    switch (request.method == "HEAD" ? "GET" : request.method, request.path) {
    case ("POST", "/v1/chat/completions"): try chat(request, responder)
    case ("POST", "/v1/completions"): try complete(request, responder)
    case ("POST", "/v1/responses"): try respond(request, responder)
    case (_, let path) where path.hasPrefix("/v1/responses/"): try storedResponse(request, responder)
    case ("POST", "/v1/messages"): try message(request, responder)
    case ("POST", "/v1/messages/count_tokens"): try countTokens(request, responder)
    case ("POST", "/tokenize"): try tokenize(request, responder)
    case ("POST", "/detokenize"): try detokenize(request, responder)
    case ("POST", "/v1/load_lora_adapter"): try loadAdapter(request, responder)
    case ("POST", "/v1/unload_lora_adapter"): try unloadAdapter(request, responder)
    case ("GET", "/v1/models"): responder.send(json: ["object": "list", "data": .array([model] + adapterModels)])
    case ("GET", "/v1/models/\(name)"): responder.send(json: model)
    case ("GET", let path) where path.hasPrefix("/v1/models/"):
      responder.send(json: try adapterModel(String(path.dropFirst("/v1/models/".count))))
    case ("GET", "/version"): responder.send(json: ["version": .string(version)])
    case ("GET", "/load"):
      let statistics = engine.statistics
      responder.send(json: ["server_load": .number(JSONNumber(statistics.waiting + statistics.running))])
    case ("GET", "/metrics"):
      responder.send(
        HTTPReply(
          200, "text/plain; version=0.0.4; charset=utf-8", Array(metrics.text(engine.statistics, model: name).utf8)))
    default: throw unknown(request)
    }
  }

  static let paths = [
    "/v1/chat/completions": "POST", "/v1/completions": "POST", "/v1/responses": "POST", "/v1/messages": "POST",
    "/v1/messages/count_tokens": "POST", "/tokenize": "POST", "/detokenize": "POST",
    "/v1/load_lora_adapter": "POST", "/v1/unload_lora_adapter": "POST",
    "/v1/models": "GET", "/ready": "GET", "/version": "GET", "/load": "GET", "/metrics": "GET", "/health": "GET",
  ]

  private func unknown(_ request: HTTPRequest) -> APIError {
    if let method = Self.paths[request.path] {
      var error = APIError(.wrongMethod, "\(request.path) is asked with \(method), not \(request.method).")
      error.headers = [("allow", Self.allowed(method))]
      return error
    }
    let known = Self.paths.keys.sorted().joined(separator: ", ")
    return APIError(.notFound, "There is no \(request.path) here. There are: \(known).")
  }

  private static func allowed(_ method: String) -> String { (method == "GET" ? "GET, HEAD" : method) + ", OPTIONS" }

  private func options(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    guard let method = request.path == "*" ? "GET, HEAD, POST" : Self.paths[request.path] else {
      throw unknown(request)
    }
    var reply = HTTPReply(204, "", [])
    reply.headers = [
      ("allow", Self.allowed(method)), ("access-control-allow-methods", Self.allowed(method)),
      ("access-control-allow-headers", "authorization, content-type"), ("access-control-max-age", "600"),
    ]
    responder.send(reply)
  }

  /// Lets a request in, if it brings a key where one is needed and has not come too often.
  private func authenticate(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    guard let keys else { return }
    let given = request.headers["authorization"].map { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : $0 }
    // Anthropic's clients have a header of their own.
    guard let caller = (given ?? request.headers["x-api-key"]).flatMap({ keys.caller($0) }) else {
      throw APIError(
        .unauthorized, "This server needs a key: send it as 'Authorization: Bearer KEY'.", code: "invalid_api_key")
    }
    responder.caller = caller
    if request.method != "POST" { return }
    responder.add(headers: try caller.enter())
    responder.whenOver { caller.leave() }
  }

  // MARK: What endpoints share

  var now: Int { Int(clock.unixSeconds) }

  func newID(_ prefix: String, _ separator: String = "-") -> String {
    let bits = ids.withLock { ($0.next(), $0.next()) }
    func hex(_ value: UInt64) -> String {
      let digits = String(value, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }
    return "\(prefix)\(separator)\(hex(bits.0))\(hex(bits.1))"
  }

  /// - Returns: the adapter that the request names as its model; nil: it is the model itself.
  @discardableResult
  func checkModel(_ fields: inout Fields) throws(APIError) -> String? {
    guard let asked = try fields.string("model"), asked != name else { return nil }
    if engine.hasAdapter(asked) { return asked }
    throw APIError(
      .notFound, "There is no model '\(asked)' here, but '\(name)'.", parameter: "model", code: "model_not_found")
  }

  private var model: JSONValue { model(name, root: name, parent: .null) }

  /// - Parameters:
  ///   - root: what it was read from.
  ///   - parent: of an adapter, the model that it is for.
  func model(_ id: String, root: String, parent: JSONValue) -> JSONValue {
    [
      "id": .string(id), "object": "model", "created": 0, "owned_by": "tachornis", "root": .string(root),
      "parent": parent, "max_model_len": .number(JSONNumber(engine.context)),
    ]
  }

  private func tokenize(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    let text = try fields.required("prompt", fields.string("prompt"))
    let tokens = engine.tokenizer.encode(text, addingSpecials: try fields.flag("add_special_tokens") ?? true)
    try fields.finish()
    responder.send(json: [
      "count": .number(JSONNumber(tokens.count)), "max_model_len": .number(JSONNumber(engine.context)),
      "tokens": .array(tokens.map { .number(JSONNumber($0)) }),
    ])
  }

  private func detokenize(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    let tokens = try fields.required("tokens", fields.tokens("tokens"))
    try fields.finish()
    responder.send(json: ["prompt": .string(engine.tokenizer.decode(tokens))])
  }
}

extension HTTPResponder {
  func send(json: JSONValue) { send(HTTPReply(200, "application/json", json.jsonBytes)) }
  func send(text: String) { send(HTTPReply(200, "text/plain; charset=utf-8", Array(text.utf8))) }
}
