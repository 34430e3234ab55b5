// The endpoints of one model.

package import Core
package import Formats
package import Inference
internal import Models
internal import Synchronization

/// Answers requests with the engine of a model: one that writes texts, or one that makes vectors or labels of them.
public final class APIService: Sendable {
  /// Nil: the model writes no texts.
  private let writer: InferenceEngine?
  /// Nil: the model does nothing else.
  private let encoder: PoolingEngine?
  /// Who makes vectors or labels, if anybody does.
  private let pooling: (any Pooler)?
  /// What the model is called.
  public let name: String
  let template: ChatTemplate?
  /// Keys of which a request must bring one; nil: none is needed.
  private let keys: KeyRing?
  /// How blocks of the cache go to other servers and come from them; nil: they do not.
  package let transfer: CacheTransfer?
  private let version: String
  /// Whether requests may load adapters from the server's disk.
  let allowsAdapterLoading: Bool
  /// How the model marks reasoning and calls.
  let family: StreamFamily
  let grammars: GrammarCache
  let responses = ResponseStore()
  let metrics = ServiceMetrics()
  private let ids: Mutex<RandomSequence>
  private let clock = MonotonicClock()
  /// Told of every request; nil: nobody is, and nothing is noted.
  private let observer: (any EventSink<ServiceEvent>)?
  private let monitor: ServiceMonitor
  /// Set while the server is being stopped: balancers send nothing more.
  private let isDraining = Mutex(false)

  /// - Parameters:
  ///   - family: how the model marks reasoning and calls of tools; nil: as its template says.
  ///   - poolsLastToken: the decoder was trained so that its last state is a vector of the text.
  ///   - version: of this program.
  ///   - allowsAdapterLoading: whether requests may name folders on the server's disk to load adapters from.
  ///   - transfer: of an engine whose blocks move.
  ///   - observer: told of what the watchdog sees.
  ///   - recordsRequests: whether it is told of every request, too.
  package init(
    _ engine: InferenceEngine?, encoder: PoolingEngine? = nil, poolsLastToken: Bool = false, name: String,
    template: ChatTemplate?, family: StreamFamily? = nil, version: String, keys: KeyRing? = nil,
    allowsAdapterLoading: Bool = false, transfer: CacheTransfer? = nil,
    observer: any EventSink<ServiceEvent> = FanOut([]),
    recordsRequests: Bool = false
  ) {
    (self.allowsAdapterLoading, self.transfer) = (allowsAdapterLoading, transfer)
    self.family = family ?? StreamFamily(template: template)
    precondition(engine != nil || encoder != nil, "a service of no model")
    grammars =
      engine.map { [family = self.family] in GrammarCache($0, markers: family.markers) }
      ?? GrammarCache(GrammarVocabulary([]))
    (writer, self.encoder) = (engine, encoder)
    let decoder: (any Pooler)? = poolsLastToken ? engine.map { LastTokenPooler(engine: $0) } : nil
    pooling = encoder ?? decoder
    (self.name, self.template, self.keys, self.version) = (name, template, keys, version)
    ids = Mutex(RandomSequence(seed: UInt64.random(in: 0...UInt64.max), stream: 1))
    self.observer = recordsRequests ? observer : nil
    let (metrics, clock) = (metrics, clock)
    monitor = ServiceMonitor(to: observer) { [weak engine] in
      engine.map { engine in
        Watchdog.Sample(
          time: clock.seconds, engine: engine.statistics, mostRunning: engine.mostRunning, encoding: metrics.encoding,
          encodingThreads: HTTPServer.threadsAside)
      }
    }
  }

  /// Says no to /ready from now on, and ends when all requests have.
  public func drain() {
    isDraining.withLock { $0 = true }
    writer?.drain()
    encoder?.drain()
    transfer?.close()
  }

  /// The engine for texts.
  var engine: InferenceEngine {
    get throws(APIError) {
      if let writer { return writer }
      throw APIError(
        .badRequest, "The model '\(name)' writes no texts: ask it for \(poolingPaths.joined(separator: ", ")).",
        code: "unsupported_task")
    }
  }

  /// The engine for vectors and labels.
  func pooler(_ task: PoolingEngine.Task) throws(APIError) -> any Pooler {
    if let pooling, pooling.tasks.contains(task) { return pooling }
    let paths = writer == nil ? poolingPaths : ["/v1/chat/completions", "/v1/completions"]
    throw APIError(
      .badRequest, "The model '\(name)' cannot do that: ask it for \(paths.joined(separator: ", ")).",
      code: "unsupported_task")
  }

  private var poolingPaths: [String] {
    var paths: [String] = []
    if let tasks = pooling?.tasks {
      if tasks.contains(.vector) { paths.append("/v1/embeddings") }
      if tasks.contains(.labels) { paths.append("/classify") }
      if !tasks.isDisjoint(with: [.vector, .score]) { paths += ["/v1/score", "/v1/rerank"] }
    }
    return paths
  }

  private var isReady: Bool { writer?.isReady ?? encoder!.isReady }
  /// Of any engine.
  private var statistics: EngineStatistics { writer?.statistics ?? encoder!.statistics }
  private var tokenizer: any Tokenizer { writer?.tokenizer ?? encoder!.texts.tokenizer }
  private var context: Int { writer?.context ?? encoder!.texts.limit }

  package func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let begin = clock.seconds
    observe(request, responder, begin)
    do throws(APIError) {
      metrics.count(path: request.path)
      try route(request, responder)
    } catch {
      refused(error)
      responder.send(request.path.hasPrefix("/v1/messages") ? error.anthropicReply : error.reply)
    }
    metrics.encoded(seconds: clock.seconds - begin)
  }

  /// Gives the request the name that its reply, the log and the trace have in common.
  private func observe(_ request: HTTPRequest, _ responder: HTTPResponder, _ now: Double) {
    let given = request.headers["x-request-id"].flatMap { id in
      (1...128).contains(id.utf8.count) && id.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } ? id : nil
    }
    guard let observer else {
      if let given { responder.add(headers: [("x-request-id", given)]) }
      return
    }
    let random = ids.withLock { ($0.next(), $0.next(), $0.next()) }
    let context = TraceContext(header: request.headers["traceparent"], random: random)
    let id = given ?? context.spanID
    responder.add(headers: [("x-request-id", id)])
    let record = RequestRecord(
      id: id, trace: context, method: request.method, path: request.path, unixSeconds: clock.unixSeconds, arrived: now)
    responder.trace = RequestTrace(record, observer, clock: clock)
  }

  /// Counts a reply that is an error.
  package func refused(_ error: APIError) { metrics.count(error: error.kind.rawValue) }

  private func route(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    // Whether the process lives and is ready, and no more, can be asked by anybody: balancers have no keys. The page holds
    // nothing of its own: it asks for a key.
    switch request.path {
    case "/": return responder.send(Page.reply)
    case "/health": return responder.send(text: "")
    case "/ready":
      if isDraining.withLock({ $0 }) { throw APIError(.unavailable, "The server is being stopped.", code: "stopping") }
      if !isReady { throw APIError(.unavailable, "The model is being brought into memory.", code: "starting") }
      return responder.send(text: "")
    // Servers have a key of their own.
    case "/v1/cache/blocks" where request.method == "POST": return try giveBlocks(request, responder)
    default: break
    }
    // Browsers ask what they may ask before they show a key.
    if request.method == "OPTIONS" { return try options(request, responder) }
    try authenticate(request, responder)
    responder.prefillWorker = transfer?.worker(of: request)
    // The reply to HEAD is that to GET without its body.
    switch (request.method == "HEAD" ? "GET" : request.method, request.path) {
    case ("POST", "/v1/chat/completions"): try chat(request, responder)
    case ("POST", "/v1/completions"): try complete(request, responder)
    case ("POST", "/v1/responses"): try respond(request, responder)
    case (_, let path) where path.hasPrefix("/v1/responses/"): try storedResponse(request, responder)
    case ("POST", "/v1/messages"): try message(request, responder)
    case ("POST", "/v1/messages/count_tokens"): try countTokens(request, responder)
    case ("POST", "/v1/embeddings"), ("POST", "/pooling"): try embed(request, responder)
    case ("POST", "/v1/score"), ("POST", "/score"): try score(request, responder)
    case ("POST", "/v1/rerank"), ("POST", "/v2/rerank"), ("POST", "/rerank"): try rerank(request, responder)
    case ("POST", "/classify"), ("POST", "/v1/classify"): try classify(request, responder)
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
      let statistics = statistics
      responder.send(json: ["server_load": .number(JSONNumber(statistics.waiting + statistics.running))])
    case ("GET", "/metrics"):
      responder.send(
        HTTPReply(
          200, "text/plain; version=0.0.4; charset=utf-8",
          Array(metrics.text(statistics, model: name, bottlenecks: monitor.current, transfer?.counts).utf8)))
    default: throw unknown(request)
    }
  }

  static let paths = [
    "/v1/chat/completions": "POST", "/v1/completions": "POST", "/v1/responses": "POST", "/v1/messages": "POST",
    "/v1/messages/count_tokens": "POST", "/v1/embeddings": "POST", "/pooling": "POST", "/v1/score": "POST",
    "/score": "POST",
    "/v1/rerank": "POST", "/v2/rerank": "POST", "/rerank": "POST", "/classify": "POST", "/v1/classify": "POST",
    "/tokenize": "POST", "/detokenize": "POST",
    "/v1/cache/blocks": "POST", "/v1/load_lora_adapter": "POST", "/v1/unload_lora_adapter": "POST",
    "/v1/models": "GET", "/ready": "GET", "/version": "GET", "/load": "GET", "/metrics": "GET", "/health": "GET",
    "/": "GET",
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
      (
        "access-control-allow-headers",
        "authorization, content-type, x-api-key, anthropic-version, x-request-id, traceparent"
      ), ("access-control-max-age", "600"),
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
    responder.trace?.identified(caller.name)
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
    if writer?.hasAdapter(asked) == true { return asked }
    throw APIError(
      .notFound, "There is no model '\(asked)' here, but '\(name)'.", parameter: "model", code: "model_not_found")
  }

  /// For what adapters do not take part in.
  func checkBaseModel(_ fields: inout Fields) throws(APIError) {
    guard let adapter = try checkModel(&fields) else { return }
    throw APIError(
      .badRequest, "The adapter '\(adapter)' writes texts only: ask '\(name)'.", parameter: "model",
      code: "unsupported_task")
  }

  private var model: JSONValue { model(name, root: name, parent: .null) }

  /// - Parameters:
  ///   - root: what it was read from.
  ///   - parent: of an adapter, the model that it is for.
  func model(_ id: String, root: String, parent: JSONValue) -> JSONValue {
    [
      "id": .string(id), "object": "model", "created": 0, "owned_by": "tachornis", "root": .string(root),
      "parent": parent, "max_model_len": .number(JSONNumber(context)),
    ]
  }

  private func tokenize(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    let text = try fields.required("prompt", fields.string("prompt"))
    let tokens = tokenizer.encode(text, addingSpecials: try fields.flag("add_special_tokens") ?? true)
    try fields.finish()
    responder.send(json: [
      "count": .number(JSONNumber(tokens.count)), "max_model_len": .number(JSONNumber(context)),
      "tokens": .array(tokens.map { .number(JSONNumber($0)) }),
    ])
  }

  private func detokenize(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    var fields = try Fields(body: request.body)
    try checkModel(&fields)
    let tokens = try fields.required("tokens", fields.tokens("tokens"))
    try fields.finish()
    responder.send(json: ["prompt": .string(tokenizer.decode(tokens))])
  }
}

extension HTTPResponder {
  func send(json: JSONValue) { send(HTTPReply(200, "application/json", json.jsonBytes)) }
  func send(text: String) { send(HTTPReply(200, "text/plain; charset=utf-8", Array(text.utf8))) }
}
