// Who computes next: continuous batching (Yu et al., Orca, 2022) with prompts cut into pieces that share a step with texts being
// written (Agrawal et al., Sarathi-Serve, 2024, arXiv:2403.02310), over the paged cache.
//
// A step takes one token of every text that is being written, and fills what is left of its budget with pieces of prompts. If
// the cache is full, the running request of the lowest priority that came last gives up its blocks and computes them again
// later. Waiting requests go by priority, then by how little their tenant has been served (Sheng et al., 2024,
// arXiv:2401.00588), then by arrival; those whose next block another one computes wait for it. They take the places of running
// ones of lower priority where that gives them all that they need: a place in the step, blocks, and their adapter's place.
//
// Invariant: a value: events in, decisions out, time passed in. Every accepted request ends exactly once. The oldest request of
// the highest priority always gets on, since one request alone always fits. Nobody gives up anything for nothing: whoever it is
// for is a part of the same plan. A request waits for none of lower priority.

internal import Core

/// Decides what each step computes.
package struct Scheduler: Sendable {
  package struct Limits: Hashable, Sendable {
    /// Tokens of a step.
    package var tokens = 512
    /// Texts that run at a time.
    package var running = 64
    /// Drafted tokens of a step, and those that branches read again.
    package var drafted = 0
    /// Requests that wait at most.
    package var waiting = 1024
    /// The model's context.
    package var context: Int
    /// Blocks of the cache, and positions in a block.
    package var blocks: Int
    package var blockSize = 16
    /// Adapters that take part in a step.
    package var adapters = 8

    package init(context: Int, blocks: Int) { (self.context, self.blocks) = (context, blocks) }

    /// Sequences of a step: texts, and branches of at least two tokens each.
    package var sequences: Int { running + drafted / 2 }
  }

  package enum Event: Sendable {
    case submitted(ScheduledRequest)
    case cancelled(ScheduledRequest.ID)
    /// A step was computed.
    ///
    /// - Parameter chosen: for each part that was a text's last, the tokens that follow.
    case computed(EngineStep, chosen: [ScheduledRequest.ID: ChosenTokens])
    /// A step could not be computed: its texts end.
    case failed(EngineStep)
    /// Nothing but the time has changed.
    case tick
  }

  package enum Action: Sendable {
    case refused(ScheduledRequest.ID, Refusal)
    /// A request was taken from the queue; so many tokens of its prompt are in the cache.
    case started(ScheduledRequest.ID, cached: Int)
    /// A request gave up its place and will start again.
    case preempted(ScheduledRequest.ID)
    case ended(ScheduledRequest.ID, EndReason)
  }

  /// A request with what was done of it.
  struct Text: Sendable {
    var request: ScheduledRequest
    /// Prompt and what was written.
    var tokens: [Int32]
    /// The tenant's number.
    var tenant: Int
    var arrival: UInt64
    /// How many tokens have their keys and values in the cache.
    var computed = 0
    var table: PagedCache.Table?
    /// The place of its adapter, as long as it runs.
    var slot: Int?

    var root: PrefixTree.Root { PrefixTree.Root(adapter: request.adapter, salt: request.salt) }
    var written: Int { tokens.count - request.prompt.count }
    /// One token is left to compute, the last that was written.
    var isWriting: Bool { tokens.count - computed == 1 && written > 0 }
  }

  package let limits: Limits
  /// Between steps blocks may be put into it.
  var cache: PagedCache
  var shares = TenantShares()
  var waiting = WaitingQueue()
  var running: [Text] = []
  var adapters: AdapterSlots
  private var deadlines = Deadlines()
  /// Those that are part of the step that is being computed.
  var inFlight: Set<ScheduledRequest.ID> = []
  /// Those of them that end with the step.
  private var ending: [ScheduledRequest.ID: EndReason] = [:]
  private var arrivals: UInt64 = 0

  /// - Parameter store: keeps blocks beyond the cache; asked when a text begins and told when a block is full.
  /// - Precondition: a step has a token for each running text.
  package init(_ limits: Limits, store: (any BlockStore)? = nil) {
    precondition(limits.running <= limits.tokens, "\(limits.running) texts and \(limits.tokens) tokens a step")
    self.limits = limits
    cache = PagedCache(blocks: limits.blocks, blockSize: limits.blockSize, store: store)
    adapters = AdapterSlots(limits.adapters)
  }

  /// Requests that wait, and that run.
  package var counts: (waiting: Int, running: Int) { (waiting.count, running.count) }
  /// Blocks of running texts, and blocks kept for later ones, of all.
  package var cacheUse: (used: Int, kept: Int, all: Int) { (cache.count - cache.available, cache.idle, cache.count) }
  /// Names that are remembered: tenants, and what keeps texts apart in the cache.
  package var known: (tenants: Int, roots: Int) { (shares.count, cache.roots) }
  /// Whether there is anything to compute.
  package var isIdle: Bool { waiting.isEmpty && running.isEmpty }

  // MARK: Events

  package mutating func handle(_ event: Event, at now: Double) -> [Action] {
    switch event {
    case .submitted(let request): return submit(request)
    case .cancelled(let id): return end(id, .cancelled)
    case .computed(let step, let chosen): return finish(step, chosen) + expire(at: now)
    case .failed(let step): return abandon(step)
    case .tick: return expire(at: now)
    }
  }

  private mutating func submit(_ request: ScheduledRequest) -> [Action] {
    let (length, isHuge) = request.prompt.count.addingReportingOverflow(max(0, request.limit))
    let most = min(limits.context, limits.blocks * limits.blockSize)
    if request.prompt.isEmpty { return [.refused(request.id, .emptyPrompt)] }
    if isHuge || length > most { return [.refused(request.id, .tooLong(tokens: length, limit: most))] }
    if waiting.count >= limits.waiting { return [.refused(request.id, .queueFull(waiting.count))] }
    if request.limit <= 0 { return [.ended(request.id, .length)] }
    arrivals += 1
    let tenant = shares.arrive(request.tenant)
    waiting.insert(Text(request: request, tokens: request.prompt, tenant: tenant, arrival: arrivals))
    if let deadline = request.deadline {
      deadlines.insert(request.id, deadline) { [waiting, running] id in
        waiting[id] != nil || running.contains { $0.request.id == id }
      }
    }
    return []
  }

  /// Ends a request now, or as soon as the step that it is part of is computed.
  private mutating func end(_ id: ScheduledRequest.ID, _ reason: EndReason) -> [Action] {
    if let text = waiting.remove(id) {
      shares.leave(text.tenant)
      return [.ended(id, reason)]
    }
    guard let index = running.firstIndex(where: { $0.request.id == id }) else { return [] }
    if inFlight.contains(id) {
      ending[id] = ending[id] ?? reason
      return []
    }
    release(index)
    shares.leave(running.remove(at: index).tenant)
    return [.ended(id, reason)]
  }

  private mutating func expire(at now: Double) -> [Action] {
    deadlines.due(at: now).flatMap { end($0, .deadline) }
  }

  private mutating func finish(_ step: EngineStep, _ chosen: [ScheduledRequest.ID: ChosenTokens]) -> [Action] {
    inFlight = []
    var actions: [Action] = []
    let places = Dictionary(uniqueKeysWithValues: running.enumerated().map { ($1.request.id, $0) })
    for part in step.parts {
      let index = places[part.id]!
      let new = chosen[part.id]
      // Keys and values of drafted tokens count only where the text goes on with them.
      let computed = part.start + part.tokens.count - part.drafted + max(0, (new?.tokens.count ?? 0) - 1)
      running[index].tokens += new?.tokens.dropLast() ?? []
      running[index].computed = computed
      cache.settle(new?.branch, from: part.start, computed: computed, in: &running[index].table!)
      cache.computed(computed, of: running[index].tokens, in: &running[index].table!)
      waiting.advance(part.id, computed)
      var reason = ending.removeValue(forKey: part.id)
      if let new, reason == nil {
        running[index].tokens.append(new.tokens.last!)
        shares.serve(running[index].tenant, written: new.tokens.count)
        if new.isEnd {
          reason = .stop
        } else if running[index].written >= running[index].request.limit {
          reason = .length
        }
      }
      guard let reason else { continue }
      release(index)
      shares.leave(running[index].tenant)
      actions.append(.ended(part.id, reason))
    }
    running.removeAll { $0.table == nil }
    return actions
  }

  private mutating func abandon(_ step: EngineStep) -> [Action] {
    (inFlight, ending) = ([], [:])
    return step.parts.flatMap { end($0.id, .cancelled) }
  }

  /// Gives up the blocks of a running text and its adapter's place; who follows it need not.
  mutating func release(_ index: Int) {
    waiting.advance(running[index].request.id, nil)
    if let table = running[index].table { cache.end(table) }
    if let slot = running[index].slot { adapters.give(slot) }
    (running[index].table, running[index].slot, running[index].computed) = (nil, nil, 0)
  }
}
