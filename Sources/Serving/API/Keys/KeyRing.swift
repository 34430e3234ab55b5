// Whose key a request brings.
//
// Keys are looked up by their SHA-256, so that how long it takes to refuse a wrong one says nothing about right ones.

public import Core
internal import Crypto
internal import Synchronization

/// The keys of a server. They can be replaced while it runs.
public final class KeyRing: Sendable {
  private let callers = Mutex<[[UInt8]: Caller]>([:])
  private let clock: any SecondsClock

  public init(_ configuration: KeysConfiguration, clock: any SecondsClock = MonotonicClock()) {
    self.clock = clock
    replace(configuration)
  }

  /// Takes these keys from now on. Who keeps a name keeps what was counted; requests under way go on.
  public func replace(_ configuration: KeysConfiguration) {
    callers.withLock { callers in
      let known = Dictionary(callers.values.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
      callers = [:]
      for settings in configuration.keys {
        let caller = known[settings.name] ?? Caller(settings, clock: clock)
        caller.change(to: settings)
        callers[Self.digest(settings.key)] = caller
      }
    }
  }

  /// Who brings a key; nil: it is none of these.
  package func caller(_ key: String) -> Caller? {
    let digest = Self.digest(key)
    return callers.withLock { $0[digest] }
  }

  private static func digest(_ key: String) -> [UInt8] {
    var key = key
    return key.withUTF8 { Array(SHA256.hash(data: UnsafeRawBufferPointer($0))) }
  }
}
