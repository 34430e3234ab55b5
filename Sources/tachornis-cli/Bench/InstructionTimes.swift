// Where the time of one run of a program goes, by kinds of instructions.

internal import Core
internal import Tensors

/// Collects the time of each instruction of a run, which calls `count` after each.
struct InstructionTimes {
  private struct Row {
    var seconds = 0.0
    var cost = Cost()
    var count = 0
  }

  private let clock: any SecondsClock
  private var rows: [String: Row] = [:]
  private var last: Double

  init(clock: any SecondsClock) {
    self.clock = clock
    last = clock.seconds
  }

  /// The instruction that has just ended.
  mutating func count(_ instruction: Program.Instruction, of program: Program) {
    let now = clock.seconds
    var name = instruction.op.name
    switch instruction.op {
    case .matmul, .blockMatmul, .groupedMatmul:
      name += " " + instruction.inputs.prefix(2).map { "\(program.types[$0])" }.joined(separator: " ")
    case .blockMatmuls: name += " " + instruction.inputs.map { "\(program.types[$0])" }.joined(separator: " ")
    case .fused(let fusion):
      name += " \(fusion.shape) " + fusion.steps.map(\.op.name).filter { $0 != "constant" }.joined(separator: " ")
    case .attention: name += " \(program.types[instruction.inputs[0]])"
    default: break
    }
    rows[name, default: Row()].seconds += now - last
    rows[name]!.cost = rows[name]!.cost + program.cost(of: instruction)
    rows[name]!.count += 1
    last = clock.seconds
  }

  /// A table, the longest first; what takes less than a five-hundredth is left out.
  var table: String {
    let total = rows.values.reduce(0) { $0 + $1.seconds }
    func cell(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    var lines = [cell("share", 7) + cell("us", 10) + cell("calls", 7) + cell("GFLOP/s", 9) + cell("GB/s", 7) + "  what"]
    for (name, row) in rows.sorted(by: { $0.value.seconds > $1.value.seconds }) where row.seconds > total * 0.002 {
      lines.append(
        cell(Numerals.fixed(100 * row.seconds / total, 1) + "%", 7) + cell(Numerals.fixed(row.seconds * 1e6, 0), 10)
          + cell("\(row.count)", 7) + cell(Numerals.fixed(row.cost.flops / row.seconds / 1e9, 0), 9)
          + cell(Numerals.fixed(row.cost.bytes / row.seconds / 1e9, 1), 7) + "  " + name)
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
