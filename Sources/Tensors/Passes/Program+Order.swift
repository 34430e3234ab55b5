/// What passes share: counting uses, dropping what nobody needs, and putting instructions into a valid order.
extension Program {
  /// How often each value is read, being an output included.
  var useCounts: [Int] {
    var counts = [Int](repeating: 0, count: types.count)
    for instruction in instructions {
      for value in instruction.inputs { counts[value] += 1 }
    }
    for value in outputs { counts[value] += 1 }
    return counts
  }

  mutating func removeDeadInstructions() {
    var needed = Set(outputs)
    var kept: [Instruction] = []
    for instruction in instructions.reversed() where instruction.results.contains(where: needed.contains) {
      needed.formUnion(instruction.inputs)
      kept.append(instruction)
    }
    instructions = kept.reversed()
  }

  /// Moves each instruction behind those that it depends on and otherwise keeps the order.
  mutating func sortInstructions() {
    let producers = producers
    var sorted: [Instruction] = []
    var done = [Bool](repeating: false, count: instructions.count)
    for start in instructions.indices {
      var pending = [start]
      while let index = pending.last {
        if done[index] {
          pending.removeLast()
          continue
        }
        let missing = instructions[index].inputs.compactMap { producers[$0] }.filter { !done[$0] }
        if missing.isEmpty {
          done[index] = true
          sorted.append(instructions[index])
          pending.removeLast()
        } else {
          pending += missing
        }
      }
    }
    instructions = sorted
  }

  /// Puts what depends on constants only in front; such instructions are run once. Values that would take much memory for
  /// the program's whole life are left where they are.
  mutating func hoistConstants() {
    let limit = 64 << 20
    var constants = Set<Value>()
    for instruction in instructions {
      let isLiteral = if case .constant = instruction.op { true } else { false }
      // A program without inputs is run once anyway.
      let isSmall =
        !inputs.isEmpty && instruction.results.allSatisfy { !types[$0].shape.varies && types[$0].bytes <= limit }
      // What a constant of varying shape leads to depends on the extent of the run.
      let isFixed = instruction.inputs.allSatisfy { constants.contains($0) && !types[$0].shape.varies }
      if isLiteral || (isSmall && isFixed) {
        constants.formUnion(instruction.results)
      }
    }
    let hoisted = instructions.filter { constants.contains($0.results[0]) }
    instructions = hoisted + instructions.filter { !constants.contains($0.results[0]) }
    constantCount = hoisted.count
  }
}

extension Op {
  /// Whether each element of the result depends on the same element of the (broadcast) inputs only.
  var isElementwise: Bool {
    switch self {
    case .unary, .binary, .compare, .select, .cast, .activationGradient, .fused: true
    default: false
    }
  }
}
