// A JSON value as a tree, for the small parts of files whose form varies.

/// Any JSON value. Numbers keep the precision of Double.
package enum JSONValue: Sendable, Equatable {
  case object([String: JSONValue])
  case array([JSONValue])
  case string(String)
  case number(Double)
  case boolean(Bool)
  case null

  /// The member of an object, or nil; `null` counts as absent.
  package subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self, let value = members[name], value != .null else { return nil }
    return value
  }

  package var string: String? { if case .string(let text) = self { text } else { nil } }
  package var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
  package var array: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }
  package var integer: Int? { if case .number(let value) = self { Int(exactly: value) } else { nil } }
}

extension JSONReader {
  /// Reads the next value whatever it is; of equal names in an object the last counts.
  package mutating func value() throws(FormatsError) -> JSONValue {
    switch try kind() {
    case .object:
      var members: [String: JSONValue] = [:]
      try object { (reader, name) throws(FormatsError) in members[name] = try reader.value() }
      return .object(members)
    case .array:
      var elements: [JSONValue] = []
      try array { (reader) throws(FormatsError) in elements.append(try reader.value()) }
      return .array(elements)
    case .string: return .string(try string())
    case .number: return .number(try number())
    case .boolean: return .boolean(try boolean())
    case .null:
      _ = try null()
      return .null
    }
  }
}
