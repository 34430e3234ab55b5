/// Operations that move elements and compute nothing.

extension Tensor {
  /// The same elements in row-major order under another shape; one dimension may be -1 and is then derived.
  public func reshaped(_ dimensions: [Int]) -> Tensor {
    var dimensions = dimensions
    if let unknown = dimensions.firstIndex(of: -1) {
      let known = dimensions.enumerated().filter { $0.offset != unknown }.map(\.element).reduce(1, *)
      precondition(known > 0 && count % known == 0, "reshape of \(shape) to \(dimensions)")
      dimensions[unknown] = count / known
    }
    if dimensions == shape.dimensions { return self }
    return .record(.reshape(Shape(dimensions, varies: shape.varies)), [self])
  }

  public func reshaped(_ dimensions: Int...) -> Tensor { reshaped(dimensions) }

  /// `axis` and all after it up to `end` joined into one.
  public func flattened(from axis: Int = 0, through end: Int = -1) -> Tensor {
    let (first, last) = (shape.normalized(axis: axis), shape.normalized(axis: end))
    let d = shape.dimensions
    return reshaped(Array(d[..<first]) + [d[first...last].reduce(1, *)] + Array(d[(last + 1)...]))
  }

  /// With an axis of extent 1 in front of `axis`.
  public func expanded(at axis: Int) -> Tensor {
    var dimensions = shape.dimensions
    dimensions.insert(1, at: axis < 0 ? rank + 1 + axis : axis)
    return reshaped(dimensions)
  }

  public func broadcast(to target: Shape) -> Tensor {
    shape == target ? self : .record(.broadcast(target), [self])
  }

  /// Result axis i is this tensor's axis `axes[i]`.
  public func permuted(_ axes: [Int]) -> Tensor {
    axes == Array(0..<rank) ? self : .record(.permute(axes), [self])
  }

  public func permuted(_ axes: Int...) -> Tensor { permuted(axes) }

  /// Two axes exchanged; the last two if none are named.
  public func transposed(_ first: Int = -2, _ second: Int = -1) -> Tensor {
    var axes = Array(0..<rank)
    axes.swapAt(shape.normalized(axis: first), shape.normalized(axis: second))
    return permuted(axes)
  }

  /// `range` of `axis`, every `step`-th.
  public func sliced(_ range: Range<Int>, axis: Int, step: Int = 1) -> Tensor {
    let axis = shape.normalized(axis: axis)
    if range == 0..<shape[axis] && step == 1 { return self }
    var slices = shape.dimensions.map { Slice(0, $0) }
    slices[axis] = Slice(range.lowerBound, range.upperBound, step: step)
    return .record(.slice(slices), [self])
  }

  /// With zeros around and between elements.
  public func padded(_ paddings: [Padding]) -> Tensor {
    paddings.allSatisfy { $0 == Padding() } ? self : .record(.pad(paddings), [self])
  }

  public static func concatenate(_ parts: [Tensor], axis: Int = 0) -> Tensor {
    precondition(!parts.isEmpty, "nothing to concatenate")
    if parts.count == 1 { return parts[0] }
    return record(.concatenate(axis: parts[0].shape.normalized(axis: axis)), parts)
  }

  /// Tensors of one shape along a new axis.
  public static func stack(_ parts: [Tensor], axis: Int = 0) -> Tensor {
    concatenate(parts.map { $0.expanded(at: axis) }, axis: axis)
  }

  /// Cut along `axis` into parts of the given sizes.
  public func split(_ sizes: [Int], axis: Int = -1) -> [Tensor] {
    if sizes.count == 1 { return [self] }
    return Tensor.recordAll(.split(axis: shape.normalized(axis: axis), sizes: sizes), [self])
  }

  /// Whole slices by index: `axis` is replaced by the shape of `indices` (an embedding is `table.gathered(ids)`).
  /// An index out of range gives zeros.
  public func gathered(_ indices: Tensor, axis: Int = 0) -> Tensor {
    .record(.gather(axis: shape.normalized(axis: axis)), [self, indices])
  }

  /// With `rows` in place of as many slices of `axis` from `index` on; rows that fall outside are dropped.
  ///
  /// Where this tensor is not needed any more and is the program's own, or an input that is donated, only the rows are
  /// written: a cache of any capacity is updated at the cost of its new rows.
  ///
  /// - Parameters:
  ///   - rows: of this tensor's shape but for `axis`.
  ///   - index: int32, one number (shape [] or [1]), or one for each slice of axis 0; along axis 0 also one for each row, which
  ///     must differ.
  public func updated(_ rows: Tensor, at index: Tensor, axis: Int) -> Tensor {
    .record(.update(axis: shape.normalized(axis: axis)), [self, rows.cast(element), index])
  }

  /// Adds slices up by index: the transpose of `gathered`. The result has `entries` along `axis`.
  public func scatteredAdd(
    _ indices: Tensor, entries: Int, axis: Int = 0, type: ElementType? = nil
  ) -> Tensor {
    .record(.scatterAdd(axis: axis, entries: entries, type: type ?? element), [self, indices])
  }

  /// Elements along the last axis by index: `self [..., n]`, `indices [..., k]` give `[..., k]`.
  public func taken(_ indices: Tensor) -> Tensor { .record(.take, [self, indices]) }

  /// 1 where an index has the position's number and 0 elsewhere: `[..., depth]`.
  public func oneHot(_ depth: Int, _ element: ElementType = .float32) -> Tensor {
    let positions = Tensor.iota([depth], self.element == .int64 ? .int64 : .int32)
    return (expanded(at: -1) .== positions).cast(element)
  }
}
