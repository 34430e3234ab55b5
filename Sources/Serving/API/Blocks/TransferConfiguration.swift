// What an operator chooses about blocks of the cache that go from one server to another.

public import Core

/// How servers give each other blocks of their caches.
public struct TransferConfiguration: Configuration, Hashable {
  /// A file with the key that these servers and their router share; nil: no blocks are given or fetched.
  public var key: String?
  /// A PEM file with the authorities that have signed the other servers' certificates; nil: the system's.
  public var authority: String?
  /// Seconds without a byte after which another server is given up, and the prompt is read here.
  public var patience = 30

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check((1...86400).contains(patience), "patience", patience, "must be from 1 to 86400 seconds")
  }
}
