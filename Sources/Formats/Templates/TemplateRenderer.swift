// Runs the statements of a chat template.
//
// Invariant: every statement, expression and copied byte is charged to one budget and nesting is bounded, so that a
// template ends: with a text or with an error. It reaches nothing but the variables that it was given.

/// One rendering of one template.
final class TemplateRenderer {
  typealias Limits = ChatTemplate.Limits

  let limits: Limits
  /// What `strftime_now` takes for the time: seconds since 1970 in the zone that is meant.
  let now: Double
  /// The line of what runs now, for messages.
  var line = 1

  private var work = 0
  private var depth = 0
  private var written = 0
  private var output = ""
  /// What could hold a cycle of references: emptied at the end.
  private var scopes: [TemplateScope] = []
  private var namespaces: [TemplateNamespace] = []

  /// How deep evaluation may nest, macros that call themselves included.
  private static let maximumDepth = 400
  /// What a step costs in bytes of work: about its time and memory.
  private static let stepCost = 64

  private init(limits: Limits, now: Double) {
    self.limits = limits
    self.now = now
  }

  static func render(
    _ statements: [TemplateStatement], variables: [String: TemplateValue], now: Double, limits: Limits
  ) throws(FormatsError) -> String {
    let renderer = TemplateRenderer(limits: limits, now: now)
    defer {
      for scope in renderer.scopes { scope.variables = [:] }
      for namespace in renderer.namespaces { namespace.attributes = TemplateDictionary() }
    }
    let scope = TemplateScope(inside: nil)
    scope.variables = variables
    _ = try renderer.run(statements, scope)
    return renderer.output
  }

  // MARK: Budget

  /// Charges `bytes` of copying or looking, `times` times.
  func charge(_ bytes: Int, times: Int = 1) throws(FormatsError) {
    let (amount, overflow) = bytes.multipliedReportingOverflow(by: times)
    guard !overflow, amount <= limits.work - work else {
      throw FormatsError(
        .templateLimit, templateLine: line,
        "it takes more work than the limit of \(limits.work) allows; shorten the conversation or raise the limit.")
    }
    work += amount
  }

  /// Charges a list of `count` elements.
  func charge(elements count: Int) throws(FormatsError) {
    try charge(count, times: MemoryLayout<TemplateValue>.stride)
  }

  /// Runs one step one level deeper.
  func step<Result>(_ body: () throws(FormatsError) -> Result) throws(FormatsError) -> Result {
    try charge(Self.stepCost)
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else {
      throw FormatsError(
        .templateLimit, templateLine: line,
        "it nests more than \(Self.maximumDepth) levels deep; does a macro call itself for ever?")
    }
    return try body()
  }

  /// A list or tuple whose depth is checked and whose size is charged.
  func sequence(_ kind: TemplateSequence.Kind, _ elements: [TemplateValue]) throws(FormatsError) -> TemplateValue {
    try charge(elements: elements.count)
    return try checked(.sequence(TemplateSequence(kind, elements)))
  }

  func checked(_ value: TemplateValue) throws(FormatsError) -> TemplateValue {
    guard value.depth <= TemplateValue.maximumDepth else {
      throw FormatsError(
        .templateLimit, templateLine: line, "a value is nested more than \(TemplateValue.maximumDepth) deep.")
    }
    return value
  }

  func failure(_ problem: String) -> FormatsError { FormatsError(.malformed, templateLine: line, problem) }

  func register(_ namespace: TemplateNamespace) { namespaces.append(namespace) }

  // MARK: Output

  private func write(_ text: String) throws(FormatsError) {
    let count = text.utf8.count
    try charge(count)
    written += count
    guard written <= limits.output else {
      throw FormatsError(
        .templateLimit, templateLine: line, "it writes more than the limit of \(limits.output) bytes allows.")
    }
    output += text
  }

  /// What `body` writes, instead of writing it.
  func captured(_ body: () throws(FormatsError) -> Void) throws(FormatsError) -> String {
    let outer = output
    output = ""
    defer { output = outer }
    try body()
    written -= output.utf8.count
    return output
  }

  // MARK: Statements

  enum Flow { case next, breakLoop, continueLoop }

  func run(_ statements: [TemplateStatement], _ scope: TemplateScope) throws(FormatsError) -> Flow {
    for statement in statements {
      line = statement.line
      if case .text(let text) = statement.kind {
        try write(text)
        continue
      }
      let flow = try step { () throws(FormatsError) in try run(statement, scope) }
      guard case .next = flow else { return flow }
    }
    return .next
  }

  private func run(_ statement: TemplateStatement, _ scope: TemplateScope) throws(FormatsError) -> Flow {
    switch statement.kind {
    case .text(let text): try write(text)
    case .output(let values): for value in values { try write(try text(of: try evaluate(value, scope))) }
    case .conditional(let branches, let otherwise):
      for (condition, body) in branches where try evaluate(condition, scope).isTrue { return try run(body, scope) }
      return try run(otherwise, scope)
    case .loop(let loop): try run(loop, over: try evaluate(loop.sequence, scope), depth0: 0, scope)
    case .breakLoop: return .breakLoop
    case .continueLoop: return .continueLoop
    case .assignment(let target, let value): try assign(try evaluate(value, scope), to: target, scope)
    case .blockAssignment(let target, let filter, let body):
      try assign(try block(body, filter, scope), to: target, scope)
    case .macro(let macro): scope.variables[macro.name] = .callable(.macro(macro, closure(scope)))
    case .callBlock(let macro, let callee, let arguments): try callBlock(macro, callee, arguments, scope)
    case .filterBlock(let filter, let body): try write(try text(of: try block(body, filter, scope)))
    case .with(let assignments, let body):
      let inner = TemplateScope(inside: scope)
      // The values do not see each other.
      let values = try assignments.map { (assignment) throws(FormatsError) in try evaluate(assignment.value, scope) }
      for (assignment, value) in zip(assignments, values) { try assign(value, to: assignment.target, inner) }
      return try run(body, inner)
    case .generation(let body): return try run(body, TemplateScope(inside: scope))
    }
    return .next
  }

  /// The scope for a function that may outlive its turn.
  private func closure(_ scope: TemplateScope) -> TemplateScope {
    scopes.append(scope)
    return scope
  }

  /// What a block renders, through its filters.
  private func block(
    _ body: [TemplateStatement], _ filter: TemplateExpression?, _ scope: TemplateScope
  ) throws(FormatsError) -> TemplateValue {
    let text = try captured { () throws(FormatsError) in _ = try run(body, TemplateScope(inside: scope)) }
    guard let filter else { return .string(text) }
    return try evaluate(filter, scope, blockInput: .string(text))
  }

  private func callBlock(
    _ macro: TemplateMacro, _ callee: TemplateExpression, _ arguments: TemplateCallArguments, _ scope: TemplateScope
  ) throws(FormatsError) {
    let callee = try evaluate(callee, scope)
    var arguments = try evaluate(arguments, scope)
    arguments.named.append(("caller", .callable(.macro(macro, closure(scope)))))
    try write(try text(of: try call(callee, arguments)))
  }

  private func assign(
    _ value: TemplateValue, to target: TemplateTarget, _ scope: TemplateScope
  ) throws(FormatsError) {
    switch target {
    case .name(let name): scope.variables[name] = value
    case .tuple(let targets):
      let elements = try elements(of: value, for: "unpacking")
      guard elements.count == targets.count else {
        throw failure("\(targets.count) names cannot take \(elements.count) values.")
      }
      for (target, element) in zip(targets, elements) { try assign(element, to: target, scope) }
    case .attribute(let owner, let name):
      guard case .namespace(let namespace) = scope.value(owner) else {
        throw failure("'\(owner).\(name)' cannot be set: only namespaces, made by namespace(), have such attributes.")
      }
      try checkNamespaceName(name)
      namespace.attributes.set(.string(name), value)
      guard namespace.attributes.depth <= TemplateValue.maximumDepth else {
        throw FormatsError(.templateLimit, templateLine: line, "a value is nested too deep.")
      }
    }
  }

  func checkNamespaceName(_ name: String) throws(FormatsError) {
    guard !name.hasPrefix("_") else {
      throw failure("a namespace has no attributes that begin with '_', such as '\(name)'; rename it.")
    }
  }

  // MARK: Loops

  /// - Parameter depth0: how many turns of the same recursive loop are around this one.
  func run(
    _ statement: TemplateForLoop, over value: TemplateValue, depth0: Int, _ scope: TemplateScope
  ) throws(FormatsError) {
    var elements = try elements(of: value, for: "a loop")
    if let filter = statement.filter {
      var kept: [TemplateValue] = []
      for element in elements {
        let inner = TemplateScope(inside: scope)
        try assign(element, to: statement.target, inner)
        if try evaluate(filter, inner).isTrue { kept.append(element) }
      }
      elements = kept
    }
    guard !elements.isEmpty else {
      _ = try run(statement.otherwise, TemplateScope(inside: scope))
      return
    }
    let recursion = statement.isRecursive ? (statement: statement, scope: closure(scope)) : nil
    let loop = TemplateLoop(elements, depth0: depth0, recursion: recursion)
    defer {
      loop.isOver = true
      loop.lastChanged = nil
    }
    for (index, element) in elements.enumerated() {
      try charge(Self.stepCost)
      loop.index0 = index
      let inner = TemplateScope(inside: scope)
      inner.variables["loop"] = .loop(loop)
      try assign(element, to: statement.target, inner)
      if case .breakLoop = try run(statement.body, inner) { return }
    }
  }

  /// `loop(value)` in a recursive loop: the text of the loop over `value`.
  func recur(_ loop: TemplateLoop, over value: TemplateValue) throws(FormatsError) -> TemplateValue {
    guard let (statement, scope) = loop.recursion else {
      throw failure("loop(...) needs {% for ... recursive %}.")
    }
    return .string(
      try captured { () throws(FormatsError) in
        try run(statement, over: value, depth0: loop.depth0 + 1, scope)
      })
  }

  // MARK: Macros

  func call(
    _ macro: TemplateMacro, _ scope: TemplateScope, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue {
    let inner = TemplateScope(inside: scope)
    var named = arguments.named
    func takeNamed(_ name: String) -> TemplateValue? {
      named.firstIndex { $0.name == name }.map { named.remove(at: $0).value }
    }
    let callLine = line
    defer { line = callLine }
    for (index, parameter) in macro.parameters.enumerated() {
      if index < arguments.positional.count {
        inner.variables[parameter.name] = arguments.positional[index]
      } else if let value = takeNamed(parameter.name) {
        inner.variables[parameter.name] = value
      } else if let standard = parameter.standard {
        inner.variables[parameter.name] = try evaluate(standard, inner)
      } else {
        inner.variables[parameter.name] = .undefined("the parameter '\(parameter.name)' of '\(macro.name)'")
      }
    }
    if macro.takesCaller, inner.variables["caller"] == nil {
      inner.variables["caller"] = takeNamed("caller") ?? .undefined("caller, as no call block calls '\(macro.name)',")
    }
    if macro.takesDictionary {
      var rest = TemplateDictionary()
      for (name, value) in named { rest.set(.string(name), value) }
      inner.variables["kwargs"] = .dictionary(rest)
    } else if let name = named.first?.name {
      throw failure("the macro '\(macro.name)' takes no argument named '\(name)'.")
    }
    let extra = Array(arguments.positional.dropFirst(macro.parameters.count))
    if macro.takesList {
      inner.variables["varargs"] = .tuple(extra)
    } else if !extra.isEmpty {
      throw failure("the macro '\(macro.name)' takes at most \(macro.parameters.count) arguments.")
    }
    return .string(try captured { () throws(FormatsError) in _ = try run(macro.body, inner) })
  }
}
