// Sinks, clocks and errors.

internal import Core
internal import Testing

@Suite struct EventTests {
  private struct BrokenSink: EventSink {
    func receive(_ event: Int) {}
    var failure: (any Error)? { SystemError("write \"events\"", errno: 28) }
  }

  @Test func fanOutKeepsOrderAndReportsFailure() throws {
    let first = MemorySink<Int>()
    let second = MemorySink<Int>()
    let all = FanOut<Int>([first, BrokenSink(), second])
    for event in 1...3 { all.receive(event) }
    #expect(first.events == [1, 2, 3])
    #expect(second.events == [1, 2, 3])
    let failure = try #require(all.failure as? SystemError)
    #expect(failure.code == 28)
    #expect(failure.description.hasPrefix("write \"events\": No space left"))
    #expect(FanOut<Int>([first]).failure == nil)
  }

  @Test func clocks() {
    let manual = ManualClock(seconds: 5)
    manual.advance(by: 1.5)
    #expect(manual.seconds == 6.5)
    let clock = MonotonicClock()
    let (first, second) = (clock.seconds, clock.seconds)
    #expect(second >= first)
    #expect(clock.unixSeconds > 1_700_000_000)
  }

  @Test func causesAreTold() {
    struct Outer: CodedError {
      let code = 1
      let message = "The checkpoint was not written. Free some space and run again."
      let cause: (any Error)?
    }
    let error = Outer(cause: SystemError("write \"a\"", errno: 28))
    #expect(error.description.contains("Free some space"))
    #expect(error.description.contains("because: write \"a\""))
  }
}
