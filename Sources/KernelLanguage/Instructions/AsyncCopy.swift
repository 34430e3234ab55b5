// Copies that go on while threads compute: by groups of a thread (cp.async, sm_80), and by the tensor memory accelerator
// (bulk and tensor copies, sm_90), which report to a barrier or belong to a thread's bulk groups.
//
// PTX ISA 9.1, "Data movement and conversion instructions: asynchronous copy".

extension KernelBuilder {
  // MARK: Groups of a thread

  /// Copies 4, 8 or 16 bytes; of those only the first `valid` are read, the others become zeros.
  public func copyAsync<E: ElementOfMemory>(
    to destination: Pointer<E, Shared>, from source: Pointer<E, Global>, bytes: Int = 16, valid: Value<U32>? = nil
  ) {
    // Sixteen bytes pass by the first-level cache.
    let operands = [destination.operand, source.operand, .integer(Int64(bytes))] + (valid.map { [$0.operand] } ?? [])
    emit(bytes == 16 ? "cp.async.cg.shared.global" : "cp.async.ca.shared.global", operands)
  }

  /// Ends a group of this thread's copies.
  public func commitCopies() { emit("cp.async.commit_group") }
  /// Waits until at most `pending` of this thread's last groups are under way.
  public func waitForCopies(pending: Int = 0) { emit("cp.async.wait_group", .integer(Int64(pending))) }

  // MARK: Bulk copies

  /// A box of a tensor into shared memory; the barrier of each receiving block hears of the bytes.
  ///
  /// - Parameters:
  ///   - coordinates: of the box's first element, the innermost first.
  ///   - blocks: a bit for each block of the cluster that receives it, at the same place; nil: this one.
  ///   - policy: of the second-level cache, from `cachePolicy`.
  public func copyTensor<E: ElementOfMemory>(
    to destination: Pointer<E, Shared>, from map: Value<U64>, at coordinates: [Value<S32>], _ barrier: Barrier,
    blocks: Value<U16>? = nil, policy: Value<U64>? = nil, pair: Bool = false
  ) {
    let name =
      "cp.async.bulk.tensor.\(coordinates.count)d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      + (blocks == nil ? "" : ".multicast::cluster") + (pair ? ".cta_group::2" : "")
      + (policy == nil ? "" : ".L2::cache_hint")
    emit(
      name,
      [destination.operand, tensor(map, coordinates), barrier.pointer.operand]
        + (blocks.map { [$0.operand] } ?? []) + (policy.map { [$0.operand] } ?? []))
  }

  /// A box of a tensor from shared memory; belongs to this thread's current bulk group.
  public func storeTensor<E: ElementOfMemory>(
    from source: Pointer<E, Shared>, to map: Value<U64>, at coordinates: [Value<S32>]
  ) {
    emit(
      "cp.async.bulk.tensor.\(coordinates.count)d.global.shared::cta.tile.bulk_group", tensor(map, coordinates),
      source.operand)
  }

  /// As `storeTensor`, but combined with what is there: `add`, `min`, `max`, ...
  public func reduceTensor<E: ElementOfMemory>(
    _ operation: String, from source: Pointer<E, Shared>, to map: Value<U64>, at coordinates: [Value<S32>]
  ) {
    emit(
      "cp.reduce.async.bulk.tensor.\(coordinates.count)d.global.shared::cta.\(operation).tile.bulk_group",
      tensor(map, coordinates), source.operand)
  }

  /// Contiguous bytes into shared memory: a multiple of 16, and so are the addresses.
  public func copyBulk<E: ElementOfMemory>(
    to destination: Pointer<E, Shared>, from source: Pointer<E, Global>, bytes: Value<U32>, _ barrier: Barrier
  ) {
    emit(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes", destination.operand, source.operand,
      bytes.operand, barrier.pointer.operand)
  }

  /// Contiguous bytes from shared memory; belongs to this thread's current bulk group.
  public func storeBulk<E: ElementOfMemory>(
    from source: Pointer<E, Shared>, to destination: Pointer<E, Global>, bytes: Value<U32>
  ) {
    emit("cp.async.bulk.global.shared::cta.bulk_group", destination.operand, source.operand, bytes.operand)
  }

  /// Ends a group of this thread's bulk stores.
  public func commitStores() { emit("cp.async.bulk.commit_group") }

  /// Waits until at most `pending` of this thread's last bulk groups are under way.
  ///
  /// - Parameter reading: whether it is enough that their sources have been read, and may be written again.
  public func waitForStores(pending: Int = 0, reading: Bool = false) {
    emit("cp.async.bulk.wait_group" + (reading ? ".read" : ""), .integer(Int64(pending)))
  }

  /// Fetches a tensor map ahead of its first use.
  public func prefetch(map: Value<U64>) {
    emit("prefetch.tensormap", .address(map.operand, offset: 0, coordinates: []))
  }

  /// How the second-level cache treats a copy: `evict_first`, `evict_last`, `evict_normal`.
  public func cachePolicy(_ priority: String) -> Value<U64> {
    result(U64.self, "createpolicy.fractional.L2::\(priority).b64", .float32(Float(1).bitPattern))
  }

  private func tensor(_ map: Value<U64>, _ coordinates: [Value<S32>]) -> PTXOperand {
    .address(map.operand, offset: 0, coordinates: coordinates.map(\.operand))
  }
}
