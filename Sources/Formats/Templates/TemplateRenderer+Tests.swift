// The tests of a chat template: what may stand after `is`, and what `select` and its relatives name.

extension TemplateRenderer {
  private static let comparisons: [String: TemplateExpression.Comparison] = [
    "==": .equal, "eq": .equal, "equalto": .equal, "!=": .notEqual, "ne": .notEqual, "<": .less, "lt": .less,
    "lessthan": .less, "<=": .lessOrEqual, "le": .lessOrEqual, ">": .greater, "gt": .greater, "greaterthan": .greater,
    ">=": .greaterOrEqual, "ge": .greaterOrEqual, "in": .contained,
  ]

  func test(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(FormatsError) -> Bool {
    try charge(64)
    if let comparison = Self.comparisons[name] {
      return try compare(comparison, value, try bind(arguments, name, ["other"], required: 1)[0]!)
    }
    switch name {
    case "divisibleby":
      let divisor = try bind(arguments, name, ["num"], required: 1)[0]!
      return try areEqual(try arithmetic(.modulo, value, divisor), .integer(0))
    case "sameas": return try isSame(value, try bind(arguments, name, ["other"], required: 1)[0]!)
    default: break
    }
    _ = try bind(arguments, name, [])
    switch name {
    case "odd", "even":
      let remainder = try arithmetic(.modulo, value, .integer(2))
      return try areEqual(remainder, .integer(name == "odd" ? 1 : 0))
    case "lower", "upper":
      let text = try text(of: value)
      return PythonText.isCase(text, upper: name == "upper")
    case "filter", "test":
      throw FormatsError(
        .unsupported, templateLine: line, "the test '\(name)' asks for the engine's parts; a template knows them.")
    default: return try testType(name, value)
    }
  }

  private func testType(_ name: String, _ value: TemplateValue) throws(FormatsError) -> Bool {
    switch (name, value) {
    case ("defined", _): return !value.isUndefined
    case ("undefined", _): return value.isUndefined
    case ("none", _): return isNone(value)
    case ("boolean", .bool), ("true", .bool(true)), ("false", .bool(false)): return true
    case ("boolean", _), ("true", _), ("false", _): return false
    case ("integer", .integer), ("float", .float), ("string", .string), ("mapping", .dictionary): return true
    case ("integer", _), ("float", _), ("string", _), ("mapping", _): return false
    case ("number", _): return value.number != nil
    case ("sequence", .string), ("sequence", .dictionary), ("sequence", .undefined): return true
    case ("sequence", .sequence(let sequence)): return sequence.kind.isIndexed
    case ("sequence", _): return false
    case ("iterable", .string), ("iterable", .dictionary), ("iterable", .undefined), ("iterable", .sequence),
      ("iterable", .loop):
      return true
    case ("iterable", _): return false
    case ("callable", .callable(.cycler)): return false
    case ("callable", .callable), ("callable", .undefined), ("callable", .loop): return true
    case ("callable", _): return false
    // Nothing is marked as safe here.
    case ("escaped", _): return false
    default:
      throw FormatsError(.unsupported, templateLine: line, "there is no test '\(name)' in chat templates.")
    }
  }

  /// Python's `is`, which for values that never change means the same type and an equal value.
  private func isSame(_ left: TemplateValue, _ right: TemplateValue) throws(FormatsError) -> Bool {
    if case .sequence(let left) = left, case .sequence(let right) = right { return left === right }
    return left.typeName == right.typeName ? try areEqual(left, right) : false
  }
}
