// The endpoints of one model.

internal import Core
internal import Formats
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
  package let settings: APISettings
  /// How the model marks reasoning and calls.
  let family: StreamFamily
  let grammars: GrammarCache
  let responses = ResponseStore()
  let background = BackgroundAnswers()
  let metrics = ServiceMetrics()
  private let ids: Mutex<RandomSequence>
  let clock = MonotonicClock()
  let monitor: ServiceMonitor
  private let draining = Mutex(false)

  /// - Parameters:
  ///   - engine: of a model that writes texts.
  ///   - encoder: of one that makes vectors or labels of them.
  package init(_ engine: InferenceEngine?, encoder: PoolingEngine? = nil, _ settings: APISettings) {
    precondition(engine != nil || encoder != nil, "a service of no model")
    self.settings = settings
    family = settings.family ?? StreamFamily(template: settings.template)
    grammars =
      engine.map { [family] in GrammarCache($0, markers: family.markers) } ?? GrammarCache(GrammarVocabulary([]))
    (writer, self.encoder) = (engine, encoder)
    let decoder: (any Pooler)? = settings.poolsLastToken ? engine.map { LastTokenPooler(engine: $0) } : nil
    pooling = encoder ?? decoder
    ids = Mutex(RandomSequence(seed: UInt64.random(in: 0...UInt64.max), stream: 1))
    let (metrics, clock) = (metrics, clock)
    monitor = ServiceMonitor(to: settings.observer) { [weak engine] in
      engine.map { engine in
        Watchdog.Sample(
          time: clock.seconds, engine: engine.statistics, mostRunning: engine.mostRunning, encoding: metrics.encoding,
          encodingThreads: HTTPServer.threadsAside)
      }
    }
  }

  /// What the model is called.
  package var name: String { settings.name }

  /// Says no to /ready from now on, and ends when all requests have.
  public func drain() {
    draining.withLock { $0 = true }
    // What waits for blocks is with the engine before that closes.
    settings.transfer?.stop()
    writer?.drain()
    encoder?.drain()
  }

  /// The server is being stopped: balancers are to send nothing more.
  var isDraining: Bool { draining.withLock { $0 } }

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

  var isReady: Bool { writer?.isReady ?? encoder!.isReady }
  /// Of any engine.
  var statistics: EngineStatistics { writer?.statistics ?? encoder!.statistics }
  var tokenizer: any Tokenizer { writer?.tokenizer ?? encoder!.texts.tokenizer }
  var context: Int { writer?.context ?? encoder!.texts.limit }

  // MARK: What endpoints share

  var now: Int { Int(clock.unixSeconds) }

  /// Bits for names.
  func random() -> UInt64 { ids.withLock { $0.next() } }

  func newID(_ prefix: String, _ separator: String = "-") -> String {
    func hex(_ value: UInt64) -> String {
      let digits = String(value, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }
    return "\(prefix)\(separator)\(hex(random()))\(hex(random()))"
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

  /// The model itself, as /v1/models has it.
  var ownModel: JSONValue { model(name, root: name, parent: .null) }

  /// - Parameters:
  ///   - root: what it was read from.
  ///   - parent: of an adapter, the model that it is for.
  func model(_ id: String, root: String, parent: JSONValue) -> JSONValue {
    [
      "id": .string(id), "object": "model", "created": 0, "owned_by": "tachornis", "root": .string(root),
      "parent": parent, "max_model_len": .number(JSONNumber(context)),
    ]
  }
}

extension HTTPResponder {
  func send(json: JSONValue) { send(HTTPReply(200, "application/json", json.jsonBytes)) }
  func send(text: String) { send(HTTPReply(200, "text/plain; charset=utf-8", Array(text.utf8))) }
}
