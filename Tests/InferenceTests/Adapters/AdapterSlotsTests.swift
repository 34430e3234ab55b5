// The scheduler's places for adapters: whatever comes and goes, each part of a step finds its adapter in its place, and
// everybody gets a turn.

import Core
import Inference
import Support
import Testing

@Suite struct AdapterSlotsTests {
  /// Runs requests to their ends, and checks each step.
  ///
  /// - Returns: the requests in the order in which they ended.
  private func run(_ requests: [ScheduledRequest], slots: Int, running: Int = 6, blocks: Int = 40) -> [UInt64] {
    var limits = Scheduler.Limits(context: 64, blocks: blocks)
    (limits.tokens, limits.running, limits.blockSize, limits.adapters) = (16, running, 4, slots)
    var scheduler = Scheduler(limits)
    let adapters = Dictionary(uniqueKeysWithValues: requests.map { ($0.id, $0.adapter) })
    var places: [Int: String] = [:]
    var ends: [UInt64] = []
    func note(_ actions: [Scheduler.Action]) {
      for case .ended(let id, _) in actions { ends.append(id) }
    }
    for request in requests { note(scheduler.handle(.submitted(request), at: 0)) }
    var steps = 0
    while !scheduler.isIdle, steps < 10_000 {
      steps += 1
      let (step, actions) = scheduler.plan(at: 0)
      note(actions)
      guard let step else { break }
      // What is overwritten is not needed in this step: the parts below would notice.
      for (slot, id) in step.placed { places[slot] = adapters[id] }
      #expect(step.placed.allSatisfy { (0..<slots).contains($0.slot) })
      for part in step.parts { #expect(part.slot.map { places[$0] ?? "?" } ?? "" == adapters[part.id]) }
      let order = step.parts.map { $0.slot ?? .max }
      #expect(order == order.sorted())
      let chosen = step.parts.filter(\.isLast).map { ($0.id, ChosenTokens([1], isEnd: false)) }
      note(scheduler.handle(.computed(step, chosen: Dictionary(uniqueKeysWithValues: chosen)), at: 0))
    }
    #expect(scheduler.isIdle && scheduler.cacheUse.used == 0)
    return ends
  }

  private func request(_ id: UInt64, _ adapter: String, length: Int = 5, limit: Int = 6) -> ScheduledRequest {
    var result = ScheduledRequest(id: id, prompt: (0..<length).map { Int32($0) }, limit: limit)
    result.adapter = adapter
    return result
  }

  @Test func everyPartFindsItsAdapter() {
    var random = RandomSequence(seed: 9, stream: 0)
    func below(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
    for slots in 1...4 {
      let requests = (1...80).map { id -> ScheduledRequest in
        var request = request(
          UInt64(id), ["", "a", "b", "c", "d", "e"][below(6)], length: 1 + below(20), limit: 1 + below(20))
        request.priority = below(3)
        request.tenant = ["x", "y"][below(2)]
        return request
      }
      // Blocks for few, so that texts are preempted, too.
      #expect(Set(run(requests, slots: slots, blocks: 24)).count == 80)
    }
  }

  @Test func aRareAdapterGetsItsTurn() {
    // One place, and one request of b among many of a that come after it: those wait, those without an adapter do not.
    let requests =
      [request(1, "a"), request(2, "a"), request(3, "b")] + (4...20).map { request($0, "a") } + [request(21, "")]
    let ends = run(requests, slots: 1, running: 4)
    #expect(ends.firstIndex(of: 3)! < 4)
    #expect(ends.firstIndex(of: 21)! < 4)
  }

  @Test func cancelledRequestsDoNotStayInTheWay() {
    var limits = Scheduler.Limits(context: 64, blocks: 40)
    (limits.tokens, limits.running, limits.blockSize, limits.adapters) = (16, 4, 4, 1)
    var scheduler = Scheduler(limits)
    for (id, adapter) in [(1, "a"), (2, "b"), (3, "a")] {
      _ = scheduler.handle(.submitted(request(UInt64(id), adapter)), at: 0)
    }
    let first = scheduler.plan(at: 0).step!
    #expect(first.parts.map(\.id) == [1])
    #expect(scheduler.handle(.cancelled(2), at: 0).count == 1)
    _ = scheduler.handle(.computed(first, chosen: [1: ChosenTokens([1], isEnd: true)]), at: 0)
    let second = scheduler.plan(at: 0).step!
    #expect(second.parts.map(\.id) == [3] && second.placed.isEmpty && second.parts[0].slot == 0)
  }
}
