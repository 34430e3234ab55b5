// Fetching the blocks of a prompt from a worker that reads prompts for others.
//
// A router names that worker in a header of the request, with a key that workers and routers share. The worker that answers asks it
// for the tokens' blocks and puts them into its own cache; then the request goes its usual way. What does not come is read here.
//
// Invariant: nothing that the other worker does makes a request fail or changes its answer.

internal import AsyncHTTPClient
internal import Core
internal import Crypto
internal import Dispatch
internal import Inference
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// Gives blocks to workers that have the key, and fetches them.
package final class CacheTransfer: Sendable {
  /// Of requests: where the prompt is to be read, and the key.
  static let (workerHeader, keyHeader) = ("x-prefill-worker", "x-transfer-key")
  /// Bytes of blocks that are copied at a time, between two steps of the engine: out of it as many as it may compute in a step, and
  /// into it so many that its streams are late by some milliseconds.
  static let (givenPiece, takenPiece) = (64 << 20, 32 << 20)

  struct Counts {
    var outcomes: [PrefillOutcome: Int] = [:]
    /// Blocks that were given away, and that came.
    var given = 0
    var taken = 0
    /// Seconds that requests have waited for blocks.
    var seconds = 0.0
  }

  private let key: Mutex<String>
  private let client: HTTPClient
  private let counted = Mutex(Counts())
  /// Requests that are to be submitted when their blocks are here, or when the server is being stopped.
  private let waiting = Mutex((tasks: [UInt64: Task<Void, Never>](), next: UInt64(0), isStopped: false))
  private let waits = DispatchGroup()
  private let clock = MonotonicClock()

  /// - Parameters:
  ///   - key: what workers and routers share.
  ///   - authority: a PEM file with the authorities that have signed the other workers' certificates; nil: the system's.
  ///   - patience: seconds without a byte after which another worker is given up.
  package init(key: String, authority: String? = nil, patience: Int = 30) throws {
    self.key = Mutex(key)
    client = try HTTPClient.ofWorkers(authority: authority, patience: .seconds(Int64(patience)))
  }

  /// Takes another key from now on; blocks that are under way go on.
  package func replace(key new: String) { key.withLock { $0 = new } }

  /// Does something with blocks, and then what follows on it; the latter alone from `stop` on.
  ///
  /// - Returns: what ends the former.
  func wait(
    for work: @escaping @Sendable () async -> Void, then next: @escaping @Sendable () -> Void
  ) -> @Sendable () -> Void {
    let task = waiting.withLock { waiting -> Task<Void, Never>? in
      if waiting.isStopped { return nil }
      let id = waiting.next
      waiting.next += 1
      waits.enter()
      let task = Task {
        await work()
        next()
        self.waiting.withLock { $0.tasks[id] = nil }
        self.waits.leave()
      }
      waiting.tasks[id] = task
      return task
    }
    guard let task else {
      next()
      return {}
    }
    return { task.cancel() }
  }

  /// Fetches nothing from here on, and returns when all requests that waited for blocks have gone on.
  func stop() {
    let tasks = waiting.withLock { waiting in
      waiting.isStopped = true
      return Array(waiting.tasks.values)
    }
    for task in tasks { task.cancel() }
    waits.wait()
    try? client.syncShutdown()
  }

  var counts: Counts { counted.withLock { $0 } }
  func gave(_ blocks: Int) { counted.withLock { $0.given += blocks } }

  /// Whether a request brings the key. Hashes are compared: how long that takes says nothing of the key.
  func isKnown(_ request: HTTPRequest) -> Bool {
    guard let given = request.headers[Self.keyHeader] else { return false }
    return SHA256.hash(data: Array(given.utf8)) == SHA256.hash(data: Array(key.withLock { $0 }.utf8))
  }

  /// The worker on which a request's prompt is to be read, as its router says.
  func worker(of request: HTTPRequest) -> WorkerAddress? {
    guard let url = request.headers[Self.workerHeader], isKnown(request) else { return nil }
    return try? WorkerAddress(url: url)
  }

  /// Fetches the blocks of a request's prompt that are not here.
  func fetch(_ request: GenerationRequest, from worker: WorkerAddress, into engine: InferenceEngine) async
    -> PrefillOutcome
  {
    let begin = clock.seconds
    let (outcome, blocks) = await take(request, worker, engine)
    let seconds = clock.seconds - begin
    counted.withLock { counts in
      counts.outcomes[outcome, default: 0] += 1
      counts.taken += blocks
      counts.seconds += seconds
    }
    return outcome
  }

  private func take(_ request: GenerationRequest, _ worker: WorkerAddress, _ engine: InferenceEngine) async
    -> (PrefillOutcome, blocks: Int)
  {
    guard let form = engine.blockForm else { return (.needless, 0) }
    let tokens = request.prompt + request.written
    // The last token is read here in any case: what follows on it is wanted.
    let count = (tokens.count - 1) / form.tokens
    let text = MovedText(tokens: Array(tokens.prefix(max(0, count) * form.tokens)), salt: request.salt)
    let first = await engine.known(text)
    if first >= count { return (.needless, 0) }
    var question = HTTPClientRequest(url: "\(worker)/v1/cache/blocks")
    question.method = .POST
    question.headers.add(name: Self.keyHeader, value: key.withLock { $0 })
    let body: JSONValue = [
      "form": .string(form.fingerprint), "tokens": .tokens(text.tokens), "from": .number(JSONNumber(first)),
      "cache_salt": .string(text.salt), "user": .string(request.tenant),
      "priority": .number(JSONNumber(request.priority)),
    ]
    question.body = .bytes(ByteBuffer(bytes: body.jsonBytes))

    var next = first
    var waiting: [[UInt8]] = []
    func adopt() async -> Bool {
      if waiting.isEmpty { return true }
      defer { waiting = [] }
      guard await engine.adopt(waiting, from: next, of: text) else { return false }
      next += waiting.count
      return true
    }
    var (outcome, hasBegun) = (PrefillOutcome.moved, false)
    do {
      // How long it takes follows from the prompt and from the queue there; only silence ends it.
      let reply = try await client.execute(question, deadline: .distantFuture)
      guard reply.status == .ok else {
        switch reply.status {
        case .tooManyRequests, .serviceUnavailable: return (.busy, 0)
        // It is well, but has no room for a text of this length.
        case .badRequest: return (.needless, 0)
        default: return (.unusable, 0)
        }
      }
      hasBegun = true
      var reader = BlockStreamReader(text.keys(blockSize: form.tokens)[first...], first: first, form: form)
      for try await bytes in reply.body {
        waiting += try reader.read(bytes.readableBytesView)
        if waiting.count * form.bytes >= Self.takenPiece, await !adopt() { return (.full, next - first) }
      }
      try reader.finish()
    } catch BlockStreamError.otherForm {
      outcome = .unusable
    } catch is BlockStreamError {
      outcome = .damaged
    } catch {
      // Before the first byte, silence is a queue.
      let isQueue = !hasBegun && error as? HTTPClientError == .readTimeout
      outcome = isQueue || Task.isCancelled ? .busy : .unreachable
    }
    // What came whole before something went wrong is good.
    if await !adopt() { outcome = .full }
    if outcome == .moved && next == first { outcome = .busy }
    return (outcome, next - first)
  }
}
