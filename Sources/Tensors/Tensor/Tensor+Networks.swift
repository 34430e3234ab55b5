/// Products, and the composites of neural networks.

extension Tensor {
  /// Matrix product over the last two axes; leading axes broadcast.
  ///
  /// - Parameter type: of the result; that of the operands if nil. Sums are kept in float32 (float64, int32) in any case.
  /// - Cost: 2 m n k FLOPs.
  public func matmul(
    _ other: Tensor, transposeA: Bool = false, transposeB: Bool = false, type: ElementType? = nil
  ) -> Tensor {
    let element = ElementType.promote(element, other.element)
    let product = element == .int8 || element == .uint8 ? ElementType.int32 : element
    return .record(
      .matmul(Matmul(transposeA: transposeA, transposeB: transposeB, type: type ?? product)),
      [cast(element), other.cast(element)])
  }

  /// `self · weightᵀ` of `self [..., m, k]` and `weight [n, k]`, in `type` (that of `self` if nil).
  ///
  /// Where the weight is a narrower float, the operands meet in its type: a weight is never widened, which would cost more
  /// than the product of a few rows.
  public func matmul(weight: Tensor, type: ElementType? = nil) -> Tensor {
    let narrow = element == .float32 && (weight.element == .bfloat16 || weight.element == .float16)
    return (narrow ? cast(weight.element) : self).matmul(weight, transposeB: true, type: type ?? element)
  }

  /// `x · weightᵀ + bias` over the last axis: `self [..., in]`, `weight [out, in]`, `bias [out]`.
  public func linear(_ weight: Tensor, bias: Tensor? = nil) -> Tensor {
    let rows = rank == 2 ? self : flattened(from: 0, through: -2)
    var result = rows.matmul(weight: weight)
    if let bias { result = result + bias.cast(result.element) }
    return result.reshaped(Array(shape.dimensions.dropLast()) + [weight.shape[0]])
  }

  /// Weights in blocks, uint8 `[..., rows, rowBytes]`, as floats `[..., rows, columns]`.
  ///
  /// Programs do not hold these floats where they are only multiplied with (`x.linear(weights)`) or looked up by row:
  /// passes make the product read the blocks.
  public func dequantized(_ format: BlockFormat, _ element: ElementType = .float32) -> Tensor {
    .record(.dequantize(format, element), [self])
  }

  /// Along the last axis.
  public func softmax() -> Tensor { .record(.softmax, [self]) }

  /// `x / sqrt(mean(x²) + epsilon) * weight` along the last axis. Zhang and Sennrich (2019), arXiv:1910.07467.
  public func rmsNorm(_ weight: Tensor? = nil, epsilon: Double = 1e-6) -> Tensor {
    let norm = Norm(epsilon: epsilon, weight: weight != nil, bias: false)
    return Tensor.record(.rmsNorm(norm), [self] + (weight.map { [$0] } ?? []))
  }

  /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` along the last axis. Ba et al. (2016), arXiv:1607.06450.
  public func layerNorm(_ weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Double = 1e-5) -> Tensor {
    precondition(weight != nil || bias == nil, "a layer norm with a bias has a weight")
    let norm = Norm(epsilon: epsilon, weight: weight != nil, bias: bias != nil)
    return Tensor.record(.layerNorm(norm), [self] + [weight, bias].compactMap(\.self))
  }

  /// Rotates `self [batch, positions, heads, size]` by the angles whose cosines and sines are given, float32 of shape
  /// [positions, size / 2] or [batch, positions, size / 2].
  public func rotary(cosines: Tensor, sines: Tensor, interleaved: Bool = false) -> Tensor {
    .record(.rotary(Rotary(interleaved: interleaved, inverse: false)), [self, cosines, sines])
  }

  /// Attention of queries `[batch, t, heads, size]` to keys and values `[batch, s, kvHeads, size]`.
  ///
  /// - Parameters:
  ///   - segments: int32 [batch, s]: positions of different segments do not see each other (packed sequences).
  ///   - sinks: float32 [heads]: a logit for each head that takes weight and gives nothing.
  ///   - lengths: int32 [batch]: how many of the keys there are (the rest of a cache is not looked at); the last query stands
  ///     at the last of them. No gradient.
  ///   - scales: of keys and values that are int8: a factor for each position and head, float32 [batch, s, kvHeads]; see
  ///     `quantizedRows()`. No gradient.
  /// - Cost: 4 batch · heads · t · s · size FLOPs, half of it if causal.
  public static func attention(
    _ queries: Tensor, _ keys: Tensor, _ values: Tensor, _ options: Attention, segments: Tensor? = nil,
    sinks: Tensor? = nil, lengths: Tensor? = nil, scales: (keys: Tensor, values: Tensor)? = nil
  ) -> Tensor {
    var options = options
    options.segments = segments != nil
    options.sinks = sinks != nil
    options.lengths = lengths != nil
    options.scales = scales != nil
    let optional = [segments, sinks, lengths, scales?.keys, scales?.values].compactMap(\.self)
    return record(.attention(options), [queries, keys, values] + optional)
  }

  /// Attention of rows of many sequences, `[n, heads, size]`, to keys and values in blocks of a pool, `[slots, kvHeads, size]`.
  ///
  /// A row's result has the same bits whatever the other rows are and whichever blocks its sequence lies in.
  ///
  /// - Parameters:
  ///   - options: causal; segments and lengths are said by the tables and positions.
  ///   - positions: int32 [n]: a row sees the positions of its sequence up to this one; below 0 it sees nothing and gives 0.
  ///   - sequences: int32 [n]: which table a row reads; outside of the tables it sees nothing.
  ///   - tables: int32 [sequences, blocks]: in which blocks of `blockSize` slots the positions of a sequence lie.
  ///   - sinks: float32 [heads]: a logit for each head that takes weight and gives nothing.
  ///   - scales: of keys and values that are int8: float32 [slots, kvHeads].
  /// - Cost: 4 heads · size FLOPs for each row and key that it sees.
  public static func pagedAttention(
    _ queries: Tensor, _ keys: Tensor, _ values: Tensor, _ options: Attention, blockSize: Int, positions: Tensor,
    sequences: Tensor, tables: Tensor, sinks: Tensor? = nil, scales: (keys: Tensor, values: Tensor)? = nil
  ) -> Tensor {
    var paged = PagedAttention(options, blockSize: blockSize)
    paged.sinks = sinks != nil
    paged.scales = scales != nil
    let optional = [sinks, scales?.keys, scales?.values].compactMap(\.self)
    return record(.pagedAttention(paged), [queries, keys, values, positions, sequences, tables] + optional)
  }

  /// Rows along the last axis rounded to int8 with one factor each, so that `rows * scales` is the row to within half of its
  /// factor: `rows` int8 of this shape, `scales` float32 [...].
  public func quantizedRows() -> (rows: Tensor, scales: Tensor) {
    let x = cast(.float32)
    let scales = x.absolute().max([-1]) / 127
    // A row of zeros has no factor to divide by, nor has one whose reciprocal would be infinite.
    let factors = (scales .> 1e-30).select(scales.reciprocal(), .zeros([], .float32))
    return ((x * factors.expanded(at: -1)).round().cast(.int8), scales)
  }

  /// The cross-entropy of each row of `self [n, c]` as logits `self · weightᵀ` (`weight [v, c]`) against `targets [n]`
  /// (int32), without holding the logits: float32 [n], 0 where the target is negative.
  public func linearCrossEntropy(_ weight: Tensor, targets: Tensor, softcap: Double? = nil) -> Tensor {
    let options = LinearCrossEntropy(softcap: softcap, loss: true, gradient: false, weightGradientType: weight.element)
    return .record(.linearCrossEntropy(options), [self, weight, targets])
  }

  /// log softmax along the last axis.
  public func logSoftmax() -> Tensor { self - logSumExp().expanded(at: -1) }

  /// Zeroes a fraction of the elements and scales the others up, so that the mean stays.
  public func dropout(_ rate: Double, key: Tensor, stream: UInt64) -> Tensor {
    if rate <= 0 { return self }
    let kept = Tensor.uniform(shape, key: key, stream: stream) .>= rate
    return kept.select(self * (1 / (1 - rate)), .zeros([], element))
  }

  /// Stops gradients: the same value, but a constant for `gradients(of:)`.
  public func detached() -> Tensor { CustomOp.detach([self])[0] }
}

extension CustomOp {
  static let detach = CustomOp(
    name: "detach", resultTypes: { [$0[0]] }, gradient: nil,
    reference: { inputs, results in results[0].assign(inputs[0]) })
}
