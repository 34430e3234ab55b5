// The keys that a server takes, in a JSON5 file:
//
//     { keys: [
//       { key: "sk-7f…", name: "search", requestsPerMinute: 600, tokensPerMinute: 200000, concurrent: 16 },
//       { key: "sk-19…", name: "batch", priority: 0 },
//     ] }

public import Core

/// All keys.
public struct KeysConfiguration: Configuration, Hashable {
  public var keys: [KeyConfiguration] = []

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    check(!keys.isEmpty, "keys", "[]", "must hold a key: { key: \"…\", name: \"…\" }")
    check(keys.allSatisfy { !$0.key.isEmpty && !$0.name.isEmpty }, "keys", "{}", "must have a 'key' and a 'name' each")
    check(Set(keys.map(\.name)).count == keys.count, "keys", "\(keys.count) keys", "must have a name each")
    check(Set(keys.map(\.key)).count == keys.count, "keys", "\(keys.count) keys", "must differ")
  }
}

/// A key and what whoever brings it may do.
public struct KeyConfiguration: Configuration, Hashable {
  /// What requests bring.
  public var key = ""
  /// Who brings it: shares of the machine are per name.
  public var name = ""
  /// Requests a minute; nil: any number. So many may come at once, too.
  public var requestsPerMinute: Int?
  /// Tokens a minute, read and written; nil: any number.
  public var tokensPerMinute: Int?
  /// Requests at a time; nil: any number.
  public var concurrent: Int?
  /// The highest priority that requests may have.
  public var priority = 0

  public init() {}

  public func problems() -> [ConfigurationProblem] {
    // The defaults are no key, but what a key is made from.
    let isSet = self != KeyConfiguration()
    check(!isSet || key.utf8.count >= 8, "key", "\"…\"", "must be at least 8 characters long")
    check(!isSet || (1...64).contains(name.utf8.count), "name", name, "must have 1 to 64 characters")
    check(
      requestsPerMinute.map { $0 > 0 } ?? true, "requestsPerMinute", requestsPerMinute ?? 0,
      "must be positive, or null for any number")
    check(
      tokensPerMinute.map { $0 > 0 } ?? true, "tokensPerMinute", tokensPerMinute ?? 0,
      "must be positive, or null for any number")
    check(concurrent.map { $0 > 0 } ?? true, "concurrent", concurrent ?? 0, "must be positive, or null for any number")
    check((-1000...1000).contains(priority), "priority", priority, "must be from -1000 to 1000")
  }
}
