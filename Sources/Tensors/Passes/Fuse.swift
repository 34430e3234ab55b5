/// Joins chains of elementwise operations into one, so that what lies between never goes through memory.
///
/// A group grows from its last operation backwards: it takes in an elementwise producer of the same shape if nothing outside
/// of the group needs that producer's result. Casts, broadcasts and single numbers are cheaper to do again than to store, so
/// each group that reads one has its own.
extension Program {
  private static let maximumSteps = 20
  private static let maximumInputs = 10

  mutating func fuse() {
    let producers = producers
    let consumers = consumers
    let outputSet = Set(outputs)
    var absorbed = Set<Int>()

    for root in instructions.indices.reversed() where instructions[root].op.isFusible && !absorbed.contains(root) {
      let shape = types[instructions[root].results[0]].shape
      var group = Group(root: root)
      // Candidates in falling order, so that all consumers of a producer are decided before it is.
      var candidates = Set(instructions[root].inputs.compactMap { producers[$0] })
      while let candidate = candidates.max() {
        candidates.remove(candidate)
        let instruction = instructions[candidate]
        let result = instruction.results[0]
        let isFree = instruction.op.isFree(types[result])
        let isPrivate =
          instruction.op.isFusible && types[result].shape.dimensions == shape.dimensions && !outputSet.contains(result)
          && consumers[result].allSatisfy(group.members.contains)
        guard isFree || isPrivate, !group.members.contains(candidate) else { continue }
        group.members.insert(candidate)
        if group.members.count > Program.maximumSteps
          || group.inputs(instructions).count > Program.maximumInputs
        {
          group.members.remove(candidate)
          continue
        }
        if isPrivate { group.owned.append(candidate) }
        candidates.formUnion(instruction.inputs.compactMap { producers[$0] })
      }
      guard group.members.count > 1 else { continue }
      absorbed.formUnion(group.owned)
      let inputs = group.inputs(instructions)
      let fusion = group.fusion(instructions, inputs: inputs, types: types, shape: shape)
      instructions[root].op = .fused(fusion)
      instructions[root].inputs = inputs
    }
    removeDeadInstructions()
  }

  /// Instructions that become one.
  private struct Group {
    let root: Int
    var members: Set<Int>
    /// Members that nothing else needs.
    var owned: [Int] = []

    init(root: Int) {
      self.root = root
      members = [root]
    }

    /// The values that come from outside, in order of first use.
    func inputs(_ instructions: [Instruction]) -> [Value] {
      let inner = Set(members.flatMap { instructions[$0].results })
      var result: [Value] = []
      for member in members.sorted() {
        for value in instructions[member].inputs where !inner.contains(value) && !result.contains(value) {
          result.append(value)
        }
      }
      return result
    }

    func fusion(_ instructions: [Instruction], inputs: [Value], types: [TensorType], shape: Shape) -> Fusion {
      var steps: [Fusion.Step] = []
      var operands: [Value: Fusion.Operand] = [:]
      for (place, value) in inputs.enumerated() { operands[value] = .input(place) }
      for member in members.sorted() {
        let instruction = instructions[member]
        let result = instruction.results[0]
        if case .broadcast = instruction.op, member != root {
          // Every operand is broadcast to the group's shape anyway.
          operands[result] = operands[instruction.inputs[0]]!
          continue
        }
        let own = instruction.inputs.map { operands[$0]! }
        steps.append(Fusion.Step(op: instruction.op.scalarised, operands: own, type: types[result].element))
        operands[result] = .step(steps.count - 1)
      }
      return Fusion(steps: steps, shape: shape)
    }
  }
}

extension Op {
  /// Whether it can be a step of a fused expression.
  fileprivate var isFusible: Bool {
    switch self {
    case .unary, .binary, .compare, .select, .cast, .activationGradient: true
    default: false
    }
  }

  /// Whether computing it again costs less than reading its result.
  fileprivate func isFree(_ type: TensorType) -> Bool {
    switch self {
    case .cast, .broadcast: true
    case .constant(.fill): true
    default: false
    }
  }

  /// A repeated number as one number: the expression repeats it.
  fileprivate var scalarised: Op {
    guard case .constant(.fill(let scalar, let type)) = self else { return self }
    return .constant(.fill(scalar, TensorType(type.element, .scalar)))
  }
}
