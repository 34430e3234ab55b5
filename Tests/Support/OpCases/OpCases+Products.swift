internal import Tensors

extension OpFamily {
  func matmulCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    if element == .bool { return [] }
    let values: RandomCase.Values = element.isFloat ? .ordinary : .anyInteger
    var cases: [OpCase] = []
    for (transposeA, transposeB) in [(false, false), (true, false), (false, true), (true, true)] {
      let (m, n, k) = (random.extent(), random.extent(), random.extent())
      let batch = random.shape(rank: random.integer(0...2), limit: 12)
      func operand(_ transposed: Bool, _ rows: Int, _ columns: Int) -> TensorData {
        let leading = random.bool() ? batch : random.shape(broadcastingTo: batch)
        return random.data(
          element, Shape(leading.dimensions + (transposed ? [columns, rows] : [rows, columns])), values)
      }
      let (a, b) = (operand(transposeA, m, k), operand(transposeB, k, n))
      let own = element == .int8 || element == .uint8 ? ElementType.int32 : element
      for type in Set([own, element.accumulator, own]) where element.isFloat || type == own {
        cases.append(OpCase(.matmul(Matmul(transposeA: transposeA, transposeB: transposeB, type: type)), [a, b]))
        guard element.isFloat else { continue }
        // What fusion makes: any of bias, activation and residual.
        var fused = Matmul(transposeA: transposeA, transposeB: transposeB, type: type)
        fused.bias = random.bool()
        fused.residual = random.bool()
        fused.activation = random.choice([nil] + Activation.allCases)
        fused.keepsPreActivation = fused.activation != nil && random.bool()
        let result = Matmul(transposeA: transposeA, transposeB: transposeB, type: type)
        let shape = Op.matmul(result).resultTypes([a.type, b.type])[0].shape
        let more =
          (fused.bias ? [random.data(type, [n])] : []) + (fused.residual ? [random.data(type, shape)] : [])
        cases.append(OpCase(.matmul(fused), [a, b] + more))
      }
    }
    return cases
  }

  /// Groups of any size, none among them; counts that leave rows over, and counts that promise too many.
  func groupedCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    let (n, k) = (random.extent(), random.extent())
    let counts = (0..<random.integer(1...5)).map { _ in Int32(random.choice([-1, 0, 1, 2, 3, 9, 17])) }
    let rows = max(0, counts.reduce(0) { $0 + Int(max(0, $1)) } + random.integer(-2...2))
    let groups = TensorData(counts, shape: [counts.count])
    let types = element == element.accumulator ? [element] : [element, element.accumulator]
    return types.flatMap { type -> [OpCase] in
      if self == .groupedOuter {
        let operands = [random.data(element, [rows, n]), random.data(element, [rows, k])]
        return [OpCase(.groupedOuter(type), operands + [groups])]
      }
      let inFloats = [false, true].map { transposed in
        let weights = random.data(element, transposed ? [counts.count, n, k] : [counts.count, k, n])
        return OpCase(
          .groupedMatmul(GroupedMatmul(transposed: transposed, type: type)),
          [random.data(element, [rows, k]), weights, groups])
      }
      if element == .float64 { return inFloats }
      var grouped = GroupedMatmul(transposed: true, type: type)
      let format = random.choice(BlockFormat.all)
      (grouped.format, grouped.exact) = (format, random.bool())
      let columns = max(32, format.block?.elements ?? 32) * random.integer(1...2)
      let blocks = TensorData(TensorType(.uint8, [counts.count, n, format.rowBytes(columns: columns)!]))
      let stored = random.blocks(format, rows: counts.count * n, columns: columns)
      blocks.bytes.copyMemory(from: UnsafeRawBufferPointer(stored.bytes))
      return inFloats + [OpCase(.groupedMatmul(grouped), [random.data(element, [rows, columns]), blocks, groups])]
    }
  }

  /// Softmax, norms, rotary embedding, AdamW.
  func rowCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    var shape = random.shape(rank: random.integer(1...3), limit: 1500)
    // After a layer norm two elements are always -1 and 1: nothing but rounding would flow back.
    shape[-1] = max(3, shape[-1])
    let x = random.data(element, shape)
    let dy = random.data(element, shape)
    // Norms of one element have no slope but their epsilon's; keep them away from that cliff.
    let epsilon = 1e-2
    switch self {
    case .softmax: return [OpCase(.softmax, [x]), OpCase(.softmax, [random.data(element, shape, .within(-60...60))])]
    case .softmaxGradient: return [OpCase(.softmaxGradient, [reference(.softmax, [x])[0], dy])]
    case .rmsNorm, .rmsNormGradient, .layerNorm, .layerNormGradient:
      var cases: [OpCase] = []
      let isLayer = self == .layerNorm || self == .layerNormGradient
      for vector in Set([element, element.accumulator]) {
        for (weight, bias) in [(false, false), (true, false), (true, true)] where isLayer || !bias {
          if !weight && vector != element { continue }
          let norm = Norm(epsilon: epsilon, weight: weight, bias: bias)
          let w = weight ? [random.data(vector, [shape[-1]])] : []
          let b = bias ? [random.data(vector, [shape[-1]])] : []
          let forward: Op = isLayer ? .layerNorm(norm) : .rmsNorm(norm)
          if self == .layerNorm || self == .rmsNorm {
            cases.append(OpCase(forward, [x] + w + b))
          } else {
            let statistics = Array(reference(forward, [x] + w + b).dropFirst())
            cases.append(
              OpCase(isLayer ? .layerNormGradient(norm) : .rmsNormGradient(norm), [x] + w + statistics + [dy]))
          }
        }
      }
      return cases
    case .rotary:
      let d = [random.integer(0...3), random.integer(0...9), random.integer(1...4), 2 * random.integer(1...17)]
      let heads = random.data(element, Shape(d))
      return [[d[1], d[3] / 2], [d[0], d[1], d[3] / 2]].flatMap { table in
        [(false, false), (true, false), (false, true), (true, true)].map { interleaved, inverse in
          OpCase(
            .rotary(Rotary(interleaved: interleaved, inverse: inverse)),
            [
              heads, random.data(.float32, Shape(table), .within(-1...1)),
              random.data(.float32, Shape(table), .within(-1...1)),
            ])
        }
      }
    case .adamW: return element == .float32 || element == .bfloat16 ? adamWCases(element, &random) : []
    default: preconditionFailure("\(self) is not made of rows")
    }
  }

  /// `element` is the gradients'.
  private func adamWCases(_ element: ElementType, _ random: inout RandomCase) -> [OpCase] {
    [1.0, 0.0].map { apply in
      let shapes = (0..<random.integer(1...4)).map { _ in random.shape(rank: random.integer(0...2)) }
      let options = AdamW(
        beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: shapes.map { _ in random.choice([0, 0.1]) },
        rateScale: shapes.map { _ in random.choice([1, 0.5]) }, working: shapes.map { _ in random.bool() })
      let scalars = [
        TensorData([0.01], shape: []), TensorData([0.5], shape: []), TensorData([3.0], shape: []),
        TensorData([apply], shape: [], element: .bool),
      ]
      let p = shapes.map { random.data(.float32, $0) }
      let g = shapes.map { random.data(element, $0, .nonzero) }
      let m = shapes.map { random.data(.float32, $0, .within(-0.1...0.1)) }
      let v = shapes.map { random.data(.float32, $0, .within(0.1...0.2)) }
      return OpCase(.adamW(options), scalars + p + g + m + v)
    }
  }

  /// Results of the reference in storage types: what a backend saves in the forward pass.
  func reference(_ op: Op, _ inputs: [TensorData]) -> [TensorData] {
    do {
      return try OpCase(op, inputs).results(on: ReferenceBackend())
    } catch {
      preconditionFailure("the reference failed: \(error)")
    }
  }
}
