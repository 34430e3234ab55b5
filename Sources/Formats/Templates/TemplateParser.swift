// Reads the statements of a chat template: tokens become a tree. The grammar is Jinja 2's with the extension
// `loopcontrols` and the tag `generation` of `transformers`; whatever would read another template is refused.
//
// Invariant: nesting is bounded by `maximumNesting`, so that no template can exhaust the stack.

struct TemplateParser {
  let tokens: [TemplateToken]
  var position = 0
  var nesting = 0
  /// How many loops of the current function body are open: `break` belongs to the innermost.
  var openLoops = 0
  /// The names that the current macro mentions.
  var mentioned: Set<String> = []

  static let maximumNesting = 64
  /// The longest text that is taken for a template, in bytes.
  static let maximumBytes = 4 << 20

  /// The statements of a template.
  static func parse(_ text: String) throws(FormatsError) -> [TemplateStatement] {
    guard text.utf8.count <= maximumBytes else {
      throw FormatsError(
        .malformed, "A chat template has at most \(maximumBytes) bytes, but this has \(text.utf8.count).")
    }
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: text))
    return try parser.statements(until: [])
  }

  private init(tokens: [TemplateToken]) { self.tokens = tokens }

  // MARK: Tokens

  var token: TemplateToken { tokens[position] }

  func isName(_ name: String, ahead: Int = 0) -> Bool {
    position + ahead < tokens.count && tokens[position + ahead].kind == .name(name)
  }

  func isSymbol(_ symbol: String, ahead: Int = 0) -> Bool {
    position + ahead < tokens.count && tokens[position + ahead].kind == .symbol(symbol)
  }

  mutating func take(name: String) -> Bool {
    guard isName(name) else { return false }
    position += 1
    return true
  }

  mutating func take(symbol: String) -> Bool {
    guard isSymbol(symbol) else { return false }
    position += 1
    return true
  }

  mutating func expect(_ kind: TemplateToken.Kind) throws(FormatsError) {
    guard token.kind == kind else {
      throw failure(
        "expected \(TemplateToken(kind: kind, line: 0).description), but found \(token.description).")
    }
    position += 1
  }

  mutating func expectName() throws(FormatsError) -> String {
    guard case .name(let name) = token.kind else { throw failure("expected a name, but found \(token.description).") }
    position += 1
    return name
  }

  func failure(_ problem: String) -> FormatsError {
    FormatsError(.malformed, templateLine: token.line, problem)
  }

  /// Runs `body` one level deeper.
  mutating func nested<Result>(
    _ body: (inout TemplateParser) throws(FormatsError) -> Result
  ) throws(FormatsError) -> Result {
    nesting += 1
    guard nesting <= Self.maximumNesting else {
      throw failure("statements and expressions are nested more than \(Self.maximumNesting) deep.")
    }
    defer { nesting -= 1 }
    return try body(&self)
  }

  // MARK: Statements

  /// Statements up to a tag with one of the names `ends`, which becomes the current token; without ends, all.
  private mutating func statements(until ends: [String]) throws(FormatsError) -> [TemplateStatement] {
    var result: [TemplateStatement] = []
    while true {
      let line = token.line
      switch token.kind {
      case .text(let text):
        position += 1
        result.append(TemplateStatement(kind: .text(text), line: line))
      case .outputBegin:
        position += 1
        let value = try tuple()
        try expect(.outputEnd)
        result.append(TemplateStatement(kind: .output([value]), line: line))
      case .blockBegin:
        position += 1
        if case .name(let name) = token.kind, ends.contains(name) { return result }
        let kind = try nested { (parser) throws(FormatsError) in try parser.statement() }
        try expect(.blockEnd)
        result.append(TemplateStatement(kind: kind, line: line))
      default:  // Nothing else stands outside of tags.
        guard ends.isEmpty else {
          throw failure("the template ends where {% \(ends.joined(separator: " %} or {% ")) %} should come.")
        }
        return result
      }
    }
  }

  /// The body of a tag: from the end of the tag to one of `ends`, whose name is taken and returned.
  private mutating func body(
    until ends: String...
  ) throws(FormatsError) -> (statements: [TemplateStatement], end: String) {
    _ = take(symbol: ":")
    try expect(.blockEnd)
    let statements = try statements(until: ends)
    return (statements, try expectName())
  }

  /// The body of something that is called: loops outside cannot be left from it.
  private mutating func functionBody(until end: String) throws(FormatsError) -> [TemplateStatement] {
    let loops = openLoops
    openLoops = 0
    defer { openLoops = loops }
    return try body(until: end).statements
  }

  private mutating func statement() throws(FormatsError) -> TemplateStatement.Kind {
    let name = try expectName()
    switch name {
    case "if": return try conditional()
    case "for": return try loop()
    case "set": return try assignment()
    case "macro": return try macro()
    case "call": return try callBlock()
    case "filter":
      let filter = try filters(of: nil, startsInline: true)
      return .filterBlock(filter, body: try functionBody(until: "endfilter"))
    case "with": return try with()
    case "generation": return .generation(try functionBody(until: "endgeneration"))
    case "print":
      var values = [try expression()]
      while take(symbol: ",") { values.append(try expression()) }
      return .output(values)
    case "break", "continue":
      guard openLoops > 0 else { throw failure("{% \(name) %} stands outside of a loop.") }
      return name == "break" ? .breakLoop : .continueLoop
    case "import", "from", "include", "extends", "block":
      throw FormatsError(
        .unsupported, templateLine: token.line,
        "{% \(name) %} reads or replaces parts of other templates, and a chat template stands alone; write the "
          + "text into it.")
    case "autoescape", "trans", "do", "debug":
      throw FormatsError(.unsupported, templateLine: token.line, "chat templates have no tag {% \(name) %}.")
    default:
      throw failure("there is no tag {% \(name) %} here.")
    }
  }

  private mutating func conditional() throws(FormatsError) -> TemplateStatement.Kind {
    var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
    while true {
      let condition = try tuple(allowsConditional: false)
      let (statements, end) = try body(until: "elif", "else", "endif")
      branches.append((condition, statements))
      if end == "elif" { continue }
      return .conditional(branches, otherwise: end == "else" ? try body(until: "endif").statements : [])
    }
  }

  private mutating func loop() throws(FormatsError) -> TemplateStatement.Kind {
    let target = try self.target()
    try expect(.name("in"))
    let sequence = try tuple(allowsConditional: false, end: "recursive")
    let filter = take(name: "if") ? try expression() : nil
    let isRecursive = take(name: "recursive")
    openLoops += 1
    let (statements, end) = try body(until: "endfor", "else")
    openLoops -= 1
    let otherwise = end == "else" ? try body(until: "endfor").statements : []
    return .loop(
      TemplateForLoop(
        target: target, sequence: sequence, filter: filter, isRecursive: isRecursive, body: statements,
        otherwise: otherwise))
  }

  private mutating func assignment() throws(FormatsError) -> TemplateStatement.Kind {
    let target = try self.target(allowsAttribute: true)
    if take(symbol: "=") { return .assignment(target, try tuple()) }
    let filter = isSymbol("|") ? try filters(of: nil) : nil
    return .blockAssignment(target, filter: filter, body: try functionBody(until: "endset"))
  }

  private mutating func with() throws(FormatsError) -> TemplateStatement.Kind {
    var assignments: [(target: TemplateTarget, value: TemplateExpression)] = []
    while token.kind != .blockEnd {
      if !assignments.isEmpty { try expect(.symbol(",")) }
      let target = try singleTarget()
      try expect(.symbol("="))
      assignments.append((target, try expression()))
    }
    return .with(assignments, body: try body(until: "endwith").statements)
  }

  private mutating func macro() throws(FormatsError) -> TemplateStatement.Kind {
    let name = try expectName()
    return .macro(try function(name: name, parameters: try parameters(), end: "endmacro"))
  }

  private mutating func callBlock() throws(FormatsError) -> TemplateStatement.Kind {
    let parameters = isSymbol("(") ? try self.parameters() : []
    guard case .call(let callee, let arguments, _) = try expression() else {
      throw failure("{% call %} needs a call of a macro, as in {% call name() %}.")
    }
    return .callBlock(try function(name: "caller", parameters: parameters, end: "endcall"), callee, arguments)
  }

  private mutating func function(
    name: String, parameters: [(name: String, standard: TemplateExpression?)], end: String
  ) throws(FormatsError) -> TemplateMacro {
    let outer = mentioned
    mentioned = []
    let body = try functionBody(until: end)
    let macro = TemplateMacro(name: name, parameters: parameters, body: body, mentioned: mentioned)
    // A call block within a macro may mention the macro's own special names.
    mentioned.formUnion(outer)
    return macro
  }

  private mutating func parameters() throws(FormatsError) -> [(name: String, standard: TemplateExpression?)] {
    var parameters: [(name: String, standard: TemplateExpression?)] = []
    try expect(.symbol("("))
    while !isSymbol(")") {
      if !parameters.isEmpty { try expect(.symbol(",")) }
      let name = try expectName()
      let standard = take(symbol: "=") ? try expression() : nil
      guard standard != nil || parameters.last?.standard == nil else {
        throw failure("the parameter '\(name)' without a default follows one with a default.")
      }
      guard !parameters.contains(where: { $0.name == name }) else {
        throw failure("two parameters are named '\(name)'.")
      }
      parameters.append((name, standard))
    }
    try expect(.symbol(")"))
    return parameters
  }

  // MARK: Targets

  private mutating func target(allowsAttribute: Bool = false) throws(FormatsError) -> TemplateTarget {
    var targets = [try singleTarget(allowsAttribute: allowsAttribute)]
    var isTuple = false
    while take(symbol: ",") {
      isTuple = true
      guard case .name(let name) = token.kind, name != "in" else {
        if isSymbol("(") {
          targets.append(try singleTarget(allowsAttribute: allowsAttribute))
          continue
        }
        break
      }
      targets.append(try singleTarget(allowsAttribute: allowsAttribute))
    }
    return isTuple ? .tuple(targets) : targets[0]
  }

  private mutating func singleTarget(allowsAttribute: Bool = false) throws(FormatsError) -> TemplateTarget {
    if take(symbol: "(") {
      let inner = try nested { (parser) throws(FormatsError) in try parser.target() }
      try expect(.symbol(")"))
      return inner
    }
    let name = try expectName()
    guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
      throw failure("'\(name)' cannot be assigned to.")
    }
    if allowsAttribute, take(symbol: ".") { return .attribute(of: name, name: try expectName()) }
    return .name(name)
  }
}
