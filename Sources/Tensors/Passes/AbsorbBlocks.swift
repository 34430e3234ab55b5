/// Products and lookups that read weights in blocks where they lie, instead of the floats that they stand for.
///
/// A model multiplies with `blocks.dequantized(…)` and knows nothing more; here
/// - `x · dequantize(b)ᵀ` becomes `blockMatmul(x, b)`, also where casts lie between, and so do products by group,
/// - `gather(axis 0)` of `dequantize(b)` becomes `dequantize` of the gathered rows.
extension Program {
  mutating func absorbBlocks(exact: Bool) {
    let producers = producers

    /// What makes a value, casts between floats left out.
    func source(_ value: Value) -> Instruction? {
      guard let producer = producers[value] else { return nil }
      if case .cast(let type) = instructions[producer].op, type.isFloat {
        return source(instructions[producer].inputs[0])
      }
      return instructions[producer]
    }

    var additions: [Instruction] = []
    for index in instructions.indices {
      let instruction = instructions[index]
      switch instruction.op {
      case .matmul(let matmul):
        guard !matmul.hasEpilogue, !matmul.transposeA, matmul.transposeB, matmul.type != .float64,
          let weights = source(instruction.inputs[1]), case .dequantize(let format, _) = weights.op
        else { continue }
        let x = types[instruction.inputs[0]], blocks = types[weights.inputs[0]]
        let leading = Array(blocks.shape.dimensions.dropLast(2))
        guard x.element.isFloat, x.element != .float64,
          leading.isEmpty || leading == Array(x.shape.dimensions.dropLast(2))
        else { continue }
        instructions[index].op = .blockMatmul(BlockMatmul(format: format, type: matmul.type, exact: exact))
        instructions[index].inputs[1] = weights.inputs[0]
      case .groupedMatmul(var grouped):
        guard grouped.transposed, grouped.type != .float64, types[instruction.inputs[0]].element != .float64,
          let weights = source(instruction.inputs[1]), case .dequantize(let format, _) = weights.op
        else { continue }
        (grouped.format, grouped.exact) = (format, exact)
        instructions[index].op = .groupedMatmul(grouped)
        instructions[index].inputs[1] = weights.inputs[0]
      case .gather(let axis):
        guard axis == 0, let table = source(instruction.inputs[0]), case .dequantize(let format, _) = table.op,
          case let blocks = table.inputs[0], types[blocks].shape.rank >= 2
        else { continue }
        let rows = Value(types.count)
        types.append(instruction.op.resultTypes([types[blocks], types[instruction.inputs[1]]])[0])
        additions.append(
          Instruction(
            op: instruction.op, inputs: [blocks, instruction.inputs[1]], results: [rows], scope: instruction.scope))
        instructions[index].op = .dequantize(format, types[instruction.results[0]].element)
        instructions[index].inputs = [rows]
      default: continue
      }
    }
    instructions += additions
    sortInstructions()
    removeDeadInstructions()
  }
}
