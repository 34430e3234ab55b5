// Barriers in shared memory that count arrivals and bytes (sm_90; without bytes sm_80).
//
// A barrier's phase is complete when as many threads have arrived as it was set up for and all expected bytes have come; then
// the next phase begins. A waiter names the parity of the phase that it waits for: a fresh barrier is in phase 0, so waiting
// for parity 1 passes at once.
//
// PTX ISA 9.1, "mbarrier".

/// A barrier in shared memory.
public struct Barrier {
  public let pointer: Pointer<U64, Shared>

  public init(_ pointer: Pointer<U64, Shared>) { self.pointer = pointer }

  private var builder: KernelBuilder { Value<U32>.builder(pointer.base.owner) }

  /// Sets it up, by one thread; others use it after `fenceBarriers` and a barrier of the block or the cluster.
  public func initialise(arrivals: Int) {
    builder.emit("mbarrier.init.shared::cta.b64", pointer.operand, .integer(Int64(arrivals)))
  }

  /// Arrives once.
  public func arrive() {
    builder.emit("mbarrier.arrive.release.cta.shared::cta.b64", .unused, pointer.operand)
  }

  /// Arrives once, and says how many bytes this phase waits for on top.
  public func arrive(expecting bytes: Value<U32>) {
    builder.emit("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64", .unused, pointer.operand, bytes.operand)
  }

  /// Says how many bytes this phase waits for on top.
  public func expect(bytes: Value<U32>) {
    builder.emit("mbarrier.expect_tx.relaxed.cta.shared::cta.b64", pointer.operand, bytes.operand)
  }

  /// Arrives once on the barrier at the same place in another block of the cluster.
  public func arrive(inBlock rank: Value<U32>) {
    builder.emit(
      "mbarrier.arrive.release.cluster.shared::cluster.b64", .unused, pointer.inBlock(rank).operand)
  }

  /// Waits until the phase of this parity is complete.
  ///
  /// - Parameter scope: `.cluster` where the arrivals come from other blocks too.
  public func wait(parity: Value<U32>, _ scope: KernelBuilder.Scope = .block) {
    let builder = builder
    let passed = builder.register(Predicate.self)
    let start = builder.label()
    builder.place(start)
    builder.emit(
      "mbarrier.try_wait.parity.acquire.\(scope.rawValue).shared::cta.b64", passed.operand, pointer.operand,
      parity.operand)
    builder.branch(start, if: passed, isNegated: true)
  }

  /// Whether the phase of this parity is complete.
  public func test(parity: Value<U32>) -> Value<Predicate> {
    builder.result(Predicate.self, "mbarrier.test_wait.parity.shared::cta.b64", pointer.operand, parity.operand)
  }

  /// Ends its use, so that the memory can hold something else.
  public func invalidate() { builder.emit("mbarrier.inval.shared::cta.b64", pointer.operand) }
}

extension KernelBuilder {
  /// Makes barriers that were set up visible to the cluster and to tensor copies.
  public func fenceBarriers() { emit("fence.mbarrier_init.release.cluster") }

  /// Arrives at the cluster's barrier.
  ///
  /// - Parameter aligned: whether all lanes of the warp come here together.
  public func arriveCluster(aligned: Bool = true) {
    emit("barrier.cluster.arrive.release" + (aligned ? ".aligned" : ""))
  }

  /// Waits for all threads of the cluster, but for those that have ended.
  public func waitCluster(aligned: Bool = true) {
    emit("barrier.cluster.wait.acquire" + (aligned ? ".aligned" : ""))
  }

  public func synchroniseCluster(aligned: Bool = true) {
    arriveCluster(aligned: aligned)
    waitCluster(aligned: aligned)
  }

  /// Gives registers back: the four warps of a group together, down to `count` a thread (24 to 256, a multiple of 8).
  public func decreaseRegisters(to count: Int) { emit("setmaxnreg.dec.sync.aligned.u32", .integer(Int64(count))) }

  /// Takes registers that other groups of warps have given back; waits for them.
  public func increaseRegisters(to count: Int) { emit("setmaxnreg.inc.sync.aligned.u32", .integer(Int64(count))) }

  /// Waits for the kernel in front of this one in the stream, where launches may overlap.
  public func waitForPrevious() { emit("griddepcontrol.wait") }
  /// Lets the next kernel in the stream begin.
  public func letNextBegin() { emit("griddepcontrol.launch_dependents") }
}

extension Pointer where Space == Shared {
  /// The same place in the shared memory of another block of the cluster.
  public func inBlock(_ rank: Value<U32>) -> Pointer<Element, SharedCluster> {
    let builder = Value<U32>.builder(base.owner)
    return Pointer<Element, SharedCluster>(
      builder.result(U32.self, "mapa.shared::cluster.u32", address.operand, rank.operand))
  }
}
