// Writes a configuration as a tree, and asks every nested configuration for its problems on the way.
//
// Invariant: every setting appears, in the order of declaration; an optional that is nil appears as null. A choice is
// `"name"` where the case has no settings, else `{ name: settings }`, the payload without a label standing for itself.

/// The keys from the root to a setting.
struct ConfigurationPath {
  var keys: [String] = []

  static func + (path: ConfigurationPath, key: String) -> ConfigurationPath {
    ConfigurationPath(keys: path.keys + [key])
  }

  var text: String { keys.isEmpty ? "the configuration" : keys.joined(separator: ".") }

  /// For the standard library's interfaces.
  var codingPath: [any CodingKey] { keys.map { PlainKey(stringValue: $0) } }
}

/// A coding key that is just a name.
struct PlainKey: CodingKey {
  var stringValue: String
  var intValue: Int?

  init(stringValue: String) { self.stringValue = stringValue }
  init(intValue: Int) {
    self.stringValue = String(intValue)
    self.intValue = intValue
  }
}

/// The problems found so far.
final class ConfigurationReport {
  var problems: [ConfigurationProblem] = []
}

/// The name that Swift gives to a payload without a label.
let unlabelledPayload = "_0"

/// A tree under construction.
final class ConfigurationNode {
  enum Content {
    case empty
    case value(JSONValue)
    case members([(key: String, node: ConfigurationNode)])
    case elements([ConfigurationNode])
  }

  var content = Content.empty
  var isChoice = false

  func member(_ key: String) -> ConfigurationNode {
    let node = ConfigurationNode()
    switch content {
    case .members(let members): content = .members(members + [(key, node)])
    case .empty: content = .members([(key, node)])
    case .value, .elements: preconditionFailure("a configuration writes both a value and the key \(key) in one place")
    }
    return node
  }

  func element() -> ConfigurationNode {
    let node = ConfigurationNode()
    switch content {
    case .elements(let elements): content = .elements(elements + [node])
    case .empty: content = .elements([node])
    case .value, .members: preconditionFailure("a configuration writes both a value and a list in one place")
    }
    return node
  }

  var json: JSONValue {
    switch content {
    case .empty: return .object(JSONObject())
    case .value(let value): return value
    case .elements(let nodes): return .array(nodes.map(\.json))
    case .members(let members):
      if isChoice, let (name, node) = members.first {
        let payload = node.json
        return payload.object?.isEmpty == true ? .string(name) : .object(JSONObject([(name, payload)]))
      }
      return .object(JSONObject(members.map { ($0.key, $0.node.json) }))
    }
  }
}

enum ConfigurationEncoding {
  static func encode<T: Encodable>(
    _ value: T, into node: ConfigurationNode, _ path: ConfigurationPath, _ report: ConfigurationReport
  ) {
    if let scalar = scalar(value) {
      node.content = .value(scalar)
      return
    }
    if let configuration = value as? any Configuration {
      for problem in configuration.problems() {
        var problem = problem
        problem.path = (path + problem.path).text
        report.problems.append(problem)
      }
    }
    node.isChoice = value is any ConfigurationChoice
    do {
      try value.encode(to: ConfigurationEncoder(node: node, path: path, report: report))
    } catch {
      preconditionFailure("the configuration \(T.self) at \(path.text) cannot be written: \(error)")
    }
  }

  private static func scalar(_ value: some Encodable) -> JSONValue? {
    switch value {
    case let value as Bool: .bool(value)
    case let value as String: .string(value)
    case let value as Double: .number(JSONNumber(value))
    case let value as Float: .number(JSONNumber(value))
    case let value as any FixedWidthInteger: .number(JSONNumber(value))
    default: nil
    }
  }
}

private struct ConfigurationEncoder: Encoder {
  let node: ConfigurationNode
  let path: ConfigurationPath
  let report: ConfigurationReport

  var codingPath: [any CodingKey] { path.codingPath }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(KeyedContainer<Key>(node: node, path: path, report: report, isPayload: false))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    if case .empty = node.content { node.content = .elements([]) }
    return UnkeyedContainer(node: node, path: path, report: report)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer {
    SingleContainer(node: node, path: path, report: report)
  }

  private struct KeyedContainer<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let node: ConfigurationNode
    let path: ConfigurationPath
    let report: ConfigurationReport
    /// Whether this holds the payload of a choice.
    let isPayload: Bool

    var codingPath: [any CodingKey] { path.codingPath }

    private func place(_ key: Key) -> (ConfigurationNode, ConfigurationPath) {
      if isPayload, key.stringValue == unlabelledPayload { return (node, path) }
      return (node.member(key.stringValue), path + key.stringValue)
    }

    func encodeNil(forKey key: Key) { place(key).0.content = .value(.null) }

    func encode<T: Encodable>(_ value: T, forKey key: Key) {
      let (node, path) = place(key)
      ConfigurationEncoding.encode(value, into: node, path, report)
    }

    // An optional that is nil is written, so that the file shows that it exists. The standard library leaves it out by
    // default, for each of its types by a requirement of its own.
    func encodeIfPresent<T: Encodable>(_ value: T?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: Bool?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: String?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: Double?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: Float?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: Int?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: Int8?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: Int16?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: Int32?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: Int64?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: UInt?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: UInt8?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: UInt16?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: UInt32?, forKey key: Key) { encodeOptional(value, key) }
    func encodeIfPresent(_ value: UInt64?, forKey key: Key) { encodeOptional(value, key) }

    private func encodeOptional(_ value: (some Encodable)?, _ key: Key) {
      if let value { encode(value, forKey: key) } else { encodeNil(forKey: key) }
    }

    func nestedContainer<Nested: CodingKey>(
      keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
      let (inner, innerPath) = place(key)
      return KeyedEncodingContainer(
        KeyedContainer<Nested>(node: inner, path: innerPath, report: report, isPayload: node.isChoice))
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
      let (node, path) = place(key)
      return ConfigurationEncoder(node: node, path: path, report: report).unkeyedContainer()
    }

    func superEncoder() -> any Encoder {
      ConfigurationEncoder(node: node.member("super"), path: path + "super", report: report)
    }

    func superEncoder(forKey key: Key) -> any Encoder {
      let (node, path) = place(key)
      return ConfigurationEncoder(node: node, path: path, report: report)
    }
  }

  private struct UnkeyedContainer: UnkeyedEncodingContainer {
    let node: ConfigurationNode
    let path: ConfigurationPath
    let report: ConfigurationReport

    var codingPath: [any CodingKey] { path.codingPath }
    var count: Int { if case .elements(let elements) = node.content { elements.count } else { 0 } }

    func encodeNil() { node.element().content = .value(.null) }

    func encode<T: Encodable>(_ value: T) {
      let path = path + String(count)
      ConfigurationEncoding.encode(value, into: node.element(), path, report)
    }

    func superEncoder() -> any Encoder {
      let path = path + String(count)
      return ConfigurationEncoder(node: node.element(), path: path, report: report)
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
      superEncoder().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { superEncoder().unkeyedContainer() }
  }

  private struct SingleContainer: SingleValueEncodingContainer {
    let node: ConfigurationNode
    let path: ConfigurationPath
    let report: ConfigurationReport

    var codingPath: [any CodingKey] { path.codingPath }

    func encodeNil() { node.content = .value(.null) }

    func encode<T: Encodable>(_ value: T) { ConfigurationEncoding.encode(value, into: node, path, report) }
  }
}
