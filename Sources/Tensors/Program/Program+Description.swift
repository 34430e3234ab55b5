extension Program: CustomStringConvertible {
  /// One line an instruction: results, types, operation, operands, where in the model it comes from.
  public var description: String {
    var lines = [
      "program(" + zip(inputs, inputNames).map { "%\($0): \(types[$0]) \($1)" }.joined(separator: ", ") + ")"
    ]
    for (index, instruction) in instructions.enumerated() {
      if index == constantCount && index > 0 { lines.append("  -- above: once --") }
      lines.append("  " + text(of: instruction))
    }
    let results = outputs.enumerated().map { position, value in
      "%\(value)" + (donations[position].map { " into \(inputNames[$0])" } ?? "")
    }
    lines.append("  return " + results.joined(separator: ", "))
    lines.append(
      "  -- \(instructions.count) instructions, arena \(plan.arenaBytes) bytes (unshared \(plan.unsharedBytes)) --")
    return lines.joined(separator: "\n")
  }

  /// An instruction as one line.
  public func text(of instruction: Instruction) -> String {
    let results = instruction.results.map { "%\($0): \(types[$0])" }.joined(separator: ", ")
    let operands = instruction.inputs.map { "%\($0)" }.joined(separator: ", ")
    let details = instruction.op.details
    let scope = instruction.scope.map { "   // " + $0.path } ?? ""
    return "\(results) = \(instruction.op.name)" + (details.isEmpty ? "" : "{\(details)}") + "(\(operands))" + scope
  }

  /// The graph in the language of Graphviz.
  public var dot: String {
    var lines = ["digraph program {", "  node [shape=box, fontname=\"Helvetica\", fontsize=10];"]
    for (value, name) in zip(inputs, inputNames) {
      lines.append("  v\(value) [label=\"\(escaped(name))\\n\(types[value])\", style=filled, fillcolor=\"#e0ecff\"];")
    }
    var owner: [Value: String] = Dictionary(uniqueKeysWithValues: inputs.map { ($0, "v\($0)") })
    for (index, instruction) in instructions.enumerated() {
      for value in instruction.results { owner[value] = "i\(index)" }
      let details = instruction.op.details
      let label = [instruction.op.name, details, instruction.results.map { "\(types[$0])" }.joined(separator: " ")]
        .filter { !$0.isEmpty }.map(escaped).joined(separator: "\\n")
      lines.append("  i\(index) [label=\"\(label)\"];")
      for value in instruction.inputs { lines.append("  \(owner[value]!) -> i\(index);") }
    }
    for (position, value) in outputs.enumerated() {
      lines.append("  o\(position) [label=\"output \(position)\", style=filled, fillcolor=\"#e2f5e2\"];")
      lines.append("  \(owner[value]!) -> o\(position);")
    }
    return (lines + ["}"]).joined(separator: "\n")
  }

  private func escaped(_ text: String) -> String {
    String(text.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] })
  }
}
