// PTX as text. One statement a line, bodies indented, floats as their bits.

extension PTXModule: CustomStringConvertible {
  /// The text that drivers and ptxas assemble.
  public var text: String {
    var lines = [".version \(version.major).\(version.minor)", ".target \(target.name)", ".address_size 64"]
    if !variables.isEmpty { lines.append("") }
    lines += variables.map { "\($0);" }
    for kernel in kernels { lines += [""] + kernel.lines }
    return lines.joined(separator: "\n") + "\n"
  }

  public var description: String { text }
}

extension PTXKernel {
  fileprivate var lines: [String] {
    let head = "\(isVisible ? ".visible " : "").entry \(name)("
    var lines = parameters.isEmpty ? [head + ")"] : [head]
    for (index, parameter) in parameters.enumerated() {
      lines.append("  \(parameter)\(index + 1 < parameters.count ? "," : ")")")
    }
    lines += directives.map { "  \($0)" }
    return lines + ["{"] + PTXStatement.lines(body, indent: "  ") + ["}"]
  }
}

extension PTXDirective: CustomStringConvertible {
  public var description: String {
    values.isEmpty ? ".\(name.rawValue)" : ".\(name.rawValue) \(values.map(String.init).joined(separator: ", "))"
  }
}

extension PTXVariable: CustomStringConvertible {
  /// The declaration, without what ends it.
  public var description: String {
    var words: [String] = []
    if let linkage { words.append(".\(linkage.rawValue)") }
    words.append(".\(space.rawValue)")
    if let alignment { words.append(".align \(alignment)") }
    if vector > 1 { words.append(".v\(vector)") }
    words.append(".\(type.rawValue)")
    let axes = dimensions.map { $0 == 0 ? "[]" : "[\($0)]" }.joined()
    words.append(names.map { name in count.map { "\(name)<\($0)>" } ?? name + axes }.joined(separator: ", "))
    if !values.isEmpty {
      words.append(
        "= " + (dimensions.isEmpty ? "\(values[0])" : "{\(values.map(\.description).joined(separator: ", "))}"))
    }
    return words.joined(separator: " ")
  }
}

extension PTXStatement {
  fileprivate static func lines(_ statements: [PTXStatement], indent: String) -> [String] {
    statements.flatMap { statement -> [String] in
      switch statement {
      case .variable(let variable): ["\(indent)\(variable);"]
      case .label(let name): ["\(name):"]
      case .instruction(let instruction): ["\(indent)\(instruction);"]
      case .block(let body): ["\(indent){"] + lines(body, indent: indent + "  ") + ["\(indent)}"]
      case .pragma(let text): ["\(indent).pragma \"\(text)\";"]
      }
    }
  }
}

extension PTXInstruction: CustomStringConvertible {
  /// The instruction, without what ends it.
  public var description: String {
    let condition = self.guard.map { "@\($0.isNegated ? "!" : "")\($0.predicate) " } ?? ""
    let list = operands.map(\.description).joined(separator: ", ")
    return condition + name + (list.isEmpty ? "" : " " + list)
  }
}

extension PTXOperand: CustomStringConvertible {
  public var description: String {
    switch self {
    case .register(let name), .symbol(let name): return name
    case .integer(let value): return String(value)
    case .float32(let bits): return "0f" + Self.hexadecimal(UInt64(bits), digits: 8)
    case .float64(let bits): return "0d" + Self.hexadecimal(bits, digits: 16)
    case .address(let base, let offset, let coordinates):
      let place = offset == 0 ? "\(base)" : offset < 0 ? "\(base)\(offset)" : "\(base)+\(offset)"
      return coordinates.isEmpty ? "[\(place)]" : "[\(place), \(PTXOperand.vector(coordinates))]"
    case .vector(let parts): return "{\(parts.map(\.description).joined(separator: ", "))}"
    case .pair(let first, let second): return "\(first)|\(second)"
    case .not(let operand): return "!\(operand)"
    case .unused: return "_"
    }
  }

  private static func hexadecimal(_ bits: UInt64, digits: Int) -> String {
    let text = String(bits, radix: 16, uppercase: true)
    return String(repeating: "0", count: digits - text.count) + text
  }
}
