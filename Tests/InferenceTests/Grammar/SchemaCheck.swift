// An independent validator of the keywords that the random schemas use: the slow and obvious way, on values, without grammars.

import Core

/// Whether values fulfil schemas of one document.
struct SchemaCheck {
  let root: JSONValue

  /// The first condition that a value breaks, with its place.
  func problem(_ value: JSONValue, _ schema: JSONValue, at path: String = "$") throws -> String? {
    guard let schema = schema.object else { return schema == .bool(true) ? nil : "\(path): false" }
    if let reference = schema["$ref"]?.string {
      var target = root
      for part in reference.split(separator: "/").dropFirst() { target = target[String(part)]! }
      if let problem = try problem(value, target, at: path) { return problem }
    }
    for part in schema["allOf"]?.array ?? [] {
      if let problem = try problem(value, part, at: path) { return problem }
    }
    if let ways = (schema["anyOf"] ?? schema["oneOf"])?.array {
      let problems = try ways.map { try problem(value, $0, at: path) }
      if !problems.contains(where: { $0 == nil }) { return "\(path): none of anyOf: \(problems.compactMap(\.self))" }
    }
    if let type = schema["type"] {
      let types = type.array ?? [type]
      if !types.contains(where: { isOf($0.string!, value) }) { return "\(path): not of type \(types)" }
    }
    if let values = schema["enum"]?.array, !values.contains(where: { equal($0, value) }) {
      return "\(path): not in enum"
    }
    if let constant = schema["const"], !equal(constant, value) { return "\(path): not the constant" }
    switch value {
    case .string(let text): return try string(text, schema, path)
    case .number(let number):
      // Integers beyond 2^53 are exact only as such.
      if let step = schema["multipleOf"]?.integer, let value = Int(number.text), value % step != 0 {
        return "\(path): no multiple of \(step)"
      }
      return self.number(number.double, schema, path)
    case .array(let elements): return try array(elements, schema, path)
    case .object(let object): return try self.object(object, schema, path)
    case .bool, .null: return nil
    }
  }

  private func isOf(_ type: String, _ value: JSONValue) -> Bool {
    switch (type, value) {
    case ("string", .string), ("array", .array), ("object", .object), ("boolean", .bool), ("null", .null),
      ("number", .number):
      true
    case ("integer", .number(let number)): number.double == number.double.rounded()
    default: false
    }
  }

  private func equal(_ left: JSONValue, _ right: JSONValue) -> Bool {
    if case .number(let left) = left, case .number(let right) = right { return left.double == right.double }
    if case .array(let left) = left, case .array(let right) = right {
      return left.count == right.count && zip(left, right).allSatisfy { equal($0, $1) }
    }
    if case .object(let left) = left, case .object(let right) = right {
      return left.count == right.count && left.allSatisfy { key, value in right[key].map { equal(value, $0) } ?? false }
    }
    return left == right
  }

  private func string(_ text: String, _ schema: JSONObject, _ path: String) throws -> String? {
    let count = text.unicodeScalars.count
    if let least = schema["minLength"]?.integer, count < least { return "\(path): shorter than \(least)" }
    if let most = schema["maxLength"]?.integer, count > most { return "\(path): longer than \(most)" }
    if let pattern = schema["pattern"]?.string {
      // Scalars, as JSON Schema has it, not graphemes.
      let regex = try Regex(pattern).matchingSemantics(.unicodeScalar)
      if try regex.firstMatch(in: text) == nil { return "\(path): does not match \(pattern)" }
    }
    return nil
  }

  private func number(_ value: Double, _ schema: JSONObject, _ path: String) -> String? {
    if let limit = schema["minimum"]?.double, value < limit { return "\(path): below \(limit)" }
    if let limit = schema["maximum"]?.double, value > limit { return "\(path): above \(limit)" }
    if let limit = schema["exclusiveMinimum"]?.double, value <= limit { return "\(path): not above \(limit)" }
    if let limit = schema["exclusiveMaximum"]?.double, value >= limit { return "\(path): not below \(limit)" }
    return nil
  }

  private func array(_ elements: [JSONValue], _ schema: JSONObject, _ path: String) throws -> String? {
    if let least = schema["minItems"]?.integer, elements.count < least { return "\(path): fewer than \(least)" }
    if let most = schema["maxItems"]?.integer, elements.count > most { return "\(path): more than \(most)" }
    let prefix = schema["prefixItems"]?.array ?? []
    for (index, element) in elements.enumerated() {
      let schema = index < prefix.count ? prefix[index] : schema["items"] ?? .bool(true)
      if let problem = try problem(element, schema, at: "\(path)[\(index)]") { return problem }
    }
    return nil
  }

  private func object(_ object: JSONObject, _ schema: JSONObject, _ path: String) throws -> String? {
    for name in schema["required"]?.array ?? [] where object[name.string!] == nil { return "\(path): lacks \(name)" }
    let properties = schema["properties"]?.object ?? JSONObject()
    let patterns = schema["patternProperties"]?.object ?? JSONObject()
    if let most = schema["maxProperties"]?.integer, object.count > most { return "\(path): more than \(most) members" }
    if let least = schema["minProperties"]?.integer, object.count < least {
      return "\(path): fewer than \(least) members"
    }
    for (name, value) in object {
      let place = "\(path).\(name)"
      var isKnown = false
      if let schema = properties[name] {
        isKnown = true
        if let problem = try problem(value, schema, at: place) { return problem }
      }
      for (pattern, schema) in patterns
      where try Regex(pattern).matchingSemantics(.unicodeScalar).firstMatch(in: name) != nil {
        isKnown = true
        if let problem = try problem(value, schema, at: place) { return problem }
      }
      if !isKnown, let schema = schema["additionalProperties"], let problem = try problem(value, schema, at: place) {
        return problem
      }
    }
    return nil
  }
}
