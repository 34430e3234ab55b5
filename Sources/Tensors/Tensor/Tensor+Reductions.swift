/// Reductions, scans and order.

extension Tensor {
  package func reduced(_ reduction: Reduction, _ axes: [Int]?, keeps: Bool, type: ElementType? = nil) -> Tensor {
    let axes = (axes ?? Array(0..<rank)).map(shape.normalized(axis:)).sorted()
    let result =
      axes.isEmpty && reduction != .sumOfSquares
      ? cast(type ?? element) : .record(.reduce(reduction, axes: axes, type: type ?? element), [self])
    return keeps
      ? result.reshaped(shape.dimensions.enumerated().map { axes.contains($0.offset) ? 1 : $0.element }) : result
  }

  /// Over `axes` (all if nil); `keeps` leaves them as 1. Sums of 16-bit floats are kept in float32 and rounded at the end,
  /// unless `type` asks for another result.
  public func sum(_ axes: [Int]? = nil, keeps: Bool = false, type: ElementType? = nil) -> Tensor {
    reduced(.sum, axes, keeps: keeps, type: type)
  }

  public func sum(_ axis: Int, keeps: Bool = false) -> Tensor { sum([axis], keeps: keeps) }

  public func mean(_ axes: [Int]? = nil, keeps: Bool = false) -> Tensor {
    let result = sum(axes, keeps: keeps)
    return result * (Double(result.count) / Double(Swift.max(count, 1)))
  }

  public func product(_ axes: [Int]? = nil, keeps: Bool = false) -> Tensor { reduced(.product, axes, keeps: keeps) }
  /// The largest; of nothing, the lowest number of the type.
  public func max(_ axes: [Int]? = nil, keeps: Bool = false) -> Tensor { reduced(.maximum, axes, keeps: keeps) }
  public func min(_ axes: [Int]? = nil, keeps: Bool = false) -> Tensor { reduced(.minimum, axes, keeps: keeps) }
  /// bool: and
  public func all(_ axes: [Int]? = nil) -> Tensor { reduced(.all, axes, keeps: false) }
  /// bool: or
  public func any(_ axes: [Int]? = nil) -> Tensor { reduced(.any, axes, keeps: false) }
  /// In float32 for 16-bit floats.
  public func sumOfSquares(_ axes: [Int]? = nil) -> Tensor {
    reduced(.sumOfSquares, axes, keeps: false, type: element.accumulator)
  }

  /// The first index of the largest element; NaN counts as the largest.
  public func argMax(_ axis: Int = -1) -> Tensor { .record(.argMax(axis: shape.normalized(axis: axis)), [self]) }

  public func cumulativeSum(_ axis: Int = -1, reverse: Bool = false, exclusive: Bool = false) -> Tensor {
    .record(.cumulativeSum(axis: shape.normalized(axis: axis), reverse: reverse, exclusive: exclusive), [self])
  }

  /// The `k` largest along the last axis, falling; among equals the lower index first.
  public func topK(_ k: Int) -> (values: Tensor, indices: Tensor) {
    let results = Tensor.recordAll(.topK(k), [self])
    return (results[0], results[1])
  }

  /// Along the last axis, stable; NaN counts as the largest.
  public func sorted(descending: Bool = false) -> (values: Tensor, indices: Tensor) {
    let results = Tensor.recordAll(.sort(descending: descending), [self])
    return (results[0], results[1])
  }

  /// log Σ exp along the last axis.
  public func logSumExp() -> Tensor {
    let largest = self.max([-1], keeps: true)
    let safe = largest.isFinite().select(largest, .zeros([], element))
    return ((self - safe).exp().sum([-1], keeps: true).log() + safe).reshaped(Array(shape.dimensions.dropLast()))
  }
}
