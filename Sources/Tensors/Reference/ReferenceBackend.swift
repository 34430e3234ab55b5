/// The reference: runs a program's instructions one after another, in plain loops and in Double.
///
/// It is the living definition of every operation: slow, obviously right, and what each fast backend is compared with.
/// Floats are kept in Double and rounded to their storage type only where the program says so (constants, `cast`, AdamW's
/// working copies) and where values leave (outputs, `custom`, `inspect`). Integers wrap to their width after every
/// operation. The memory plan is ignored: each value has memory of its own until its last reader is done.
public struct ReferenceBackend: Backend {
  public init() {}

  public var name: String { "reference" }

  public func compile(_ program: Program) throws -> any Executable { ReferenceExecutable(program) }
}

final class ReferenceExecutable: Executable {
  let program: Program
  /// By instruction: the values that nothing later reads.
  private let released: [[Program.Value]]

  init(_ program: Program) {
    self.program = program
    var last = [Int](repeating: -1, count: program.types.count)
    for (index, instruction) in program.instructions.enumerated() {
      for value in instruction.inputs + instruction.results { last[value] = index }
    }
    for value in program.outputs { last[value] = -1 }
    var released = [[Program.Value]](repeating: [], count: program.instructions.count)
    for (value, index) in last.enumerated() where index >= 0 { released[index].append(value) }
    self.released = released
  }

  /// - Precondition: `inputs` have the types of the program's inputs at `extent`, which is at most the program's.
  func run(
    _ inputs: [TensorData], extent: Int?, inspect: ((Program.Instruction, [TensorData]) throws -> Void)?
  ) throws -> [TensorData] {
    let extent = extent ?? program.extent ?? 0
    precondition(
      extent >= 0 && extent <= program.extent ?? extent,
      "an extent of \(extent) is more than the program's \(program.extent ?? 0)")
    precondition(
      inputs.count == program.inputs.count, "\(inputs.count) inputs for a program of \(program.inputs.count)")
    func type(_ value: Program.Value) -> TensorType { program.type(of: value, extent: extent) }

    var values = [ReferenceValue?](repeating: nil, count: program.types.count)
    for (position, value) in program.inputs.enumerated() {
      let (given, needed) = (inputs[position].type, type(value))
      precondition(
        given.element == needed.element && given.shape.dimensions == needed.shape.dimensions,
        "input \(position) '\(program.inputNames[position])' is \(given) but \(needed) is needed")
      values[value] = ReferenceValue(inputs[position], as: needed)
    }

    for (index, instruction) in program.instructions.enumerated() {
      let operands = instruction.inputs.map { value -> ReferenceValue in
        guard let operand = values[value] else {
          preconditionFailure("%\(value) is read before it is written: \(program.text(of: instruction))")
        }
        return operand
      }
      let results = ReferenceInterpreter.evaluate(instruction.op, operands, instruction.results.map(type))
      for (value, result) in zip(instruction.results, results) { values[value] = result }
      try inspect?(instruction, results.map { $0.data() })
      for value in released[index] { values[value] = nil }
    }

    // Donated memory is written only now, so that no instruction sees a new value where it should see the old one.
    return program.outputs.enumerated().map { position, value in
      guard let result = values[value] else { preconditionFailure("output \(position), %\(value), is never written") }
      guard let input = program.donations[position] else { return result.data() }
      result.write(to: inputs[input])
      return inputs[input]
    }
  }
}
