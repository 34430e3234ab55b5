// Who gives up a place for whom: nobody for nothing, no more than necessary, and no request waits for one of lower priority.

import Inference
import Support
import Testing

@Suite struct PreemptionTests {
  /// A scheduler whose model writes ones, and what it has decided.
  private struct Plans {
    var scheduler: Scheduler
    var requests: [UInt64: ScheduledRequest] = [:]
    /// Blocks of those that run, as their last parts said.
    var running: [UInt64: Int] = [:]
    var waiting: Set<UInt64> = []
    var ends: [UInt64] = []
    /// What should not have been decided.
    var broken: [String] = []

    /// - Parameter drafted: tokens of a step that are drafted, all of them wrong.
    init(
      blocks: Int = 64, tokens: Int = 16, running: Int = 8, adapters: Int = 2, context: Int = 64, drafted: Int = 0
    ) {
      var limits = Scheduler.Limits(context: context, blocks: blocks)
      (limits.tokens, limits.running, limits.blockSize, limits.adapters) = (tokens, running, 4, adapters)
      limits.drafted = drafted
      scheduler = Scheduler(limits)
    }

    /// - Parameter prompt: tokens that no other request has, if not given.
    mutating func submit(
      _ id: UInt64, priority: Int = 0, adapter: String = "", length: Int = 4, prompt: [Int32]? = nil, limit: Int = 20,
      tenant: String = ""
    ) {
      var request = ScheduledRequest(
        id: id, prompt: prompt ?? Array(repeating: Int32(id), count: length), limit: limit)
      (request.priority, request.adapter, request.tenant) = (priority, adapter, tenant)
      requests[id] = request
      waiting.insert(id)
      _ = note(scheduler.handle(.submitted(request), at: 0))
    }

    mutating func cancel(_ id: UInt64) { _ = note(scheduler.handle(.cancelled(id), at: 0)) }

    private mutating func note(_ actions: [Scheduler.Action]) -> (started: [UInt64], preempted: [UInt64]) {
      var (started, preempted) = ([UInt64](), [UInt64]())
      for action in actions {
        switch action {
        case .refused(let id, _): waiting.remove(id)
        case .started(let id, _):
          started.append(id)
          waiting.remove(id)
          running[id] = 0
        case .preempted(let id):
          preempted.append(id)
          waiting.insert(id)
          running[id] = nil
        case .ended(let id, _):
          ends.append(id)
          waiting.remove(id)
          running[id] = nil
        }
      }
      return (started, preempted)
    }

    /// Plans a step, checks it and computes it.
    mutating func step() -> (started: [UInt64], preempted: [UInt64])? {
      let (step, actions) = scheduler.plan(at: 0)
      let before = running
      let (started, preempted) = note(actions)
      check(step, started, preempted, before)
      guard var step else { return nil }
      for part in step.parts { running[part.id] = part.blocks.count }
      let wanted = step.parts.filter(\.isWriting).map { ($0.id, [scheduler.limits.drafted]) }
      scheduler.makeRoom(forDrafts: Dictionary(uniqueKeysWithValues: wanted), in: &step)
      for index in step.parts.indices {
        step.parts[index].append(drafted: Array(repeating: Int32(2), count: step.parts[index].room))
      }
      let chosen = step.parts.filter(\.isLast).map { ($0.id, ChosenTokens([1], isEnd: false)) }
      _ = note(scheduler.handle(.computed(step, chosen: Dictionary(uniqueKeysWithValues: chosen)), at: 0))
      return (started.sorted(), preempted.sorted())
    }

    private mutating func check(
      _ step: EngineStep?, _ started: [UInt64], _ preempted: [UInt64], _ before: [UInt64: Int]
    ) {
      func priority(_ id: UInt64) -> Int { requests[id]!.priority }
      let parts = step?.parts ?? []
      func promise(_ isKept: Bool, _ text: @autoclosure () -> String) { if !isKept { broken.append(text()) } }
      promise(Set(parts.map(\.id)).count == parts.count && parts.allSatisfy { running[$0.id] != nil }, "one part each")
      promise(step.map { $0.count <= scheduler.limits.tokens } ?? true, "\(step!.count) tokens")
      promise(Set(started).isSubset(of: parts.map(\.id)), "\(started) are no part of the step that they begin with")
      promise(Set(started).isDisjoint(with: preempted), "\(preempted) for nothing: they begin again")
      // Somebody of the same plan has what was given up: one that begins, or one that was there and has more blocks.
      for id in preempted {
        let isForSomebody =
          started.contains { priority($0) > priority(id) }
          || parts.contains { part in
            before[part.id].map { $0 < part.blocks.count } ?? false && priority(part.id) >= priority(id)
          }
        promise(isForSomebody, "\(id) gives up its place for nothing")
      }
      if let first = waiting.map(priority).max() {
        promise(running.keys.contains { priority($0) >= first }, "only lower ones run beside a waiting one")
      }
    }
  }

  @Test func aPlaceForAnAdapterIsTakenFromItsUsersAlone() {
    var plans = Plans(running: 6)
    for (id, adapter) in [(1, "a"), (2, "a"), (3, "b"), (4, ""), (5, "")] {
      plans.submit(UInt64(id), adapter: adapter)
    }
    _ = plans.step()
    _ = plans.step()
    plans.submit(6, priority: 1, adapter: "c")
    #expect(plans.step()! == ([6], [3]))
    while plans.step() != nil {}
    #expect(plans.broken == [] && plans.ends.count == 6)
  }

  @Test func nobodyGivesUpAnythingForAnAdapterWhosePlaceHigherOnesHave() {
    var plans = Plans(adapters: 1)
    plans.submit(1, priority: 5, adapter: "a", limit: 5)
    plans.submit(2)
    plans.submit(3, adapter: "a")
    _ = plans.step()
    plans.submit(4, priority: 1, adapter: "b")
    plans.submit(5, adapter: "a")
    plans.submit(6)
    // What has no adapter begins; what has one waits behind it.
    #expect(plans.step()! == ([6], []))
    while plans.ends.isEmpty { #expect(plans.step()!.preempted == []) }
    // The higher one has ended: now the place is to be had, from one of lower priority.
    #expect(plans.ends == [1])
    #expect(plans.step()! == ([4], [3]))
    while plans.step() != nil {}
    #expect(plans.broken == [] && plans.ends.count == 6)
  }

  @Test func whoWaitsForAPlaceHoldsNoHigherOneBack() {
    var plans = Plans(adapters: 1)
    plans.submit(1, adapter: "a")
    plans.submit(2, adapter: "b")
    #expect(plans.step()! == ([1], []))
    plans.submit(3, priority: 1, adapter: "a")
    plans.submit(4, adapter: "a")
    #expect(plans.step()! == ([3], []), "its adapter is there; of its own priority, the one that came first waits")
    plans.cancel(2)
    #expect(plans.step()! == ([4], []), "who has left holds nobody back")
  }

  @Test func noMoreBlocksAreGivenUpThanNecessary() {
    // 8, 3 and 2 blocks of 14.
    var plans = Plans(blocks: 14, tokens: 64)
    plans.submit(1, length: 30)
    plans.submit(2, length: 9)
    plans.submit(3, length: 5)
    #expect(plans.step()!.started == [1, 2, 3])
    plans.submit(4, priority: 1, length: 12)
    #expect(plans.step()! == ([4], [2]), "four blocks: the one that is free, and three")
    while plans.step() != nil {}
    #expect(plans.broken == [] && plans.ends.count == 4)
  }

  @Test func sharedBlocksAreNoneThatCanBeGivenUp() {
    var plans = Plans(blocks: 9, tokens: 64)
    let stem: [Int32] = Array(1...16)
    plans.submit(1, priority: 2, prompt: stem + [1], limit: 6)
    _ = plans.step()
    plans.submit(2, prompt: stem + [2], limit: 6)
    #expect(plans.step()! == ([2], []))
    // Four are shared, each has one of its own, three are free: one of five would need more than the second can give.
    plans.submit(3, priority: 1, length: 17, limit: 6)
    #expect(plans.step()! == ([], []))
    plans.cancel(3)
    plans.submit(4, priority: 1, length: 13)
    #expect(plans.step()! == ([4], [2]), "one of four does not")
  }

  @Test func aStepFullOfTextsThatAreWrittenHasATokenForAHigherOne() {
    var plans = Plans(tokens: 4, running: 4)
    for id in UInt64(1)...4 { plans.submit(id, length: 1) }
    _ = plans.step()
    plans.submit(5, priority: 1)
    #expect(plans.step()! == ([5], [4]))
  }

  @Test func noRequestFollowsOneOfLowerPriority() {
    var plans = Plans(tokens: 8)
    let stem = Array(repeating: Int32(7), count: 40)
    plans.submit(1, prompt: stem + [1])
    _ = plans.step()
    plans.submit(2, priority: 1, prompt: stem + [2])
    plans.submit(3, prompt: stem + [3])
    #expect(plans.step()! == ([2], []), "the lower one waits for what the first computes, the higher one does not")
  }

  @Test func wrongDraftsMakeNobodyGiveWay() {
    // Each text grows from two blocks to six.
    var runs: [(preempted: [[UInt64]], used: [Int])] = []
    for drafted in [0, 8] {
      var plans = Plans(blocks: 12, tokens: 256, drafted: drafted)
      for id in UInt64(1)...5 { plans.submit(id) }
      var run: (preempted: [[UInt64]], used: [Int]) = ([], [])
      while let (_, preempted) = plans.step() {
        run.preempted.append(preempted)
        run.used.append(plans.scheduler.cacheUse.used)
      }
      #expect(plans.broken == [] && plans.ends.count == 5)
      runs.append(run)
    }
    #expect(runs[0].preempted.contains { !$0.isEmpty })
    #expect(runs[0].preempted == runs[1].preempted)
    #expect(runs[0].used == runs[1].used)
  }

  @Test(arguments: 0..<40) func plansKeepTheirPromises(round: Int) {
    var random = RandomCase("preemption", round)
    func draw(_ range: ClosedRange<Int>) -> Int { random.integer(range) }
    let running = draw(1...8)
    let isTight = round % 4 == 0
    let gap = isTight ? 6 : draw(0...6)
    var plans = Plans(
      blocks: isTight ? 8 : draw(8...30), tokens: draw(running...24), running: running, adapters: draw(1...3),
      context: 32)
    let stems = (0..<3).map { _ in (0..<16).map { _ in Int32(draw(1...7)) } }
    var (id, preemptions, steps) = (UInt64(0), 0, 0)
    while steps < 3000 {
      steps += 1
      if steps <= 400 {
        // With too many the highest are always there.
        if draw(0...gap) == 0 {
          id += 1
          let prompt = stems[draw(0...2)].prefix(draw(0...16)) + (0..<draw(1...6)).map { _ in Int32(draw(1...7)) }
          plans.submit(
            id, priority: draw(0...3), adapter: ["", "", "a", "b", "c", "d"][draw(0...5)], prompt: Array(prompt),
            limit: draw(1...10), tenant: ["x", "y"][draw(0...1)])
        }
        if id > 0, draw(0...9) == 0 { plans.cancel(UInt64(draw(1...Int(id)))) }
      }
      guard let (_, preempted) = plans.step() else {
        if steps > 400 { break }
        continue
      }
      preemptions += preempted.count
    }
    #expect(plans.scheduler.isIdle && plans.scheduler.cacheUse.used == 0 && plans.waiting.isEmpty)
    #expect(plans.ends.count == Int(id), "every request ends once")
    #expect(plans.broken == [])
    #expect(!isTight || preemptions > 0)
  }
}
