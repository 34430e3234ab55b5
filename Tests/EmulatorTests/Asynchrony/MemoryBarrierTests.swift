// mbarriers as values: phases, counts, bytes, and what is refused.

internal import Emulator
internal import Support
internal import Testing

@Suite(.ownThreads) struct MemoryBarrierTests {
  @Test func phasesNeedArrivalsAndBytes() throws {
    var barrier = try MemoryBarrier(count: 2)
    // A fresh barrier: the phase before the first counts as complete.
    #expect(barrier.isComplete(parity: 1) && !barrier.isComplete(parity: 0))
    try barrier.expect(64)
    #expect(try !barrier.arrive(2))
    #expect(try !barrier.land(32))
    #expect(try barrier.land(32))
    #expect(barrier.phase == 1 && barrier.pending == 2 && barrier.transactions == 0)
    #expect(barrier.isComplete(parity: 0) && !barrier.isComplete(parity: 1))
  }

  @Test func bytesMayComeBeforeTheyAreExpected() throws {
    var barrier = try MemoryBarrier(count: 1)
    #expect(try !barrier.land(48))
    #expect(barrier.transactions == -48)
    try barrier.expect(48)
    #expect(try barrier.arrive())
  }

  @Test func droppingLowersTheNextPhases() throws {
    var barrier = try MemoryBarrier(count: 3)
    #expect(try !barrier.arrive(dropping: true))
    #expect(try barrier.arrive(2))
    #expect(barrier.expected == 2 && barrier.pending == 2)
    try barrier.arriveWithoutCompleting(1)
    #expect(throws: MemoryBarrier.Fault.self) { try barrier.arriveWithoutCompleting(1) }
    #expect(try barrier.arrive())
  }

  @Test func statesNameTheirPhase() throws {
    var barrier = try MemoryBarrier(count: 2)
    let token = barrier.token
    #expect(MemoryBarrier.pendingCount(token) == 2)
    try barrier.arrive()
    #expect(MemoryBarrier.pendingCount(barrier.token) == 1)
    #expect(try !barrier.isComplete(token: token))
    try barrier.arrive()
    #expect(try barrier.isComplete(token: token))
    try barrier.arrive(2)
    let fault = #expect(throws: MemoryBarrier.Fault.self) { try barrier.isComplete(token: token) }
    #expect(fault?.code == .parity)
  }

  @Test func whatDoesNotAddUpIsRefused() throws {
    var barrier = try MemoryBarrier(count: 1)
    func fault(_ operation: (inout MemoryBarrier) throws -> Void) -> MemoryBarrier.Fault? {
      var copy = barrier
      let fault = #expect(throws: MemoryBarrier.Fault.self) { try operation(&copy) }
      // What is refused changes nothing.
      #expect(copy == barrier)
      return fault
    }
    for count in [0, -1, 1 << 20] {
      #expect(throws: MemoryBarrier.Fault.self) { try MemoryBarrier(count: count) }
    }
    #expect(fault { try $0.arrive(2) }?.problem.contains("waits for 1 of 1") == true)
    #expect(fault { try $0.arrive(0) }?.code == .barrier)
    #expect(fault { try $0.expect(1 << 20) }?.code == .transactionCount)
    #expect(fault { try $0.land(1 << 20) }?.code == .transactionCount)
    try barrier.land(16)
    #expect(fault { try $0.arrive() }?.problem.contains("16 bytes more have come") == true)
    try barrier.expect(80)
    try barrier.arrive()
    #expect(fault { try $0.land(80) }?.code == .transactionCount)
  }

  /// Against a list of what happened, counted anew each time.
  @Test(arguments: 0..<20)
  func countsAreThoseOfTheHistory(_ index: Int) throws {
    var random = RandomCase("MemoryBarrier", index)
    let count = random.integer(1...5)
    var barrier = try MemoryBarrier(count: count)
    var (arrivals, expected, landed, phase) = (0, 0, 0, 0)
    for _ in 0..<200 {
      let before = barrier
      do {
        switch random.integer(0...2) {
        case 0:
          try barrier.arrive()
          arrivals += 1
        case 1:
          try barrier.expect(16)
          expected += 16
        default:
          try barrier.land(16)
          landed += 16
        }
      } catch {
        barrier = before
        // Only too many bytes can be a fault here: all have arrived, and more came than were expected.
        #expect(arrivals % count == count - 1 || arrivals % count == 0, "\(random)")
        continue
      }
      if arrivals == count, expected == landed {
        (arrivals, expected, landed) = (0, 0, 0)
        phase += 1
      }
      #expect(barrier.phase == phase, "\(random)")
      #expect(barrier.pending == count - arrivals, "\(random)")
      #expect(barrier.transactions == expected - landed, "\(random)")
      if arrivals == count, landed > expected { Issue.record("all arrived and too many bytes \(random)") }
      if arrivals == count {
        // Nobody may arrive once more before the phase is complete.
        while !(expected == landed) {
          try barrier.land(16)
          landed += 16
        }
        (arrivals, expected, landed) = (0, 0, 0)
        phase += 1
        #expect(barrier.phase == phase, "\(random)")
      }
    }
  }
}
