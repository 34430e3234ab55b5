// The small parts of files whose form varies, as trees.

package import Core

extension JSONReader {
  /// Reads the next value whatever it is. Members that are null are left out; of equal names in an object the last counts.
  package mutating func value() throws(FormatsError) -> JSONValue {
    switch try kind() {
    case .object:
      var members = JSONObject()
      try object { (reader, name) throws(FormatsError) in
        let value = try reader.value()
        if value != .null { members[name] = value }
      }
      return .object(members)
    case .array:
      var elements: [JSONValue] = []
      try array { (reader) throws(FormatsError) in elements.append(try reader.value()) }
      return .array(elements)
    case .string: return .string(try string())
    case .number:
      let number = try number()
      return .number(Int(exactly: number).map { JSONNumber($0) } ?? JSONNumber(number))
    case .boolean: return .bool(try boolean())
    case .null:
      _ = try null()
      return .null
    }
  }
}
