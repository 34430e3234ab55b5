// What is tried again, how often and after how long.

/// A failure that may pass: a lost connection, a server that is overloaded.
struct TemporaryFailure: Error {
  /// What happened, as part of a sentence.
  let reason: String
  /// How long the server wants to be left alone, in seconds.
  var delay: Double?
}

/// How failures are tried again.
public struct HubRetries: Sendable {
  /// Failures in a row, without a byte gained between them, before one gives up.
  public var attempts: Int
  /// Seconds before the second attempt; doubled for each one after it.
  public var firstDelay: Double
  /// The longest of these delays, in seconds.
  public var longestDelay: Double
  /// The longest time that a server may ask to wait before one gives up, in seconds.
  public var patience: Double
  /// Seconds without a byte after which a connection counts as lost.
  public var silence: Double

  public init(
    attempts: Int = 8, firstDelay: Double = 0.5, longestDelay: Double = 30, patience: Double = 300, silence: Double = 30
  ) {
    self.attempts = attempts
    self.firstDelay = firstDelay
    self.longestDelay = longestDelay
    self.patience = patience
    self.silence = silence
  }

  /// The seconds to wait after the given number of failures in a row, or nil to give up.
  func delay(after failures: Int, _ failure: TemporaryFailure) -> Double? {
    guard failures < attempts, failure.delay ?? 0 <= patience else { return nil }
    var delay = firstDelay
    for _ in 1..<max(1, failures) where delay < longestDelay { delay *= 2 }
    return max(min(delay, longestDelay), failure.delay ?? 0)
  }

  /// Calls `body` until it succeeds, fails for good, or has failed too often. `body` gets a value that it sets to true
  /// when something was gained, which starts the counting anew. `waits` is told of each failure and the delay in seconds.
  /// - Parameters:
  ///   - what: what is tried, as the subject of a sentence.
  ///   - remedy: what to do if it fails, as a sentence.
  func run<Result>(
    _ what: String, remedy: String, waits: (String, Double) -> Void, _ body: (inout Bool) async throws -> Result
  ) async throws -> Result {
    var failures = 0
    while true {
      var isGain = false
      do {
        return try await body(&isGain)
      } catch let failure as TemporaryFailure {
        try Task.checkCancellation()
        failures = isGain ? 1 : failures + 1
        guard let delay = delay(after: failures, failure) else {
          let wish = failure.delay.map { " It asks to wait \(Int($0)) s." } ?? ""
          throw FormatsError(
            .network,
            "\(what) failed \(failures) time\(failures == 1 ? "" : "s") in a row: \(failure.reason).\(wish) \(remedy)")
        }
        waits(failure.reason, delay)
        try await Task.sleep(for: .seconds(delay))
      }
    }
  }
}
