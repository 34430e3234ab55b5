// What an operator chooses about logs and traces.

public import Core

/// Who is told what of requests.
public struct ObservationConfiguration: Configuration, Hashable {
  /// A file that gets a line of JSON for each request; nil: none.
  public var requestLog: String?
  /// Seconds from which a request is said to be slow, with where its time went; nil: none is.
  public var slow: Double?
  /// The address of a collector of OpenTelemetry's traces; nil: none.
  public var traces: String?

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(slow.map { $0 > 0 && $0.isFinite } ?? true, "slow", slow ?? 0, "must be a positive number of seconds")
  }
}
