import Core
import Synchronization

/// Ctrl-C and SIGTERM as a question that a loop asks; a second Ctrl-C ends the process at once.
enum Interrupt {
  private static let asked = Atomic<Int>(0)

  static func watch() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        if Interrupt.asked.wrappingAdd(1, ordering: .relaxed).oldValue > 0 { _exit(128 + number) }
      }
    }
  }

  /// Ctrl-C ends the process again, as it does by itself.
  static func forget() {
    asked.store(0, ordering: .relaxed)
    for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
  }

  private static let reload = Atomic<Int>(0)

  /// Returns when somebody asks.
  ///
  /// - Parameter reload: called for each SIGHUP.
  static func wait(reload: () -> Void = {}) {
    signal(SIGHUP) { _ in Interrupt.reload.store(1, ordering: .relaxed) }
    while !isAsked {
      if Interrupt.reload.exchange(0, ordering: .relaxed) > 0 { reload() }
      usleep(50_000)
    }
  }

  static var isAsked: Bool { asked.load(ordering: .relaxed) > 0 }
}
