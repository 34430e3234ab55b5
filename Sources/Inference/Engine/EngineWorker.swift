// What the engine's thread does: requests to the scheduler, steps to the model, logits to samplers, tokens to receivers.

internal import Core
internal import Formats
internal import Models

/// An engine without its thread. Not for concurrent use.
final class EngineWorker {
  /// A request that has not ended. A class: it is looked up for each token and must not be copied.
  private final class Active {
    let request: GenerationRequest
    let adapter: LowRankAdapter?
    var sampler: Sampler
    var text: TextStream
    let receiver: InferenceEngine.Receiver
    var times: RequestTimes
    var cached = 0
    var written = 0
    /// Positions of the prompt behind which the next token's probability was told.
    var scored = 0
    /// What the last token said: the end, by a stop string or not.
    var stop: String?

    init(
      _ request: GenerationRequest, _ adapter: LowRankAdapter?, _ sampler: Sampler, _ text: TextStream,
      _ receiver: @escaping InferenceEngine.Receiver, arrived: Double
    ) {
      (self.request, self.adapter, self.sampler, self.text) = (request, adapter, sampler, text)
      self.receiver = receiver
      times = RequestTimes(arrived: arrived)
    }

    /// Takes a token that the sampler has accepted into the text: the text that is certain, and whether it ends here.
    func take(_ token: Int32) -> (text: String, isEnd: Bool) {
      written += 1
      var isEnd = sampler.ends.contains(token)
      var piece = ""
      if !isEnd {
        piece = text.push(token)
        stop = text.stopped
        isEnd = sampler.mustEnd || stop != nil
      }
      return (piece, isEnd)
    }
  }

  var isStopping = false
  private(set) var statistics = EngineStatistics()
  private let runner: StepRunner
  private var scheduler: Scheduler
  private let speculation: Speculation?
  private let tokenizer: any Tokenizer
  private let ends: Set<Int32>
  private var active: [InferenceEngine.ID: Active] = [:]
  /// The blocks of texts that other engines are given.
  private var given: [InferenceEngine.ID: PagedCache.Table] = [:]
  /// Ends that receivers are not yet told of: whoever knows of one shall find it in the statistics.
  private var untold: [(receiver: InferenceEngine.Receiver, end: GenerationEnd)] = []
  private let workspace = SamplingWorkspace()
  private let clock: any SecondsClock
  /// By name, each with what keys and values depend on.
  private var adapters: [String: (fingerprint: String, adapter: LowRankAdapter)] = [:]

  init(
    _ runner: StepRunner, _ scheduler: Scheduler, _ speculation: Speculation?, _ tokenizer: any Tokenizer,
    _ ends: Set<Int32>, _ clock: any SecondsClock
  ) {
    self.runner = runner
    self.clock = clock
    self.scheduler = scheduler
    self.speculation = speculation
    self.tokenizer = tokenizer
    self.ends = ends
  }

  var isIdle: Bool { scheduler.isIdle }

  /// Does once what the first request would wait for. What goes wrong, requests are told.
  func warm() {
    let tokens = tokenizer.encode(InferenceEngine.probe, specials: .recognized, addingSpecials: true)
    _ = tokenizer.decode(tokens)
    try? runner.warm()
    try? speculation?.warm()
  }

  // MARK: Requests

  func submit(_ id: InferenceEngine.ID, _ request: GenerationRequest, _ receiver: @escaping InferenceEngine.Receiver) {
    let now = clock.seconds
    if isStopping { return receiver(.refused(.stopping)) }
    do {
      try request.sampling.check(vocabulary: runner.vocabulary)
      if let bad = (request.prompt + request.written).first(where: { $0 < 0 || $0 >= runner.vocabulary }) {
        let message = "The prompt holds the token \(bad); the vocabulary has \(runner.vocabulary)."
        return receiver(.refused(.invalid(message)))
      }
    } catch {
      return receiver(.refused(.invalid(error.message)))
    }
    // How surprising each token was is known with its logits alone.
    if !request.written.isEmpty, request.sampling.mirostat.tau > 0, request.sampling.temperature > 0 {
      return receiver(.refused(.invalid("An answer under mirostat cannot go on from tokens that were written before.")))
    }
    let adapter = request.adapter.flatMap { adapters[$0] }
    if let name = request.adapter, adapter == nil {
      return receiver(.refused(.invalid("There is no adapter '\(name)'.")))
    }
    var sampler = Sampler(
      request.sampling, ends: ends, stream: request.stream, constraint: request.constraint, tokenizer: tokenizer)
    sampler.begin(after: request.prompt)
    let text = TextStream(
      tokenizer, request.sampling, after: request.prompt, skippingSpecials: request.skipsSpecials)
    let new = Active(request, adapter?.adapter, sampler, text, receiver, arrived: now)
    guard let (old, isEnd) = repeated(request.written, new) else {
      return receiver(.refused(.invalid("The tokens that were written before do not fit what the answer is held to.")))
    }
    active[id] = new
    count(new, waiting: 1, running: 0)
    if isEnd || !old.isEmpty && old.count >= request.limit {
      for event in old { receiver(event) }
      return end(id, isEnd ? .stop : .length, now)
    }
    let written = old.isEmpty ? [] : request.written
    var scheduled = ScheduledRequest(
      id: id, prompt: request.prompt + written, limit: request.limit - written.count)
    (scheduled.priority, scheduled.tenant, scheduled.salt) = (request.priority, request.tenant, request.salt)
    scheduled.adapter = adapter?.fingerprint ?? ""
    // What is found in the cache is not computed, and so not scored.
    if request.promptLogProbabilities != nil {
      scheduled.salt += "\0scored \(id)"
      scheduled.isStored = false
    }
    scheduled.deadline = request.timeout.map { now + $0 }
    perform(scheduler.handle(.submitted(scheduled), at: now))
    if active[id] != nil { for event in old { receiver(event) } }
  }

  /// Takes the tokens that an answer begins with: what its receiver is told, and whether they end it; nil if they cannot be.
  private func repeated(_ tokens: [Int32], _ new: Active) -> (events: [GenerationEvent], isEnd: Bool)? {
    var events: [GenerationEvent] = []
    for token in tokens {
      guard new.sampler.allows(token, vocabulary: runner.vocabulary) else { return nil }
      new.sampler.accept(token)
      let (text, isEnd) = new.take(token)
      events.append(.token(TokenChoice(token: token), text: text))
      if isEnd { return (events, true) }
    }
    return (events, false)
  }

  func cancel(_ id: InferenceEngine.ID) { perform(scheduler.handle(.cancelled(id), at: clock.seconds)) }

  // MARK: Adapters

  /// Makes an adapter known under a name. Requests that have begun with another of this name keep it.
  func adapt(_ name: String, _ adapter: LowRankAdapter, fingerprint: String) throws {
    // Requests that wait may have begun with ones that are forgotten since.
    try runner.makeRoom(for: adapters.values.map(\.adapter) + active.values.compactMap(\.adapter) + [adapter])
    adapters[name] = (fingerprint, adapter)
  }

  /// Forgets an adapter. Requests that have begun with it go on.
  func forget(_ name: String) { adapters[name] = nil }

  // MARK: Blocks of other engines

  /// How many blocks of a text's beginning are in the cache.
  func known(_ text: MovedText) -> Int { scheduler.cache.known(text.tokens, text.root).count }

  /// Copies of a text's blocks that are in the cache, where all that are there stay for the request that has it read.
  func blocks(_ range: Range<Int>, of text: MovedText, for id: InferenceEngine.ID) -> [[UInt8]] {
    var table = given.removeValue(forKey: id) ?? scheduler.cache.hold(text.root)
    scheduler.cache.follow(text.tokens, in: &table)
    given[id] = table
    return table.blocks[range.clamped(to: 0..<table.blocks.count)].map { runner.memory.read($0) }
  }

  /// Lets the blocks of a text go that are held for being given.
  func letGo(_ id: InferenceEngine.ID) {
    if let table = given.removeValue(forKey: id) { scheduler.cache.end(table) }
  }

  /// Puts a text's blocks into the cache.
  ///
  /// - Returns: whether they are there now.
  func adopt(_ blocks: [[UInt8]], from first: Int, of text: MovedText) -> Bool {
    let end = (first + blocks.count) * scheduler.limits.blockSize
    return scheduler.cache.adopt(Array(text.tokens.prefix(end)), from: first, text.root) { number, block in
      blocks[number - first].withUnsafeBytes { runner.memory.write($0, to: block) }
    }
  }

  /// Notes that a request with an adapter waits, runs or is no more.
  private func count(_ request: Active, waiting: Int, running: Int) {
    guard let name = request.request.adapter else { return }
    var use = statistics.adapters[name] ?? EngineStatistics.AdapterUse()
    (use.waiting, use.running) = (use.waiting + waiting, use.running + running)
    statistics.adapters[name] = use == EngineStatistics.AdapterUse() ? nil : use
  }

  /// Takes out a request that has ended.
  private func remove(_ id: InferenceEngine.ID) -> Active? {
    guard let request = active.removeValue(forKey: id) else { return nil }
    speculation?.end(id)
    if request.times.started == nil {
      count(request, waiting: -1, running: 0)
    } else {
      count(request, waiting: 0, running: -1)
    }
    return request
  }

  // MARK: Steps

  /// Computes the next step, if there is anything to compute.
  func step() {
    let (step, actions) = scheduler.plan(at: clock.seconds)
    perform(actions)
    // Nobody waits for engines that are slow to take what they are given.
    if step == nil, !scheduler.isIdle { for id in Array(given.keys) { letGo(id) } }
    for (slot, id) in step?.placed ?? [] { runner.place(active[id]!.adapter!, in: slot) }
    if let step { compute(step) }
    note()
  }

  private func compute(_ step: EngineStep) {
    let start = clock.seconds
    var begin = start
    var step = step
    var chosen: [InferenceEngine.ID: ChosenTokens] = [:]
    do {
      try speculation?.extend(&step, &scheduler) { active[$0]?.sampler }
      begin = clock.seconds
      try runner.run(step) { part in
        !part.isWriting && active[part.id]?.request.promptLogProbabilities != nil
      } score: { part, offset, logits in
        score(part.id, part.start + offset, logits)
      } receive: { part, row, logits in
        if let request = active[part.id], request.request.wantsState { request.receiver(.state(runner.state(row))) }
        chosen[part.id] = choose(part, logits)
      }
      try speculation?.computed(step, chosen, features: runner.features, seconds: clock.seconds - begin)
    } catch {
      // What the step should have written to the cache is not there: none of its texts can go on.
      for part in step.parts { tell(part.id, .failed("The model could not be run: \(error)")) }
      return perform(scheduler.handle(.failed(step), at: clock.seconds))
    }
    let now = clock.seconds
    statistics.computed(step, chosen, seconds: now - start)
    perform(scheduler.handle(.computed(step, chosen: chosen), at: now))
  }

  /// Tells how likely the token of a prompt is that follows on a position.
  private func score(_ id: InferenceEngine.ID, _ position: Int, _ logits: UnsafeBufferPointer<Float>) {
    // What is computed once more was told before.
    guard let text = active[id], let count = text.request.promptLogProbabilities, position == text.scored,
      position + 1 < text.request.prompt.count
    else { return }
    text.scored += 1
    let token = text.request.prompt[position + 1]
    let (chosen, likeliest) = workspace.logProbabilities(logits, of: token, likeliest: count)
    let logit = logits[Int(token)]
    text.receiver(
      .prompt(
        PromptToken(
          choice: TokenChoice(token: token, logProbability: chosen, likeliest: likeliest),
          rank: 1 + logits.count { $0 > logit })))
  }

  /// Chooses the tokens that follow: one, and one more for each drafted token that was chosen, too.
  private func choose(_ part: EngineStep.Part, _ logits: LogitRows) -> ChosenTokens? {
    var result = ChosenTokens([], isEnd: false)
    /// The ways on that begin with what was chosen.
    var ways = [(branch: Int?.none, drafts: part.drafts(nil))] + part.branches.indices.map { ($0, part.drafts($0)) }
    while true {
      let row = part.wantedRow(result.branch, depth: result.tokens.count)
      guard let next = choose(part.id, logits[row]) else { return nil }
      result.tokens.append(next.token)
      result.isEnd = next.isEnd
      ways = ways.filter { $0.drafts.first == next.token }.map { ($0.branch, $0.drafts.dropFirst()) }
      guard !next.isEnd, let way = ways.first else { return result }
      result.branch = way.branch
    }
  }

  /// Chooses the next token of a text and tells its receiver.
  private func choose(_ id: InferenceEngine.ID, _ logits: UnsafeBufferPointer<Float>) -> (token: Int32, isEnd: Bool)? {
    guard let request = active[id] else { return nil }
    let choice: TokenChoice
    do {
      choice = try request.sampler.next(logits, in: workspace)
    } catch {
      fail(id, request.request.isHeld ? .impossible(error.message) : .failed(error.message))
      return nil
    }
    let now = clock.seconds
    let (text, isEnd) = request.take(choice.token)
    if request.times.firstToken == nil { request.times.firstToken = now }
    request.times.lastToken = now
    request.receiver(.token(choice, text: text))
    return (choice.token, isEnd)
  }

  /// Ends a request that cannot go on.
  private func fail(_ id: InferenceEngine.ID, _ event: GenerationEvent) {
    tell(id, event)
    perform(scheduler.handle(.cancelled(id), at: clock.seconds))
  }

  private func tell(_ id: InferenceEngine.ID, _ event: GenerationEvent) {
    guard let request = remove(id) else { return }
    statistics.failed += 1
    request.receiver(event)
  }

  // MARK: What the scheduler decides

  private func perform(_ actions: [Scheduler.Action]) {
    let now = clock.seconds
    for action in actions {
      switch action {
      case .refused(let id, let refusal):
        statistics.refused += 1
        remove(id)?.receiver(.refused(refusal))
      case .started(let id, let cached):
        // Whoever starts again was told and counted before.
        guard let request = active[id], request.times.started == nil else { continue }
        statistics.started(prompt: request.request.prompt.count, cached: cached)
        (request.times.started, request.cached) = (now, cached)
        if request.request.limit > 1 { speculation?.begin(id, request.request) }
        count(request, waiting: -1, running: 1)
        request.receiver(.started(cached: cached))
      case .preempted: statistics.preemptions += 1
      case .ended(let id, let reason): end(id, reason, now)
      }
    }
  }

  private func end(_ id: InferenceEngine.ID, _ reason: EndReason, _ now: Double) {
    guard let request = remove(id) else { return }
    request.times.ended = now
    let end = GenerationEnd(
      reason: reason, stop: request.stop, text: request.text.finish(), prompt: request.request.prompt.count,
      cached: request.cached, written: request.written, times: request.times)
    statistics.ended(end.reason)
    untold.append((request.receiver, end))
  }

  /// Tells receivers of what has ended, when the statistics have been passed on.
  func tellEnds() {
    for (receiver, end) in untold { receiver(.ended(end)) }
    untold.removeAll(keepingCapacity: true)
  }

  private func note() {
    let (waiting, running) = scheduler.counts
    let cache = scheduler.cacheUse
    (statistics.waiting, statistics.running) = (waiting, running)
    (statistics.cacheBlocks, statistics.usedBlocks, statistics.keptBlocks) = (cache.all, cache.used, cache.kept)
    statistics.adapterSlots = scheduler.limits.adapters
  }
}
