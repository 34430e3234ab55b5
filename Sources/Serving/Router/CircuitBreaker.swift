// Whether a worker that fails is asked again: closed, open, half-open (M. Nygard, "Release It!", 2007).

/// The breaker of one worker.
package struct CircuitBreaker: Sendable {
  package enum State: Sendable, Equatable {
    /// Requests go through; so many have failed one after another.
    case closed(failures: Int)
    /// None goes through before a time.
    case open(until: Double)
    /// One goes through at a time, to see; so many have been answered.
    case halfOpen(successes: Int, isTrying: Bool)
  }

  package struct Settings: Sendable {
    /// Failures one after another that open it.
    package var failures = 5
    /// Answers one after another that close it again.
    package var successes = 2
    /// Seconds for which it is open.
    package var pause = 10.0

    package init() {}
  }

  package private(set) var state = State.closed(failures: 0)
  private let settings: Settings

  package init(_ settings: Settings = Settings()) { self.settings = settings }

  /// Whether a request may go through now.
  package func allows(at now: Double) -> Bool {
    switch state {
    case .closed: true
    case .open(let until): now >= until
    case .halfOpen(_, let isTrying): !isTrying
    }
  }

  /// A request goes through.
  package mutating func sent(at now: Double) {
    switch state {
    case .closed: break
    case .open: state = .halfOpen(successes: 0, isTrying: true)
    case .halfOpen(let successes, _): state = .halfOpen(successes: successes, isTrying: true)
    }
  }

  package mutating func succeeded() {
    switch state {
    case .closed: state = .closed(failures: 0)
    case .open: break
    case .halfOpen(let successes, _):
      state =
        successes + 1 >= settings.successes
        ? .closed(failures: 0) : .halfOpen(successes: successes + 1, isTrying: false)
    }
  }

  package mutating func failed(at now: Double) {
    switch state {
    case .closed(let failures) where failures + 1 < settings.failures: state = .closed(failures: failures + 1)
    case .closed, .halfOpen: state = .open(until: now + settings.pause)
    case .open: break
    }
  }

  /// A request ended without saying anything about the worker.
  package mutating func left() {
    if case .halfOpen(let successes, true) = state { state = .halfOpen(successes: successes, isTrying: false) }
  }
}
