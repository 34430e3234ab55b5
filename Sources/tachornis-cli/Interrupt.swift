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

  /// Returns when somebody asks.
  static func wait() {
    while !isAsked { usleep(50_000) }
  }

  static var isAsked: Bool { asked.load(ordering: .relaxed) > 0 }
}
