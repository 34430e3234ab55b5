internal import Core

/// Matrix products, and cross-entropy with all logits held, in the reference.
extension ReferenceInterpreter {
  /// `residual + activation(a · b + bias)`; products of integers are summed in int32 (int64 for int64).
  static func matmul(_ matmul: Matmul, _ x: [ReferenceValue], _ types: [TensorType]) -> [ReferenceValue] {
    let (a, b, type) = (x[0], x[1], types[0])
    let (m, n) = (type.shape[-2], type.shape[-1])
    let inner = a.shape[matmul.transposeA ? -2 : -1]
    // Where row i and column j of each batch start, and the steps between elements of a sum.
    let batches = Shape(Array(type.shape.dimensions.dropLast(2)))
    func starts(_ operand: ReferenceValue) -> [Int] {
      let leading = Shape(Array(operand.shape.dimensions.dropLast(2)))
      let size = operand.shape[-2] * operand.shape[-1]
      return batches.offsets(strides: leading.strides(broadcastTo: batches)).map { $0 * size }
    }
    let (rowA, stepA) = matmul.transposeA ? (1, m) : (inner, 1)
    let (columnB, stepB) = matmul.transposeB ? (inner, 1) : (1, n)
    let sumType: ElementType = a.isFloat ? .float64 : a.type.element == .int64 ? .int64 : .int32
    var floats: [Double] = []
    var integers: [Int64] = []
    for (startA, startB) in zip(starts(a), starts(b)) {
      for i in 0..<m {
        for j in 0..<n {
          let (p, q) = (startA + i * rowA, startB + j * columnB)
          if a.isFloat {
            floats.append((0..<inner).reduce(0.0) { $0 + a.floats[p + $1 * stepA] * b.floats[q + $1 * stepB] })
          } else {
            integers.append(
              (0..<inner).reduce(Int64(0)) { $0 &+ a.integers[p + $1 * stepA] &* b.integers[q + $1 * stepB] })
          }
        }
      }
    }
    let sums = TensorType(sumType, type.shape)
    let product =
      (a.isFloat ? ReferenceValue(sums, floats: floats) : ReferenceValue(sums, integers: integers))
      .unrounded(as: type.element)

    var operands = x.dropFirst(2)
    var preActivation = product
    if matmul.bias {
      preActivation = binary(.add, product, operands.removeFirst().unrounded(as: type.element), type)
    }
    var result = preActivation
    if let activation = matmul.activation { result = unary(activation.unary, result, type) }
    if matmul.residual { result = binary(.add, result, operands.removeFirst().unrounded(as: type.element), type) }
    return matmul.keepsPreActivation ? [result, preActivation] : [result]
  }

  static func groupedMatmul(
    _ grouped: GroupedMatmul, _ x: ReferenceValue, _ weights: ReferenceValue, _ counts: ReferenceValue,
    _ type: TensorType
  ) -> ReferenceValue {
    let (k, n) = (x.shape[1], type.shape[1])
    let matrices = grouped.format.map { dequantized($0, weights, columns: k) } ?? weights.floats
    let inInteger = grouped.format?.isInteger == true && !grouped.exact
    let x = inInteger ? ReferenceValue(x.type, floats: asInt8(x.floats, columns: k)) : x
    var result = [Double](repeating: 0, count: type.shape.count)
    for (group, rows) in groups(counts, rows: x.shape[0]).enumerated() {
      for row in rows {
        for j in 0..<n {
          result[row * n + j] = (0..<k).reduce(0.0) { sum, i in
            let place = grouped.transposed ? j * k + i : i * n + j
            return sum + x.floats[row * k + i] * matrices[group * n * k + place]
          }
        }
      }
    }
    return ReferenceValue(type, floats: result)
  }

  static func groupedOuter(
    _ a: ReferenceValue, _ b: ReferenceValue, _ counts: ReferenceValue, _ type: TensorType
  ) -> ReferenceValue {
    let (m, n) = (a.shape[1], b.shape[1])
    var result = [Double](repeating: 0, count: type.shape.count)
    for (group, rows) in groups(counts, rows: a.shape[0]).enumerated() {
      for row in rows {
        for i in 0..<m {
          for j in 0..<n { result[(group * m + i) * n + j] += a.floats[row * m + i] * b.floats[row * n + j] }
        }
      }
    }
    return ReferenceValue(type, floats: result)
  }

  /// The rows of each group; none beyond the last row, and none for a count below 0.
  private static func groups(_ counts: ReferenceValue, rows: Int) -> [Range<Int>] {
    var next = 0
    return counts.integers.map { count in
      let end = min(rows, next + max(0, Int(count)))
      defer { next = end }
      return next..<end
    }
  }

  /// With z = cap(x · wᵀ) and p = softmax(z): loss = log Σ exp z - z[target]; dz = dloss (p - onehot(target)) cap'.
  static func linearCrossEntropy(_ options: LinearCrossEntropy, _ inputs: [ReferenceValue], _ types: [TensorType])
    -> [ReferenceValue]
  {
    let (x, weight, targets) = (inputs[0], inputs[1], inputs[2])
    let (rows, width, vocabulary) = (x.shape[0], x.shape[1], weight.shape[0])
    var loss = [Double](repeating: 0, count: rows)
    var dx = [Double](repeating: 0, count: rows * width)
    var dweight = [Double](repeating: 0, count: vocabulary * width)
    for row in 0..<rows where (0..<Int64(vocabulary)).contains(targets.integers[row]) {
      let target = Int(targets.integers[row])
      var logits: [Double] = []
      var slopes: [Double] = []
      for v in 0..<vocabulary {
        let score = (0..<width).reduce(0.0) { $0 + x.floats[row * width + $1] * weight.floats[v * width + $1] }
        let (logit, slope) = capped(score, options.softcap)
        logits.append(logit)
        slopes.append(slope)
      }
      let total = logSumExp(logits)
      loss[row] = total - logits[target]
      guard options.gradient else { continue }
      for v in 0..<vocabulary {
        let probability = exp(logits[v] - total)
        let dscore = inputs[3].floats[row] * (probability - (v == target ? 1 : 0)) * slopes[v]
        for c in 0..<width {
          dx[row * width + c] += dscore * weight.floats[v * width + c]
          dweight[v * width + c] += dscore * x.floats[row * width + c]
        }
      }
    }
    let gradients = options.gradient ? [dx, dweight] : []
    return zip(types, (options.loss ? [loss] : []) + gradients).map { ReferenceValue($0, floats: $1) }
  }

  /// `softcap · tanh(x / softcap)` and its derivative; x itself if there is no cap.
  static func capped(_ x: Double, _ softcap: Double?) -> (value: Double, slope: Double) {
    guard let softcap, softcap > 0 else { return (x, 1) }
    let t = tanh(x / softcap)
    return (softcap * t, 1 - t * t)
  }

  /// log Σ exp; -infinity of nothing.
  static func logSumExp(_ values: [Double]) -> Double {
    guard let largest = values.max(), largest > -.infinity else { return -.infinity }
    return largest + log(values.reduce(0.0) { $0 + exp($1 - largest) })
  }
}
