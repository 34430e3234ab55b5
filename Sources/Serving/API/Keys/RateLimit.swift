// So much a minute, as a bucket that fills steadily and holds a minute's worth (a token bucket).
//
// Invariant: what is taken over any span is at most what the bucket held and what flowed in; a debt is paid first.

/// A bucket.
struct RateLimit: Sendable {
  /// A minute's worth.
  let limit: Int
  private var level: Double
  private var time: Double

  init(_ limit: Int, at now: Double) {
    (self.limit, level, time) = (limit, Double(limit), now)
  }

  private mutating func fill(at now: Double) {
    level = min(Double(limit), level + Double(limit) / 60 * max(0, now - time))
    time = max(time, now)
  }

  /// How long until there is so much, in seconds; 0: there is.
  mutating func wait(for amount: Int, at now: Double) -> Double {
    fill(at: now)
    return max(0, (Double(min(amount, limit)) - level) * 60 / Double(limit))
  }

  /// Takes so much, on credit if need be.
  mutating func take(_ amount: Int, at now: Double) {
    fill(at: now)
    level -= Double(amount)
  }

  /// What is left, and in how many seconds the bucket is full.
  mutating func state(at now: Double) -> (left: Int, full: Double) {
    fill(at: now)
    return (max(0, Int(level)), (Double(limit) - level) * 60 / Double(limit))
  }

  /// The same level, in share, of another limit.
  func changed(to limit: Int) -> RateLimit {
    var result = RateLimit(limit, at: time)
    result.level = level / Double(self.limit) * Double(limit)
    return result
  }
}
