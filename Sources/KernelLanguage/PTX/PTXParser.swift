// PTX text as values; what is not understood is refused with the line.
//
// Read is the part of the language that kernels are made of: no device functions, textures or debug sections.

extension PTXModule {
  public init(parsing text: String) throws(PTXError) {
    var parser = try PTXParser(text)
    self = try parser.module()
  }
}

private struct PTXParser {
  private var lexer: PTXLexer

  init(_ text: String) throws(PTXError) { lexer = try PTXLexer(text) }

  // MARK: Words

  private func at(_ mark: Character) -> Bool { lexer.token == .mark(mark.asciiValue!) }

  private mutating func take(_ mark: Character) throws(PTXError) -> Bool {
    guard at(mark) else { return false }
    try lexer.advance()
    return true
  }

  private mutating func expect(_ mark: Character) throws(PTXError) {
    guard try take(mark) else { throw lexer.error("'\(mark)' is missing here") }
  }

  private mutating func name() throws(PTXError) -> String {
    guard case .name(let name) = lexer.token else { throw lexer.error("a name is missing here") }
    try lexer.advance()
    return name
  }

  private mutating func takeDotted(_ name: String) throws(PTXError) -> Bool {
    guard lexer.token == .dotted(name) else { return false }
    try lexer.advance()
    return true
  }

  private mutating func integer() throws(PTXError) -> Int64 {
    let isNegative = try take("-")
    guard case .integer(let value) = lexer.token else { throw lexer.error("a whole number is missing here") }
    try lexer.advance()
    return isNegative ? 0 &- value : value
  }

  /// A list up to a closing mark, which is taken.
  private mutating func list<T>(
    until mark: Character, _ element: (inout Self) throws(PTXError) -> T
  ) throws(PTXError) -> [T] {
    if try take(mark) { return [] }
    var result = [try element(&self)]
    while try take(",") { result.append(try element(&self)) }
    try expect(mark)
    return result
  }

  // MARK: Modules

  mutating func module() throws(PTXError) -> PTXModule {
    guard try takeDotted("version"), case .version(let major, let minor) = lexer.token else {
      throw lexer.error("a module begins with its version: .version 8.0")
    }
    try lexer.advance()
    guard try takeDotted("target") else { throw lexer.error("the target is missing: .target sm_90a") }
    let target = PTXTarget(try name())
    guard try takeDotted("address_size"), try integer() == 64 else {
      throw lexer.error("addresses have 64 bits: .address_size 64")
    }
    var module = PTXModule(version: PTXVersion(major, minor), target: target, kernels: [])
    while lexer.token != .end {
      var linkage: PTXVariable.Linkage?
      if case .dotted(let word) = lexer.token, let known = PTXVariable.Linkage(rawValue: word) {
        linkage = known
        try lexer.advance()
      }
      if try takeDotted("entry") {
        module.kernels.append(try kernel(isVisible: linkage == .visible))
      } else {
        for var variable in try variables() {
          variable.linkage = linkage
          module.variables.append(variable)
        }
        try expect(";")
      }
    }
    return module
  }

  private mutating func kernel(isVisible: Bool) throws(PTXError) -> PTXKernel {
    var kernel = PTXKernel(try name(), isVisible: isVisible, parameters: [], body: [])
    if try take("(") { kernel.parameters = try list(until: ")") { parser throws(PTXError) in try parser.variable() } }
    while case .dotted(let word) = lexer.token {
      guard let name = PTXDirective.Name(rawValue: word) else {
        throw lexer.error("'.\(word)' is no directive of a kernel that is known here")
      }
      try lexer.advance()
      var values: [Int] = []
      if case .integer = lexer.token {
        repeat { values.append(Int(try integer())) } while try take(",")
      }
      kernel.directives.append(PTXDirective(name, values))
    }
    kernel.body = try block()
    return kernel
  }

  /// `.shared .align 16 .b8 tile[1024] = {…}`, without what ends it.
  private mutating func variable() throws(PTXError) -> PTXVariable {
    guard case .dotted(let word) = lexer.token, let space = PTXSpace(rawValue: word) else {
      throw lexer.error("a declaration is missing here: a space, a type and a name, as in .reg .b32 %r;")
    }
    try lexer.advance()
    var variable = PTXVariable(space, .b8, [])
    if try takeDotted("align") { variable.alignment = Int(try integer()) }
    if try takeDotted("v2") { variable.vector = 2 }
    if try takeDotted("v4") { variable.vector = 4 }
    guard case .dotted(let type) = lexer.token, let type = PTXType(rawValue: type) else {
      throw lexer.error("a type is missing here, such as .b32")
    }
    try lexer.advance()
    variable.type = type
    variable.names = [try name()]
    variable.count = try count()
    variable.dimensions = try dimensions()
    if try take("=") {
      variable.values =
        try take("{")
        ? try list(until: "}") { parser throws(PTXError) in try parser.operand() } : [try operand()]
    }
    return variable
  }

  /// `<8>`
  private mutating func count() throws(PTXError) -> Int? {
    guard try take("<") else { return nil }
    let count = Int(try integer())
    try expect(">")
    return count
  }

  /// `[4][8]`, `[]`
  private mutating func dimensions() throws(PTXError) -> [Int] {
    var dimensions: [Int] = []
    while try take("[") {
      dimensions.append(at("]") ? 0 : Int(try integer()))
      try expect("]")
    }
    return dimensions
  }

  /// A declaration of several names, `.reg .b32 %a, %b, %r<8>`: plain ones together, each of the others by itself.
  private mutating func variables() throws(PTXError) -> [PTXVariable] {
    var result = [try variable()]
    while try take(",") {
      var other = result[0]
      (other.names, other.count, other.dimensions) = ([try name()], try count(), try dimensions())
      let last = result.count - 1
      if other.count == nil, other.dimensions.isEmpty, result[last].count == nil, result[last].dimensions.isEmpty {
        result[last].names += other.names
      } else {
        result.append(other)
      }
    }
    return result
  }

  // MARK: Bodies

  private mutating func block() throws(PTXError) -> [PTXStatement] {
    try expect("{")
    var statements: [PTXStatement] = []
    while !(try take("}")) {
      if lexer.token == .end { throw lexer.error("'}' is missing at the end") }
      statements += try statement()
    }
    return statements
  }

  /// One statement; several where it declares registers in several ways.
  private mutating func statement() throws(PTXError) -> [PTXStatement] {
    if at("{") { return [.block(try block())] }
    if try takeDotted("pragma") {
      guard case .string(let text) = lexer.token else { throw lexer.error("a string is missing behind .pragma") }
      try lexer.advance()
      try expect(";")
      return [.pragma(text)]
    }
    if case .dotted = lexer.token {
      let isExternal = try takeDotted("extern")
      let variables = try variables().map { variable in
        var variable = variable
        if isExternal { variable.linkage = .extern }
        return PTXStatement.variable(variable)
      }
      try expect(";")
      return variables
    }
    var condition: PTXInstruction.Guard?
    if try take("@") {
      let isNegated = try take("!")
      condition = PTXInstruction.Guard(try name(), isNegated: isNegated)
    }
    let opcode = try name()
    if condition == nil, try take(":") { return [.label(opcode)] }
    var instruction = PTXInstruction(opcode, guard: condition)
    while case .dotted(let modifier) = lexer.token {
      instruction.modifiers.append(modifier)
      try lexer.advance()
    }
    instruction.operands = try list(until: ";") { parser throws(PTXError) in try parser.operand() }
    return [.instruction(instruction)]
  }

  // MARK: Operands

  private mutating func operand() throws(PTXError) -> PTXOperand {
    let first = try single()
    return try take("|") ? .pair(first, try single()) : first
  }

  private mutating func single() throws(PTXError) -> PTXOperand {
    switch lexer.token {
    case .integer, .mark(UInt8(ascii: "-")): return .integer(try integer())
    case .float32(let bits):
      try lexer.advance()
      return .float32(bits)
    case .float64(let bits):
      try lexer.advance()
      return .float64(bits)
    case .name(let name):
      try lexer.advance()
      return name == "_" ? .unused : name.hasPrefix("%") ? .register(name) : .symbol(name)
    default: break
    }
    if try take("!") { return .not(try single()) }
    if try take("{") { return .vector(try list(until: "}") { parser throws(PTXError) in try parser.operand() }) }
    if try take("[") { return try address() }
    throw lexer.error("an operand is missing here")
  }

  private mutating func address() throws(PTXError) -> PTXOperand {
    let base = try single()
    var offset: Int64 = 0
    if try take("+") {
      offset = try integer()
    } else if at("-") {
      offset = try integer()
    }
    var coordinates: [PTXOperand] = []
    if try take(",") {
      try expect("{")
      coordinates = try list(until: "}") { parser throws(PTXError) in try parser.operand() }
    }
    try expect("]")
    return .address(base, offset: offset, coordinates: coordinates)
  }
}
