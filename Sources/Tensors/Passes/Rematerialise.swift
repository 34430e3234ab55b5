/// Computes again on the way back what was computed inside a scope that asked for it, instead of keeping it.
///
/// A value made inside such a scope and used outside of it on the way forward is kept, as is everything from outside. Any
/// other value of the scope that a gradient needs is computed from those, once, right before its first use there.
extension Program {
  mutating func rematerialise() {
    let regions = instructions.map { $0.scope?.region }
    guard regions.contains(where: { $0 != nil }) else { return }
    let producers = producers

    // Values of a region that the way forward needs outside of it.
    var kept = Set(outputs)
    for (index, instruction) in instructions.enumerated() where instruction.scope?.isBackward != true {
      for value in instruction.inputs {
        if let producer = producers[value], regions[producer] != regions[index] { kept.insert(value) }
      }
    }

    var copies: [Value: Value] = [:]
    var result: [Instruction] = []

    /// The value to use instead of `value` on the way back; records what computes it.
    func recomputed(_ value: Value) -> Value {
      guard !kept.contains(value), let producer = producers[value], regions[producer] != nil else { return value }
      if let copy = copies[value] { return copy }
      var instruction = instructions[producer]
      instruction.inputs = instruction.inputs.map(recomputed)
      let originals = instruction.results
      for (place, original) in originals.enumerated() {
        types.append(types[original])
        copies[original] = types.count - 1
        instruction.results[place] = types.count - 1
      }
      instruction.scope = instruction.scope?.backward
      result.append(instruction)
      return copies[value]!
    }

    for var instruction in instructions {
      if instruction.scope?.isBackward == true { instruction.inputs = instruction.inputs.map(recomputed) }
      result.append(instruction)
    }
    instructions = result
    removeDeadInstructions()
  }
}
