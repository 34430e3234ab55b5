// The scheduler against a cache with contents and a model that can be foreseen: whatever it decides, every request gets the
// tokens that it would get alone.

import Core
import Inference
import Support
import Testing

@Suite struct SchedulerTests {
  /// A model whose next token depends on every token before it, and the cache that it reads: each place holds the hash of the
  /// text up to it, so that a wrong block is noticed.
  private struct World {
    var scheduler: Scheduler
    var pool: [UInt64]
    var written: [UInt64: [Int32]] = [:]
    var ends: [UInt64: EndReason] = [:]
    var refusals: [UInt64: Refusal] = [:]
    var computed = 0
    var cached = 0
    var preemptions = 0
    var started: [UInt64] = []
    var now = 0.0
    /// What is drafted for texts that are being written: right up to a random place.
    var drafts: RandomCase?
    var accepted = 0
    /// How often a text went on on a branch.
    var branches = 0

    static func place(_ position: Int, _ blocks: [Int32], _ size: Int) -> Int {
      Int(blocks[position / size]) * size + position % size
    }

    init(_ limits: Scheduler.Limits, drafts: RandomCase? = nil) {
      self.drafts = drafts
      scheduler = Scheduler(limits)
      pool = Array(repeating: 0, count: limits.blocks * limits.blockSize)
    }

    static func hash(_ past: UInt64, _ token: Int32) -> UInt64 {
      (past ^ UInt64(UInt32(bitPattern: token))) &* 0x9E37_79B9_7F4A_7C15 &+ 1
    }

    static func next(_ state: UInt64) -> Int32 { Int32(state >> 33 & 7) }

    /// Token 0 ends a text.
    static func alone(_ prompt: [Int32], limit: Int) -> [Int32] {
      var state = prompt.reduce(0, hash)
      var result: [Int32] = []
      while result.count < limit {
        result.append(next(state))
        if result.last == 0 { break }
        state = hash(state, result.last!)
      }
      return result
    }

    mutating func handle(_ event: Scheduler.Event) { note(scheduler.handle(event, at: now)) }

    private mutating func note(_ actions: [Scheduler.Action]) {
      for action in actions {
        switch action {
        case .refused(let id, let refusal): refusals[id] = refusal
        case .started(let id, let cached):
          started.append(id)
          self.cached += cached
        case .preempted: preemptions += 1
        case .ended(let id, let reason):
          #expect(ends[id] == nil, "request \(id) ends once")
          ends[id] = reason
        }
      }
    }

    /// Plans a step and computes it.
    ///
    /// - Parameter during: what happens while it is computed.
    mutating func step(during: (inout World) -> Void = { _ in }) -> EngineStep? {
      var (step, actions) = scheduler.plan(at: now)
      note(actions)
      guard step != nil else { return nil }
      draft(&step!)
      let planned = step!
      let limits = scheduler.limits
      #expect(planned.count <= limits.tokens && planned.parts.count <= limits.running)
      #expect(planned.sequences <= limits.sequences)
      let size = scheduler.limits.blockSize
      var chosen: [UInt64: ChosenTokens] = [:]
      for part in planned.parts {
        func place(_ position: Int) -> Int { World.place(position, part.blocks, size) }
        /// Reads the text's last token and what follows on it as a branch does, as far as the model agrees.
        func follow(_ index: Int) -> [Int32] {
          let branch = part.branches[index]
          func place(_ position: Int) -> Int { World.place(position, branch.blocks, size) }
          for position in (part.start / size * size)..<part.start {
            pool[place(position)] = pool[World.place(position, part.blocks, size)]
          }
          var state = World.hash(part.start == 0 ? 0 : pool[place(part.start - 1)], part.tokens.first!)
          pool[place(part.start)] = state
          var new = [World.next(state)]
          for (offset, token) in branch.tokens.enumerated() {
            let isRight = new.count == offset + 1 && new.last == token && token != 0
            state = World.hash(state, token)
            pool[place(part.start + 1 + offset)] = isRight ? state : 0xBAD
            if isRight { new.append(World.next(state)) }
          }
          return new
        }
        var state: UInt64 = part.start == 0 ? 0 : pool[place(part.start - 1)]
        var new: [Int32] = []
        for (offset, token) in part.tokens.enumerated() {
          if offset >= part.tokens.count - part.drafted, new.last != token || token == 0 { break }
          state = World.hash(state, token)
          pool[place(part.start + offset)] = state
          if offset >= part.tokens.count - part.wanted { new.append(World.next(state)) }
        }
        // What was drafted wrongly is in the pool, too.
        for offset in part.tokens.count - part.drafted + max(0, new.count - 1)..<part.tokens.count {
          pool[place(part.start + offset)] = 0xBAD
        }
        if part.isLast {
          chosen[part.id] = ChosenTokens(new, isEnd: new.last == 0)
          for index in part.branches.indices where !part.branches[index].tokens.isEmpty {
            let other = follow(index)
            #expect(other[0] == new[0], "a branch reads the same text")
            if other.count > new.count {
              new = other
              chosen[part.id] = ChosenTokens(new, isEnd: new.last == 0, branch: index)
            }
          }
        }
        branches += chosen[part.id]?.branch == nil ? 0 : 1
        computed += part.tokens.count
        accepted += max(0, new.count - 1)
      }
      during(&self)
      let before = Set(ends.keys)
      note(scheduler.handle(.computed(planned, chosen: chosen), at: now))
      for (id, new) in chosen where !before.contains(id) && ends[id].map({ $0 == .stop || $0 == .length }) ?? true {
        written[id, default: []] += new.tokens
      }
      return planned
    }

    private mutating func draft(_ step: inout EngineStep) {
      guard var random = drafts else { return }
      defer { drafts = random }
      let wanted = step.parts.map { ($0.id, (0..<random.integer(0...3)).map { _ in random.integer(0...4) }) }
      scheduler.makeRoom(forDrafts: Dictionary(uniqueKeysWithValues: wanted), in: &step)
      let size = scheduler.limits.blockSize
      for index in step.parts.indices where step.parts[index].room > 0 {
        let part = step.parts[index]
        var state: UInt64 = 0
        if part.start > 0 { state = pool[Int(part.blocks[(part.start - 1) / size]) * size + (part.start - 1) % size] }
        func draft(_ count: Int) -> [Int32] {
          var (state, token) = (state, part.tokens.last!)
          return (0..<count).map { _ in
            state = World.hash(state, token)
            token = random.integer(0...3) == 0 ? 1 : World.next(state)
            return token
          }
        }
        step.parts[index].append(drafted: draft(random.integer(0...part.room)))
        for branch in part.branches.indices {
          step.parts[index].branches[branch].tokens = draft(random.integer(0...part.branches[branch].room))
        }
      }
    }
  }

  private static func limits(blocks: Int, blockSize: Int = 4, tokens: Int = 16, running: Int = 8) -> Scheduler.Limits {
    var limits = Scheduler.Limits(context: 64, blocks: blocks)
    (limits.blockSize, limits.tokens, limits.running) = (blockSize, tokens, running)
    return limits
  }

  @Test(arguments: 0..<20) func everyRequestGetsWhatItGetsAlone(round: Int) throws {
    var random = RandomCase("scheduler", round)
    func draw(_ range: ClosedRange<Int>) -> Int { random.integer(range) }
    var limits = Self.limits(
      blocks: draw(16...40), blockSize: [1, 2, 4, 7][draw(0...3)], tokens: draw(8...24), running: draw(1...8))
    limits.drafted = draw(0...8)
    var world = World(limits, drafts: round % 2 == 0 ? nil : RandomCase("drafts", round))
    var requests: [UInt64: ScheduledRequest] = [:]
    var cancelled: Set<UInt64> = []
    let stems = (0..<3).map { _ in (0..<20).map { _ in Int32(draw(1...7)) } }
    var id: UInt64 = 0
    for turn in 0..<2000 {
      world.now = Double(turn)
      if turn < 150 {
        for _ in 0..<draw(0...2) {
          id += 1
          let prompt = stems[draw(0...2)].prefix(draw(0...20)) + (0..<draw(0...6)).map { _ in Int32(draw(1...7)) }
          var request = ScheduledRequest(id: id, prompt: Array(prompt), limit: draw(1...12))
          request.priority = draw(0...2)
          request.tenant = "tenant \(draw(0...2))"
          request.salt = draw(0...3) == 0 ? "salt" : ""
          if draw(0...9) == 0 { request.deadline = world.now + Double(draw(0...30)) }
          requests[id] = request
          world.handle(.submitted(request))
        }
      }
      if id > 0, draw(0...9) == 0 { cancel(&world) }
      func cancel(_ world: inout World) {
        let id = UInt64(draw(1...Int(id)))
        if world.ends[id] == nil { cancelled.insert(id) }
        world.handle(.cancelled(id))
      }
      let isBad = draw(0...9) == 0
      if world.step(during: { if isBad { cancel(&$0) } }) == nil, turn >= 150 { break }
    }
    #expect(world.scheduler.isIdle && world.scheduler.counts == (0, 0))
    #expect(world.scheduler.cacheUse.used == 0, "no block is lost")
    #expect((world.accepted > 0) == (round % 2 == 1 && limits.drafted > 0))
    #expect(world.branches == 0 || round % 2 == 1 && limits.drafted > 2)
    for (id, request) in requests {
      let expected = World.alone(request.prompt, limit: request.limit)
      switch (world.ends[id], world.refusals[id]) {
      case (.stop, nil): #expect(world.written[id]! == expected && expected.last == 0, "\(id)")
      case (.length, nil): #expect(world.written[id]! == expected && expected.last != 0, "\(id)")
      case (.cancelled, nil): #expect(cancelled.contains(id))
      case (.deadline, nil): #expect(request.deadline != nil)
      case (nil, .emptyPrompt): #expect(request.prompt.isEmpty)
      case (nil, .tooLong(let tokens, let limit)): #expect(tokens > limit && !request.prompt.isEmpty)
      default: Issue.record("request \(id) ended as \(String(describing: world.ends[id]))")
      }
    }
  }

  @Test func textsGoOnOnTheBranchesThatAreRight() {
    var limits = Self.limits(blocks: 128, tokens: 48, running: 4)
    limits.drafted = 32
    var world = World(limits, drafts: RandomCase("branches"))
    for id in UInt64(1)...20 {
      world.handle(.submitted(ScheduledRequest(id: id, prompt: Self.endless(id, length: 6), limit: 18)))
    }
    while world.step() != nil {}
    #expect(world.branches > 0 && world.scheduler.cacheUse.used == 0)
    for id in UInt64(1)...20 {
      #expect(world.written[id] == World.alone(Self.endless(id, length: 6), limit: 18) && world.ends[id] == .length)
    }
  }

  @Test func aFullCachePreemptsTheLastAndLosesNothing() {
    var world = World(Self.limits(blocks: 8))
    for id in UInt64(1)...4 {
      world.handle(.submitted(ScheduledRequest(id: id, prompt: Self.endless(UInt64(id), length: 6), limit: 18)))
    }
    while world.step() != nil {}
    #expect(world.preemptions > 0)
    for id in UInt64(1)...4 {
      #expect(world.written[id] == World.alone(Self.endless(id, length: 6), limit: 18) && world.ends[id] == .length)
    }
  }

  @Test func aSharedBeginningIsComputedOnce() {
    var world = World(Self.limits(blocks: 64))
    let stem = Self.endless(3, length: 32)
    for id in UInt64(1)...8 {
      world.handle(.submitted(ScheduledRequest(id: id, prompt: stem + [Int32(id % 7) + 1], limit: 1)))
    }
    while world.step() != nil {}
    // The stem once; then each its last token.
    #expect(world.computed == 33 + 7 && world.cached == 7 * 32)
    // With another salt nothing is shared.
    var request = ScheduledRequest(id: 9, prompt: stem + [1], limit: 1)
    request.salt = "other"
    world.handle(.submitted(request))
    while world.step() != nil {}
    #expect(world.cached == 7 * 32 && world.computed == 40 + 33)
  }

  @Test func whoFollowsALeaderThatIsCancelledComputesItself() {
    var world = World(Self.limits(blocks: 64, tokens: 8))
    let stem = Self.endless(5, length: 32)
    for id in UInt64(1)...3 {
      world.handle(.submitted(ScheduledRequest(id: id, prompt: stem + [Int32(id)], limit: 2)))
    }
    #expect(world.step()!.parts.map(\.id) == [1], "the others wait for what the first computes")
    world.handle(.cancelled(1))
    #expect(world.step()!.parts.map(\.id) == [2])
    while world.step() != nil {}
    #expect(world.ends == [1: .cancelled, 2: .length, 3: .length])
    #expect(world.computed < 2 * 33, "nothing is computed twice")
  }

  @Test func roomThatIsSharedDoesNotMakeOthersGiveWay() {
    // One text of eight blocks runs; another that begins alike has a block to itself, and one is free.
    var world = World(Self.limits(blocks: 10, tokens: 40))
    let stem = Self.endless(5, length: 30)
    world.handle(.submitted(ScheduledRequest(id: 1, prompt: stem, limit: 6)))
    _ = world.step()
    var urgent = ScheduledRequest(id: 2, prompt: stem, limit: 1)
    urgent.priority = 1
    world.handle(.submitted(urgent))
    while world.step() != nil {}
    #expect(world.preemptions == 0 && world.ends == [1: .length, 2: .length])
  }

  @Test func namesThatDoNotComeBackAreForgotten() {
    var world = World(Self.limits(blocks: 64, running: 2))
    world.handle(.submitted(ScheduledRequest(id: 1, prompt: Self.endless(1, length: 4), limit: 50)))
    for id in UInt64(2)...5000 {
      var request = ScheduledRequest(id: id, prompt: [Int32(id % 7) + 1], limit: 1)
      (request.tenant, request.salt) = ("tenant \(id)", "salt \(id)")
      world.handle(.submitted(request))
      world.handle(.cancelled(id))
    }
    #expect(world.scheduler.known.tenants < 3000 && world.scheduler.known.roots <= 1)
  }

  @Test func writingGoesOnWhileALongPromptIsRead() {
    var world = World(Self.limits(blocks: 64, tokens: 8))
    world.handle(.submitted(ScheduledRequest(id: 1, prompt: Self.endless(1, length: 4), limit: 20)))
    _ = world.step()
    world.handle(.submitted(ScheduledRequest(id: 2, prompt: Self.endless(2, length: 40), limit: 2)))
    for _ in 0..<5 {
      let step = world.step()!
      #expect(step.parts.map(\.id) == [1, 2] && step.parts.map(\.tokens.count) == [1, 7])
    }
  }

  @Test func higherPrioritiesTakeTheirPlace() {
    var world = World(Self.limits(blocks: 64, running: 2))
    for id in UInt64(1)...3 {
      world.handle(.submitted(ScheduledRequest(id: id, prompt: Self.endless(id, length: 5), limit: 10)))
    }
    _ = world.step()
    #expect(world.started == [1, 2])
    var urgent = ScheduledRequest(id: 4, prompt: Self.endless(4, length: 5), limit: 1)
    urgent.priority = 1
    world.handle(.submitted(urgent))
    let step = world.step()!
    #expect(step.parts.map(\.id).sorted() == [1, 4] && world.preemptions == 1)
    while world.step() != nil {}
    for id in UInt64(1)...3 { #expect(world.written[id] == World.alone(Self.endless(id, length: 5), limit: 10)) }
  }

  @Test func tenantsGetEqualShares() {
    var world = World(Self.limits(blocks: 64, running: 1))
    for id in UInt64(1)...20 {
      var request = ScheduledRequest(id: id, prompt: Self.endless(id, length: 5), limit: 2)
      // One asks for a lot, the other later for little.
      request.tenant = id <= 16 ? "many" : "few"
      world.handle(.submitted(request))
    }
    while world.step() != nil {}
    // In turn, not after all of them.
    #expect(world.started.firstIndex(of: 20)! <= 8, "\(world.started)")
  }

  @Test func theQueueIsBounded() {
    var limits = Self.limits(blocks: 8, running: 1)
    limits.waiting = 2
    var world = World(limits)
    for id in UInt64(1)...3 {
      world.handle(.submitted(ScheduledRequest(id: id, prompt: [1], limit: 1)))
    }
    #expect(world.refusals == [3: .queueFull(2)])
    world.handle(.submitted(ScheduledRequest(id: 4, prompt: [1, 2], limit: 31)))
    #expect(world.refusals[4] == .tooLong(tokens: 33, limit: 32))
  }

  /// A prompt after which the model of the world does not end soon.
  private static func endless(_ seed: UInt64, length: Int) -> [Int32] {
    var random = RandomSequence(seed: seed, stream: UInt64(length))
    while true {
      let prompt = (0..<length).map { _ in Int32.random(in: 1...7, using: &random) }
      if World.alone(prompt, limit: 40).count == 40 { return prompt }
    }
  }
}
