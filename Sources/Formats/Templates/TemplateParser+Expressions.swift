// Reads the expressions of a chat template. From weak to strong: conditional, or, and, not, comparisons and `in`, + and -,
// ~, * / // %, **, signs, then calls, attributes, items, filters and tests.

extension TemplateParser {
  /// The longest chain of attributes, calls and filters: each is a level of the tree.
  private static let maximumChain = 64

  /// One expression, or several with commas between them as a tuple.
  /// - Parameter end: a name that ends it, apart from the ends of tags and parentheses.
  mutating func tuple(
    allowsConditional: Bool = true, end: String? = nil, isParenthesized: Bool = false
  ) throws(FormatsError) -> TemplateExpression {
    var elements: [TemplateExpression] = []
    var isTuple = false
    while true {
      if !elements.isEmpty {
        guard take(symbol: ",") else { break }
        isTuple = true
      }
      if isEnd(end) { break }
      elements.append(try expression(allowsConditional: allowsConditional))
    }
    if !isTuple, let only = elements.first { return only }
    guard isTuple || isParenthesized else { throw failure("expected an expression, but found \(token.description).") }
    return .tuple(elements)
  }

  private func isEnd(_ name: String?) -> Bool {
    switch token.kind {
    case .outputEnd, .blockEnd, .symbol(")"), .end: true
    case .name(let found): found == name
    default: false
    }
  }

  mutating func expression(allowsConditional: Bool = true) throws(FormatsError) -> TemplateExpression {
    try nested { (parser) throws(FormatsError) in
      var result = try parser.or()
      var length = 0
      while allowsConditional, parser.take(name: "if") {
        length += 1
        guard length <= Self.maximumChain else { throw parser.failure("too many ifs in one expression.") }
        let condition = try parser.or()
        let otherwise = parser.take(name: "else") ? try parser.expression() : nil
        result = .conditional(condition, then: result, otherwise: otherwise)
      }
      return result
    }
  }

  private mutating func or() throws(FormatsError) -> TemplateExpression {
    var operands = [try and()]
    while take(name: "or") { operands.append(try and()) }
    return operands.count == 1 ? operands[0] : .or(operands)
  }

  private mutating func and() throws(FormatsError) -> TemplateExpression {
    var operands = [try not()]
    while take(name: "and") { operands.append(try not()) }
    return operands.count == 1 ? operands[0] : .and(operands)
  }

  private mutating func not() throws(FormatsError) -> TemplateExpression {
    guard take(name: "not") else { return try comparison() }
    return .not(try nested { (parser) throws(FormatsError) in try parser.not() })
  }

  private mutating func comparison() throws(FormatsError) -> TemplateExpression {
    let first = try sum()
    var rest: [(operation: TemplateExpression.Comparison, operand: TemplateExpression)] = []
    while true {
      if case .symbol(let symbol) = token.kind, let operation = TemplateExpression.Comparison(rawValue: symbol) {
        position += 1
        rest.append((operation, try sum()))
      } else if take(name: "in") {
        rest.append((.contained, try sum()))
      } else if isName("not"), isName("in", ahead: 1) {
        position += 2
        rest.append((.notContained, try sum()))
      } else {
        return rest.isEmpty ? first : .comparison(first, rest)
      }
    }
  }

  private mutating func sum() throws(FormatsError) -> TemplateExpression {
    try chain([.add, .subtract]) { (parser) throws(FormatsError) in try parser.concatenation() }
  }

  private mutating func concatenation() throws(FormatsError) -> TemplateExpression {
    var operands = [try product()]
    while take(symbol: "~") { operands.append(try product()) }
    return operands.count == 1 ? operands[0] : .concatenation(operands)
  }

  private mutating func product() throws(FormatsError) -> TemplateExpression {
    try chain([.multiply, .divide, .floorDivide, .modulo]) { (parser) throws(FormatsError) in
      // Powers bind to the left here, unlike in Python.
      try parser.chain([.power]) { (parser) throws(FormatsError) in try parser.unary() }
    }
  }

  private mutating func chain(
    _ operations: [TemplateExpression.Operation],
    _ operand: (inout TemplateParser) throws(FormatsError) -> TemplateExpression
  ) throws(FormatsError) -> TemplateExpression {
    let first = try operand(&self)
    var rest: [(operation: TemplateExpression.Operation, operand: TemplateExpression)] = []
    while let operation = operations.first(where: { isSymbol($0.rawValue) }) {
      position += 1
      rest.append((operation, try operand(&self)))
    }
    return rest.isEmpty ? first : .arithmetic(first, rest)
  }

  private mutating func unary(takesFilters: Bool = true) throws(FormatsError) -> TemplateExpression {
    var result: TemplateExpression
    if take(symbol: "-") {
      result = .negative(try nested { (parser) throws(FormatsError) in try parser.unary(takesFilters: false) })
    } else if take(symbol: "+") {
      result = .positive(try nested { (parser) throws(FormatsError) in try parser.unary(takesFilters: false) })
    } else {
      result = try primary()
    }
    result = try postfix(result)
    return takesFilters ? try filtersAndTests(result) : result
  }

  private mutating func primary() throws(FormatsError) -> TemplateExpression {
    switch token.kind {
    case .name(let name):
      position += 1
      switch name {
      case "true", "True": return .bool(true)
      case "false", "False": return .bool(false)
      case "none", "None": return .null
      default:
        mentioned.insert(name)
        return .name(name)
      }
    case .string(var text):
      position += 1
      while case .string(let more) = token.kind {
        position += 1
        text += more
      }
      return .string(text)
    case .integer(let value):
      position += 1
      return .integer(value)
    case .float(let value):
      position += 1
      return .float(value)
    case .symbol("("):
      position += 1
      let inner = try tuple(isParenthesized: true)
      try expect(.symbol(")"))
      return inner
    case .symbol("["):
      position += 1
      var elements: [TemplateExpression] = []
      while !isSymbol("]") {
        elements.append(try expression())
        if !isSymbol("]") { try expect(.symbol(",")) }
      }
      position += 1
      return .list(elements)
    case .symbol("{"):
      position += 1
      var members: [(key: TemplateExpression, value: TemplateExpression)] = []
      while !isSymbol("}") {
        let key = try expression()
        try expect(.symbol(":"))
        members.append((key, try expression()))
        if !isSymbol("}") { try expect(.symbol(",")) }
      }
      position += 1
      return .dictionary(members)
    default:
      throw failure("expected an expression, but found \(token.description).")
    }
  }

  /// Attributes, items and calls.
  private mutating func postfix(_ start: TemplateExpression) throws(FormatsError) -> TemplateExpression {
    var result = start
    var length = 0
    while true {
      let line = token.line
      if take(symbol: ".") {
        switch token.kind {
        case .name(let name): result = .attribute(of: result, name: name, line: line)
        case .integer(let index): result = .item(of: result, at: .integer(index), line: line)
        default: throw failure("expected a name or a number after '.', but found \(token.description).")
        }
        position += 1
      } else if take(symbol: "[") {
        result = try subscripted(result, line)
      } else if isSymbol("(") {
        result = .call(result, try arguments(), line: line)
      } else {
        return result
      }
      length += 1
      guard length <= Self.maximumChain else { throw failure("too many attributes or calls in one expression.") }
    }
  }

  private mutating func subscripted(
    _ value: TemplateExpression, _ line: Int
  ) throws(FormatsError) -> TemplateExpression {
    let start = isSymbol(":") ? nil : try expression()
    if let start, !isSymbol(":") {
      guard isSymbol(",") else {
        try expect(.symbol("]"))
        return .item(of: value, at: start, line: line)
      }
      throw failure("an item has one index here; write a[b][c] instead of a[b, c].")
    }
    var slice = TemplateSlice(start: start)
    position += 1
    if !isSymbol(":"), !isSymbol("]") { slice.stop = try expression() }
    if take(symbol: ":"), !isSymbol("]") { slice.step = try expression() }
    try expect(.symbol("]"))
    return .slice(of: value, slice, line: line)
  }

  private mutating func filtersAndTests(_ start: TemplateExpression) throws(FormatsError) -> TemplateExpression {
    var result = start
    var length = 0
    while true {
      let line = token.line
      if isSymbol("|") {
        result = try filters(of: result)
      } else if take(name: "is") {
        result = try test(of: result, line)
      } else if isSymbol("(") {
        result = .call(result, try arguments(), line: line)
      } else {
        return result
      }
      length += 1
      guard length <= Self.maximumChain else { throw failure("too many filters or tests in one expression.") }
    }
  }

  /// `|name(arguments)`, once or more. `startsInline` is for filter blocks, whose first filter has no bar.
  mutating func filters(
    of input: TemplateExpression?, startsInline: Bool = false
  ) throws(FormatsError) -> TemplateExpression {
    var result = input
    var length = 0
    var isInline = startsInline
    while isInline || take(symbol: "|") {
      isInline = false
      let line = token.line
      let name = try dottedName()
      result = .filter(result, name: name, isSymbol("(") ? try arguments() : TemplateCallArguments(), line: line)
      length += 1
      guard length <= Self.maximumChain else { throw failure("too many filters in one expression.") }
    }
    guard let result else { throw failure("expected '|', but found \(token.description).") }
    return result
  }

  private mutating func dottedName() throws(FormatsError) -> String {
    var name = try expectName()
    while take(symbol: ".") { name += "." + (try expectName()) }
    return name
  }

  private mutating func test(of value: TemplateExpression, _ line: Int) throws(FormatsError) -> TemplateExpression {
    let isNegated = take(name: "not")
    let name = try dottedName()
    var arguments = TemplateCallArguments()
    switch token.kind {
    case .symbol("("): arguments = try self.arguments()
    case .name("else"), .name("or"), .name("and"): break
    case .name("is"): throw failure("tests cannot be chained; put the first into parentheses.")
    case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
      // `is divisibleby 3`
      arguments.positional = [try postfix(try primary())]
    default: break
    }
    let test = TemplateExpression.test(value, name: name, arguments, line: line)
    return isNegated ? .not(test) : test
  }

  private mutating func arguments() throws(FormatsError) -> TemplateCallArguments {
    var result = TemplateCallArguments()
    try expect(.symbol("("))
    while !isSymbol(")") {
      if take(symbol: "*") {
        guard result.list == nil, result.dictionary == nil else { throw failure("a call takes one list after '*'.") }
        result.list = try expression()
      } else if take(symbol: "**") {
        guard result.dictionary == nil else { throw failure("a call takes one dictionary after '**'.") }
        result.dictionary = try expression()
      } else if case .name(let name) = token.kind, isSymbol("=", ahead: 1) {
        guard result.dictionary == nil, !result.named.contains(where: { $0.name == name }) else {
          throw failure("the argument '\(name)' cannot stand here.")
        }
        position += 2
        result.named.append((name, try expression()))
      } else {
        guard result.list == nil, result.dictionary == nil, result.named.isEmpty else {
          throw failure("arguments without a name come first.")
        }
        result.positional.append(try expression())
      }
      if !isSymbol(")") { try expect(.symbol(",")) }
    }
    position += 1
    return result
  }
}
