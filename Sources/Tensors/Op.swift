/// The language of graphs: every computation in this package is made of these operations and nothing else.
///
/// The enum is closed on purpose. Each reader of graphs (result types, gradients, the reference interpreter, cost, every
/// backend) is an exhaustive `switch` over it, so a new case is complete when the package compiles. Inputs are not part of an
/// operation: they are the edges of the graph. What is listed after each case is `(inputs) -> results`.
///
/// Shapes: elementwise operations broadcast their inputs as NumPy does; all other operations say what they take.
public enum Op: Hashable, Sendable {
  // MARK: Sources

  /// A value given when the program is run.  `() -> x`
  case input(Input)
  /// A value known now.  `() -> x`
  case constant(Literal)
  /// 0, 1, 2, ... along `axis`.  `() -> x`
  case iota(TensorType, axis: Int)
  /// Random numbers, a pure function of the key (an int64 scalar) and the stream.  `(key) -> x`
  case random(Distribution, TensorType, stream: UInt64)

  // MARK: Elementwise

  case unary(Unary)
  case binary(Binary)
  /// `(a, b) -> bool`
  case compare(Comparison)
  /// `(condition: bool, a, b) -> condition ? a : b`
  case select
  case cast(ElementType)
  /// `(x, dy) -> dy * activation'(x)`
  case activationGradient(Activation)

  // MARK: Reductions, scans and order

  /// Removes `axes` (rising).  `(x) -> y`, sums of 16-bit floats in float32, result of x's type or `type`
  case reduce(Reduction, axes: [Int], type: ElementType)
  /// Index of the first largest element along `axis`, which is removed.  `(x) -> int32`
  case argMax(axis: Int)
  case cumulativeSum(axis: Int, reverse: Bool, exclusive: Bool)
  /// The k largest along the last axis, falling.  `(x) -> values, indices: int32`
  case topK(Int)
  /// Stable, along the last axis.  `(x) -> values, indices: int32`
  case sort(descending: Bool)

  // MARK: Movement

  case reshape(Shape)
  case broadcast(Shape)
  /// Result axis i is input axis `axes[i]`.
  case permute([Int])
  case slice([Slice])
  case pad([Padding])
  /// `(x0, x1, ...) -> y`
  case concatenate(axis: Int)
  /// The inverse of `concatenate`.  `(x) -> y0, y1, ...`
  case split(axis: Int, sizes: [Int])
  /// Whole slices by index: `(table, indices) -> table` with `axis` replaced by the shape of `indices`. Out of range: zeros.
  case gather(axis: Int)
  /// The transpose of `gather`: `(updates, indices) -> y` with `entries` along `axis`, equal indices added up.
  case scatterAdd(axis: Int, entries: Int, type: ElementType)
  /// Whole slices replaced: `(x, rows, index) -> x` with `rows` in place of as many slices of `axis` from `index` on, an
  /// int32 that is one number, or one for each slice of axis 0; or, along axis 0, each row in a place of its own, an int32 a
  /// row, no two of them equal. What falls outside is dropped. Written in place where x is not needed any more: one row of a
  /// cache costs one row.
  case update(axis: Int)
  /// Along the last axis: `(table [..., n], indices [..., k]) -> [..., k]`
  case take
  /// The transpose of `take`: `(updates [..., k], indices [..., k]) -> [..., entries]`
  case takeAdd(entries: Int)

  // MARK: Products

  /// `(a [..., m, k], b [..., k, n], bias [n]?, residual [..., m, n]?) -> y [..., m, n], preActivation?`
  case matmul(Matmul)
  /// Weights in blocks as floats.  `(blocks [..., rows, rowBytes]: uint8) -> [..., rows, columns]`
  case dequantize(BlockFormat, ElementType)
  /// Made of a `matmul` with `dequantize` by a pass.
  /// `(x [..., m, k], blocks [n, rowBytes] or [..., n, rowBytes]: uint8) -> [..., m, n]`
  case blockMatmul(BlockMatmul)
  /// Several of them with one x, made by a pass.
  /// `(x [..., m, k], blocks0 [n0, rowBytes0]: uint8, blocks1, ...) -> [..., m, n0], [..., m, n1], ...`
  case blockMatmuls([BlockMatmul])
  /// Each row with the matrix of its group; rows stand in the order of their groups, group g has `counts[g]` of them, and rows
  /// beyond all groups give zeros. A pass makes weights that are dequantised the blocks themselves.
  /// `(x [rows, k], weights [groups, n, k] or [groups, k, n], counts [groups]: int32) -> y [rows, n]`
  case groupedMatmul(GroupedMatmul)
  /// For each group the sum of its rows' outer products, aᵀ · b.
  /// `(a [rows, m], b [rows, n], counts [groups]: int32) -> c [groups, m, n]`, of this type
  case groupedOuter(ElementType)

  // MARK: Composites that are worth a kernel of their own

  /// Along the last axis.  `(x) -> y`
  case softmax
  /// `(y, dy) -> dx`
  case softmaxGradient
  /// `(x [..., n], weight [n]?) -> y, rstd [...]`
  case rmsNorm(Norm)
  /// `(x, weight?, rstd, dy) -> dx, dweight?`
  case rmsNormGradient(Norm)
  /// `(x [..., n], weight [n]?, bias [n]?) -> y, mean [...], rstd [...]`
  case layerNorm(Norm)
  /// `(x, weight?, mean, rstd, dy) -> dx, dweight?, dbias?`
  case layerNormGradient(Norm)
  /// `(x [b, t, h, d], cosines [t, d/2] or [b, t, d/2], sines) -> y`
  case rotary(Rotary)
  /// `(q [b, t, h, d], k [b, s, g, d], v, segments [b, s]: int32?, sinks [h]?, lengths [b]: int32?, keyScales [b, s, g]?,
  /// valueScales?) -> o, logsumexp [b, h, t]`
  case attention(Attention)
  /// Rows of many sequences, each with the keys of its own, which lie in blocks of a pool. No gradient.
  /// `(q [n, h, d], k [slots, g, d], v, positions [n]: int32, sequences [n]: int32, tables [sequences, blocks]: int32,
  /// sinks [h]?, keyScales [slots, g]?, valueScales?) -> o [n, h, d]`
  case pagedAttention(PagedAttention)
  /// `(q, k, v, segments?, sinks?, o, logsumexp, do) -> dq, dk, dv, dsinks?`
  case attentionGradient(Attention)
  /// `(x [n, c], weight [v, c], targets [n]: int32, dloss [n]?) -> loss [n]?, dx?, dweight?`
  case linearCrossEntropy(LinearCrossEntropy)
  /// `(rate, gradientScale, step, apply: bool, p..., g..., m..., v...) -> p..., m..., v..., working...`
  case adamW(AdamW)

  // MARK: Made by passes, and made by users

  /// A tree of elementwise operations as one.  `(x0, x1, ...) -> y`
  case fused(Fusion)
  case custom(CustomOp)
}
