// What the next step computes.

extension Scheduler {
  /// The next step; nil: there is nothing to compute.
  ///
  /// - Precondition: the step before it was computed.
  package mutating func plan(at now: Double) -> (step: EngineStep?, actions: [Action]) {
    precondition(inFlight.isEmpty, "a step is being computed")
    var actions = handle(.tick, at: now)
    running.sort(by: Text.goesFirst)
    giveWay(&actions)
    var parts: [EngineStep.Part] = []
    // Texts being written have their token for sure.
    var budget = limits.tokens - running.count(where: \.isWriting)
    var index = 0
    while index < running.count {
      let text = running[index]
      let count = text.isWriting ? 1 : min(text.tokens.count - text.computed, budget)
      if count > 0, makeRoom(text.computed + count, for: index, &actions) {
        if !text.isWriting { budget -= count }
        parts.append(part(index, count))
      }
      index += 1
    }
    while budget > 0, running.count < limits.running, let index = admit(&actions) {
      let count = min(running[index].tokens.count - running[index].computed, budget)
      guard cache.reserve(running[index].computed + count, in: &running[index].table!) else {
        preconditionFailure("a request is admitted with room for its prompt")
      }
      budget -= count
      parts.append(part(index, count))
    }
    inFlight = Set(parts.map(\.id))
    return (parts.isEmpty ? nil : EngineStep(parts: parts), actions)
  }

  private func part(_ index: Int, _ count: Int) -> EngineStep.Part {
    let text = running[index]
    let end = text.computed + count
    // A copy where it is short: a slice would make the text's next token copy all of it.
    let tokens = count == 1 ? [text.tokens[text.computed]] : text.tokens[text.computed..<end]
    return EngineStep.Part(
      id: text.request.id, start: text.computed, tokens: tokens, blocks: text.table!.blocks,
      isLast: end == text.tokens.count)
  }

  // MARK: Room

  /// Room in the cache for so many positions of a running text, if need be instead of those that go after it, which are no
  /// part of the step yet.
  private mutating func makeRoom(_ positions: Int, for index: Int, _ actions: inout [Action]) -> Bool {
    while !cache.reserve(positions, in: &running[index].table!) {
      guard index < running.count - 1 else { return false }
      preempt(&actions)
    }
    return true
  }

  /// Running requests of lower priority make room for the waiting one that goes first.
  private mutating func giveWay(_ actions: inout [Action]) {
    guard let place = first(besides: []) else { return }
    let request = waiting[place].request
    let blocks = cache.blocks(for: waiting[place].tokens.count + 1)
    while let last = running.last, last.request.priority < request.priority,
      running.count >= limits.running || blocks > cache.available
    { preempt(&actions) }
  }

  /// Sends the running request that goes last back to the queue.
  private mutating func preempt(_ actions: inout [Action]) {
    release(running.count - 1)
    let text = running.removeLast()
    waiting.append(text)
    actions.append(.preempted(text.request.id))
  }

  // MARK: The queue

  /// Takes the request that is next from the queue.
  ///
  /// - Returns: its place among the running ones, the last; nil: none can begin now.
  private mutating func admit(_ actions: inout [Action]) -> Int? {
    guard !waiting.isEmpty else { return nil }
    let coming = Set(running.lazy.filter { !$0.isWriting }.compactMap { [cache] in cache.next($0.tokens, $0.table!) })
    var patient: Set<Int> = []
    while let place = first(besides: patient) {
      var text = waiting[place]
      let root = PrefixTree.Root(adapter: text.request.adapter, salt: text.request.salt)
      guard let table = cache.begin(text.tokens, root, coming: coming) else {
        patient.insert(place)
        continue
      }
      // Room for the whole prompt and the token after it: else it would soon be among those that give theirs up.
      guard cache.blocks(for: text.tokens.count + 1) - table.blocks.count <= cache.available else {
        cache.end(table)
        return nil
      }
      text.computed = table.blocks.count * limits.blockSize
      text.table = table
      waiting.remove(at: place)
      running.append(text)
      shares.serve(text.tenant, read: text.tokens.count - text.computed)
      actions.append(.started(text.request.id, cached: text.computed))
      return running.count - 1
    }
    return nil
  }

  /// The place in the queue of the request that goes first.
  private func first(besides patient: Set<Int>) -> Int? {
    func goesFirst(_ a: Text, _ b: Text) -> Bool {
      if a.request.priority != b.request.priority { return a.request.priority > b.request.priority }
      let (first, second) = (shares[a.tenant], shares[b.tenant])
      return first != second ? first < second : a.arrival < b.arrival
    }
    return waiting.indices.lazy.filter { !patient.contains($0) }.min { goesFirst(waiting[$0], waiting[$1]) }
  }
}

extension Scheduler.Text {
  /// The order in which running texts have a right to the cache.
  static func goesFirst(_ a: Self, _ b: Self) -> Bool {
    a.request.priority != b.request.priority ? a.request.priority > b.request.priority : a.arrival < b.arrival
  }
}
