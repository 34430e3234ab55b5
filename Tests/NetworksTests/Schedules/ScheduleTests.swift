// Learning rates at points where they can be said without the code.

import Networks
import Testing

@Suite struct ScheduleTests {
  private func close(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-12 * max(abs(a), abs(b), 1) }

  @Test func warmupRisesInAStraightLine() {
    let schedule = Schedule(peak: 2, warmup: 10, course: .constant)
    #expect(schedule.rate(at: 1, of: 100) == 0.2)
    #expect(schedule.rate(at: 5, of: 100) == 1)
    #expect(schedule.rate(at: 10, of: 100) == 2)
    #expect(schedule.rate(at: 100, of: 100) == 2)
  }

  @Test func linearEndsAtItsFinalShare() {
    let schedule = Schedule(peak: 1, warmup: 20, course: .linear(final: 0.2))
    #expect(schedule.rate(at: 20, of: 120) == 1)
    #expect(close(schedule.rate(at: 70, of: 120), 0.6))
    #expect(close(schedule.rate(at: 120, of: 120), 0.2))
    #expect(close(schedule.rate(at: 500, of: 120), 0.2))
  }

  @Test func cosineIsHalfwayInTheMiddle() {
    let schedule = Schedule(peak: 1, warmup: 0, course: .cosine(final: 0.1))
    #expect(close(schedule.rate(at: 50, of: 100), 0.55))
    #expect(close(schedule.rate(at: 25, of: 100), 0.1 + 0.9 * (1 + 0.5.squareRoot()) / 2))
    #expect(close(schedule.rate(at: 100, of: 100), 0.1))
  }

  @Test func stableFallsOnlyAtTheEnd() {
    let schedule = Schedule(peak: 4, warmup: 10, course: .stable(share: 0.2, final: 0))
    #expect(schedule.rate(at: 10, of: 100) == 4)
    #expect(schedule.rate(at: 80, of: 100) == 4)
    #expect(close(schedule.rate(at: 90, of: 100), 2))
    #expect(close(schedule.rate(at: 100, of: 100), 0))
  }

  @Test(arguments: Schedule.Course.choices)
  func staysFiniteInRunsShorterThanTheWarmup(course: Schedule.Course) {
    let schedule = Schedule(peak: 1, warmup: 10, course: course)
    for total in 0...12 {
      for step in 0...15 {
        let rate = schedule.rate(at: step, of: total)
        #expect(rate >= 0 && rate <= 1, "\(course) at \(step) of \(total)")
      }
    }
  }
}
