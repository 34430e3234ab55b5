// A run of a load generator: when the next request goes out, and on which connection.
//
// All of it belongs to one event loop, on which it costs about ten microseconds a request: with one processor it can ask more of a
// server than that can answer with one.

internal import Core
internal import NIOCore
internal import NIOPosix

/// What a run does.
package struct LoadPlan: Sendable {
  package var target: LoadTarget
  package var workload: LoadWorkload
  package var arrivals = LoadArrivals.closed
  /// Requests under way at most.
  package var concurrency = 64
  /// After so many, or so many seconds, no more are sent.
  package var requests: Int?
  package var seconds: Double?
  package var goals: LoadGoals
  /// The share of requests that are broken off, and of those that are wrong.
  package var disconnects = 0.0
  package var wrong = 0.0
  /// Seconds after which a request is given up.
  package var timeout = 600.0
  package var seed: UInt64 = 0

  package init(_ target: LoadTarget, _ workload: LoadWorkload, goals: LoadGoals) {
    (self.target, self.workload, self.goals) = (target, workload, goals)
  }

  /// Carries it out and waits for its end.
  package func run() throws -> LoadReport {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    defer { try? group.syncShutdownGracefully() }
    let loop = group.next()
    return try loop.flatSubmit { LoadRun(self, loop).begin() }.wait()
  }
}

/// A run under way.
final class LoadRun {
  var report: LoadReport
  private let plan: LoadPlan
  private let loop: any EventLoop
  private let result: EventLoopPromise<LoadReport>
  private var random: RandomSequence
  private var number = 0
  private var started = NIODeadline.now()
  /// Seconds after the start at which the next request comes.
  private var due = 0.0
  private var next: LoadRequest?
  /// Came when no connection was free.
  private var waiting: [(request: LoadRequest, since: NIODeadline)] = []
  private var firstWaiting = 0
  private var idle: [LoadConnection] = []
  private var busy: [ObjectIdentifier: LoadConnection] = [:]
  private var opening = 0
  private var isOver = false
  private var failures = 0

  init(_ plan: LoadPlan, _ loop: any EventLoop) {
    (self.plan, self.loop) = (plan, loop)
    report = LoadReport(goals: plan.goals, streams: plan.target.streams)
    result = loop.makePromise()
    random = RandomSequence(seed: plan.seed, stream: 3)
  }

  func begin() -> EventLoopFuture<LoadReport> {
    started = .now()
    if case .closed = plan.arrivals {
      for _ in 0..<plan.concurrency { open() }
    } else {
      advance()
      arrive()
    }
    watch()
    return result.futureResult
  }

  private var elapsed: Double { Double((NIODeadline.now() - started).nanoseconds) / 1e9 }

  // MARK: Requests

  /// The next request of the workload, if there is to be one.
  private func take() -> LoadRequest? {
    if let limit = plan.requests, number >= limit { return nil }
    if let limit = plan.seconds, elapsed >= limit { return nil }
    guard let request = plan.workload.request(number, seed: plan.seed) else { return nil }
    number += 1
    return request
  }

  private func advance() {
    next = take()
    due = next?.time ?? due + plan.arrivals.interval(&random)
  }

  /// Sends what is due and waits for the next.
  private func arrive() {
    while let request = next, due <= elapsed {
      waiting.append((request, started + .nanoseconds(Int64(due * 1e9))))
      advance()
    }
    dispatch()
    if next == nil { return finishIfDone() }
    loop.assumeIsolated().scheduleTask(in: .nanoseconds(max(0, Int64((due - elapsed) * 1e9)))) { self.arrive() }
  }

  private func dispatch() {
    while firstWaiting < waiting.count, let connection = idle.popLast() {
      let (request, since) = waiting[firstWaiting]
      firstWaiting += 1
      send(request, on: connection, since: since)
    }
    if firstWaiting == waiting.count {
      waiting.removeAll(keepingCapacity: true)
      firstWaiting = 0
    }
    let wanted = min(waiting.count - firstWaiting, plan.concurrency - busy.count) - opening
    for _ in 0..<max(0, wanted) { open() }
  }

  private func send(_ request: LoadRequest, on connection: LoadConnection, since begun: NIODeadline) {
    busy[ObjectIdentifier(connection)] = connection
    let draw = Double.random(in: 0..<1, using: &random)
    if draw < plan.wrong {
      let kind = Int.random(in: 0..<1000, using: &random)
      connection.send(plan.target.wrong(kind), .wrong, since: begun)
    } else if draw < plan.wrong + plan.disconnects {
      let events = Int.random(in: 0...max(1, request.output / 2), using: &random)
      connection.send(plan.target.bytes(request), .brokenOff(after: events), since: begun)
    } else {
      connection.send(plan.target.bytes(request), .usual, since: begun)
    }
  }

  // MARK: Connections

  private func open() {
    opening += 1
    ClientBootstrap(group: loop)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .connect(host: plan.target.host, port: plan.target.port)
      .assumeIsolated()
      .whenComplete { result in
        do {
          let channel = try result.get()
          let connection = LoadConnection(self)
          try channel.pipeline.syncOperations.addHandler(connection)
          self.opening -= 1
          self.failures = 0
          self.free(connection)
        } catch {
          self.report.errors["cannot connect", default: 0] += 1
          self.failed()
        }
      }
  }

  /// Tries again a little later, but not for ever where nobody answers at all.
  private func failed() {
    failures += 1
    if failures >= 3 * plan.concurrency + 20 { return finish() }
    loop.assumeIsolated().scheduleTask(in: .milliseconds(100)) {
      self.opening -= 1
      if case .closed = self.plan.arrivals { self.open() } else { self.dispatch() }
    }
  }

  private func free(_ connection: LoadConnection) {
    if case .closed = plan.arrivals {
      guard !isOver, let request = take() else {
        idle.append(connection)
        return finishIfDone()
      }
      send(request, on: connection, since: .now())
    } else {
      idle.append(connection)
      dispatch()
      finishIfDone()
    }
  }

  /// A request has ended.
  func ended(_ connection: LoadConnection, _ end: LoadEnd, keeps: Bool) {
    busy[ObjectIdentifier(connection)] = nil
    switch end {
    case .answered(let sample, let input, let cached):
      report.add(sample)
      report.inputTokens += input
      report.cachedTokens += cached
    case .left: report.left += 1
    case .refused: report.refused += 1
    case .failed(let reason, let answer):
      report.errors[reason, default: 0] += 1
      if report.answers[reason] == nil { report.answers[reason] = answer }
    }
    if isOver { return }
    // Not on this stack: an answer may have come at once.
    loop.assumeIsolated().execute {
      if keeps { return self.free(connection) }
      if case .closed = self.plan.arrivals, self.mayGoOn { return self.open() }
      self.dispatch()
      self.finishIfDone()
    }
  }

  private var mayGoOn: Bool {
    !(plan.requests.map { number >= $0 } ?? false) && !(plan.seconds.map { elapsed >= $0 } ?? false)
  }

  /// The server closed a connection that was not used.
  func closed(_ connection: LoadConnection) {
    guard let place = idle.firstIndex(where: { $0 === connection }) else { return }
    idle.remove(at: place)
    if case .closed = plan.arrivals, mayGoOn, !isOver { open() }
  }

  // MARK: The end

  /// Gives up requests that take too long.
  private func watch() {
    if isOver { return }
    let oldest = NIODeadline.now() - .nanoseconds(Int64(plan.timeout * 1e9))
    for connection in Array(busy.values) where connection.begun.map({ $0 < oldest }) ?? false {
      connection.abandon("no answer in \(plan.timeout) s")
    }
    finishIfDone()
    loop.assumeIsolated().scheduleTask(in: .seconds(1)) { self.watch() }
  }

  private func finishIfDone() {
    if case .closed = plan.arrivals {
      if busy.isEmpty && opening == 0 { finish() }
    } else if next == nil && waiting.isEmpty && busy.isEmpty {
      finish()
    }
  }

  private func finish() {
    if isOver { return }
    isOver = true
    report.seconds = elapsed
    for connection in idle { connection.close() }
    idle = []
    result.succeed(report)
  }
}
