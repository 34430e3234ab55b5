/// Moves reshapes behind elementwise operations, so that a product, its bias, activation and residual stand next to each other
/// whatever shapes the model's author gave them in between. A reshape costs nothing, but it hides what it stands between.
///
///     add(reshape(p), x)  becomes  reshape(add(p, reshape(x)))
extension Program {
  mutating func sinkReshapes() {
    var result: [Instruction] = []
    /// By value: what it is a reshape of.
    var sources: [Value: Value] = [:]
    /// By value: an equal one to use instead.
    var replaced: [Value: Value] = [:]
    /// Reshapes made so far, by source and shape.
    var made: [Reshaped: Value] = [:]

    func reshape(_ value: Value, to shape: Shape, as target: Value? = nil, scope: Scope?) -> Value {
      let source = sources[value] ?? value
      if types[source].shape == shape { return source }
      if let known = made[Reshaped(source: source, shape: shape)] { return known }
      let reshaped: Value
      if let target {
        reshaped = target
      } else {
        types.append(TensorType(types[source].element, shape))
        reshaped = types.count - 1
      }
      result.append(Instruction(op: .reshape(shape), inputs: [source], results: [reshaped], scope: scope))
      sources[reshaped] = source
      made[Reshaped(source: source, shape: shape)] = reshaped
      return reshaped
    }

    for var instruction in instructions {
      instruction.inputs = instruction.inputs.map { replaced[$0] ?? $0 }
      if case .reshape(let shape) = instruction.op {
        let target = instruction.results[0]
        let value = reshape(instruction.inputs[0], to: shape, as: target, scope: instruction.scope)
        if value != target { replaced[target] = value }
        continue
      }
      guard instruction.op.isElementwise, let shape = innerShape(of: instruction, sources) else {
        result.append(instruction)
        continue
      }
      let outer = instruction.results[0]
      let outerShape = types[outer].shape
      instruction.inputs = instruction.inputs.map {
        types[$0].shape == outerShape ? reshape($0, to: shape, scope: instruction.scope) : $0
      }
      types.append(TensorType(types[outer].element, shape))
      instruction.results = [types.count - 1]
      result.append(instruction)
      sources[outer] = instruction.results[0]
      made[Reshaped(source: instruction.results[0], shape: outerShape)] = outer
      result.append(
        Instruction(op: .reshape(outerShape), inputs: instruction.results, results: [outer], scope: instruction.scope))
    }
    instructions = result
    outputs = outputs.map { replaced[$0] ?? $0 }
    removeDeadInstructions()
  }

  private struct Reshaped: Hashable {
    var source: Value
    var shape: Shape
  }

  /// The shape in which an elementwise instruction's first reshaped operand was made, if all its operands have the
  /// result's shape or are single numbers.
  private func innerShape(of instruction: Instruction, _ sources: [Value: Value]) -> Shape? {
    let outer = types[instruction.results[0]].shape
    guard instruction.inputs.allSatisfy({ types[$0].shape == outer || types[$0].shape.rank == 0 }) else { return nil }
    return instruction.inputs.lazy.compactMap { sources[$0] }.map { types[$0].shape }.first { $0.count == outer.count }
  }
}
