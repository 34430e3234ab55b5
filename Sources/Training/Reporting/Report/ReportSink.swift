// Keeps report.html up to date while a run goes on.
//
// Invariant: whoever opens the file finds a whole page. Writing takes no more than about 2% of the time of the run.

package import Core
internal import Synchronization

/// Rewrites the report at intervals and at the end.
package final class ReportSink: EventSink {
  private struct State {
    var history: RunHistory
    var nextWrite = -Double.infinity
    var failure: (any Error)?
  }

  private let path: String
  private let clock: any SecondsClock
  private let interval: Double
  private let state: Mutex<State>

  /// - Parameters:
  ///   - history: what happened before this process, from events.jsonl.
  ///   - interval: seconds between two writes, at least.
  package init(
    path: String, history: RunHistory = RunHistory(), interval: Double = 10, clock: any SecondsClock = MonotonicClock()
  ) {
    self.path = path
    self.clock = clock
    self.interval = interval
    state = Mutex(State(history: history))
  }

  package func receive(_ event: TrainingEvent) {
    state.withLock { state in
      state.history.receive(event)
      var isOver = false
      if case .finished = event { isOver = true }
      if isOver || clock.seconds >= state.nextWrite { write(&state) }
    }
  }

  package func flush() { state.withLock { write(&$0) } }

  package var failure: (any Error)? { state.withLock { $0.failure } }

  private func write(_ state: inout State) {
    guard state.failure == nil else { return }
    let start = clock.seconds
    do {
      try AtomicFile.write(Report.html(of: state.history, unixSeconds: clock.unixSeconds), to: path)
    } catch { state.failure = error }
    let end = clock.seconds
    state.nextWrite = end + max(interval, 50 * (end - start))
  }
}
