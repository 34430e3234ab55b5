// Which worker gets a request: the decisions of a router as a value. Events go in, actions come out, time is passed in.
//
// Invariant: every request that has arrived is with one worker, or has been refused, or has ended; a worker's load is what its
// requests add up to.

internal import Core

/// What an operator chooses about decisions.
package struct RouterSettings: Sendable {
  package var policy = RoutingPolicy.cacheAware
  package var breaker = CircuitBreaker.Settings()
  /// Workers that a request is tried on at most.
  package var attempts = 3
  /// Blocks that a worker's cache is thought to hold.
  package var cacheBlocks = 65536
  /// What a request that is there delays another by, in blocks of a prompt.
  package var requestWeight = 4.0
  /// A block that is not in a worker's cache, in those that wait there: more than one, as reading it delays those behind it, and
  /// takes the place of another. With 3 the trace of Mooncake has the shortest times to first tokens in simulation.
  package var missWeight = 3.0
  /// Blocks of a prompt that are to be read from which on they are read on a worker that is there for it.
  package var prefillBlocks = 32
  /// What is to be read on such a worker, this prompt included, against what the worker that answers would have to read itself: at
  /// most so many times as much, else it reads. More than one, as those that answer have better to do.
  package var prefillShare = 2.0
  package var seed: UInt64 = 0

  package init() {}
}

/// What a decision depends on.
package struct RoutedRequest: Sendable {
  /// The model's or the adapter's name; nil: any.
  package var model: String?
  /// Whoever has the same goes to the same worker.
  package var session: String?
  /// Of the prompt's blocks.
  package var keys: [UInt64] = []
  /// A text is asked for, whose prompt can be read elsewhere.
  package var isText = false

  package init(model: String? = nil, session: String? = nil, keys: [UInt64] = [], isText: Bool = false) {
    (self.model, self.session, self.keys, self.isText) = (model, session, keys, isText)
  }
}

/// Chooses workers.
package struct Router: Sendable {
  package typealias RequestID = UInt64

  package enum Event: Sendable {
    /// Nothing changes if it is there with another role: it is to be removed before.
    case added(WorkerAddress, WorkerRole = .decode)
    /// No more requests go there; those that are there end.
    case removed(WorkerAddress)
    /// The worker was asked whether it is ready; nil: it is not. Names are those of its models and adapters.
    case probed(WorkerAddress, (models: Set<String>, resumes: Bool)?)
    case arrived(RequestID, RoutedRequest)
    /// The worker that answers says what became of reading the prompt elsewhere.
    case prefilled(RequestID, PrefillOutcome)
    /// The prompt has been read: the first piece of the answer is here.
    case began(RequestID)
    /// The worker did not answer, or not to the end.
    ///
    /// - Parameters:
    ///   - isFault: the worker is ill, not just busy.
    ///   - next: what another worker can be asked for.
    case failed(RequestID, isFault: Bool, next: Remainder)
    /// The answer is complete.
    case ended(RequestID)
    /// Whoever asked has gone.
    case left(RequestID)
  }

  /// What of an answer is still to come.
  package enum Remainder: Sendable {
    /// All of it: nothing has been passed on.
    case whole
    /// What follows tokens that are known; only some workers can go on with it.
    case rest
    /// It cannot be had from anybody else.
    case nothing
  }

  package enum Action: Sendable, Equatable {
    /// - Parameters:
    ///   - resumable: the worker can go on with answers that others began, so that this one's tokens are worth knowing.
    ///   - prefill: the worker that reads the prompt for it; nil: none does.
    case send(RequestID, to: WorkerAddress, resumable: Bool, prefill: WorkerAddress?)
    /// No worker is left.
    case refuse(RequestID, Refusal)
  }

  package enum Refusal: Sendable, Equatable {
    case noWorker
    /// The names that there are.
    case noModel(String, known: [String])
    /// All that could be tried have failed.
    case failed
  }

  private struct Routed {
    var request: RoutedRequest
    var worker: WorkerAddress
    var tried: [WorkerAddress] = []
    /// Blocks that its worker has still to read for it.
    var unread = 0
    /// Who reads for it, and how many blocks.
    var prefill: (worker: WorkerAddress, unread: Int)?
  }

  package let settings: RouterSettings
  package private(set) var workers: [RouterWorker] = []
  private var requests: [RequestID: Routed] = [:]
  private var random: RandomSequence
  private var turn = 0
  /// Blocks of prompts that were sent, and those of them that were thought to be in the worker's cache.
  package private(set) var blocks = (sent: 0, known: 0)
  package private(set) var retries = 0
  package private(set) var resumptions = 0
  /// Prompts that were sent to be read elsewhere, by what became of it.
  package private(set) var prefills: [PrefillOutcome: Int] = [:]

  package init(_ settings: RouterSettings = RouterSettings()) {
    self.settings = settings
    random = RandomSequence(seed: settings.seed, stream: 4)
  }

  package mutating func handle(_ event: Event, at now: Double) -> [Action] {
    switch event {
    case .added(let address, let role):
      if let place = place(address) {
        // Who comes back may have another task; what it has still to answer ends.
        guard workers[place].isLeaving else { break }
        (workers[place].role, workers[place].isLeaving) = (role, false)
      } else {
        workers.append(RouterWorker(address, role, settings))
      }
    case .removed(let address):
      guard let place = place(address) else { return [] }
      workers[place].isLeaving = true
      forget(address)
    case .probed(let address, let answer): probed(address, answer)
    case .arrived(let id, let request): return [send(id, Routed(request: request, worker: .none), at: now)]
    case .prefilled(let id, let outcome): prefilled(id, outcome, at: now)
    case .began(let id): read(id)
    case .failed(let id, let isFault, let next): return failed(id, isFault, next, at: now)
    case .ended(let id): release(id) { $0.breaker.succeeded() }
    case .left(let id): release(id) { $0.breaker.left() }
    }
    return []
  }

  private func place(_ address: WorkerAddress) -> Int? { workers.firstIndex { $0.address == address } }

  // MARK: Workers

  private mutating func probed(_ address: WorkerAddress, _ answer: (models: Set<String>, resumes: Bool)?) {
    guard let place = place(address) else { return }
    guard let answer else {
      workers[place].health = .down
      // What is started again has an empty cache.
      return workers[place].prefixes.removeAll()
    }
    workers[place].health = .ready
    (workers[place].models, workers[place].resumes) = (answer.models, answer.resumes)
  }

  /// Forgets a worker that leaves and has no more requests.
  private mutating func forget(_ address: WorkerAddress) {
    workers.removeAll { $0.address == address && $0.isLeaving && $0.active == 0 }
  }

  // MARK: Requests

  private mutating func send(_ id: RequestID, _ routed: Routed, resumes: Bool = false, at now: Double) -> Action {
    let request = routed.request
    func isCandidate(_ worker: RouterWorker) -> Bool {
      worker.role == .decode && worker.answers(request, at: now) && !routed.tried.contains(worker.address)
        && (!resumes || worker.resumes)
    }
    let candidates = workers.indices.filter { isCandidate(workers[$0]) }
    guard let place = choose(candidates, request) else {
      requests[id] = nil
      if !routed.tried.isEmpty { return .refuse(id, .failed) }
      let here = workers.filter { $0.role == .decode && !$0.isLeaving && $0.health != .down }
      if let model = request.model, !here.isEmpty, here.allSatisfy({ $0.models.map { !$0.contains(model) } ?? false }) {
        return .refuse(id, .noModel(model, known: here.reduce(into: Set()) { $0.formUnion($1.models!) }.sorted()))
      }
      return .refuse(id, .noWorker)
    }
    let known = workers[place].prefixes.known(request.keys)
    var routed = routed
    routed.worker = workers[place].address
    routed.unread = request.keys.count - known
    blocks.sent += request.keys.count
    blocks.known += known
    if let reader = prefill(request, missing: routed.unread, for: workers[place], at: now) {
      let unread = request.keys.count - workers[reader].prefixes.known(request.keys)
      workers[reader].take(request, unread: unread, at: now)
      (routed.prefill, routed.unread) = ((workers[reader].address, unread), 0)
    }
    workers[place].take(request, unread: routed.unread, at: now)
    requests[id] = routed
    return .send(id, to: routed.worker, resumable: workers[place].resumes, prefill: routed.prefill?.worker)
  }

  /// The worker on which a prompt is read, if it is worth while to move its blocks, and reading there is not much longer.
  private func prefill(
    _ request: RoutedRequest, missing: Int, for worker: RouterWorker, at now: Double
  ) -> Int? {
    // Only this project's own server goes on with answers of others, or with their prompts.
    guard request.isText, missing >= settings.prefillBlocks, worker.resumes else { return nil }
    let readers = workers.indices.filter { workers[$0].role == .prefill && workers[$0].answers(request, at: now) }
    guard let reader = readers.min(by: { cost(workers[$0], request) < cost(workers[$1], request) }) else { return nil }
    let there = workers[reader].unread + request.keys.count - workers[reader].prefixes.known(request.keys)
    return Double(there) <= settings.prefillShare * Double(worker.unread + missing) ? reader : nil
  }

  private mutating func prefilled(_ id: RequestID, _ outcome: PrefillOutcome, at now: Double) {
    guard requests[id]?.prefill != nil else { return }
    prefills[outcome, default: 0] += 1
    release(prefillOf: id) { worker in
      if outcome.isFault {
        worker.failures += 1
        worker.breaker.failed(at: now)
      } else if outcome == .moved {
        worker.breaker.succeeded()
      } else {
        worker.breaker.left()
      }
    }
  }

  /// Reading elsewhere is over, or of no more use.
  private mutating func release(prefillOf id: RequestID, _ note: (inout RouterWorker) -> Void) {
    guard let prefill = requests[id]?.prefill else { return }
    requests[id]!.prefill = nil
    guard let place = place(prefill.worker) else { return }
    workers[place].active -= 1
    workers[place].unread -= prefill.unread
    note(&workers[place])
    if workers[place].isLeaving { forget(prefill.worker) }
  }

  private mutating func failed(_ id: RequestID, _ isFault: Bool, _ remainder: Remainder, at now: Double) -> [Action] {
    guard let routed = requests[id] else { return [] }
    release(id) { worker in
      worker.failures += 1
      if isFault { worker.breaker.failed(at: now) } else { worker.breaker.left() }
    }
    var next = routed
    next.tried.append(routed.worker)
    if remainder == .nothing || next.tried.count >= settings.attempts { return [.refuse(id, .failed)] }
    let action = send(id, next, resumes: remainder == .rest, at: now)
    if case .send = action { if remainder == .rest { resumptions += 1 } else { retries += 1 } }
    return [action]
  }

  /// The prompt has been read.
  private mutating func read(_ id: RequestID) {
    guard let routed = requests[id], let place = place(routed.worker) else { return }
    workers[place].unread -= routed.unread
    requests[id]!.unread = 0
  }

  private mutating func release(_ id: RequestID, _ note: (inout RouterWorker) -> Void) {
    release(prefillOf: id) { $0.breaker.left() }
    guard let routed = requests.removeValue(forKey: id), let place = place(routed.worker) else { return }
    workers[place].active -= 1
    workers[place].unread -= routed.unread
    note(&workers[place])
    if workers[place].isLeaving { forget(routed.worker) }
  }

  // MARK: Policies

  private mutating func choose(_ candidates: [Int], _ request: RoutedRequest) -> Int? {
    if candidates.count < 2 { return candidates.first }
    if let session = request.session { return candidates.max { rank($0, session) < rank($1, session) } }
    switch settings.policy {
    case .roundRobin:
      turn += 1
      return candidates[turn % candidates.count]
    case .random: return candidates.randomElement(using: &random)
    case .powerOfTwo:
      let first = Int.random(in: 0..<candidates.count, using: &random)
      let second = (first + Int.random(in: 1..<candidates.count, using: &random)) % candidates.count
      let (a, b) = (candidates[first], candidates[second])
      return workers[b].active < workers[a].active ? b : a
    case .cacheAware:
      // From another place each time, so that of equals not always the first is taken.
      turn += 1
      let costs = candidates.indices.map { index -> (place: Int, cost: Double) in
        let place = candidates[(index + turn) % candidates.count]
        return (place, cost(workers[place], request))
      }
      return costs.min { $0.cost < $1.cost }?.place
    }
  }

  /// What the request would cost there, in blocks to be read: what other prompts lack, what this one lacks, and what the texts that
  /// are being written delay it by.
  private func cost(_ worker: RouterWorker, _ request: RoutedRequest) -> Double {
    let missing = request.keys.count - worker.prefixes.known(request.keys)
    return Double(worker.unread) + settings.missWeight * Double(missing)
      + settings.requestWeight * Double(worker.active)
  }

  /// Of all workers the one with the highest is a session's: when one goes, only its own sessions move (Thaler and Ravishankar,
  /// "Using name-based mappings to increase hit rates", 1998).
  private func rank(_ place: Int, _ session: String) -> UInt64 {
    PrefixKeys.seed("\(session)\u{0}\(workers[place].address)")
  }
}

extension WorkerAddress {
  /// No worker yet.
  fileprivate static let none = WorkerAddress(host: "", port: 0)
}
