// What compiling one grammar may cost, so that a hostile one is refused soon.
//
// Invariant: time is that of the compiling thread on a processor: a busy machine refuses nothing that an idle one takes, by and large.

internal import Core

/// Counts the work of compiling a grammar.
package final class GrammarBudget {
  private let seconds: Double
  private let begin = threadSeconds()
  /// Work that may be done until the time is looked at, which costs more than most of it.
  private var unseen = 0

  private static let lookAfter = 4096

  /// - Parameter seconds: of a processor.
  package init(seconds: Double = 2) { self.seconds = seconds }

  /// Notes work, of which one unit is about as much as looking at an edge.
  ///
  /// - Parameter part: what is being compiled, for the message.
  /// - Throws: when it takes too long.
  func spend(_ work: Int, _ part: @autoclosure () -> String) throws(GrammarError) {
    unseen += work
    guard unseen >= Self.lookAfter else { return }
    unseen = 0
    guard threadSeconds() - begin > seconds else { return }
    throw GrammarError(
      .tooLarge,
      "The grammar takes more than \(seconds) seconds to compile, which ended in \(part()). Make it simpler: fewer alternatives that "
        + "begin alike, fewer patterns on one text, smaller repetitions.")
  }
}

private func threadSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
