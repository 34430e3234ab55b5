/// Reductions, scans and order of the reference.
extension ReferenceInterpreter {
  static func reduce(_ reduction: Reduction, _ axes: [Int], _ x: ReferenceValue, _ type: TensorType) -> ReferenceValue {
    // The place of each element's sum: strides of the result along the axes that stay, 0 along those that go.
    var strides = [Int](repeating: 0, count: x.shape.rank)
    let kept = x.shape.dimensions.indices.filter { !axes.contains($0) }
    for (axis, stride) in zip(kept, type.shape.strides) { strides[axis] = stride }
    let places = x.shape.offsets(strides: strides)

    if x.isFloat {
      var sums = [Double](repeating: reduction.floatIdentity, count: type.shape.count)
      for (value, place) in zip(x.floats, places) { sums[place] = reduction.combine(sums[place], value) }
      return ReferenceValue(TensorType(.float64, type.shape), floats: sums).unrounded(as: type.element)
    }
    let identity = reduction.integerIdentity(x.type.element)
    var sums = [Int64](repeating: identity, count: type.shape.count)
    for (value, place) in zip(x.integers, places) { sums[place] = reduction.combine(sums[place], value) }
    return ReferenceValue(TensorType(.int64, type.shape), integers: sums).unrounded(as: type.element)
  }

  static func argMax(_ x: ReferenceValue, _ axis: Int, _ type: TensorType) -> ReferenceValue {
    let (outer, extent, inner) = x.shape.around(axis)
    var result: [Int64] = []
    for o in 0..<outer {
      for i in 0..<inner {
        var best = 0
        for r in 0..<extent where x.precedes((o * extent + best) * inner + i, (o * extent + r) * inner + i) { best = r }
        result.append(Int64(best))
      }
    }
    return ReferenceValue(type, integers: result)
  }

  static func cumulativeSum(
    _ x: ReferenceValue, _ axis: Int, reverse: Bool, exclusive: Bool, _ type: TensorType
  ) -> ReferenceValue {
    let (outer, extent, inner) = x.shape.around(axis)
    func scan<Number>(_ values: [Number], zero: Number, _ add: (Number, Number) -> Number) -> [Number] {
      var result = values
      for o in 0..<outer {
        for i in 0..<inner {
          var sum = zero
          for step in 0..<extent {
            let place = (o * extent + (reverse ? extent - 1 - step : step)) * inner + i
            let next = add(sum, values[place])
            result[place] = exclusive ? sum : next
            sum = next
          }
        }
      }
      return result
    }
    return x.isFloat
      ? ReferenceValue(type, floats: scan(x.floats, zero: 0, +))
      : ReferenceValue(type, integers: scan(x.integers, zero: 0, &+))
  }

  /// The first `k` of each row in order, and where they were.
  static func ordered(_ x: ReferenceValue, keeping k: Int, descending: Bool, _ types: [TensorType]) -> [ReferenceValue]
  {
    let (rows, width) = x.shape.rows
    var source: [Int] = []
    for row in 0..<rows {
      // Ties are broken by position, so that any sorting algorithm is a stable one.
      source += (row * width..<(row + 1) * width).sorted { a, b in
        if descending ? x.precedes(b, a) : x.precedes(a, b) { return true }
        if descending ? x.precedes(a, b) : x.precedes(b, a) { return false }
        return a < b
      }.prefix(k)
    }
    return [x.moved(source, to: types[0]), ReferenceValue(types[1], integers: source.map { Int64($0 % width) })]
  }
}

extension ReferenceValue {
  /// Whether element `a` comes before element `b` in rising order, in which NaN is the largest.
  func precedes(_ a: Int, _ b: Int) -> Bool {
    guard isFloat else { return integers[a] < integers[b] }
    if floats[a].isNaN { return false }
    return floats[b].isNaN || floats[a] < floats[b]
  }
}

extension Reduction {
  var floatIdentity: Double {
    switch self {
    case .sum, .sumOfSquares: 0
    case .product: 1
    case .maximum: -.infinity
    case .minimum: .infinity
    case .all, .any: preconditionFailure("\(self) of floats")
    }
  }

  func integerIdentity(_ type: ElementType) -> Int64 {
    switch self {
    case .sum, .sumOfSquares, .any: 0
    case .product, .all: 1
    case .maximum: type.lowest
    case .minimum: type.highest
    }
  }

  func combine(_ a: Double, _ b: Double) -> Double {
    switch self {
    case .sum: a + b
    case .product: a * b
    case .maximum: Binary.maximum.float(a, b)
    case .minimum: Binary.minimum.float(a, b)
    case .sumOfSquares: a + b * b
    case .all, .any: preconditionFailure("\(self) of floats")
    }
  }

  func combine(_ a: Int64, _ b: Int64) -> Int64 {
    switch self {
    case .sum: a &+ b
    case .product: a &* b
    case .maximum: Swift.max(a, b)
    case .minimum: Swift.min(a, b)
    case .sumOfSquares: a &+ b &* b
    case .all: a & b
    case .any: a | b
    }
  }
}
