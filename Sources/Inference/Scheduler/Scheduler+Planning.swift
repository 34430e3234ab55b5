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
    var leaders = leaders()
    var placed: [(slot: Int, id: ScheduledRequest.ID)] = []
    while budget > 0, running.count < limits.running, let index = admit(&leaders, &placed, &actions) {
      let count = min(running[index].tokens.count - running[index].computed, budget)
      guard cache.reserve(running[index].computed + count, in: &running[index].table!) else {
        preconditionFailure("a request is admitted with room for its prompt")
      }
      budget -= count
      parts.append(part(index, count))
    }
    inFlight = Set(parts.map(\.id))
    return (parts.isEmpty ? nil : EngineStep(parts: parts, placed: placed), actions)
  }

  private func part(_ index: Int, _ count: Int) -> EngineStep.Part {
    let text = running[index]
    let end = text.computed + count
    // A copy where it is short: a slice would make the text's next token copy all of it.
    let tokens = count == 1 ? [text.tokens[text.computed]] : text.tokens[text.computed..<end]
    return EngineStep.Part(
      id: text.request.id, start: text.computed, tokens: tokens, blocks: text.table!.blocks, slot: text.slot,
      isLast: end == text.tokens.count, isWriting: text.isWriting)
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
    guard let first = waiting.first(shares) else { return }
    while let last = running.last, last.request.priority < first.request.priority,
      running.count >= limits.running || !adapters.hasRoom(for: first.request.adapter)
        || !cache.hasRoom(for: first.tokens.count + 1, of: first.tokens, first.root)
    { preempt(&actions) }
  }

  /// Sends the running request that goes last back to the queue.
  private mutating func preempt(_ actions: inout [Action]) {
    release(running.count - 1)
    let text = running.removeLast()
    waiting.insert(text)
    actions.append(.preempted(text.request.id))
  }

  // MARK: The queue

  /// Who computes a block that others might wait for.
  private func leaders() -> [PagedCache.Coming: ScheduledRequest.ID] {
    if waiting.isEmpty { return [:] }
    let reading = running.lazy.filter { !$0.isWriting }
      .compactMap { [cache] text in cache.next(text.tokens, text.table!).map { ($0, text.request.id) } }
    return Dictionary(reading) { first, _ in first }
  }

  /// Takes the request that is next from the queue.
  ///
  /// - Parameter placed: adapters that get a place.
  /// - Returns: its place among the running ones, the last; nil: none can begin now.
  private mutating func admit(
    _ leaders: inout [PagedCache.Coming: ScheduledRequest.ID],
    _ placed: inout [(slot: Int, id: ScheduledRequest.ID)], _ actions: inout [Action]
  ) -> Int? {
    while var text = waiting.first(shares) {
      // Where one waits for a place, no later one may keep the places from becoming free.
      guard adapters.hasRoom(for: text.request.adapter), text.request.adapter.isEmpty || !waiting.hasParked else {
        waiting.park(text.request.id)
        continue
      }
      let table = cache.begin(text.tokens, text.root, isStored: text.request.isStored)
      let next = cache.next(text.tokens, table)
      if let next, let leader = leaders[next] {
        cache.end(table)
        follow(text, leader)
        continue
      }
      // Room for the whole prompt and the token after it: else it would soon be among those that give theirs up.
      guard cache.blocks(for: text.tokens.count + 1) - table.blocks.count <= cache.available else {
        cache.end(table)
        return nil
      }
      if let next { leaders[next] = text.request.id }
      if !text.request.adapter.isEmpty, let (slot, isNew) = adapters.take(text.request.adapter) {
        text.slot = slot
        if isNew { placed.append((slot, text.request.id)) }
      }
      text.computed = table.blocks.count * limits.blockSize
      text.table = table
      waiting.remove(text.request.id)
      running.append(text)
      shares.serve(text.tenant, read: text.tokens.count - text.computed)
      actions.append(.started(text.request.id, cached: text.computed))
      return running.count - 1
    }
    return nil
  }

  /// Lets a request wait until a running one has computed what both begin with.
  private mutating func follow(_ text: Text, _ leader: ScheduledRequest.ID) {
    let leading = running.first { $0.request.id == leader }!.tokens
    let common = zip(text.tokens, leading).prefix { $0 == $1 }.count
    waiting.follow(text.request.id, leader, until: common / limits.blockSize * limits.blockSize)
  }

  // MARK: Drafts

  /// Makes room behind texts that are being written for tokens that are drafted, as far as the step and the cache have it
  /// without taking anything from others.
  ///
  /// - Parameter wanted: how many for which request.
  package mutating func makeRoom(forDrafts wanted: [ScheduledRequest.ID: Int], in step: inout EngineStep) {
    var left = min(limits.drafted, limits.tokens - step.count)
    let places = Dictionary(uniqueKeysWithValues: running.enumerated().map { ($1.request.id, $0) })
    for index in step.parts.indices where step.parts[index].isWriting {
      let place = places[step.parts[index].id]!
      // The last token of all is chosen, not drafted.
      let rest = running[place].request.limit - running[place].written - 1
      let room = min(wanted[step.parts[index].id] ?? 0, rest, left)
      guard room > 0, cache.reserve(running[place].tokens.count + room, in: &running[place].table!) else { continue }
      step.parts[index].room = room
      step.parts[index].blocks = running[place].table!.blocks
      left -= room
    }
  }
}

extension Scheduler.Text {
  /// The order in which running texts have a right to the cache.
  static func goesFirst(_ a: Self, _ b: Self) -> Bool {
    a.request.priority != b.request.priority ? a.request.priority > b.request.priority : a.arrival < b.arrival
  }
}
