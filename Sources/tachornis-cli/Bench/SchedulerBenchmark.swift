// How long the scheduler takes for a step while many requests wait.
//
// Invariant: as many requests come as end, so that the queue stays as long as it is said to be.

internal import Core
internal import Inference

/// Plans and ends steps with 10,000 requests in the queue, by who asks and what for, of those whose title contains `filter`.
/// - Returns: how many ways were measured.
@discardableResult
func runSchedulerBenchmarks(filter: String, json: Bool, seconds: Double, emit: (String) -> Void) -> Int {
  let cases = schedulerCases.filter { filter.isEmpty || schedulerTitle($0.name).contains(filter) }
  for (name, request) in cases {
    var world = SchedulerWorld(waiting: 10_000, request: request)
    let time = medianTime(seconds: seconds) { world.step() }
    if json {
      let line = JSONObject([
        ("name", .string("scheduler")), ("shape", .string("10000")), ("variant", .string(name)),
        ("seconds", .number(JSONNumber(time))),
      ])
      emit(JSONValue.object(line).json)
    } else {
      emit("\(schedulerTitle(name)): \(Numerals.fixed(time * 1e6, 1)) us a step")
    }
  }
  return cases.count
}

private func schedulerTitle(_ name: String) -> String { "scheduler, 10000 waiting, \(name)" }

private let schedulerCases: [(name: String, request: @Sendable (UInt64) -> ScheduledRequest)] = [
  ("one tenant", { ask($0) }),
  ("100 tenants", { id in ask(id) { $0.tenant = "\(id % 100)" } }),
  ("10000 tenants", { id in ask(id) { $0.tenant = "\(id % 10_000)" } }),
  ("four priorities", { id in ask(id) { $0.priority = Int(id % 4) } }),
  ("deadlines", { id in ask(id) { $0.deadline = 1000 + Double(id) } }),
  ("2000 tokens shared", { id in ask(id) { $0.prompt = sharedPrompt + [Int32(id % 30_000)] } }),
]

private let sharedPrompt = (0..<2000).map { Int32($0) }

private func ask(_ id: UInt64, _ change: (inout ScheduledRequest) -> Void = { _ in }) -> ScheduledRequest {
  let prompt = (0..<32).map { Int32((id &* 31 &+ $0 &* 7) % 30_000) }
  var request = ScheduledRequest(id: id, prompt: prompt, limit: 32)
  change(&request)
  return request
}

private struct SchedulerWorld {
  private var scheduler: Scheduler
  private var next: UInt64 = 0
  private let request: (UInt64) -> ScheduledRequest

  init(waiting: Int, request: @escaping (UInt64) -> ScheduledRequest) {
    var limits = Scheduler.Limits(context: 4096, blocks: 16_384)
    (limits.tokens, limits.running, limits.waiting) = (512, 64, waiting + 64)
    scheduler = Scheduler(limits)
    self.request = request
    for _ in 0..<waiting { submit() }
    // Into the middle of things.
    for _ in 0..<100 { step() }
  }

  private mutating func submit() {
    next += 1
    _ = scheduler.handle(.submitted(request(next)), at: 0)
  }

  mutating func step() {
    let step = scheduler.plan(at: 0).step!
    let chosen = step.parts.filter(\.isLast).map { ($0.id, ChosenTokens([1], isEnd: false)) }
    let actions = scheduler.handle(
      .computed(step, chosen: Dictionary(uniqueKeysWithValues: chosen)), at: 0)
    for case .ended in actions { submit() }
  }
}
