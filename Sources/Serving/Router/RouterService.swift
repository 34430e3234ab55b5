// A router as clients and operators see it: requests are passed on, and a few paths are its own.
//
// The decisions are those of one `Router` under a lock, which is held for microseconds; connections belong to the loops of clients,
// so that requests of different loops share nothing else.

internal import Crypto
internal import Core
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// What an operator chooses about a router.
package struct RouterOptions: Sendable {
  package var decisions = RouterSettings()
  /// The header that says which session a request belongs to, in lower case; `user` for that member of the body; nil: sessions are
  /// not looked at.
  package var session: String?
  /// A PEM file with the authorities that have signed workers' certificates; nil: the system's.
  package var authority: String?
  /// Seconds between looks at workers and at where they are found.
  package var interval = 2.0
  /// Seconds without a byte after which a worker is given up.
  package var patience = 300.0

  package init() {}
}

/// What opens doors. They may change while requests are under way.
package struct RouterKeys: Sendable, Equatable {
  /// Needed to see and change the workers, and for metrics; nil: nobody may change them, and all see metrics.
  package var admin: String?
  /// What the router itself brings when it asks workers for their models.
  package var worker: String?
  /// What workers want before they give each other blocks of prompts; nil: they are not asked to.
  package var transfer: String?

  package init() {}
}

/// Passes requests on to workers.
package final class RouterService: Sendable {
  package let options: RouterOptions
  private let router: Mutex<Router>
  private let secrets: Mutex<RouterKeys>
  private let trust: TLSConfiguration
  private let pools = Mutex<[ObjectIdentifier: NIOLoopBound<UpstreamPool>]>([:])
  /// What workers say of their models, by address.
  private let models = Mutex<[WorkerAddress: [JSONValue]]>([:])
  private let ids = Atomic<UInt64>(1)
  private let refusals = Mutex<[Int: Int]>([:])
  private let clock = MonotonicClock()
  private let isDraining = Atomic(false)
  private let version: String

  package init(_ options: RouterOptions = RouterOptions(), _ keys: RouterKeys = RouterKeys(), version: String) throws {
    (self.options, self.version) = (options, version)
    router = Mutex(Router(options.decisions))
    secrets = Mutex(keys)
    trust = try WorkerTrust.configuration(authority: options.authority)
  }

  package var keys: RouterKeys { secrets.withLock { $0 } }
  /// Takes other keys from now on; requests under way go on.
  package func replace(_ keys: RouterKeys) { secrets.withLock { $0 = keys } }

  /// Says no to /ready from now on.
  package func drain() { isDraining.store(true, ordering: .relaxed) }

  /// Requests that are under way.
  package var active: Int { router.withLock { $0.workers.reduce(0) { $0 + $1.active } } }

  @discardableResult
  func decide(_ event: Router.Event) -> [Router.Action] {
    let now = clock.seconds
    return router.withLock { $0.handle(event, at: now) }
  }

  // MARK: Workers

  package var workers: [RouterWorker] { router.withLock { $0.workers } }
  /// - Returns: whether it is there in this role now.
  @discardableResult
  package func add(_ address: WorkerAddress, _ role: WorkerRole = .decode) -> Bool {
    decide(.added(address, role))
    return workers.contains { $0.address == address && $0.role == role && !$0.isLeaving }
  }
  package func remove(_ address: WorkerAddress) {
    decide(.removed(address))
    models.withLock { $0[address] = nil }
  }

  /// A worker was looked at.
  ///
  /// - Parameter models: the objects of its /v1/models; nil: it is not ready.
  func probed(_ address: WorkerAddress, _ models: [JSONValue]?) {
    guard let models else {
      decide(.probed(address, nil))
      return
    }
    // It may have been removed while it was asked.
    guard workers.contains(where: { $0.address == address }) else { return }
    self.models.withLock { $0[address] = models }
    // Only this project's own server goes on with answers of others.
    let resumes = models.contains { $0["owned_by"] == "tachornis" }
    decide(.probed(address, (Set(models.compactMap { $0["id"]?.string }), resumes)))
  }

  // MARK: Requests

  package func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
    do throws(APIError) {
      if try answer(request, responder) { return }
      if isDraining.load(ordering: .relaxed) {
        throw APIError(.unavailable, "The router is being stopped.", code: "stopping")
      }
      pass(request, responder)
    } catch {
      refusals.withLock { $0[error.kind.rawValue, default: 0] += 1 }
      responder.send(error.reply)
    }
  }

  private func pass(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let canMove = secrets.withLock { $0.transfer != nil }
    let wantsKeys = options.decisions.policy == .cacheAware || canMove
    let facts = RequestFacts(request.body, path: request.path, wantsKeys: wantsKeys)
    var routed = RoutedRequest(
      model: facts?.model, keys: facts?.keys ?? [], isText: facts?.isText == true && canMove)
    if let session = options.session { routed.session = session == "user" ? facts?.user : request.headers[session] }
    let id = ids.wrappingAdd(1, ordering: .relaxed).oldValue
    responder.perform { [self, routed] in
      let loop = responder.eventLoop
      let exchange = RoutedExchange(id, self, pool(of: loop), request, facts, responder)
      let bound = NIOLoopBound(exchange, eventLoop: loop)
      responder.whenGone { loop.execute { bound.value.leave() } }
      exchange.perform(decide(.arrived(id, routed)))
    }
  }

  private func pool(of loop: any EventLoop) -> UpstreamPool {
    pools.withLock { pools in
      let key = ObjectIdentifier(loop)
      if let pool = pools[key] { return pool }
      let pool = NIOLoopBound(UpstreamPool(loop, trust, patience: options.patience), eventLoop: loop)
      pools[key] = pool
      return pool
    }.value
  }

  // MARK: The router's own paths

  /// Answers what the router knows itself; false: workers do.
  private func answer(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) -> Bool {
    switch (request.method, request.path) {
    case (_, "/health"): responder.send(text: "")
    case (_, "/ready"):
      if isDraining.load(ordering: .relaxed) {
        throw APIError(.unavailable, "The router is being stopped.", code: "stopping")
      }
      let now = clock.seconds
      guard router.withLock({ $0.workers.contains { $0.role == .decode && $0.isUsable(at: now) } }) else {
        throw APIError(.noWorker)
      }
      responder.send(text: "")
    // Where workers ask for keys, one of them judges the caller's.
    case ("GET", "/v1/models") where keys.worker == nil:
      responder.send(json: ["object": "list", "data": .array(mergedModels)])
    case ("GET", "/version"): responder.send(json: ["version": .string(version)])
    case ("GET", "/metrics"):
      if keys.admin != nil { try authenticate(request, "Metrics are seen") }
      responder.send(
        HTTPReply(200, "text/plain; version=0.0.4; charset=utf-8", Array(metrics.utf8)))
    case (_, "/workers"): try manage(request, responder)
    default: return false
    }
    return true
  }

  private var mergedModels: [JSONValue] {
    var seen: Set<String> = []
    return models.withLock { $0 }.sorted { $0.key.description < $1.key.description }.flatMap(\.value).filter {
      seen.insert($0["id"]?.string ?? "").inserted
    }
  }

  /// - Parameter what: is to be done with the key.
  private func authenticate(_ request: HTTPRequest, _ what: String) throws(APIError) {
    // Hashes are compared: how long that takes says nothing of the key.
    let given = SHA256.hash(data: Array((request.headers["authorization"] ?? "").utf8))
    guard let key = keys.admin, given == SHA256.hash(data: Array("Bearer \(key)".utf8)) else {
      throw APIError(
        .unauthorized, "\(what) with the router's admin key: 'Authorization: Bearer KEY'.", code: "invalid_api_key")
    }
  }

  /// GET, POST and DELETE /workers: `{"url": "http://10.0.0.1:8000"}`, and of one that reads prompts `"role": "prefill"`.
  private func manage(_ request: HTTPRequest, _ responder: HTTPResponder) throws(APIError) {
    try authenticate(request, "Workers are seen and changed")
    if request.method == "GET" { return responder.send(json: ["workers": .array(workers.map(\.json))]) }
    guard request.method == "POST" || request.method == "DELETE" else {
      throw APIError(.wrongMethod, "/workers is asked with GET, POST or DELETE, not \(request.method).")
    }
    var fields = try Fields(body: request.body)
    let url = try fields.required("url", fields.string("url"))
    let role = try fields.string("role").map { WorkerRole(rawValue: $0) } ?? .decode
    try fields.finish()
    guard let address = try? WorkerAddress(url: url) else {
      throw fields.wrong("url", "must be an address as http://10.0.0.1:8000, not '\(url)'")
    }
    guard let role else { throw fields.wrong("role", "must be decode or prefill") }
    if request.method == "POST" {
      if role == .prefill && keys.transfer == nil {
        throw fields.wrong("role", "prefill needs a router with --transfer-key")
      }
      guard add(address, role) else {
        throw fields.wrong("role", "is not that of this worker so far; remove it first")
      }
    } else if workers.contains(where: { $0.address == address }) {
      remove(address)
    } else {
      throw APIError(.notFound, "There is no worker \(address).", parameter: "url")
    }
    responder.send(json: ["workers": .array(workers.map(\.json))])
  }

  // MARK: Metrics

  /// The text that Prometheus reads.
  var metrics: String {
    let (workers, blocks, retries, resumptions, prefills) = router.withLock {
      ($0.workers, $0.blocks, $0.retries, $0.resumptions, $0.prefills)
    }
    var text = ""
    func header(_ name: String, _ kind: String, _ help: String) {
      text += "# HELP tachornis_router_\(name) \(help)\n# TYPE tachornis_router_\(name) \(kind)\n"
    }
    func single(_ name: String, _ help: String, _ value: Int) {
      header(name, "counter", help)
      text += "tachornis_router_\(name) \(value)\n"
    }
    func each(_ name: String, _ kind: String, _ help: String, _ value: (RouterWorker) -> Int) {
      header(name, kind, help)
      for worker in workers { text += "tachornis_router_\(name){worker=\"\(worker.address)\"} \(value(worker))\n" }
    }
    let now = clock.seconds
    each("worker_usable", "gauge", "Whether requests go there.") { $0.isUsable(at: now) ? 1 : 0 }
    each("worker_active_requests", "gauge", "Requests that are there.") { $0.active }
    each("worker_unread_blocks", "gauge", "Blocks of prompts that it has still to read, as the router thinks.") {
      $0.unread
    }
    each("worker_known_blocks", "gauge", "Blocks of prompts in its cache, as the router thinks.") { $0.prefixes.count }
    each("worker_requests_total", "counter", "Requests that were sent there.") { $0.sent }
    each("worker_failures_total", "counter", "Requests that failed there.") { $0.failures }
    single("retries_total", "Requests that were sent to another worker before their first byte.", retries)
    single("resumptions_total", "Streams that another worker went on with.", resumptions)
    single("prompt_blocks_total", "Blocks of prompts.", blocks.sent)
    single(
      "prompt_blocks_known_total", "Blocks that were thought to be in the cache of the chosen worker.", blocks.known)
    header("prefills_total", "counter", "Prompts that were to be read on a prefill worker, by what became of it.")
    for outcome in PrefillOutcome.allCases {
      text += "tachornis_router_prefills_total{outcome=\"\(outcome.rawValue)\"} \(prefills[outcome] ?? 0)\n"
    }
    header("refusals_total", "counter", "Requests that the router answered with an error itself, by status.")
    for (status, count) in refusals.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
      text += "tachornis_router_refusals_total{status=\"\(status)\"} \(count)\n"
    }
    return text
  }
}

extension RouterWorker {
  fileprivate var json: JSONValue {
    let state: JSONValue =
      switch breaker.state {
      case .closed: "closed"
      case .open: "open"
      case .halfOpen: "half-open"
      }
    return [
      "url": .string(address.description), "role": .string(role.rawValue), "health": .string(health.rawValue),
      "breaker": state,
      "active": .number(JSONNumber(active)), "sent": .number(JSONNumber(sent)),
      "failures": .number(JSONNumber(failures)), "leaving": .bool(isLeaving),
      "models": models.map { .array($0.sorted().map { .string($0) }) } ?? .null,
    ]
  }
}
