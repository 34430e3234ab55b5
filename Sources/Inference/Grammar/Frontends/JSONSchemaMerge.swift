// Several schemas that hold at once as one: `allOf`, keywords beside `$ref` and `anyOf`.
//
// Invariant: what fulfils the result fulfils all parts. Where that cannot be written as one schema, the merge is refused.

import Core

/// Brings schemas of one document together.
final class JSONSchemaMerge {
  private let root: JSONValue
  /// How many schemas were looked at: references that double at each step would otherwise never end.
  private var work = 0
  /// For all that is done with the schema.
  let budget: GrammarBudget

  private static let maximumDepth = 40
  private static let maximumWays = 500
  private static let maximumWork = 50_000

  init(root: JSONValue, _ budget: GrammarBudget) { (self.root, self.budget) = (root, budget) }

  /// Keywords that are conditions, by the type that they speak of.
  static let keywords: [(type: String, names: [String])] = [
    (
      "object",
      [
        "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
        "maxProperties", "unevaluatedProperties",
      ]
    ),
    ("array", ["items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"]),
    ("string", ["minLength", "maxLength", "pattern", "format"]),
    ("number", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
  ]
  private static let general: Set = ["type", "enum", "const", "nullable", "$ref", "anyOf", "oneOf", "allOf"]
  private static let conditionNames = general.union(keywords.flatMap(\.names))
  private static let refused: Set = [
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "contains", "minContains",
    "maxContains", "$dynamicRef", "$recursiveRef",
  ]

  /// The keywords of a schema that are conditions, or are not supported.
  static func conditions(_ object: JSONObject) -> JSONObject {
    JSONObject(object.filter { conditionNames.contains($0.0) || refused.contains($0.0) })
  }

  static func isOf(type: String, _ value: JSONValue) -> Bool {
    switch value {
    case .object: type == "object"
    case .array: type == "array"
    case .string: type == "string"
    case .number(let number): type == "number" || type == "integer" && number.double.rounded() == number.double
    case .bool: type == "boolean"
    case .null: type == "null"
    }
  }

  private func error(_ code: GrammarError.Code, _ what: String, _ path: String) -> GrammarError {
    GrammarError(code, "The schema cannot be used (at \(path)): \(what).")
  }

  // MARK: References

  /// What a pointer of this document points to.
  func target(of pointer: String, at path: String) throws(GrammarError) -> JSONValue {
    guard pointer.hasPrefix("#") else {
      throw error(
        .unsupported, "$ref '\(pointer)' points outside of the schema; bring what it refers to into $defs", path)
    }
    guard pointer == "#" || pointer.hasPrefix("#/") else {
      throw error(.unsupported, "$ref '\(pointer)' is no pointer such as #/$defs/name", path)
    }
    var value = root
    for part in pointer.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
      let name = Self.unescaped(part)
      let next =
        value[name] ?? value.array.flatMap { list in Int(name).flatMap { list.indices.contains($0) ? list[$0] : nil } }
      guard let next else { throw error(.syntax, "$ref '\(pointer)' points to nothing", path) }
      value = next
    }
    return value
  }

  /// A part of a JSON pointer (RFC 6901) in a fragment, where `%` escapes bytes as well.
  private static func unescaped(_ part: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(part.utf8)[...]
    while let byte = rest.popFirst() {
      let digits = String(decoding: rest.prefix(2), as: UTF8.self)
      if byte == UInt8(ascii: "%"), digits.utf8.count == 2, let value = UInt8(digits, radix: 16) {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else if byte == UInt8(ascii: "~"), let next = rest.first, next == UInt8(ascii: "0") || next == UInt8(ascii: "1")
      {
        bytes.append(UInt8(ascii: next == UInt8(ascii: "0") ? "~" : "/"))
        rest = rest.dropFirst()
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  // MARK: Merging

  /// A schema's conditions without `$ref`, `allOf` and `oneOf`; nil if nothing fulfils them.
  func plain(_ object: JSONObject, at path: String, depth: Int = 0) throws(GrammarError) -> JSONObject? {
    work += 1
    guard depth <= Self.maximumDepth, work <= Self.maximumWork else {
      throw error(.tooLarge, "references or allOf are nested too deep, or refer to themselves", path)
    }
    var result = Self.conditions(object)
    for name in result.keys where Self.refused.contains(name) {
      throw error(.unsupported, "the keyword '\(name)' is not supported", path)
    }
    for name in ["unevaluatedProperties", "unevaluatedItems"] where result[name] != nil {
      guard result[name] == .bool(false) || result[name] == .bool(true) else {
        throw error(.unsupported, "the keyword '\(name)' is only supported with true or false", path)
      }
      result[name] = nil
    }
    var parts: [JSONValue] = []
    if let reference = result["$ref"] {
      guard let pointer = reference.string else { throw error(.syntax, "'$ref' is a string", path) }
      parts.append(try target(of: pointer, at: path))
      result["$ref"] = nil
    }
    for keyword in ["allOf", "oneOf"] {
      guard let value = result[keyword] else { continue }
      guard let list = value.array else { throw error(.syntax, "'\(keyword)' is a list of schemas", path) }
      if keyword == "allOf" { parts += list } else { parts.append(["anyOf": value]) }
      result[keyword] = nil
    }
    for part in parts {
      switch part {
      case .bool(true): continue
      case .bool(false): return nil
      case .object(let object):
        guard let other = try plain(object, at: path, depth: depth + 1),
          let both = try conjunction(result, other, at: path, depth: depth + 1)
        else { return nil }
        result = both
      default: throw error(.syntax, "a schema is an object, true or false, but this is \(part.kind)", path)
      }
    }
    return result
  }

  /// Both schemas as one; nil if nothing fulfils both.
  func merged(_ left: JSONValue, _ right: JSONValue, at path: String, depth: Int = 0) throws(GrammarError) -> JSONValue?
  {
    switch (left, right) {
    case (.bool(true), _): return right
    case (_, .bool(true)): return left
    case (.bool(false), _), (_, .bool(false)): return nil
    case (.object(let left), .object(let right)):
      guard let left = try plain(left, at: path, depth: depth + 1),
        let right = try plain(right, at: path, depth: depth + 1)
      else { return nil }
      return try conjunction(left, right, at: path, depth: depth + 1).map { .object($0) }
    default: throw error(.syntax, "a schema is an object, true or false", path)
    }
  }

  private func conjunction(
    _ left: JSONObject, _ right: JSONObject, at path: String, depth: Int
  ) throws(GrammarError) -> JSONObject? {
    guard depth <= Self.maximumDepth else {
      throw error(.tooLarge, "schemas that hold at once are nested too deep", path)
    }
    for (one, other) in [(left, right), (right, left)] {
      guard let additional = one["additionalProperties"], additional != .bool(true) else { continue }
      if let patterns = other["patternProperties"], patterns != one["patternProperties"] {
        throw error(.unsupported, "'additionalProperties' that holds at once with other 'patternProperties'", path)
      }
    }
    var result = left
    try budget.spend(8 * (left.count + right.count), "the schemas that hold at once at \(path)")
    for (key, value) in right {
      guard let own = left[key], own != value else {
        if key != "properties" || left["additionalProperties"] == nil { result[key] = value }
        continue
      }
      try budget.spend((own.array?.count ?? 1) * (value.array?.count ?? 1), "the '\(key)' of \(path)")
      switch key {
      case "properties": continue
      case "required":
        result[key] = .array((own.array ?? []) + (value.array ?? []).filter { own.array?.contains($0) == false })
      case "type":
        let types = Self.commonTypes(own, value)
        if types.isEmpty { return nil }
        result[key] = types.count == 1 ? types[0] : .array(types)
      case "enum":
        let common = (own.array ?? []).filter { value.array?.contains($0) == true }
        if common.isEmpty { return nil }
        result[key] = .array(common)
      case "const": return nil
      case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
        result[key] = (own.double ?? 0) < (value.double ?? 0) ? value : own
      case "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties":
        result[key] = (own.double ?? 0) > (value.double ?? 0) ? value : own
      case "pattern", "format": result[key] = .array((own.array ?? [own]) + (value.array ?? [value]))
      case "additionalProperties", "items":
        result[key] = try merged(own, value, at: "\(path)/\(key)", depth: depth) ?? .bool(false)
      case "nullable": result[key] = .bool(own == .bool(true) && value == .bool(true))
      case "uniqueItems": result[key] = .bool(true)
      case "patternProperties":
        result[key] = .object(try united(own.object ?? JSONObject(), value.object ?? JSONObject(), at: path, depth))
      case "anyOf":
        var ways: [JSONValue] = []
        for one in own.array ?? [] {
          for other in value.array ?? [] {
            if let both = try merged(one, other, at: path, depth: depth) { ways.append(both) }
          }
        }
        guard ways.count <= Self.maximumWays else {
          throw error(.tooLarge, "alternatives that hold at once have more than \(Self.maximumWays) combinations", path)
        }
        result[key] = .array(ways)
      default: throw error(.unsupported, "'\(key)' has two values that hold at once", path)
      }
    }
    if left["properties"] != nil || right["properties"] != nil {
      // What one side does not name is for it an additional property.
      var properties = JSONObject()
      for side in [left, right] {
        for (name, _) in side["properties"]?.object ?? JSONObject() where properties[name] == nil {
          try budget.spend(16, "the property '\(name)' at \(path)")
          let (first, second) = (try condition(on: name, in: left), try condition(on: name, in: right))
          properties[name] = try merged(first, second, at: "\(path)/properties/\(name)", depth: depth) ?? .bool(false)
        }
      }
      result["properties"] = .object(properties)
    }
    return result
  }

  /// What a schema says of a member itself; what its patterns say is kept beside.
  private func condition(on name: String, in schema: JSONObject) throws(GrammarError) -> JSONValue {
    if let own = schema["properties"]?[name] { return own }
    for pattern in schema["patternProperties"]?.object?.keys ?? [] {
      if try Regex(pattern, budget).isFound(inStringSpelled: name) { return .bool(true) }
    }
    return schema["additionalProperties"] ?? .bool(true)
  }

  private func united(
    _ left: JSONObject, _ right: JSONObject, at path: String, _ depth: Int
  ) throws(GrammarError) -> JSONObject {
    var result = left
    for (name, value) in right {
      if let own = left[name] {
        result[name] = try merged(own, value, at: "\(path)/\(name)", depth: depth) ?? .bool(false)
      } else {
        result[name] = value
      }
    }
    return result
  }

  private static func commonTypes(_ left: JSONValue, _ right: JSONValue) -> [JSONValue] {
    let (left, right) = (left.array ?? [left], right.array ?? [right])
    var result: [JSONValue] = []
    for type in left {
      if right.contains(type) || type == "integer" && right.contains("number") { result.append(type) }
      if type == "number", right.contains("integer"), !right.contains("number") { result.append("integer") }
    }
    return result
  }
}
