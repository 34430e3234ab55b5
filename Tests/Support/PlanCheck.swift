public import Tensors

/// Looks for mistakes in a program's memory plan, by rules of its own: two values may overlap in memory only if they do not
/// overlap in time, if one is a view of the other, or if the one is written element by element over the other.
public enum PlanCheck {
  /// What is wrong, one line each; empty if the plan is valid.
  public static func violations(in program: Program) -> [String] {
    let plan = program.plan
    let end = program.instructions.count
    guard plan.places.count == program.types.count else { return ["\(plan.places.count) places"] }

    var written = [Int](repeating: -1, count: program.types.count)
    var needed = [Int](repeating: -1, count: program.types.count)
    // Views have the elements of what they view, so they may share its place for ever.
    var root = Array(program.types.indices)
    for (index, instruction) in program.instructions.enumerated() {
      for value in instruction.inputs { needed[value] = index }
      for value in instruction.results {
        written[value] = index < program.constantCount ? -1 : index
        needed[value] = max(needed[value], index)
      }
      if case .reshape = instruction.op { root[instruction.results[0]] = root[instruction.inputs[0]] }
    }
    for value in program.outputs { needed[value] = end }
    let donated = Set(program.donations.values)
    for (position, value) in program.inputs.enumerated() where !donated.contains(position) { needed[value] = end + 1 }

    var problems: [String] = []
    let values = program.types.indices.filter { needed[$0] >= 0 }
    for value in values where plan.places[value] == .nowhere && program.types[value].bytes > 0 {
      problems.append("%\(value) has no place")
    }
    for value in values {
      if case .arena(let start) = plan.places[value], start < 0 || start + program.types[value].bytes > plan.arenaBytes
      {
        problems.append("%\(value) at \(start) leaves the arena of \(plan.arenaBytes) bytes")
      }
    }
    for u in values {
      for v in values where u != v && root[u] != root[v] && written[u] <= written[v] && overlaps(u, v, program) {
        if written[v] < 0 { continue }
        let isFree = needed[u] < written[v] || (needed[u] == written[v] && mayReplace(u, v, program, root))
        if !isFree || written[u] == written[v] {
          problems.append(
            "%\(v), written at \(written[v]), overwrites %\(u), written at \(written[u]) and needed until \(needed[u])")
        }
      }
    }
    return problems + copyViolations(in: program)
  }

  private static func overlaps(_ u: Int, _ v: Int, _ program: Program) -> Bool {
    guard program.types[u].bytes > 0, program.types[v].bytes > 0 else { return false }
    switch (program.plan.places[u], program.plan.places[v]) {
    case (.arena(let a), .arena(let b)): return a < b + program.types[v].bytes && b < a + program.types[u].bytes
    case (.input(let a), .input(let b)), (.output(let a), .output(let b)): return a == b
    default: return false
    }
  }

  /// Whether `v` may be written over `u` by the instruction that reads `u` for the last time.
  private static func mayReplace(_ u: Int, _ v: Int, _ program: Program, _ root: [Int]) -> Bool {
    guard let instruction = program.instructions.first(where: { $0.results.contains(v) }) else { return false }
    if case .arena(let a) = program.plan.places[u], case .arena(let b) = program.plan.places[v], a != b { return false }
    guard program.types[u].element.size == program.types[v].element.size else { return false }
    let readers = instruction.inputs.indices.filter { root[instruction.inputs[$0]] == root[u] }
    switch instruction.op {
    case .unary, .binary, .compare, .select, .cast, .activationGradient, .fused:
      return readers.allSatisfy {
        program.types[instruction.inputs[$0]].shape.dimensions == program.types[v].shape.dimensions
      }
    case .update: return readers == [0]
    case .adamW(let options):
      let n = options.tensors
      let place = instruction.results.firstIndex(of: v)!
      return readers == [place < n ? 4 + place : 4 + n + place] && place < 3 * n
    default: return false
    }
  }

  /// The copies at the end are done as if at once, so that two donated inputs can change places: they may overwrite each
  /// other's sources, but not an output that already is where it belongs.
  private static func copyViolations(in program: Program) -> [String] {
    var problems: [String] = []
    func target(_ output: Int) -> MemoryPlan.Place { program.donations[output].map { .input($0) } ?? .output(output) }
    let copied = Set(program.plan.copies.map(\.output))
    for (output, value) in program.outputs.enumerated() where !copied.contains(output) && program.types[value].bytes > 0
    {
      if program.plan.places[value] != target(output) {
        problems.append("output \(output), %\(value), is at \(program.plan.places[value]) and is not copied")
      }
      for copy in program.plan.copies where program.plan.places[value] == target(copy.output) && value != copy.value {
        problems.append("the copy to output \(copy.output) overwrites output \(output)")
      }
    }
    return problems
  }
}
