// Matrix products with accumulators in tensor memory (sm_100a): 128 lanes x 512 columns of 32 bits a multiprocessor, an address is
// lane << 16 | column.
//
// One thread issues products, copies and commits; allocation, loads and stores are a warp's, and warp w reads lanes 32 (w % 4)
// to 32 (w % 4) + 31 only.
//
// PTX ISA 9.1, "TensorCore 5th generation family instructions".

extension KernelBuilder {
  /// Takes columns of tensor memory, a power of two from 32 to 512; their address is written to `slot`. By one warp; waits while
  /// others have them.
  public func allocateTensorMemory(columns: Int, to slot: Pointer<U32, Shared>, pair: Bool = false) {
    emit(
      "tcgen05.alloc.\(group(pair)).sync.aligned.shared::cta.b32", slot.operand, .integer(Int64(columns)))
  }

  /// Lets other blocks allocate: this one will not any more.
  public func relinquishTensorMemory(pair: Bool = false) {
    emit("tcgen05.relinquish_alloc_permit.\(group(pair)).sync.aligned")
  }

  /// Gives columns back, which a block must before it ends.
  public func freeTensorMemory(_ address: Value<U32>, columns: Int, pair: Bool = false) {
    emit("tcgen05.dealloc.\(group(pair)).sync.aligned.b32", address.operand, .integer(Int64(columns)))
  }

  /// d = a · b or d += a · b by one thread, with both operands in shared memory.
  ///
  /// - Parameters:
  ///   - d: address in tensor memory.
  ///   - instruction: from `InstructionDescriptor`.
  ///   - kind: `f16` (also for bf16), `tf32`, `f8f6f4`, `i8`.
  ///   - pair: whether two blocks work together, of which the first issues.
  public func multiplyTensor(
    _ d: Value<U32>, _ a: Value<U64>, _ b: Value<U64>, _ instruction: Value<U32>, kind: String,
    accumulates: Value<Predicate>, pair: Bool = false
  ) {
    emit(
      "tcgen05.mma.\(group(pair)).kind::\(kind)", .address(d.operand, offset: 0, coordinates: []), a.operand, b.operand,
      instruction.operand, accumulates.operand)
  }

  /// As above, with the left operand in tensor memory.
  public func multiplyTensor(
    _ d: Value<U32>, tensor a: Value<U32>, _ b: Value<U64>, _ instruction: Value<U32>, kind: String,
    accumulates: Value<Predicate>, pair: Bool = false
  ) {
    emit(
      "tcgen05.mma.\(group(pair)).kind::\(kind)", .address(d.operand, offset: 0, coordinates: []),
      .address(a.operand, offset: 0, coordinates: []), b.operand, instruction.operand, accumulates.operand)
  }

  /// The barrier hears when all products and copies that this thread has issued are complete.
  ///
  /// - Parameter blocks: a bit for each block of the cluster whose barrier, at the same place, hears of it.
  public func commitTensor(_ barrier: Barrier, blocks: Value<U16>? = nil, pair: Bool = false) {
    emit(
      "tcgen05.commit.\(group(pair)).mbarrier::arrive::one.shared::cluster"
        + (blocks == nil ? "" : ".multicast::cluster")
        + ".b64", [barrier.pointer.operand] + (blocks.map { [$0.operand] } ?? []))
  }

  /// `count` columns of a warp's 32 lanes: register i of lane l is column i of lane l.
  public func loadTensor(_ count: Int, from address: Value<U32>) -> [Value<U32>] {
    let results = (0..<count).map { _ in register(U32.self) }
    emit(
      "tcgen05.ld.sync.aligned.32x32b.x\(count).b32", vector(results),
      .address(address.operand, offset: 0, coordinates: []))
    return results
  }

  public func storeTensor(_ values: [Value<U32>], to address: Value<U32>) {
    emit(
      "tcgen05.st.sync.aligned.32x32b.x\(values.count).b32", .address(address.operand, offset: 0, coordinates: []),
      vector(values))
  }

  /// Waits until this thread's loads have their values.
  public func waitForTensorLoads() { emit("tcgen05.wait::ld.sync.aligned") }
  public func waitForTensorStores() { emit("tcgen05.wait::st.sync.aligned") }
  /// Orders this thread's tensor instructions before a barrier that follows.
  public func fenceTensorBefore() { emit("tcgen05.fence::before_thread_sync") }
  /// Orders this thread's tensor instructions after a barrier that was waited for.
  public func fenceTensorAfter() { emit("tcgen05.fence::after_thread_sync") }

  private func group(_ pair: Bool) -> String { "cta_group::\(pair ? 2 : 1)" }
}
