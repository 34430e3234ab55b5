/// The types of an operation's results: the rules of shapes and types, in one table.
///
/// A violation is a programmer error and stops with the operation's name and the shapes that do not fit.
extension Op {
  package func resultTypes(_ inputs: [TensorType]) -> [TensorType] {
    switch self {
    case .input(let input): return [input.type]
    case .constant(.fill(_, let type)): return [type]
    case .constant(.data(let data)): return [data.type]
    case .iota(let type, let axis):
      require(axis < type.shape.rank, inputs, "axis \(axis) of \(type.shape)")
      return [type]
    case .random(let distribution, let type, _):
      require(inputs.count == 1 && inputs[0] == TensorType(.int64, .scalar), inputs, "the key is an int64 scalar")
      require(
        type.element.isFloat != (distribution == .bits), inputs,
        "bits are integers, uniform and normal numbers are floats, not \(type.element)")
      return [type]

    case .unary(let unary):
      if unary == .isFinite { return [TensorType(.bool, inputs[0].shape)] }
      require(unary.accepts(inputs[0].element), inputs, "not defined for \(inputs[0].element)")
      return [inputs[0]]
    case .binary(let binary):
      require(inputs[0].element == inputs[1].element, inputs, "operands of one type are needed")
      require(binary.accepts(inputs[0].element), inputs, "not defined for \(inputs[0].element)")
      return [TensorType(inputs[0].element, broadcast(inputs))]
    case .compare:
      require(inputs[0].element == inputs[1].element, inputs, "operands of one type are needed")
      return [TensorType(.bool, broadcast(inputs))]
    case .select:
      require(inputs[0].element == .bool, inputs, "the condition is bool")
      require(inputs[1].element == inputs[2].element, inputs, "both branches have one type")
      return [TensorType(inputs[1].element, broadcast(inputs))]
    case .cast(let element): return [TensorType(element, inputs[0].shape)]
    case .activationGradient:
      require(inputs[0] == inputs[1] && inputs[0].element.isFloat, inputs, "x and dy are floats of one type and shape")
      return [inputs[0]]

    case .reduce(let reduction, let axes, let type):
      require(axes == axes.sorted() && Set(axes).count == axes.count, inputs, "axes \(axes) must rise")
      require(axes.allSatisfy { $0 >= 0 && $0 < inputs[0].shape.rank }, inputs, "axes \(axes) must exist")
      if reduction == .all || reduction == .any { require(inputs[0].element == .bool, inputs, "bool is needed") }
      return [TensorType(type, inputs[0].shape.removing(axes))]
    case .argMax(let axis):
      require(axis >= 0 && axis < inputs[0].shape.rank, inputs, "axis \(axis) must exist")
      require(
        inputs[0].shape[axis] > 0 || inputs[0].shape.removing([axis]).count == 0, inputs, "nothing to choose from")
      return [TensorType(.int32, inputs[0].shape.removing([axis]))]
    case .cumulativeSum(let axis, _, _):
      require(axis >= 0 && axis < inputs[0].shape.rank, inputs, "axis \(axis) must exist")
      return [inputs[0]]
    case .topK(let k):
      require(inputs[0].shape.rank > 0 && k >= 0 && k <= inputs[0].shape[-1], inputs, "k = \(k) of the last axis")
      var shape = inputs[0].shape
      shape[-1] = k
      return [TensorType(inputs[0].element, shape), TensorType(.int32, shape)]
    case .sort:
      require(inputs[0].shape.rank > 0, inputs, "a last axis is needed")
      return [inputs[0], TensorType(.int32, inputs[0].shape)]

    case .reshape, .broadcast, .permute, .slice, .pad, .concatenate, .split, .gather, .scatterAdd, .update, .take,
      .takeAdd:
      return movedTypes(inputs)

    case .matmul(let matmul): return matmulTypes(matmul, inputs)
    case .dequantize(let format, let element):
      require(
        element.isFloat && element != .float64, inputs, "blocks become float32, bfloat16 or float16, not \(element)")
      return [TensorType(element, shape(of: inputs[0], as: format, inputs))]
    case .blockMatmul(let matmul):
      let (x, weights) = (inputs[0].shape, shape(of: inputs[1], as: matmul.format, inputs))
      require(
        [inputs[0].element, matmul.type].allSatisfy { $0.isFloat && $0 != .float64 }, inputs,
        "x and the result are float32, bfloat16 or float16")
      require(
        x.rank >= 2 && weights.rank >= 2 && x[-1] == weights[-1], inputs, "x [m, k] and weights [n, k] are needed")
      let leading = Array(weights.dimensions.dropLast(2))
      require(
        leading.isEmpty || leading == Array(x.dimensions.dropLast(2)), inputs,
        "there is one matrix, or one a batch of x")
      return [TensorType(matmul.type, Shape(x.dimensions.dropLast() + [weights[-2]], varies: x.varies))]
    case .blockMatmuls(let products):
      require(
        inputs.count == 1 + products.count && inputs.dropFirst().allSatisfy { $0.shape.rank == 2 }, inputs,
        "x and a matrix for each product are needed")
      return products.indices.flatMap { Op.blockMatmul(products[$0]).resultTypes([inputs[0], inputs[1 + $0]]) }
    case .groupedMatmul(let grouped):
      let x = inputs[0]
      let weights = grouped.format.map { shape(of: inputs[1], as: $0, inputs) } ?? inputs[1].shape
      require(x.shape.rank == 2 && weights.rank == 3, inputs, "x [rows, k] and weights [groups, n, k] are needed")
      require(x.shape[1] == weights[grouped.transposed ? 2 : 1], inputs, "the inner extents must agree")
      let common = grouped.format == nil ? inputs[1].element : x.element
      requireGroups(x.element, common, grouped.type, inputs, groups: weights[0])
      let inFloats = grouped.format == nil || grouped.transposed && x.element != .float64 && grouped.type != .float64
      require(inFloats, inputs, "with blocks, x and the result are of at most 32 bits and the blocks hold [n, k]")
      let n = weights[grouped.transposed ? 1 : 2]
      return [TensorType(grouped.type, Shape([x.shape[0], n], varies: x.shape.varies))]
    case .groupedOuter(let type):
      let (a, b) = (inputs[0], inputs[1])
      let fit = a.shape.rank == 2 && b.shape.rank == 2 && a.shape[0] == b.shape[0]
      require(fit, inputs, "a [rows, m] and b [rows, n] are needed")
      requireGroups(a.element, b.element, type, inputs, groups: inputs[2].shape.count)
      return [TensorType(type, [inputs[2].shape.count, a.shape[1], b.shape[1]])]
    case .softmax:
      require(inputs[0].element.isFloat && inputs[0].shape.rank > 0, inputs, "floats with a last axis are needed")
      return [inputs[0]]
    case .softmaxGradient:
      require(inputs[0] == inputs[1], inputs, "y and dy have one type")
      return [inputs[0]]
    case .rmsNorm, .rmsNormGradient, .layerNorm, .layerNormGradient: return normTypes(inputs)
    case .rotary: return rotaryTypes(inputs)
    case .attention(let attention): return attentionTypes(attention, inputs)
    case .pagedAttention(let paged): return pagedTypes(paged, inputs)
    case .attentionGradient(let attention):
      let sinks = attention.sinks ? [inputs[attention.segments ? 4 : 3]] : []
      return Array(inputs[0...2]) + sinks
    case .linearCrossEntropy(let options): return crossEntropyTypes(options, inputs)
    case .adamW(let adamW): return adamWTypes(adamW, inputs)

    case .fused(let fusion): return [TensorType(fusion.steps.last!.type, fusion.shape)]
    case .custom(let custom): return custom.resultTypes(inputs)
    }
  }

  private func require(_ condition: Bool, _ inputs: [TensorType], _ message: @autoclosure () -> String) {
    precondition(condition, "\(name)(\(inputs.map(\.description).joined(separator: ", "))): \(message())")
  }

  private func broadcast(_ inputs: [TensorType]) -> Shape {
    var result = inputs[0].shape
    for input in inputs.dropFirst() {
      let next = Shape.broadcast(result, input.shape)
      require(next != nil, inputs, "the shapes do not broadcast")
      result = next!
    }
    return result
  }

  /// The shape that weights in blocks stand for.
  private func shape(of blocks: TensorType, as format: BlockFormat, _ inputs: [TensorType]) -> Shape {
    require(blocks.element == .uint8 && blocks.shape.rank > 0, inputs, "blocks are uint8")
    let columns = format.columns(rowBytes: blocks.shape[-1])
    require(columns != nil, inputs, "rows of \(blocks.shape[-1]) bytes are not whole blocks of \(format.name)")
    var shape = blocks.shape
    shape[-1] = columns!
    return shape
  }

  // MARK: Movement

  private func movedTypes(_ inputs: [TensorType]) -> [TensorType] {
    let x = inputs[0]
    switch self {
    case .reshape(let shape):
      require(shape.count == x.shape.count, inputs, "cannot become \(shape): another number of elements")
      return [TensorType(x.element, shape)]
    case .broadcast(let shape):
      require(Shape.broadcast(x.shape, shape)?.dimensions == shape.dimensions, inputs, "does not broadcast to \(shape)")
      return [TensorType(x.element, shape)]
    case .permute(let axes):
      require(axes.sorted() == Array(0..<x.shape.rank), inputs, "\(axes) is no permutation of the axes")
      require(!x.shape.varies || axes[0] == 0, inputs, "a varying leading dimension stays in front")
      return [TensorType(x.element, Shape(axes.map { x.shape[$0] }, varies: x.shape.varies))]
    case .slice(let slices):
      require(slices.count == x.shape.rank, inputs, "one slice an axis is needed")
      for (axis, slice) in slices.enumerated() {
        require(
          slice.start >= 0 && slice.end <= x.shape[axis] && slice.step > 0 && slice.start <= slice.end, inputs,
          "\(slice.start)..<\(slice.end) by \(slice.step) of axis \(axis)")
      }
      let whole = !x.shape.varies || slices[0] == Slice(0, x.shape[0])
      require(whole, inputs, "a varying leading dimension cannot be sliced")
      return [TensorType(x.element, Shape(slices.map(\.count), varies: x.shape.varies))]
    case .pad(let paddings):
      require(paddings.count == x.shape.rank, inputs, "one padding an axis is needed")
      let dimensions = zip(x.shape.dimensions, paddings).map { $0 + max(0, $0 - 1) * $1.between + $1.before + $1.after }
      return [TensorType(x.element, Shape(dimensions, varies: x.shape.varies))]
    case .concatenate(let axis):
      var shape = x.shape
      require(axis >= 0 && axis < shape.rank, inputs, "axis \(axis) must exist")
      require(!shape.varies || axis > 0 || inputs.count == 1, inputs, "a varying leading dimension cannot be joined")
      for input in inputs.dropFirst() {
        var other = input.shape
        require(input.element == x.element && other.rank == shape.rank, inputs, "one type and rank is needed")
        other[axis] = x.shape[axis]
        require(other.dimensions == x.shape.dimensions, inputs, "only axis \(axis) may differ")
        shape[axis] += input.shape[axis]
        shape.varies = shape.varies || input.shape.varies
      }
      return [TensorType(x.element, shape)]
    case .split(let axis, let sizes):
      require(axis >= 0 && axis < x.shape.rank, inputs, "axis \(axis) must exist")
      require(sizes.reduce(0, +) == x.shape[axis] && !sizes.isEmpty, inputs, "sizes \(sizes) must fill axis \(axis)")
      return sizes.map { size in
        var shape = x.shape
        shape[axis] = size
        return TensorType(x.element, shape)
      }
    case .gather(let axis):
      require(axis >= 0 && axis < x.shape.rank, inputs, "axis \(axis) must exist")
      require(isIndex(inputs[1]), inputs, "indices are int32 or int64")
      let d = x.shape.dimensions
      let varies = axis == 0 ? inputs[1].shape.varies : x.shape.varies
      return [TensorType(x.element, Shape(d[..<axis] + inputs[1].shape.dimensions + d[(axis + 1)...], varies: varies))]
    case .scatterAdd(let axis, let entries, let type):
      let rank = inputs[1].shape.rank
      require(isIndex(inputs[1]), inputs, "indices are int32 or int64")
      let d = x.shape.dimensions
      require(
        axis >= 0 && axis + rank <= d.count && Array(d[axis..<(axis + rank)]) == inputs[1].shape.dimensions, inputs,
        "the updates hold the indices' shape at axis \(axis)")
      return [TensorType(type, Shape(d[..<axis] + [entries] + d[(axis + rank)...], varies: axis > 0 && x.shape.varies))]
    case .update(let axis):
      let (rows, index) = (inputs[1], inputs[2])
      require(axis >= 0 && axis < x.shape.rank, inputs, "axis \(axis) must exist")
      require(rows.element == x.element && rows.shape.rank == x.shape.rank, inputs, "rows have x's type and rank")
      var shape = x.shape
      shape[axis] = rows.shape[axis]
      require(rows.shape.dimensions == shape.dimensions, inputs, "only axis \(axis) may differ")
      let places = index.shape.count
      let isOneEach = axis == 0 && index.shape.rank == 1 && places == rows.shape[0]
      require(
        index.element == .int32 && index.shape.rank <= 1
          && (places == 1 || axis > 0 && places == x.shape[0] || isOneEach),
        inputs, "the index is int32: one, one for each slice of axis 0, or along axis 0 one for each row")
      let varies = isOneEach && rows.shape.varies == index.shape.varies
      require(
        axis > 0 || !x.shape.varies && (!rows.shape.varies || varies), inputs, "a varying leading dimension is no cache"
      )
      return [x]
    case .take:
      require(isIndex(inputs[1]), inputs, "indices are int32 or int64")
      requireSameLeading(inputs)
      return [TensorType(x.element, inputs[1].shape)]
    case .takeAdd(let entries):
      require(isIndex(inputs[1]) && inputs[0].shape == inputs[1].shape, inputs, "one index for each update")
      var shape = x.shape
      shape[-1] = entries
      return [TensorType(x.element, shape)]
    default: preconditionFailure("\(name) moves nothing")
    }
  }

  private func isIndex(_ type: TensorType) -> Bool { type.element == .int32 || type.element == .int64 }

  private func requireSameLeading(_ inputs: [TensorType]) {
    let (a, b) = (inputs[0].shape.dimensions, inputs[1].shape.dimensions)
    require(!a.isEmpty && !b.isEmpty && a.dropLast() == b.dropLast(), inputs, "all axes but the last must agree")
  }

  // MARK: Products and composites

  private func requireGroups(
    _ a: ElementType, _ b: ElementType, _ result: ElementType, _ inputs: [TensorType], groups: Int
  ) {
    require(a == b && a.isFloat && result.isFloat, inputs, "operands of one float type and a float result are needed")
    require(inputs[2] == TensorType(.int32, [groups]), inputs, "counts are int32, one a group")
  }

  private func matmulTypes(_ matmul: Matmul, _ inputs: [TensorType]) -> [TensorType] {
    let (a, b) = (inputs[0], inputs[1])
    require(a.shape.rank >= 2 && b.shape.rank >= 2, inputs, "matrices are needed")
    require(a.element == b.element && a.element != .bool, inputs, "operands of one type of number are needed")
    let m = a.shape[matmul.transposeA ? -1 : -2]
    let (ka, kb) = (a.shape[matmul.transposeA ? -2 : -1], b.shape[matmul.transposeB ? -1 : -2])
    let n = b.shape[matmul.transposeB ? -2 : -1]
    require(ka == kb, inputs, "inner dimensions \(ka) and \(kb) differ")
    let batch = Shape.broadcast(
      Shape(Array(a.shape.dimensions.dropLast(2))), Shape(Array(b.shape.dimensions.dropLast(2))))
    require(batch != nil, inputs, "the batches do not broadcast")
    let varies =
      a.shape.rank == 2 && b.shape.rank == 2 ? a.shape.varies && !matmul.transposeA : a.shape.varies || b.shape.varies
    let result = TensorType(matmul.type, Shape(batch!.dimensions + [m, n], varies: varies))
    var next = 2
    if matmul.bias {
      require(inputs[next].shape.dimensions == [n], inputs, "the bias has \(n) elements")
      next += 1
    }
    if matmul.residual {
      require(inputs[next].shape.dimensions == result.shape.dimensions, inputs, "the residual has the result's shape")
      next += 1
    }
    require(inputs.count == next, inputs, "\(next) inputs are needed")
    return matmul.keepsPreActivation ? [result, result] : [result]
  }

  private func normTypes(_ inputs: [TensorType]) -> [TensorType] {
    let x = inputs[0]
    require(x.element.isFloat && x.shape.rank > 0, inputs, "floats with a last axis are needed")
    let statistics = TensorType(x.element == .float64 ? .float64 : .float32, x.shape.removing([x.shape.rank - 1]))
    func requireVectors(_ count: Int) {
      for input in inputs.dropFirst().prefix(count) {
        require(input.shape.dimensions == [x.shape[-1]], inputs, "weight and bias have \(x.shape[-1]) elements")
      }
    }
    switch self {
    case .rmsNorm(let norm):
      requireVectors(norm.weight ? 1 : 0)
      return [x, statistics]
    case .rmsNormGradient(let norm):
      return [x] + (norm.weight ? [inputs[1]] : [])
    case .layerNorm(let norm):
      requireVectors((norm.weight ? 1 : 0) + (norm.bias ? 1 : 0))
      return [x, statistics, statistics]
    case .layerNormGradient(let norm):
      let vector = norm.weight ? inputs[1] : TensorType(.float32, [x.shape[-1]])
      return [x] + (norm.weight ? [vector] : []) + (norm.bias ? [vector] : [])
    default: preconditionFailure("\(name) is no norm")
    }
  }

  private func rotaryTypes(_ inputs: [TensorType]) -> [TensorType] {
    let x = inputs[0].shape
    require(x.rank == 4 && x[3] % 2 == 0, inputs, "x is [batch, positions, heads, an even head size]")
    for table in inputs.dropFirst() {
      let fits = table.shape.dimensions == [x[1], x[3] / 2] || table.shape.dimensions == [x[0], x[1], x[3] / 2]
      require(fits && table.element == .float32, inputs, "tables are float32 [positions, \(x[3] / 2)], batched or not")
    }
    return [inputs[0]]
  }

  private func attentionTypes(_ attention: Attention, _ inputs: [TensorType]) -> [TensorType] {
    let (q, k, v) = (inputs[0], inputs[1], inputs[2])
    require(
      q.shape.rank == 4 && k.shape == v.shape && k.shape.rank == 4, inputs, "q, k, v are [batch, time, heads, size]")
    require(
      q.shape[0] == k.shape[0] && q.shape[3] == k.shape[3] && k.shape[2] > 0 && q.shape[2] % k.shape[2] == 0, inputs,
      "batches and head sizes agree, and query heads are a multiple of key heads")
    let stored = attention.scales ? .int8 : q.element
    require(
      q.element.isFloat && k.element == stored && v.element == stored, inputs,
      "q is of a float type, k and v are of the same, or int8 with scales")
    if let place = attention.segmentsIndex {
      require(
        inputs[place] == TensorType(.int32, [k.shape[0], k.shape[1]]), inputs, "segments are int32 [batch, keys]")
      require(q.shape[1] == k.shape[1] && !attention.lengths, inputs, "with segments every query is a key")
    }
    if let place = attention.sinksIndex {
      require(inputs[place] == TensorType(.float32, [q.shape[2]]), inputs, "sinks are float32, one a head")
    }
    if let place = attention.lengthsIndex {
      require(
        inputs[place].element == .int32 && inputs[place].shape.dimensions == [k.shape[0]], inputs,
        "lengths are int32 [batch]")
    }
    if let place = attention.scalesIndex {
      let scales = inputs[place...].map { $0.element == .float32 ? $0.shape.dimensions : [] }
      let expected = Array(k.shape.dimensions.dropLast())
      require(scales == [expected, expected], inputs, "scales are float32 [batch, keys, key heads]")
    }
    return [q, TensorType(.float32, Shape([q.shape[0], q.shape[2], q.shape[1]], varies: q.shape.varies))]
  }

  private func pagedTypes(_ paged: PagedAttention, _ inputs: [TensorType]) -> [TensorType] {
    let (q, k, v) = (inputs[0], inputs[1], inputs[2])
    require(
      q.shape.rank == 3 && k.shape == v.shape && k.shape.rank == 3 && !k.shape.varies, inputs,
      "q is [rows, heads, size], k and v are [slots, key heads, size]")
    require(
      q.shape[2] == k.shape[2] && k.shape[1] > 0 && q.shape[1] % k.shape[1] == 0, inputs,
      "head sizes agree, and query heads are a multiple of key heads")
    require(k.shape[0] % paged.blockSize == 0, inputs, "the pool is whole blocks of \(paged.blockSize)")
    let stored = paged.scales ? .int8 : q.element
    require(
      q.element.isFloat && k.element == stored && v.element == stored, inputs,
      "q is of a float type, k and v are of the same, or int8 with scales")
    for rows in inputs[3...4] {
      require(
        rows == TensorType(.int32, Shape([q.shape[0]], varies: q.shape.varies)), inputs,
        "positions and sequences are int32, one a row")
    }
    require(
      inputs[5].element == .int32 && inputs[5].shape.rank == 2 && !inputs[5].shape.varies, inputs,
      "tables are int32 [sequences, blocks]")
    if let place = paged.sinksIndex {
      require(inputs[place] == TensorType(.float32, [q.shape[1]]), inputs, "sinks are float32, one a head")
    }
    if let place = paged.scalesIndex {
      let expected = TensorType(.float32, [k.shape[0], k.shape[1]])
      require(inputs[place...].allSatisfy { $0 == expected }, inputs, "scales are float32 [slots, key heads]")
    }
    return [q]
  }

  private func crossEntropyTypes(_ options: LinearCrossEntropy, _ inputs: [TensorType]) -> [TensorType] {
    let (x, weight, targets) = (inputs[0], inputs[1], inputs[2])
    require(
      x.shape.rank == 2 && weight.shape.rank == 2 && x.shape[1] == weight.shape[1] && x.element == weight.element
        && x.element.isFloat, inputs, "x [n, c] and weight [v, c] of one float type are needed")
    require(
      targets.element == .int32 && targets.shape.dimensions == [x.shape[0]], inputs, "targets are int32, one a row")
    require(options.gradient == (inputs.count == 4), inputs, "dloss is an input just when gradients are results")
    return (options.loss ? [TensorType(.float32, targets.shape)] : [])
      + (options.gradient ? [x, TensorType(options.weightGradientType, weight.shape)] : [])
  }

  private func adamWTypes(_ adamW: AdamW, _ inputs: [TensorType]) -> [TensorType] {
    let n = adamW.tensors
    require(inputs.count == 4 + 4 * n && n > 0, inputs, "4 scalars and 4 times \(n) tensors are needed")
    require(adamW.rateScale.count == n && adamW.working.count == n, inputs, "one option a tensor is needed")
    let parameters = Array(inputs[4..<(4 + n)])
    for i in 0..<n {
      let same = [inputs[4 + i], inputs[4 + 2 * n + i], inputs[4 + 3 * n + i]].allSatisfy {
        $0 == TensorType(.float32, parameters[i].shape)
      }
      require(same && inputs[4 + n + i].shape == parameters[i].shape, [inputs[4 + i]], "p, g, m, v have one shape")
    }
    let working = (0..<n).filter { adamW.working[$0] }.map { TensorType(.bfloat16, parameters[$0].shape) }
    return parameters + Array(inputs[(4 + 2 * n)...]) + working
  }
}

extension Shape {
  /// Without `axes`, which rise.
  package func removing(_ axes: [Int]) -> Shape {
    let kept = dimensions.indices.filter { !axes.contains($0) }.map { dimensions[$0] }
    return Shape(kept, varies: varies && !axes.contains(0))
  }
}

extension Unary {
  func accepts(_ type: ElementType) -> Bool {
    switch self {
    case .negate, .absolute, .sign: type != .bool
    case .logicalNot: type == .bool
    case .bitwiseNot: !type.isFloat && type != .bool
    case .isFinite: true
    default: type.isFloat
    }
  }
}

extension Binary {
  func accepts(_ type: ElementType) -> Bool {
    switch self {
    case .add, .subtract, .multiply, .divide, .modulo: type != .bool
    case .maximum, .minimum: true
    case .power: type.isFloat
    case .and, .or, .xor: !type.isFloat
    case .shiftLeft, .shiftRight: !type.isFloat && type != .bool
    }
  }
}
