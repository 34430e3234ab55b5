// A model that writes many texts at a time: one thread that asks the scheduler what comes next, computes it, chooses tokens, and
// tells the requests.
//
// Invariant: every request that was submitted gets exactly one of `refused`, `ended`, `impossible` and `failed`, and nothing after it. What a
// request is told does not depend on which others run beside it.

package import Core
internal import Dispatch
public import Formats
public import Models
package import Networks
internal import Synchronization
public import Tensors

/// Writes texts for many. It lives until it is drained.
public final class InferenceEngine: Sendable {
  public typealias ID = UInt64
  /// Called on the engine's thread, which waits for it: to pass on what it is told, no more.
  public typealias Receiver = @Sendable (GenerationEvent) -> Void

  private enum Command: Sendable {
    case submit(ID, GenerationRequest, Receiver)
    case cancel(ID)
    case perform(@Sendable (EngineWorker) -> Void)
    case stop
  }

  private struct Inbox {
    var commands: [Command] = []
    var nextID: ID = 1
    var isClosed = false
    var hasEnded = false
  }

  private let inbox = Mutex(Inbox())
  /// Rung for each command.
  private let bell = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)
  private let shared = Mutex(EngineStatistics())
  private let warmth = Atomic(false)
  /// Known adapters, by name.
  let adapterList = Mutex<[String: LowRankAdapter]>([:])
  /// What adapters are read for; nil: the model was not read from a disk.
  let pretrained: PretrainedModel?
  /// The type of adapters' matrices, and their greatest rank.
  let adapterForm: (element: ElementType, rank: Int)
  /// What a text may have at most, prompt and answer.
  public let context: Int
  /// The most texts that are read and written at a time.
  public let mostRunning: Int
  /// Bytes of keys and values.
  public let cacheBytes: Int
  public let tokenizer: any Tokenizer
  private let store: DiskBlockStore?
  /// Of blocks that other engines may have; nil: they do not move.
  package let blockForm: BlockForm?
  /// How many tokens the model knows.
  public let vocabulary: Int
  /// The tokens that end an answer.
  public let ends: Set<Int32>

  /// Loads a model and starts the engine.
  ///
  /// - Parameters:
  ///   - draft: for `speculation` by `draft`.
  ///   - movesBlocks: whether blocks of the cache go to other engines and come from them; not with `draft`, whose own do not.
  public convenience init(
    _ pretrained: PretrainedModel, draft: DraftSource? = nil,
    _ configuration: EngineConfiguration = EngineConfiguration(), movesBlocks: Bool = false, backend: any Backend
  ) throws {
    let tokenizer = try pretrained.tokenizer()
    try self.init(
      pretrained, try pretrained.weights(), draft: draft, tokenizer: tokenizer,
      ends: pretrained.endTokens.union(tokenizer.roles.endOfAnswer), configuration, movesBlocks: movesBlocks,
      backend: backend)
  }

  /// - Parameters:
  ///   - ends: the tokens that end a text of the model.
  ///   - storage: how keys and values are kept; by the weights if nil.
  ///   - clock: by which steps are timed, and requests are too late.
  package convenience init(
    _ pretrained: PretrainedModel, _ weights: WeightBinding, draft: DraftSource?, tokenizer: any Tokenizer,
    ends: Set<Int32>, _ configuration: EngineConfiguration, storage: CacheStorage? = nil, movesBlocks: Bool = false,
    backend: any Backend, clock: any SecondsClock = MonotonicClock()
  ) throws {
    let draft = configuration.speculation == .mtp && draft == nil ? .head(try PretrainedHead(of: pretrained)) : draft
    try self.init(
      pretrained.model, weights, draft: draft.map { try $0.bound(for: pretrained, tokenizer) }, tokenizer: tokenizer,
      ends: ends, configuration, storage: storage, pretrained: pretrained, movesBlocks: movesBlocks, backend: backend,
      clock: clock)
  }

  /// - Parameter ends: the tokens that end a text of the model.
  package init(
    _ model: any LanguageModel, _ weights: WeightBinding, draft: BoundDraft? = nil, tokenizer: any Tokenizer,
    ends: Set<Int32>, _ configuration: EngineConfiguration, storage: CacheStorage? = nil,
    pretrained: PretrainedModel? = nil, movesBlocks: Bool = false, backend: any Backend,
    clock: any SecondsClock = MonotonicClock()
  ) throws {
    // What drafts may know shorter texts than the model.
    var context = min(configuration.context ?? draft?.context ?? model.context, model.context)
    let storage = storage ?? weights.usualStorage
    var limits = Scheduler.Limits(context: context, blocks: 1)
    (limits.tokens, limits.running, limits.waiting) = (
      configuration.stepTokens, configuration.running, configuration.waiting
    )
    (limits.blockSize, limits.adapters) = (configuration.blockSize, configuration.adapterSlots)
    if configuration.speculation != .none {
      limits.drafted = min(max(configuration.draftTokens, configuration.running), configuration.stepTokens)
    }
    var bytes = max(1, StepRunner.bytesOfBlock(model, weights, limits, storage))
    bytes += draft?.bytesOfBlock(limits) ?? 0
    let wanted = configuration.cacheBlocks ?? (configuration.cacheMemory << 20) / bytes
    if configuration.context == nil { context = min(context, max(1, wanted) * limits.blockSize) }
    limits.context = context
    let least = (context + limits.blockSize - 1) / limits.blockSize
    let most = least * configuration.running
    limits.blocks = min(max(wanted, least), most)
    let runner = try StepRunner(
      model, weights, limits, storage: storage, watched: draft?.watched ?? [], backend: backend)
    let speculation = try Speculation(
      configuration, draft, limits, vocabulary: model.vocabulary, backend: backend)
    let isNamed = configuration.cacheFolder != nil || movesBlocks
    let fingerprint =
      isNamed ? StepRunner.fingerprint(model, weights, limits, storage, backend: backend) : ""
    let store = try configuration.cacheFolder.map { folder in
      try DiskBlockStore(
        folder: "\(folder)/\(fingerprint)", limit: (configuration.cacheFolderSize << 20) / bytes, memory: runner.memory)
    }
    blockForm =
      movesBlocks && draft == nil
      ? BlockForm(fingerprint: fingerprint, tokens: limits.blockSize, bytes: runner.memory.bytes) : nil
    self.store = store
    self.context = context
    mostRunning = limits.running
    self.tokenizer = tokenizer
    vocabulary = model.vocabulary
    self.ends = ends
    self.pretrained = pretrained
    adapterForm = (weights.usualStorage == .float(.float32) ? .float32 : .bfloat16, configuration.adapterRank)
    cacheBytes = limits.blocks * bytes
    // Only the new thread touches the runner from here on.
    nonisolated(unsafe) let worker = EngineWorker(
      runner, Scheduler(limits, store: store), speculation, tokenizer, ends, clock)
    Threads.start { [self] in run(worker) }
  }

  /// Asks for a text.
  ///
  /// - Parameter receiver: told of everything that happens to it, beginning before this function has returned, maybe.
  /// - Returns: by what to cancel it.
  @discardableResult
  public func submit(_ request: GenerationRequest, _ receiver: @escaping Receiver) -> ID {
    let (id, isClosed) = inbox.withLock { inbox in
      let id = inbox.nextID
      inbox.nextID += 1
      if !inbox.isClosed { inbox.commands.append(.submit(id, request, receiver)) }
      return (id, inbox.isClosed)
    }
    if isClosed { receiver(.refused(.stopping)) } else { bell.signal() }
    return id
  }

  /// Ends a request; it is told so, if it has not ended before.
  public func cancel(_ id: ID) {
    inbox.withLock { if !$0.hasEnded { $0.commands.append(.cancel(id)) } }
    bell.signal()
  }

  /// Does something on the engine's thread, between two steps, and waits for it.
  ///
  /// - Returns: nil if the engine takes no more requests.
  func perform<Result: Sendable>(_ work: @escaping @Sendable (EngineWorker) -> Result) -> Result? {
    let reply = Reply<Result>()
    let isTaken = enqueue { worker in
      let value = work(worker)
      reply.value.withLock { $0 = value }
      reply.isReady.signal()
    }
    if !isTaken { return nil }
    reply.isReady.wait()
    return reply.value.withLock { $0 }
  }

  /// Has something done on the engine's thread, between two steps.
  ///
  /// - Returns: false if the engine takes no more requests; it is not done then.
  func enqueue(_ work: @escaping @Sendable (EngineWorker) -> Void) -> Bool {
    let isTaken = inbox.withLock { inbox in
      if !inbox.isClosed { inbox.commands.append(.perform(work)) }
      return !inbox.isClosed
    }
    if isTaken { bell.signal() }
    return isTaken
  }

  private final class Reply<Value: Sendable>: Sendable {
    let value = Mutex<Value?>(nil)
    let isReady = DispatchSemaphore(value: 0)
  }

  /// What the engine does and has done.
  public var statistics: EngineStatistics { shared.withLock { $0 } }

  /// Takes no more requests, and returns when those that it has have ended.
  public func drain() {
    inbox.withLock {
      $0.isClosed = true
      $0.commands.append(.stop)
    }
    bell.signal()
    ended.wait()
    // For whoever waits, too.
    ended.signal()
  }

  /// Whether it has what the first request would wait for: weights in memory, and the tokenizer's tables.
  public var isReady: Bool { warmth.load(ordering: .acquiring) }

  /// A text with a bit of everything.
  static let probe = "The quick brown fox: 1,234.5 = x_y?\n  for é in 漢字 {}"

  private func run(_ worker: EngineWorker) {
    worker.warm()
    warmth.store(true, ordering: .releasing)
    while true {
      if worker.isIdle { bell.wait() }
      let commands = inbox.withLock { inbox in
        defer { inbox.commands.removeAll(keepingCapacity: true) }
        return inbox.commands
      }
      for command in commands {
        switch command {
        case .submit(let id, let request, let receiver): worker.submit(id, request, receiver)
        case .cancel(let id): worker.cancel(id)
        case .perform(let work): work(worker)
        case .stop: worker.isStopping = true
        }
      }
      worker.step()
      shared.withLock { $0 = worker.statistics }
      worker.tellEnds()
      if worker.isStopping && worker.isIdle { break }
    }
    store?.flush()
    inbox.withLock { $0.hasEnded = true }
    ended.signal()
  }
}
