// JSON Schema (draft 2020-12) as a grammar of the JSON texts that fulfil it.
//
// Invariant: whatever the grammar allows fulfils the schema, but for `oneOf`, which is read as `anyOf` with a notice. The converse does
// not hold, on purpose: members come in the order of `properties`, those that nothing mentions only where `additionalProperties` is
// given, numbers have at most 18 digits on a side. A keyword that cannot be held to is refused with its name and place.

package import Core

extension Grammar {
  /// The JSON texts that fulfil a schema.
  package init(
    jsonSchema schema: JSONValue, whitespace: JSONWhitespace = .flexible, _ budget: GrammarBudget = GrammarBudget()
  ) throws(GrammarError) {
    var reader = JSONSchemaReader(schema, whitespace, budget)
    self = try reader.grammar()
  }

  /// The JSON texts that fulfil a schema, which is given as text.
  package init(
    jsonSchema text: String, whitespace: JSONWhitespace = .flexible, _ budget: GrammarBudget = GrammarBudget()
  ) throws(GrammarError) {
    let schema: JSONValue
    do { schema = try JSONValue(parsing: text) } catch {
      throw GrammarError(.syntax, "The schema is not JSON: \(error.message).")
    }
    try self.init(jsonSchema: schema, whitespace: whitespace, budget)
  }
}

/// Reads one schema.
struct JSONSchemaReader {
  let merge: JSONSchemaMerge
  var rules: JSONRules
  /// The rules of what `$ref` refers to.
  private var references: [String: Int] = [:]
  private var depth = 0

  private static let maximumDepth = 150

  init(_ root: JSONValue, _ whitespace: JSONWhitespace, _ budget: GrammarBudget) {
    merge = JSONSchemaMerge(root: root, budget)
    rules = JSONRules(whitespace: whitespace)
  }

  mutating func grammar() throws(GrammarError) -> Grammar {
    rules.grammar.root = try rule(of: "#", at: "#")
    return rules.grammar
  }

  mutating func notice(_ text: String) {
    if !rules.grammar.notices.contains(text) { rules.grammar.notices.append(text) }
  }

  // MARK: Schemas

  /// The texts that fulfil a schema.
  mutating func expression(_ schema: JSONValue, at path: String) throws(GrammarError) -> GrammarExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else {
      throw GrammarError(.tooLarge, "The schema is nested more than \(Self.maximumDepth) deep at \(path).")
    }
    try merge.budget.spend(16, "the schema at \(path)")
    switch schema {
    case .bool(let isAnything): return isAnything ? rules.value : .nothing
    case .object(let object):
      // A mere reference stays one, so that schemas may refer to themselves.
      let conditions = JSONSchemaMerge.conditions(object)
      if conditions.count == 1, let target = conditions["$ref"] {
        return .rule(try rule(of: try text(target, "$ref", path), at: path))
      }
      let plain = try merge.plain(conditions, at: path)
      if object["oneOf"] != nil {
        notice("oneOf at \(path) is read as anyOf: a text may fulfil more than one of its schemas.")
      }
      return try plain.map { (conditions) throws(GrammarError) in try conjunction(conditions, at: path) } ?? .nothing
    default: throw error(.syntax, "a schema is an object, true or false, but this is \(schema.kind)", path)
    }
  }

  /// The rule for what a pointer points to.
  private mutating func rule(of pointer: String, at path: String) throws(GrammarError) -> Int {
    if let known = references[pointer] { return known }
    let rule = rules.grammar.declare(pointer)
    references[pointer] = rule
    let target = try merge.target(of: pointer, at: path)
    let body = try expression(target, at: pointer)
    rules.grammar.define(rule, as: body)
    return rule
  }

  /// An expression as a rule of its own, where it is needed more than once.
  mutating func named(_ expression: GrammarExpression, _ path: String) -> GrammarExpression {
    if case .rule = expression { return expression }
    let rule = rules.grammar.declare(path)
    rules.grammar.define(rule, as: expression)
    return .rule(rule)
  }

  /// A schema without references and `allOf`; `anyOf` stands alone.
  private mutating func conjunction(_ object: JSONObject, at path: String) throws(GrammarError) -> GrammarExpression {
    if let branches = object["anyOf"] {
      var rest = object
      rest["anyOf"] = nil
      var ways: [GrammarExpression] = []
      for (index, branch) in try list(branches, "anyOf", path).enumerated() {
        let place = "\(path)/anyOf/\(index)"
        if rest.isEmpty {
          ways.append(try expression(branch, at: place))
        } else if let merged = try merge.merged(.object(rest), branch, at: place) {
          ways.append(try expression(merged, at: place))
        }
      }
      return .alternatives(ways)
    }
    if let values = object["enum"] ?? object["const"].map({ .array([$0]) }) {
      return try enumeration(try list(values, "enum", path), object, at: path)
    }
    var ways: [GrammarExpression] = []
    for type in try types(object, at: path) {
      switch type {
      case "null": ways.append(rules.null)
      case "boolean": ways.append(rules.boolean)
      case "integer", "number": ways.append(try number(object, isInteger: type == "integer", at: path))
      case "string": ways.append(try string(object, at: path))
      case "array": ways.append(try array(object, at: path))
      case "object": ways.append(try self.object(object, at: path))
      default: throw error(.syntax, "the type '\(type)' is not known", path)
      }
    }
    return ways.count == 1 ? ways[0] : .alternatives(ways)
  }

  /// The types that a text may have: those that are named, else those that conditions speak of, else all.
  private func types(_ object: JSONObject, at path: String) throws(GrammarError) -> [String] {
    var types: [String] = []
    switch object["type"] {
    case .string(let type)?: types = [type]
    case .array(let several)?: for type in several { types.append(try text(type, "type", path)) }
    case nil:
      types = JSONSchemaMerge.keywords.filter { keywords in keywords.names.contains { object[$0] != nil } }.map(\.type)
      if types.isEmpty { types = ["object", "array", "string", "number", "boolean", "null"] }
    default: throw error(.syntax, "'type' is a name or a list of names", path)
    }
    if types.contains("number") { types.removeAll { $0 == "integer" } }
    if object["nullable"]?.bool == true, !types.contains("null") { types.append("null") }
    return types
  }

  // MARK: Values

  private mutating func enumeration(
    _ values: [JSONValue], _ object: JSONObject, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    for key in object.keys where !["enum", "const", "type", "nullable"].contains(key) {
      throw error(
        .unsupported, "'\(key)' beside 'enum' or 'const' is not supported; list only values that fulfil it", path)
    }
    var wanted = values
    if let only = object["const"], object["enum"] != nil { wanted = values.filter { $0 == only } }
    if object["type"] != nil {
      let types = try types(object, at: path)
      wanted = wanted.filter { value in types.contains { JSONSchemaMerge.isOf(type: $0, value) } }
    }
    var ways: [GrammarExpression] = []
    for value in wanted { ways.append(literal(value)) }
    return .alternatives(ways)
  }

  private mutating func literal(_ value: JSONValue) -> GrammarExpression {
    switch value {
    case .object(let object):
      var members: [GrammarListElement] = []
      for (key, value) in object { members.append(GrammarListElement(rules.member(key: key, literal(value)))) }
      return rules.object(members)
    case .array(let elements):
      var written: [GrammarListElement] = []
      for element in elements { written.append(GrammarListElement(.sequence([literal(element), rules.space]))) }
      return rules.array(.list(written, separator: rules.comma))
    case .string(let text): return JSONRules.quoted(.text(JSONRules.spelling(text)))
    case .number(let number): return .text(number.text)
    case .bool(let value): return .text(value ? "true" : "false")
    case .null: return rules.null
    }
  }

  private mutating func number(
    _ object: JSONObject, isInteger: Bool, at path: String
  ) throws(GrammarError) -> GrammarExpression {
    let low = try limit(object, "minimum", "exclusiveMinimum", path)
    let high = try limit(object, "maximum", "exclusiveMaximum", path)
    var plain = isInteger ? rules.integer : rules.number
    if low != nil || high != nil { plain = NumberRange(isInteger: isInteger).expression(from: low, to: high) }
    guard let step = object["multipleOf"] else { return plain }
    // What divides a power of ten shows in the last digits.
    guard isInteger, let step = step.integer,
      let places = [1, 10, 100, 1000].firstIndex(where: { step > 0 && $0 % step == 0 })
    else {
      throw error(.unsupported, "'multipleOf' is supported for integers and divisors of 1000 only", path)
    }
    if step == 1 { return plain }
    if low == nil, high == nil { plain = NumberRange(isInteger: true).expression(from: nil, to: nil) }
    let bound = [1, 10, 100, 1000][places]
    let endings = stride(from: 0, to: bound, by: step).map { ending -> GrammarExpression in
      let digits = String(ending)
      let padded = String(repeating: "0", count: places - digits.count) + digits
      let long = GrammarExpression.sequence([.repeated(.ascii("0"..."9"), least: 0, most: nil), .text(padded)])
      return .alternatives([.text(digits), long])
    }
    return .both(plain, .sequence([.optional(.text("-")), .alternatives(endings)]))
  }

  /// The stricter of a limit and an exclusive one, which draft 4 has as a truth value beside the limit.
  private func limit(
    _ object: JSONObject, _ inclusive: String, _ exclusive: String, _ path: String
  ) throws(GrammarError) -> DecimalLimit? {
    func read(_ keyword: String, isExclusive: Bool) throws(GrammarError) -> (DecimalLimit, Double)? {
      guard let value = object[keyword] else { return nil }
      if case .bool = value, keyword == exclusive { return nil }
      guard case .number(let number) = value else { throw error(.syntax, "'\(keyword)' is a number", path) }
      guard let limit = DecimalLimit(number.text, isExclusive: isExclusive) else {
        throw error(.unsupported, "'\(keyword)' has more than 18 digits", path)
      }
      return (limit, number.double)
    }
    let first = try read(inclusive, isExclusive: object[exclusive]?.bool == true)
    guard let second = try read(exclusive, isExclusive: true) else { return first?.0 }
    guard let first else { return second.0 }
    let isStricter = inclusive == "minimum" ? first.1 > second.1 : first.1 < second.1
    return isStricter ? first.0 : second.0
  }

  // MARK: Reading keywords

  func error(_ code: GrammarError.Code, _ what: String, _ path: String) -> GrammarError {
    GrammarError(code, "The schema cannot be used (at \(path)): \(what).")
  }

  func text(_ value: JSONValue, _ keyword: String, _ path: String) throws(GrammarError) -> String {
    guard let text = value.string else {
      throw error(.syntax, "'\(keyword)' holds \(value.kind) instead of a string", path)
    }
    return text
  }

  func list(_ value: JSONValue, _ keyword: String, _ path: String) throws(GrammarError) -> [JSONValue] {
    guard let list = value.array else {
      throw error(.syntax, "'\(keyword)' holds \(value.kind) instead of a list", path)
    }
    return list
  }

  /// A number of things, if it is given.
  func count(_ keyword: String, _ object: JSONObject, _ path: String) throws(GrammarError) -> Int? {
    guard let value = object[keyword] else { return nil }
    guard let count = value.integer, count >= 0 else {
      throw error(.syntax, "'\(keyword)' is a whole number that is not negative", path)
    }
    return count
  }
}

extension JSONRules {
  /// A member of a name.
  mutating func member(key: String, _ value: GrammarExpression) -> GrammarExpression {
    member(Self.quoted(.text(Self.spelling(key))), value)
  }
}
