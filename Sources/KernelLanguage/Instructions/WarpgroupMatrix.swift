// Matrix products of a warpgroup, four warps, with operands in shared memory (sm_90a).
//
// Accumulator registers belong to the product from its issue until its group has been waited for: nothing else touches them.
// In front of the first product, and after other instructions have touched registers that a product uses, stands a fence.
//
// PTX ISA 9.1, "Asynchronous warpgroup level matrix instructions".

extension KernelBuilder {
  /// How an operand lies in shared memory.
  public enum Major: Int, Hashable, Sendable {
    /// The summed axis is contiguous.
    case k = 0
    /// The other axis is contiguous: 16-bit elements only.
    case mn = 1
  }

  /// Orders other instructions' accesses to registers before the products that follow.
  public func fenceProducts() { emit("wgmma.fence.sync.aligned") }
  /// Ends a group of products.
  public func commitProducts() { emit("wgmma.commit_group.sync.aligned") }
  /// Waits until at most `pending` of the last groups are under way.
  public func waitForProducts(pending: Int = 0) { emit("wgmma.wait_group.sync.aligned", .integer(Int64(pending))) }

  /// d = a · b or d += a · b, of 64 x k and k x n, where k is 32 bytes and n is twice the number of registers of d.
  ///
  /// Thread 32w + l of the group holds in register 4g + 2i + j row 16w + l / 4 + 8i, column 8g + 2(l % 4) + j.
  ///
  /// - Parameters:
  ///   - a: descriptor of the left operand.
  ///   - b: descriptor of the right operand, n x k.
  ///   - accumulates: whether the product is added to what is in d.
  public func multiplyGroup(
    _ d: [Value<F32>], _ a: Value<U64>, _ b: Value<U64>, _ type: MatrixType, accumulates: Value<Predicate>,
    majorA: Major = .k, majorB: Major = .k
  ) {
    let majors: [PTXOperand] =
      type.size == 2 ? [.integer(Int64(majorA.rawValue)), .integer(Int64(majorB.rawValue))] : []
    emit(
      groupName(d.count * 2, type),
      [vector(d), a.operand, b.operand, accumulates.operand, .integer(1), .integer(1)] + majors)
  }

  /// As above, with the left operand in registers: those of `multiplyAccumulate` for each warp's 16 rows.
  public func multiplyGroup(
    _ d: [Value<F32>], _ a: [Value<U32>], _ b: Value<U64>, _ type: MatrixType, accumulates: Value<Predicate>,
    majorB: Major = .k
  ) {
    let majors: [PTXOperand] = type.size == 2 ? [.integer(Int64(majorB.rawValue))] : []
    emit(
      groupName(d.count * 2, type),
      [vector(d), vector(a), b.operand, accumulates.operand, .integer(1), .integer(1)] + majors)
  }

  private func groupName(_ n: Int, _ type: MatrixType) -> String {
    precondition(n % 8 == 0 && (8...256).contains(n), "a warpgroup's product has 8 to 256 columns, not \(n)")
    return "wgmma.mma_async.sync.aligned.m64n\(n)k\(32 / type.size).f32.\(type.rawValue).\(type.rawValue)"
  }
}
