/// The table of gradients: for each operation, the cotangents of its inputs from those of its results.
///
/// nil stands for "none": on the way in for a zero cotangent, on the way out for an input that has no gradient (an index, a
/// condition). Rules that need room are functions of their own in the files beside this one.
extension Op {
  func gradient(inputs x: [Tensor], results y: [Tensor], cotangents: [Tensor?]) -> [Tensor?] {
    // Most operations have one result; where its cotangent is nil, none flows further.
    let dy = cotangents[0] ?? .zeros(y[0].shape, y[0].element)
    switch self {
    case .input, .constant, .iota: return []
    case .random: return [nil]

    case .unary(let unary): return [unary.gradient(x[0], y[0], dy)]
    case .binary(let binary): return binary.gradient(x[0], x[1], y[0], dy)
    case .compare: return [nil, nil]
    case .select:
      let zero = Tensor.zeros([], dy.element)
      return [nil, x[0].select(dy, zero).summed(to: x[1].shape), x[0].select(zero, dy).summed(to: x[2].shape)]
    case .cast: return [x[0].element.isFloat ? dy.cast(x[0].element) : nil]
    case .activationGradient(let activation):
      return activation.secondGradient(x[0], x[1], dy)

    case .reduce(let reduction, let axes, _): return [reduction.gradient(x[0], y[0], dy, axes)]
    case .argMax: return [nil]
    case .cumulativeSum(let axis, let reverse, let exclusive):
      return [dy.cumulativeSum(axis, reverse: !reverse, exclusive: exclusive)]
    case .topK, .sort:
      return [.record(.takeAdd(entries: x[0].shape[-1]), [dy, y[1]])]

    case .reshape: return [dy.reshaped(x[0].shape.dimensions)]
    case .broadcast: return [dy.summed(to: x[0].shape)]
    case .permute(let axes): return [dy.permuted(axes.indices.map { axes.firstIndex(of: $0)! })]
    case .slice(let slices):
      let paddings = zip(slices, x[0].shape.dimensions).map { slice, count in
        let covered = slice.count == 0 ? 0 : (slice.count - 1) * slice.step + 1
        return Padding(before: slice.start, after: count - slice.start - covered, between: slice.step - 1)
      }
      return [dy.padded(paddings)]
    case .pad(let paddings):
      let slices = zip(paddings, x[0].shape.dimensions).map { padding, count in
        Slice(
          padding.before, padding.before + (count == 0 ? 0 : (count - 1) * (padding.between + 1) + 1),
          step: padding.between + 1)
      }
      return [.record(.slice(slices), [dy])]
    case .concatenate(let axis): return dy.split(x.map { $0.shape[axis] }, axis: axis)
    case .split(let axis, _):
      return [.concatenate(zip(y, cotangents).map { $1 ?? .zeros($0.shape, $0.element) }, axis: axis)]
    case .gather(let axis):
      return [dy.scatteredAdd(x[1], entries: x[0].shape[axis], axis: axis), nil]
    case .scatterAdd(let axis, _, _):
      return [dy.cast(x[0].element).gathered(x[1], axis: axis).reshaped(x[0].shape.dimensions), nil]
    case .update(let axis): return updateGradient(x, dy, axis)
    case .take: return [.record(.takeAdd(entries: x[0].shape[-1]), [dy, x[1]]), nil]
    case .takeAdd: return [dy.taken(x[1]), nil]

    case .matmul(let matmul): return matmul.gradient(x, y, cotangents)
    // Weights in blocks are not trained; what is multiplied with them has its gradient.
    case .dequantize: return [nil]
    case .blockMatmul(let matmul):
      return [dy.cast(x[0].element).matmul(x[1].dequantized(matmul.format, x[0].element)), nil]
    case .blockMatmuls: preconditionFailure("products are joined after differentiation")
    case .groupedMatmul(let grouped):
      let (d, transposed) = (dy.cast(x[0].element), grouped.transposed)
      if let format = grouped.format {
        return [d.groupedMatmul(x[1].dequantized(format, d.element), counts: x[2], transposed: false), nil, nil]
      }
      return [
        d.groupedMatmul(x[1], counts: x[2], transposed: !transposed),
        transposed ? d.groupedOuter(x[0], counts: x[2]) : x[0].groupedOuter(d, counts: x[2]), nil,
      ]
    case .groupedOuter:
      let d = dy.cast(x[0].element)
      return [x[1].groupedMatmul(d, counts: x[2]), x[0].groupedMatmul(d, counts: x[2], transposed: false), nil]

    case .softmax: return [.record(.softmaxGradient, [y[0], dy])]
    case .rmsNorm(let norm): return norm.rmsGradient(x, y, cotangents)
    case .layerNorm(let norm): return norm.layerGradient(x, y, cotangents)
    case .rotary(let rotary):
      return [
        .record(.rotary(Rotary(interleaved: rotary.interleaved, inverse: !rotary.inverse)), [dy, x[1], x[2]]), nil, nil,
      ]
    case .attention(let attention): return attention.gradient(x, y, cotangents)
    case .linearCrossEntropy(let options) where !options.gradient: return options.gradient(x, dy)
    // The gradients of gradients: through the same computation in simple operations.
    case .softmaxGradient, .rmsNormGradient, .layerNormGradient, .attentionGradient, .linearCrossEntropy:
      return decomposedGradient(x, y, cotangents)

    case .pagedAttention:
      preconditionFailure("attention to pages has no gradient: training attends to whole sequences (Attention)")
    case .adamW: preconditionFailure("an optimizer step has no gradient")
    case .fused: preconditionFailure("fusion comes after differentiation")
    case .custom(let custom):
      return custom.gradient?(x, y, cotangents) ?? x.map { _ in nil }
    }
  }
}

/// x, rows, index -> x: what was overwritten gets nothing; the rows get the slices that they are in.
private func updateGradient(_ x: [Tensor], _ dy: Tensor, _ axis: Int) -> [Tensor?] {
  let (rows, index) = (x[1], x[2])
  if axis == 0 && index.count == rows.shape[0] {
    // A place for each row.
    return [dy.updated(Tensor.zeros(rows.shape, dy.element), at: index, axis: 0), dy.gathered(index.flattened()), nil]
  }
  let places = Tensor.iota([rows.shape[axis]], .int32)
  let starts = index.count == 1 ? [index] : index.split(Array(repeating: 1, count: index.count), axis: 0)
  let parts = starts.count == 1 ? [dy] : dy.split(Array(repeating: 1, count: starts.count), axis: 0)
  let drows = zip(parts, starts).map { $0.gathered(places + $1.reshaped([1]), axis: axis) }
  return [dy.updated(Tensor.zeros(rows.shape, dy.element), at: index, axis: axis), .concatenate(drows), nil]
}

extension Tensor {
  /// The transpose of broadcasting: sums over what was repeated.
  func summed(to target: Shape) -> Tensor {
    if shape.dimensions == target.dimensions { return self }
    let extra = rank - target.rank
    let axes = (0..<rank).filter { $0 < extra || (target[$0 - extra] == 1 && shape[$0] != 1) }
    return sum(axes).reshaped(target.dimensions)
  }
}
