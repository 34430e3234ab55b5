internal import Core

/// What each operation computes: one exhaustive switch.
///
/// `results` are the types of the results in this run, which is where an operation that carries a shape learns how long a
/// varying leading dimension is now.
enum ReferenceInterpreter {
  static func evaluate(_ op: Op, _ x: [ReferenceValue], _ results: [TensorType]) -> [ReferenceValue] {
    switch op {
    case .input(let input): preconditionFailure("input '\(input.name)' is given, not computed")
    case .constant(.fill(let scalar, _)): return [fill(scalar, results[0])]
    case .constant(.data(let data)): return [ReferenceValue(data, as: results[0])]
    case .iota(_, let axis): return [iota(results[0], axis)]
    case .random(let distribution, _, let stream):
      let key = UInt64(bitPattern: x[0].integers[0])
      return [random(distribution, RandomStream(key: key, stream: stream), results[0])]

    case .unary(let unary): return [self.unary(unary, x[0], results[0])]
    case .binary(let binary): return [self.binary(binary, x[0], x[1], results[0])]
    case .compare(let comparison): return [compare(comparison, x[0], x[1], results[0])]
    case .select: return [select(x[0], x[1], x[2], results[0])]
    case .cast(let element): return [x[0].cast(to: element)]
    case .activationGradient(let activation):
      let derivative = ReferenceValue(x[0].type, floats: x[0].floats.map(activation.derivative))
      return [self.binary(.multiply, derivative, x[1], results[0])]
    case .fused(let fusion): return [fused(fusion, x, results[0])]

    case .reduce(let reduction, let axes, _): return [reduce(reduction, axes, x[0], results[0])]
    case .argMax(let axis): return [argMax(x[0], axis, results[0])]
    case .cumulativeSum(let axis, let reverse, let exclusive):
      return [cumulativeSum(x[0], axis, reverse: reverse, exclusive: exclusive, results[0])]
    case .topK(let k): return ordered(x[0], keeping: k, descending: true, results)
    case .sort(let descending): return ordered(x[0], keeping: x[0].shape[-1], descending: descending, results)

    case .reshape: return [x[0].moved(Array(0..<x[0].count), to: results[0])]
    case .broadcast: return [x[0].broadcast(to: results[0].shape)]
    case .permute(let axes): return [permute(x[0], axes, results[0])]
    case .slice(let slices): return [slice(x[0], slices, results[0])]
    case .pad(let paddings): return [pad(x[0], paddings, results[0])]
    case .concatenate(let axis): return [concatenate(x, axis, results[0])]
    case .split(let axis, _): return split(x[0], axis, results)
    case .gather(let axis): return [gather(x[0], x[1], axis, results[0])]
    case .scatterAdd(let axis, _, _): return [scatterAdd(x[0], x[1], axis, results[0])]
    case .update(let axis): return [update(x[0], x[1], x[2], axis)]
    case .take: return [take(x[0], x[1], results[0])]
    case .takeAdd: return [takeAdd(x[0], x[1], results[0])]

    case .matmul(let matmul): return self.matmul(matmul, x, results)
    case .dequantize(let format, _): return [dequantize(format, x[0], results[0])]
    case .blockMatmul(let matmul): return [blockMatmul(matmul, x[0], x[1], results[0])]
    case .blockMatmuls(let products):
      return products.indices.map { blockMatmul(products[$0], x[0], x[1 + $0], results[$0]) }
    case .groupedMatmul(let grouped): return [groupedMatmul(grouped, x[0], x[1], x[2], results[0])]
    case .groupedOuter: return [groupedOuter(x[0], x[1], x[2], results[0])]
    case .softmax: return [softmax(x[0])]
    case .softmaxGradient: return [softmaxGradient(x[0], x[1])]
    case .rmsNorm(let norm): return rmsNorm(norm, x, results)
    case .rmsNormGradient(let norm): return rmsNormGradient(norm, x, results)
    case .layerNorm(let norm): return layerNorm(norm, x, results)
    case .layerNormGradient(let norm): return layerNormGradient(norm, x, results)
    case .rotary(let rotary): return [self.rotary(rotary, x, results[0])]
    case .attention(let attention): return self.attention(attention, x, results)
    case .pagedAttention(let paged): return [pagedAttention(paged, x, results[0])]
    case .attentionGradient(let attention): return self.attentionGradient(attention, x, results)
    case .linearCrossEntropy(let options): return linearCrossEntropy(options, x, results)
    case .adamW(let adamW): return self.adamW(adamW, x, results)

    case .custom(let custom):
      let data = results.map { TensorData($0) }
      custom.reference(x.map { $0.data() }, data)
      return zip(data, results).map { ReferenceValue($0, as: $1) }
    }
  }

  // MARK: Sources

  /// A constant is exactly what its type can hold, whether it was given as one number or as an array.
  private static func fill(_ scalar: Scalar, _ type: TensorType) -> ReferenceValue {
    if type.element.isFloat {
      let value = type.element.rounded(scalar.double)
      return ReferenceValue(type, floats: Array(repeating: value, count: type.shape.count))
    }
    let value = type.element == .bool ? (scalar.double != 0 ? 1 : 0) : scalar.integer
    return ReferenceValue(type, integers: Array(repeating: value, count: type.shape.count))
  }

  private static func iota(_ type: TensorType, _ axis: Int) -> ReferenceValue {
    let (outer, extent, inner) = type.shape.around(axis)
    let values = (0..<(outer * extent * inner)).map { Int64($0 / inner % extent) }
    return type.element.isFloat
      ? ReferenceValue(type, floats: values.map { type.element.rounded(Double($0)) })
      : ReferenceValue(type, integers: values)
  }

  private static func random(_ distribution: Distribution, _ stream: RandomStream, _ type: TensorType)
    -> ReferenceValue
  {
    let positions = (0..<type.shape.count).map { UInt64($0) }
    switch distribution {
    case .bits: return ReferenceValue(type, integers: positions.map { Int64(stream.word(at: $0)) })
    case .uniform: return ReferenceValue(type, floats: positions.map { stream.uniform(at: $0) })
    case .normal: return ReferenceValue(type, floats: positions.map { stream.normal(at: $0) })
    }
  }
}
