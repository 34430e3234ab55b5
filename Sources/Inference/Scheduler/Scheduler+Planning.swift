// What the next step computes.
//
// Running texts get their parts in the order of their rights; before each of them, waiting requests of higher priority begin. So
// whoever gives up a place goes after the one that it is for, and is no part of the step yet. Whether a request can begin is
// known before anybody gives up anything for it.

extension Scheduler {
  /// A step in the making.
  private struct Plan {
    var parts: [EngineStep.Part] = []
    var placed: [(slot: Int, id: ScheduledRequest.ID)] = []
    var actions: [Action]
    /// Tokens that are left for prompts: texts being written have theirs for sure.
    var budget: Int
    /// Who computes a block that others might wait for.
    var leaders: [PagedCache.Coming: ScheduledRequest.ID]
    /// Whether more requests can begin, and those with adapters.
    var isOpen = true
    var takesAdapters = true
    /// Who has given up its place for others.
    var preempted: Set<ScheduledRequest.ID> = []
  }

  /// The next step; nil: there is nothing to compute.
  ///
  /// - Precondition: the step before it was computed.
  package mutating func plan(at now: Double) -> (step: EngineStep?, actions: [Action]) {
    precondition(inFlight.isEmpty, "a step is being computed")
    let actions = handle(.tick, at: now)
    running.sort(by: Text.goesFirst)
    var plan = Plan(
      actions: actions, budget: limits.tokens - running.count(where: \.isWriting), leaders: leaders())
    var index = 0
    while true {
      while let text = next(before: index, plan) {
        if begin(text, at: index, &plan) { index += 1 }
      }
      guard index < running.count else { break }
      let text = running[index]
      let count = text.isWriting ? 1 : min(text.tokens.count - text.computed, plan.budget)
      if count > 0, makeRoom(text.computed + count, for: index, &plan) {
        if !text.isWriting { plan.budget -= count }
        add(index, count, &plan)
      }
      index += 1
    }
    inFlight = Set(plan.parts.map(\.id))
    return (plan.parts.isEmpty ? nil : EngineStep(parts: plan.parts, placed: plan.placed), plan.actions)
  }

  /// Makes the next tokens of a running text a part of the step.
  private func add(_ index: Int, _ count: Int, _ plan: inout Plan) {
    let text = running[index]
    let end = text.computed + count
    // A copy where it is short: a slice would make the text's next token copy all of it.
    let tokens = count == 1 ? [text.tokens[text.computed]] : text.tokens[text.computed..<end]
    plan.parts.append(
      EngineStep.Part(
        id: text.request.id, start: text.computed, tokens: tokens, blocks: text.table!.blocks, slot: text.slot,
        isLast: end == text.tokens.count, isWriting: text.isWriting))
  }

  // MARK: Room

  /// Room in the cache for so many positions of a running text, if need be instead of those that go after it.
  private mutating func makeRoom(_ positions: Int, for index: Int, _ plan: inout Plan) -> Bool {
    if cache.reserve(positions, in: &running[index].table!) { return true }
    let missing = cache.missing(positions, in: running[index].table!)
    guard let victims = victims(from: index + 1, for: Want(blocks: missing)) else { return false }
    preempt(victims, &plan)
    return cache.reserve(positions, in: &running[index].table!)
  }

  /// What is wanted beyond what there is.
  private struct Want {
    var blocks: Int
    /// Running texts less.
    var places = 0
    /// A place for an adapter.
    var slot = false
  }

  /// Which running texts are to give up what they have: no more than necessary, those that go last.
  ///
  /// - Parameter index: from where on they may.
  /// - Returns: nil: all of them would not be enough.
  private func victims(from index: Int, for want: Want) -> [Int]? {
    var victims: [Int] = []
    var relief = PagedCache.Relief()
    func isEnough() -> Bool {
      relief.blocks >= want.blocks && victims.count >= want.places && (!want.slot || frees(slotBy: victims))
    }
    func take(_ index: Int) {
      victims.append(index)
      cache.add(running[index].table!, to: &relief)
    }
    var candidates = index..<running.count
    while !isEnough() {
      guard let last = candidates.popLast() else { return nil }
      take(last)
    }
    // Those that turn out not to be needed keep it, those that go first before others.
    for victim in victims.reversed() {
      victims.removeAll { $0 == victim }
      cache.remove(running[victim].table!, from: &relief)
      if !isEnough() { take(victim) }
    }
    return victims
  }

  /// Whether an adapter's place has no other users.
  private func frees(slotBy victims: [Int]) -> Bool {
    let used = Dictionary(victims.lazy.compactMap { running[$0].slot }.map { ($0, 1) }, uniquingKeysWith: +)
    return used.contains { adapters.users($0) == $1 }
  }

  /// Sends running requests, which are no part of the step yet, back to the queue.
  private mutating func preempt(_ victims: [Int], _ plan: inout Plan) {
    for index in victims.sorted(by: >) {
      if running[index].isWriting { plan.budget += 1 }
      release(index)
      let text = running.remove(at: index)
      waiting.insert(text)
      plan.preempted.insert(text.request.id)
      plan.actions.append(.preempted(text.request.id))
    }
  }

  // MARK: The queue

  private func leaders() -> [PagedCache.Coming: ScheduledRequest.ID] {
    if waiting.isEmpty { return [:] }
    let reading = running.lazy.filter { !$0.isWriting }
      .compactMap { [cache] text in cache.next(text.tokens, text.table!).map { ($0, text.request.id) } }
    return Dictionary(reading) { first, _ in first }
  }

  /// The waiting request that goes first, if it goes before the running text at `index`: by a higher priority, or as there is
  /// none.
  private func next(before index: Int, _ plan: Plan) -> Text? {
    guard plan.isOpen else { return nil }
    if index < running.count {
      // Asked before each running text: who of that priority goes first takes longer to find out.
      guard let priority = waiting.priority(adapted: plan.takesAdapters), priority > running[index].request.priority
      else { return nil }
    } else if plan.budget <= 0 || running.count >= limits.running {
      // Behind the last there is nobody to give up anything.
      return nil
    }
    guard let text = waiting.first(shares, adapted: plan.takesAdapters), !plan.preempted.contains(text.request.id)
    else { return nil }
    return text
  }

  /// Takes a request from the queue, if it can begin: if there is all that it needs, or running texts from `index` on, which
  /// are of lower priority, can give it up.
  ///
  /// - Returns: whether it runs now, at `index`. If not, it is not the next one any more.
  private mutating func begin(_ text: Text, at index: Int, _ plan: inout Plan) -> Bool {
    let wantsSlot = !adapters.hasRoom(for: text.request.adapter)
    if wantsSlot, !frees(slotBy: Array(index..<running.count)) {
      // No later one may keep the places from becoming free.
      plan.takesAdapters = false
      return false
    }
    var table = cache.begin(text.tokens, text.root, isStored: text.request.isStored)
    let coming = cache.next(text.tokens, table)
    // Who is of lower priority may have to wait for long.
    if let coming, let leader = plan.leaders[coming], let leading = running.first(where: { $0.request.id == leader }),
      leading.request.priority >= text.request.priority
    {
      cache.end(table)
      follow(text, leading)
      return false
    }
    // Room for the whole prompt and the token after it: else it would soon be among those that give theirs up.
    let room = text.tokens.count + 1
    let want = Want(
      blocks: cache.missing(room, in: table), places: running.count + 1 - limits.running, slot: wantsSlot)
    guard let victims = victims(from: index, for: want),
      plan.budget > 0 || victims.contains(where: { running[$0].isWriting })
    else {
      cache.end(table)
      plan.isOpen = false
      return false
    }
    preempt(victims, &plan)
    var text = text
    text.computed = table.blocks.count * limits.blockSize
    guard cache.reserve(room, in: &table) else { preconditionFailure("there is room for whoever begins") }
    text.table = table
    if let coming { plan.leaders[coming] = text.request.id }
    if !text.request.adapter.isEmpty, let (slot, isNew) = adapters.take(text.request.adapter) {
      text.slot = slot
      if isNew { plan.placed.append((slot, text.request.id)) }
    }
    waiting.remove(text.request.id)
    running.insert(text, at: index)
    shares.serve(text.tenant, read: text.tokens.count - text.computed)
    plan.actions.append(.started(text.request.id, cached: text.computed))
    let count = min(text.tokens.count - text.computed, plan.budget)
    plan.budget -= count
    add(index, count, &plan)
    return true
  }

  /// Lets a request wait until a running one has computed what both begin with.
  private mutating func follow(_ text: Text, _ leader: Text) {
    let common = zip(text.tokens, leader.tokens).prefix { $0 == $1 }.count
    waiting.follow(text.request.id, leader.request.id, until: common / limits.blockSize * limits.blockSize)
  }

  // MARK: Drafts

  /// How many drafted tokens a step takes, as far as it and the cache have room without taking anything from others: behind
  /// each text that is being written, and in all.
  package func room(forDraftsIn step: EngineStep) -> (each: [ScheduledRequest.ID: Int], all: Int) {
    let texts = Dictionary(uniqueKeysWithValues: running.lazy.map { ($0.request.id, $0) })
    let each = step.parts.lazy.filter(\.isWriting).map { ($0.id, room(behind: texts[$0.id]!)) }
    return (Dictionary(uniqueKeysWithValues: each), max(0, min(limits.drafted, limits.tokens - step.count)))
  }

  private func room(behind text: Text) -> Int {
    // The last token of all is chosen, not drafted.
    min(text.request.limit - text.written - 1, cache.most(in: text.table!) - text.tokens.count)
  }

  /// Makes room behind texts that are being written for tokens that are drafted, as far as there is.
  ///
  /// - Parameter wanted: how many for which request: on its way, and on each branch.
  package mutating func makeRoom(forDrafts wanted: [ScheduledRequest.ID: [Int]], in step: inout EngineStep) {
    var left = min(limits.drafted, limits.tokens - step.count)
    let places = Dictionary(uniqueKeysWithValues: running.enumerated().map { ($1.request.id, $0) })
    for index in step.parts.indices where step.parts[index].isWriting {
      let place = places[step.parts[index].id]!
      let wanted = wanted[step.parts[index].id] ?? []
      let (start, count) = (step.parts[index].start, running[place].tokens.count)
      let most = room(behind: running[place]), room = min(wanted.first ?? 0, most, left)
      guard room > 0, cache.reserve(drafts: count + room, in: &running[place].table!) else { continue }
      step.parts[index].room = room
      step.parts[index].blocks = running[place].table!.blocks
      left -= room
      for length in wanted.dropFirst() {
        // A branch reads the text's last token, too.
        let room = min(length, most, left - 1)
        guard room > 0, let blocks = cache.branch(from: start, to: count + room, in: &running[place].table!) else {
          break
        }
        step.parts[index].branches.append(EngineStep.Branch(blocks: blocks, room: room))
        left -= room + 1
      }
    }
  }
}

extension Scheduler.Text {
  /// The order in which running texts have a right to the cache.
  static func goesFirst(_ a: Self, _ b: Self) -> Bool {
    a.request.priority != b.request.priority ? a.request.priority > b.request.priority : a.arrival < b.arrival
  }
}
