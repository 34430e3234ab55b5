// Work that takes too long for the thread that reads and writes for everybody.

internal import Dispatch
internal import Synchronization

/// Runs work on other threads, in the order in which it comes, two pieces at a time.
final class BackgroundWork: Sendable {
  private struct State {
    var waiting: [@Sendable () -> Void] = []
    var running = 0
  }

  private let queue = DispatchQueue(label: "background", attributes: .concurrent)
  private let state = Mutex(State())
  private static let mostRunning = 2
  private static let mostWaiting = 64

  /// - Throws: if too much waits already.
  func run(_ work: @escaping @Sendable () -> Void) throws(APIError) {
    let isTaken = state.withLock { state -> Bool in
      if state.waiting.count >= Self.mostWaiting { return false }
      state.waiting.append(work)
      return true
    }
    if !isTaken {
      throw APIError(.tooManyRequests, "Too much work waits already; try again later.", code: "queue_full")
    }
    next()
  }

  private func next() {
    let work = state.withLock { state -> (@Sendable () -> Void)? in
      if state.running == Self.mostRunning || state.waiting.isEmpty { return nil }
      state.running += 1
      return state.waiting.removeFirst()
    }
    guard let work else { return }
    queue.async { [self] in
      work()
      state.withLock { $0.running -= 1 }
      next()
    }
  }
}
