/// Rewrites that make a program shorter and keep its meaning.
///
/// - Reshapes move out of the way (`SinkReshapes.swift`).
/// - A transpose in front of a matrix product becomes the product's own.
/// - Products with weights in blocks read the blocks (`AbsorbBlocks.swift`).
/// - Products of one x with several weights in blocks become one (`JoinProducts.swift`).
/// - A cast behind an operation that can write another type becomes that operation's result type (so a widening cast also
///   saves a rounding).
/// - Bias, activation and residual behind a matrix product are done while the product is written.
/// - A cross-entropy and its gradient become one, so that each chunk of logits is computed once.
extension Program {
  mutating func simplify(exactBlocks: Bool) {
    sinkReshapes()
    absorbTransposes()
    absorbBlocks(exact: exactBlocks)
    absorbCasts()
    joinBlockProducts()
    absorbEpilogues()
    joinCrossEntropies()
  }

  private mutating func absorbTransposes() {
    let producers = producers
    for index in instructions.indices {
      guard case .matmul(var matmul) = instructions[index].op else { continue }
      for operand in 0...1 {
        guard let producer = producers[instructions[index].inputs[operand]],
          case .permute(let axes) = instructions[producer].op, axes.count >= 2
        else { continue }
        var swapped = Array(axes.indices)
        swapped.swapAt(axes.count - 1, axes.count - 2)
        guard axes == swapped else { continue }
        instructions[index].inputs[operand] = instructions[producer].inputs[0]
        if operand == 0 { matmul.transposeA.toggle() } else { matmul.transposeB.toggle() }
      }
      instructions[index].op = .matmul(matmul)
    }
    removeDeadInstructions()
  }

  private mutating func absorbCasts() {
    let producers = producers
    var useCounts = useCounts
    for index in instructions.indices {
      guard case .cast(let type) = instructions[index].op, type.isFloat else { continue }
      let source = instructions[index].inputs[0]
      guard useCounts[source] == 1, types[source].element.isFloat, let producer = producers[source],
        let typed = instructions[producer].op.typed(
          type, result: instructions[producer].results.firstIndex(of: source)!)
      else { continue }
      instructions[producer].op = typed
      let place = instructions[producer].results.firstIndex(of: source)!
      instructions[producer].results[place] = instructions[index].results[0]
      useCounts[source] = 0
      instructions[index].results = []
    }
    removeDeadInstructions()
  }

  private mutating func absorbEpilogues() {
    var rewriter = EpilogueRewriter(program: self)
    for index in instructions.indices { rewriter.extend(index) }
    instructions = rewriter.instructions
    sortInstructions()
    removeDeadInstructions()
  }

  private mutating func joinCrossEntropies() {
    struct Key: Hashable {
      var inputs: [Value]
      var softcap: Double?
    }
    var forward: [Key: Int] = [:]
    for (index, instruction) in instructions.enumerated() {
      guard case .linearCrossEntropy(let options) = instruction.op else { continue }
      let key = Key(inputs: Array(instruction.inputs.prefix(3)), softcap: options.softcap)
      if !options.gradient {
        forward[key] = index
      } else if !options.loss, let first = forward[key],
        !depends(instruction.inputs[3], on: instructions[first].results[0])
      {
        var joint = options
        joint.loss = true
        instructions[index].op = .linearCrossEntropy(joint)
        instructions[index].results = instructions[first].results + instruction.results
        instructions[index].scope = instructions[first].scope
        instructions[first].results = []
        // A second gradient, with another cotangent, stays by itself: the loss is computed already.
        forward[key] = nil
      }
    }
    removeDeadInstructions()
    sortInstructions()
  }

  private func depends(_ value: Value, on other: Value) -> Bool {
    let producers = producers
    var seen = Set<Value>()
    var pending = [value]
    while let next = pending.popLast() {
      if next == other { return true }
      guard seen.insert(next).inserted, let producer = producers[next] else { continue }
      pending += instructions[producer].inputs
    }
    return false
  }
}

extension Op {
  /// The same operation with its `result`-th result in another float type, if it can write that directly.
  fileprivate func typed(_ type: ElementType, result: Int) -> Op? {
    switch self {
    case .matmul(var matmul):
      matmul.type = type
      return .matmul(matmul)
    case .dequantize(let format, let old) where type != .float64 && old == .float32: return .dequantize(format, type)
    case .blockMatmul(var matmul) where type != .float64:
      matmul.type = type
      return .blockMatmul(matmul)
    case .groupedMatmul(var grouped) where grouped.format == nil || type != .float64:
      grouped.type = type
      return .groupedMatmul(grouped)
    case .groupedOuter: return .groupedOuter(type)
    case .reduce(let reduction, let axes, let old):
      // Sums are kept wide inside, so a wider result is the better one; a narrower one would be the same.
      return reduction == .sum && old != .float64 && type != .float64 ? .reduce(reduction, axes: axes, type: type) : nil
    case .scatterAdd(let axis, let entries, let old):
      return type == .float32 && old != .float64 ? .scatterAdd(axis: axis, entries: entries, type: type) : nil
    case .linearCrossEntropy(var options)
    where options.gradient && result == (options.loss ? 2 : 1) && type == .float32:
      options.weightGradientType = type
      return .linearCrossEntropy(options)
    default: return nil
    }
  }
}

/// Finds what follows a matrix product and can be done as it is written.
private struct EpilogueRewriter {
  let program: Program
  let producers: [Program.Value: Int]
  let consumers: [[Int]]
  let outputs: Set<Program.Value>
  var instructions: [Program.Instruction]

  init(program: Program) {
    self.program = program
    producers = program.producers
    consumers = program.consumers
    outputs = Set(program.outputs)
    instructions = program.instructions
  }

  mutating func extend(_ index: Int) {
    guard case .matmul(var matmul) = instructions[index].op, !matmul.hasEpilogue,
      program.types[instructions[index].results[0]].element.isFloat
    else { return }
    var product = instructions[index]
    var result = product.results[0]

    if let (add, bias) = soleAddition(to: result), isVector(bias, of: result) {
      matmul.bias = true
      product.inputs.append(uncast(bias))
      result = take(add)
    }
    if let (use, activation) = activation(of: result) {
      matmul.activation = activation
      matmul.keepsPreActivation = consumers[result].count > 1 || outputs.contains(result)
      let activated = take(use)
      product.results = matmul.keepsPreActivation ? [activated, result] : [activated]
      result = activated
    } else {
      product.results = [result]
    }
    if !matmul.keepsPreActivation || consumers[result].count == 1, let (add, other) = soleAddition(to: result),
      program.types[other].shape.dimensions == program.types[result].shape.dimensions
    {
      matmul.residual = true
      product.inputs.append(other)
      result = take(add)
      product.results[0] = result
    }
    product.op = .matmul(matmul)
    instructions[index] = product
  }

  /// The result of an instruction that is done by the product from now on.
  private mutating func take(_ index: Int) -> Program.Value {
    let result = instructions[index].results[0]
    instructions[index].results = []
    return result
  }

  /// The only use of a value, if that is an addition that is still there, and what is added.
  private func soleAddition(to value: Program.Value) -> (Int, Program.Value)? {
    guard !outputs.contains(value), consumers[value].count == 1, case let use = consumers[value][0],
      case .binary(.add) = instructions[use].op, !instructions[use].results.isEmpty
    else { return nil }
    let inputs = instructions[use].inputs
    return (use, inputs[0] == value ? inputs[1] : inputs[0])
  }

  private func isVector(_ bias: Program.Value, of result: Program.Value) -> Bool {
    program.types[bias].shape.dimensions == [program.types[result].shape[-1]]
  }

  /// What a bias was before it was rounded to the product's type.
  private func uncast(_ value: Program.Value) -> Program.Value {
    guard let producer = producers[value], case .cast = instructions[producer].op,
      program.types[instructions[producer].inputs[0]].element.isFloat
    else { return value }
    return instructions[producer].inputs[0]
  }

  /// An activation of a value that goes straight into something that is not elementwise (which could fuse it for less).
  private func activation(of value: Program.Value) -> (Int, Activation)? {
    for use in consumers[value] {
      guard case .unary(let unary) = instructions[use].op, let activation = unary.activation,
        let result = instructions[use].results.first, !consumers[result].isEmpty,
        consumers[result].allSatisfy({ !program.instructions[$0].op.isElementwise })
      else { continue }
      return (use, activation)
    }
    return nil
  }
}
