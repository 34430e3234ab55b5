// Strings, arrays and objects of a schema.

import Core

extension JSONSchemaReader {
  // MARK: Strings

  /// The texts of strings, with their quotes.
  mutating func string(_ object: JSONObject, at path: String) throws(GrammarError) -> GrammarExpression {
    let least = try count("minLength", object, path) ?? 0
    let most = try count("maxLength", object, path)
    var conditions: [Regex] = []
    for pattern in try strings("pattern", object, path) {
      do { conditions.append(try Regex(pattern, merge.budget)) } catch {
        throw GrammarError(error.code, "The schema cannot be used (at \(path)): \(error.message)")
      }
    }
    for format in try strings("format", object, path) {
      if let pattern = StringFormats.patterns[format] {
        conditions.append(try Regex("^(?:\(pattern))$", merge.budget))
      } else {
        notice("The format '\(format)' at \(path) is not known; any string is allowed there.")
      }
    }
    guard !conditions.isEmpty else {
      return least == 0 && most == nil ? rules.string : rules.string(least: least, most: most)
    }
    if conditions.count == 1, let only = conditions[0].repeatedSet {
      // A class within limits is a count, which costs the same however large it is.
      return JSONRules.quoted(
        .repeated(
          JSONRules.spelled(only.set), least: max(least, only.least),
          most: [most, only.most].compactMap(\.self).min()))
    }
    var content: GrammarExpression?
    for condition in conditions {
      let next = try condition.expression(searching: true, spelled: JSONRules.spelled)
      content = content.map { .both($0, next) } ?? next
    }
    if least > 0 || most != nil {
      let lengths = conditions.map(\.lengths)
      let isWithin =
        lengths.contains { $0.least >= least } && (most == nil || lengths.contains { ($0.most ?? .max) <= most! })
      if !isWithin { content = .both(content!, .repeated(JSONRules.spelled(.all), least: least, most: most)) }
    }
    return named(JSONRules.quoted(content!), path)
  }

  /// A keyword's string, or strings that came together from `allOf`.
  private func strings(_ keyword: String, _ object: JSONObject, _ path: String) throws(GrammarError) -> [String] {
    guard let value = object[keyword] else { return [] }
    var result: [String] = []
    for part in value.array ?? [value] { result.append(try text(part, keyword, path)) }
    return result
  }

  // MARK: Arrays

  mutating func array(_ object: JSONObject, at path: String) throws(GrammarError) -> GrammarExpression {
    if object["uniqueItems"]?.bool == true {
      throw error(.unsupported, "'uniqueItems' is not supported; leave it out and check the result", path)
    }
    let least = try count("minItems", object, path) ?? 0
    let most = try count("maxItems", object, path)
    var (prefix, rest) = ([JSONValue](), object["items"])
    if let tuple = object["prefixItems"] {
      prefix = try list(tuple, "prefixItems", path)
    } else if case .array(let tuple)? = rest {
      (prefix, rest) = (tuple, object["additionalItems"])
    }
    if prefix.isEmpty, rest == nil, least == 0, most == nil { return rules.anyArray }
    // What no keyword mentions is allowed by the letter, but wanted by nobody.
    if rest == nil, !prefix.isEmpty, least <= prefix.count { rest = .bool(false) }
    let other = rest == .bool(false) ? nil : try element(rest ?? .bool(true), at: "\(path)/items")
    if let most, most < least { return .nothing }
    guard !prefix.isEmpty else {
      guard let other else { return least == 0 ? rules.array(.empty) : .nothing }
      return rules.array(.list([GrammarListElement(other, least: least, most: most)], separator: rules.comma))
    }
    guard prefix.count <= 100 else { throw error(.tooLarge, "'prefixItems' has more than 100 schemas", path) }
    // From the last to the first: an element and, in turn, what may follow on it.
    var tail = GrammarExpression.empty
    if let other {
      let more = most.map { max($0 - prefix.count, 0) }
      tail = .repeated(.sequence([rules.comma, other]), least: max(least - prefix.count, 0), most: more)
    } else if least > prefix.count {
      return .nothing
    }
    for (index, schema) in prefix.enumerated().reversed() {
      if let most, index >= most {
        tail = .empty
        continue
      }
      let element = try element(schema, at: "\(path)/prefixItems/\(index)")
      let whole = GrammarExpression.sequence([index == 0 ? .empty : rules.comma, element, tail])
      tail = index < least ? whole : .optional(whole)
    }
    return rules.array(tail)
  }

  private mutating func element(_ schema: JSONValue, at path: String) throws(GrammarError) -> GrammarExpression {
    .sequence([named(try expression(schema, at: path), path), rules.space])
  }

  // MARK: Objects

  mutating func object(_ object: JSONObject, at path: String) throws(GrammarError) -> GrammarExpression {
    var properties = try members("properties", object, path)
    let patterns = try members("patternProperties", object, path)
    var required: Set<String> = []
    for name in try list(object["required"] ?? .array([]), "required", path) {
      required.insert(try text(name, "required", path))
    }
    let additional =
      object["additionalProperties"] ?? .bool(properties.isEmpty && patterns.isEmpty && object["properties"] == nil)
    // What each pattern matches, to be told from names.
    var matches: [GrammarExpression] = []
    for (pattern, _) in patterns {
      matches.append(try Regex(pattern, merge.budget).expression(searching: true, spelled: JSONRules.spelled))
    }
    for name in required.sorted() where properties[name] == nil {
      var isMatched = false
      for (pattern, _) in patterns where try Regex(pattern, merge.budget).isFound(inStringSpelled: name) {
        isMatched = true
      }
      properties[name] = isMatched ? .bool(true) : additional
    }
    var elements: [GrammarListElement] = []
    for (name, schema) in properties {
      let place = "\(path)/properties/\(name)"
      var all: JSONValue? = schema
      for (pattern, more) in patterns where try Regex(pattern, merge.budget).isFound(inStringSpelled: name) {
        all = try all.flatMap { (value) throws(GrammarError) in try merge.merged(value, more, at: place) }
      }
      let value = try all.map { (value) throws(GrammarError) in try expression(value, at: place) } ?? .nothing
      elements.append(GrammarListElement(rules.member(key: name, value), least: required.contains(name) ? 1 : 0))
    }
    let others = try others(object, names: properties.keys, Array(zip(patterns, matches)), additional, at: path)
    let (least, most) = try counts(object, properties.count, required.count, hasOthers: others != nil, at: path)
    if let others { elements.append(GrammarListElement(others, least: least, most: most)) }
    if others == nil, least > 0 { return .nothing }
    return rules.object(elements)
  }

  /// A member that no property names; nil if there is none.
  private mutating func others(
    _ object: JSONObject, names: [String], _ patterns: [((String, JSONValue), GrammarExpression)],
    _ additional: JSONValue,
    at path: String
  ) throws(GrammarError) -> GrammarExpression? {
    let spelledNames = names.map { GrammarExpression.text(JSONRules.spelling($0)) }
    var ways: [GrammarExpression] = []
    for (index, ((pattern, schema), match)) in patterns.enumerated() where schema != .bool(false) {
      try merge.budget.spend(16 * (names.count + patterns.count), "the patternProperties at \(path)")
      // Names that match two patterns would have to fulfil both schemas: they are left out.
      var excluded = spelledNames
      for (other, (_, match)) in patterns.enumerated() where other != index { excluded.append(match) }
      let key = excluded.isEmpty ? match : .except(match, .alternatives(excluded))
      let place = "\(path)/patternProperties/\(pattern)"
      ways.append(rules.member(JSONRules.quoted(key), named(try expression(schema, at: place), place)))
    }
    if additional != .bool(false) {
      let excluded = spelledNames + patterns.map(\.1)
      var key = rules.string
      if let condition = object["propertyNames"] {
        guard excluded.isEmpty, let schema = try merge.merged(condition, ["type": "string"], at: path)
        else { throw error(.unsupported, "'propertyNames' beside named properties is not supported", path) }
        key = try expression(schema, at: "\(path)/propertyNames")
      } else if !excluded.isEmpty {
        let any = GrammarExpression.repeated(JSONRules.spelled(.all), least: 0, most: nil)
        key = JSONRules.quoted(.except(any, .alternatives(excluded)))
      }
      let place = "\(path)/additionalProperties"
      ways.append(rules.member(named(key, place), named(try expression(additional, at: place), place)))
    }
    return ways.isEmpty ? nil : ways.count == 1 ? ways[0] : .alternatives(ways)
  }

  /// How many members there are beside those with names.
  private func counts(
    _ object: JSONObject, _ named: Int, _ required: Int, hasOthers: Bool, at path: String
  ) throws(GrammarError) -> (least: Int, most: Int?) {
    var (least, most) = (0, Int?.none)
    if let minimum = try count("minProperties", object, path), minimum > required {
      // More than one could be the same member twice.
      guard minimum == 1, named == 0, hasOthers else {
        throw error(.unsupported, "'minProperties' beyond what is required is not supported; use 'required'", path)
      }
      least = 1
    }
    if let maximum = try count("maxProperties", object, path) {
      guard maximum >= named else {
        throw error(.unsupported, "'maxProperties' below the number of properties is not supported", path)
      }
      most = maximum - named
    }
    return (least, most)
  }

  private func members(_ keyword: String, _ object: JSONObject, _ path: String) throws(GrammarError) -> JSONObject {
    guard let value = object[keyword] else { return JSONObject() }
    guard let members = value.object else {
      throw error(.syntax, "'\(keyword)' holds \(value.kind) instead of an object", path)
    }
    return members
  }
}
