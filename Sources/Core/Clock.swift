// Time as numbers of seconds, passed in wherever it matters so that tests need no sleeps.
//
// Invariant: `seconds` never goes backwards; `unixSeconds` may (it is what the machine believes the date to be).

internal import FoundationEssentials
internal import Synchronization

/// A source of time. Libraries take one as a parameter whose default is `MonotonicClock()`.
public protocol SecondsClock: Sendable {
  /// Seconds since an arbitrary origin; never decreases.
  var seconds: Double { get }
  /// Seconds since 1970-01-01 00:00 UTC, for stamps that people or other tools read.
  var unixSeconds: Double { get }
}

/// The machine's clock; the origin is the first use in this process.
public struct MonotonicClock: SecondsClock {
  private static let origin = ContinuousClock.now

  public init() {}

  public var seconds: Double {
    let origin = Self.origin
    let elapsed = (ContinuousClock.now - origin).components
    return Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18
  }

  public var unixSeconds: Double { Date().timeIntervalSince1970 }
}

/// A clock that a test moves by hand.
public final class ManualClock: SecondsClock {
  private let now: Mutex<Double>
  private let unixOrigin: Double

  /// - Parameter unixOrigin: the date, in seconds since 1970, at which `seconds` is 0.
  public init(seconds: Double = 0, unixOrigin: Double = 1_700_000_000) {
    self.now = Mutex(seconds)
    self.unixOrigin = unixOrigin
  }

  public var seconds: Double { now.withLock { $0 } }
  public var unixSeconds: Double { unixOrigin + seconds }

  /// Moves time forward.
  public func advance(by seconds: Double) {
    precondition(seconds >= 0, "ManualClock.advance: time moves forward, but the step is \(seconds) s")
    now.withLock { $0 += seconds }
  }
}
