/// Products and lookups that read weights in blocks where they lie, instead of the floats that they stand for.
///
/// A model multiplies with `blocks.dequantized(…)` and knows nothing more; here
/// - `x · dequantize(b)ᵀ` becomes `blockMatmul(x, b)`, also where casts lie between, and so do products by group,
/// - where the columns of `dequantize(b)` are put into another order, x is put into that of `b` instead,
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
    // Several products may want the same values in the same order.
    var ordered: [Ordered: Value] = [:]

    /// A value with its last axis in the order of blocks whose columns were gathered by `places`.
    func reordered(_ x: Value, _ places: TensorData, _ scope: Scope?) -> Value {
      var inverse = [Int32](repeating: 0, count: places.count)
      for (place, column) in places.integers.enumerated() { inverse[Int(column)] = Int32(place) }
      let key = Ordered(value: x, order: inverse)
      if let known = ordered[key] { return known }
      let data = TensorData(inverse, shape: places.shape)
      let (indices, result) = (Value(types.count), Value(types.count + 1))
      types += [data.type, types[x]]
      additions.append(Instruction(op: .constant(.data(data)), inputs: [], results: [indices], scope: scope))
      additions.append(
        Instruction(op: .gather(axis: types[x].shape.rank - 1), inputs: [x, indices], results: [result], scope: scope))
      ordered[key] = result
      return result
    }

    for index in instructions.indices {
      let instruction = instructions[index]
      switch instruction.op {
      case .matmul(let matmul):
        guard !matmul.hasEpilogue, !matmul.transposeA, matmul.transposeB, matmul.type != .float64,
          var weights = source(instruction.inputs[1])
        else { continue }
        // Blocks whose columns are gathered: each once, if they are as many.
        var places: TensorData?
        if case .gather(let axis) = weights.op, axis == 1,
          types[weights.inputs[0]].shape == types[weights.results[0]].shape, let indices = producers[weights.inputs[1]],
          case .constant(.data(let data)) = instructions[indices].op,
          data.integers.sorted() == Array(0..<Int64(data.count)), let blocks = source(weights.inputs[0])
        {
          (places, weights) = (data, blocks)
        }
        guard case .dequantize(let format, _) = weights.op else { continue }
        let x = types[instruction.inputs[0]], blocks = types[weights.inputs[0]]
        let leading = Array(blocks.shape.dimensions.dropLast(2))
        guard x.element.isFloat, x.element != .float64,
          leading.isEmpty || leading == Array(x.shape.dimensions.dropLast(2))
        else { continue }
        instructions[index].op = .blockMatmul(BlockMatmul(format: format, type: matmul.type, exact: exact))
        instructions[index].inputs[1] = weights.inputs[0]
        if let places { instructions[index].inputs[0] = reordered(instruction.inputs[0], places, instruction.scope) }
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

/// A value whose last axis is put into an order.
private struct Ordered: Hashable {
  var value: Program.Value
  var order: [Int32]
}
