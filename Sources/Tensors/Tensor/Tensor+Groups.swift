/// Products of rows with the matrices of their groups: the experts of a mixture.

extension Tensor {
  /// The product of each row with the matrix of its group: `self [rows, k]` and `weights [groups, n, k]` ([groups, k, n] if not
  /// `transposed`) give `[rows, n]`. Only the matrices of groups that have rows are read.
  ///
  /// - Parameters:
  ///   - weights: where they are a narrower float, the rows are rounded to it.
  ///   - counts: int32 [groups]: how many rows belong to each group. Rows stand in the order of their groups; rows beyond
  ///     all groups give zeros.
  ///   - type: of the result; that of `self` if nil.
  /// - Cost: 2 rows n k FLOPs.
  public func groupedMatmul(
    _ weights: Tensor, counts: Tensor, transposed: Bool = true, type: ElementType? = nil
  ) -> Tensor {
    let rows = narrowed(to: weights)
    let common = ElementType.promote(rows.element, weights.element)
    return .record(
      .groupedMatmul(GroupedMatmul(transposed: transposed, type: type ?? element)),
      [rows.cast(common), weights.cast(common), counts])
  }

  /// The sum of outer products of each group's rows, aᵀ · b: `self [rows, m]` and `other [rows, n]` give `[groups, m, n]`.
  ///
  /// - Parameter counts: as for `groupedMatmul`.
  public func groupedOuter(_ other: Tensor, counts: Tensor, type: ElementType? = nil) -> Tensor {
    .record(.groupedOuter(type ?? element), [self, other, counts])
  }

  /// In the type of a weight that is a narrower float: a weight is never widened, which would cost more than the product of a
  /// few rows.
  package func narrowed(to weight: Tensor) -> Tensor {
    element == .float32 && (weight.element == .bfloat16 || weight.element == .float16) ? cast(weight.element) : self
  }
}
