// Reads the settings of a config.json, collecting every problem instead of stopping at the first.

internal import Core

/// A config.json while it is read.
struct ModelSettings {
  private(set) var object: JSONObject
  private(set) var problems: [String] = []

  init(_ object: JSONObject) { self.object = object }

  mutating func report(_ problem: String) { problems.append(problem) }

  /// Sets what is not set; null counts as set. Files may leave out what is the default of the family's class in
  /// `transformers`.
  mutating func fill(_ defaults: KeyValuePairs<String, JSONValue>) {
    for (key, value) in defaults where object[key] == nil { object[key] = value }
  }

  /// Goes on with the member `key`, where models of several parts have the settings of their text part; what that does not
  /// say of `shared` is taken from around it.
  mutating func descend(to key: String, shared: [String]) {
    guard let inner = object[key]?.object else {
      report("'\(key)' is missing.")
      return
    }
    let outer = object
    object = inner
    for key in shared where object[key] == nil { object[key] = outer[key] }
  }

  /// The first of the keys that is present and not null.
  private func value(_ keys: [String]) -> (key: String, value: JSONValue)? {
    for key in keys {
      if let value = object[key], value != .null { return (key, value) }
    }
    return nil
  }

  /// A positive integer.
  ///
  /// - Parameter fallback: if the key is missing or null; nil: that is a problem.
  mutating func size(_ key: String, default fallback: Int? = nil) -> Int {
    guard let found = value([key]) else {
      if fallback == nil { report("'\(key)' is missing.") }
      return fallback ?? 1
    }
    guard let integer = found.value.integer, integer > 0, integer <= 1 << 24 else {
      report("'\(key)' must be a positive integer, not \(found.value.json).")
      return 1
    }
    return integer
  }

  /// A count of things, which may be none.
  mutating func count(_ key: String) -> Int {
    guard let count = object[key]?.integer, count >= 0 else {
      report("'\(key)' must be 0 or a positive integer, not \((object[key] ?? .null).json).")
      return 0
    }
    return count
  }

  mutating func number(_ key: String, default fallback: Double) -> Double {
    guard let found = value([key]) else { return fallback }
    guard let number = found.value.double, number.isFinite else {
      report("'\(key)' must be a number, not \(found.value.json).")
      return fallback
    }
    return number
  }

  /// nil: missing or null.
  mutating func optionalNumber(_ key: String) -> Double? {
    value([key]) == nil ? nil : number(key, default: 0)
  }

  mutating func flag(_ key: String, default fallback: Bool) -> Bool {
    guard let found = value([key]) else { return fallback }
    guard let flag = found.value.bool else {
      report("'\(key)' must be true or false, not \(found.value.json).")
      return fallback
    }
    return flag
  }

  /// One of several texts.
  mutating func choice<Choice>(_ key: String, _ choices: [(String, Choice)]) -> Choice {
    guard let found = value([key]) else { return choices[0].1 }
    if let choice = choices.first(where: { .string($0.0) == found.value }) { return choice.1 }
    let known = choices.map { "\"\($0.0)\"" }.joined(separator: ", ")
    report("'\(key)' is \(found.value.json), but only \(known) is supported.")
    return choices[0].1
  }

  /// A problem if a setting is anything but `value` (or missing).
  mutating func requires(_ key: String, _ expected: Bool) {
    if flag(key, default: expected) != expected {
      report("'\(key)' is \(!expected), but only \(expected) is supported.")
    }
  }
}

extension JSONValue {
  static func integer(_ value: Int) -> JSONValue { .number(JSONNumber(value)) }
  static func real(_ value: Double) -> JSONValue { .number(JSONNumber(value)) }
}
