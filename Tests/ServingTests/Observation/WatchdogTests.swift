// The watchdog names what is wrong, once, with a remedy; says when it is over; and is quiet while all is well.

import Inference
import Serving
import Testing

@Suite struct WatchdogTests {
  /// What a watchdog says of figures that change from second to second.
  private func watch(
    _ seconds: Int, _ change: (Int, inout EngineStatistics, inout Double) -> Void
  ) -> [(second: Int, event: ServiceEvent)] {
    var watchdog = Watchdog(window: 10)
    var statistics = EngineStatistics()
    var encoding = 0.0
    statistics.cacheBlocks = 100
    var events: [(Int, ServiceEvent)] = []
    for second in 0..<seconds {
      change(second, &statistics, &encoding)
      let sample = Watchdog.Sample(
        time: Double(second), engine: statistics, mostRunning: 8, encoding: encoding, encodingThreads: 2)
      events += watchdog.handle(sample).map { (second, $0) }
    }
    return events
  }

  private func began(_ event: ServiceEvent) -> Bottleneck? {
    if case .bottleneckBegan(let bottleneck) = event { bottleneck } else { nil }
  }

  @Test func quietUnderSteadyLoad() {
    let events = watch(60) { second, statistics, encoding in
      (statistics.running, statistics.waiting) = (8, second % 5)
      statistics.steps += 50
      statistics.seconds += 0.95
      statistics.written += 400
      statistics.ended(.stop, count: 10)
      statistics.preemptions += second % 20 == 0 ? 1 : 0
      encoding += 0.3
    }
    #expect(events.isEmpty)
  }

  @Test func aQueueThatGrows() throws {
    let events = watch(60) { second, statistics, _ in
      statistics.running = 8
      statistics.waiting = second < 30 ? second * 3 : 0
      statistics.steps += 50
      statistics.written += 400
    }
    let first = try #require(events.first)
    let bottleneck = try #require(began(first.event))
    #expect(bottleneck.kind == .queueGrowing && first.second == 10)
    #expect(bottleneck.message.contains("from 0 to 30 requests in 10.0 s, at 400 tokens/s"))
    #expect(bottleneck.message.contains("raise `engine.running`"), "the cache has room")
    guard case .bottleneckEnded(.queueGrowing, let seconds)? = events.last?.event else {
      Issue.record("it did not end")
      return
    }
    #expect(events.count == 2 && events[1].second == 39 && seconds == 19)
  }

  @Test func aCacheThatIsTooSmall() throws {
    let events = watch(20) { _, statistics, _ in
      statistics.running = 8
      statistics.steps += 50
      statistics.preemptions += 2
      statistics.ended(.length)
    }
    let bottleneck = try #require(events.first.flatMap { began($0.event) })
    #expect(bottleneck.kind == .cacheThrashing && events.count == 1 && bottleneck.message.contains("20 times"))
  }

  @Test func readingThatIsSlowerThanComputing() throws {
    let events = watch(20) { _, statistics, encoding in
      statistics.steps += 5
      statistics.seconds += 0.3
      encoding += 1.9
    }
    let bottleneck = try #require(events.first.flatMap { began($0.event) })
    #expect(bottleneck.kind == .encodingBound && events.count == 1)
    #expect(bottleneck.message.contains("busy 95 %") && bottleneck.message.contains("30 %"))
  }

  @Test func aModelThatStands() throws {
    let events = watch(60) { second, statistics, _ in
      statistics.running = second < 40 ? 2 : 0
      if second < 20 || second >= 40 { (statistics.steps, statistics.seconds) = (second, Double(second) * 0.1) }
    }
    let bottleneck = try #require(events.first.flatMap { began($0.event) })
    #expect(bottleneck.kind == .engineStalled && events[0].second == 29 && events.count == 2)
  }

  @Test func stepsThatAlwaysTakeLongAreNoStall() {
    let events = watch(100) { second, statistics, _ in
      statistics.running = 1
      if second % 15 == 0 { (statistics.steps, statistics.seconds) = (statistics.steps + 1, Double(second) + 15) }
    }
    #expect(events.isEmpty)
  }
}
