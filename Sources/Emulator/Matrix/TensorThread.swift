// What a warp of sm_100 knows of instructions of tcgen05: which of its own it has waited for, and what its fences have let it see of
// others'.
//
// Completion becomes known like everything else that the detector of races follows, through mbarriers and barriers; but only
// `tcgen05.fence::after_thread_sync` orders later instructions of tcgen05 behind it, and of loads and stores of tensor memory only
// `tcgen05.fence::before_thread_sync` tells others.

/// The part of tcgen05 that one warp has done.
final class TensorThread: Waitable {
  unowned let warp: Warp
  /// Actors whose times tell of completion: products and copies, which mbarriers report; loads; stores. nil: no detector.
  private(set) lazy var products = makeActor()
  private(set) lazy var loads = makeActor()
  private(set) lazy var stores = makeActor()
  /// Issued, of each kind, at last.
  var lastProduct: Time = 0
  var lastLoad: Time = 0
  var lastStore: Time = 0
  /// Stores that have not landed, and the chain in which they do.
  var pendingStores = 0
  private(set) lazy var storeChain = warp.launch.effects.newChain()
  /// Up to where it has waited for its own.
  private var waitedLoads: Time = 0
  private var waitedStores: Time = 0
  /// What lanes knew at their last fence.
  private var seen: [(lanes: LaneMask, knowledge: Knowledge)] = []

  init(_ warp: Warp) { self.warp = warp }

  private func makeActor() -> Int? {
    warp.order.map { $0.cluster.add(.matrix(of: $0.actor)) }
  }

  var waitDescription: String { "\(pendingStores) tcgen05.st of warp \(warp.index), which have not landed" }

  // MARK: Waits and fences

  func waitLoads() { waitedLoads = lastLoad }
  func waitStores() { waitedStores = lastStore }

  /// `tcgen05.fence::before_thread_sync`
  func fenceBefore(_ lanes: LaneMask) {
    guard let order = warp.order else { return }
    if waitedLoads > 0, let loads { order.acquire(lanes, actor: loads, upTo: waitedLoads) }
    if waitedStores > 0, let stores { order.acquire(lanes, actor: stores, upTo: waitedStores) }
  }

  /// `tcgen05.fence::after_thread_sync`
  func fenceAfter(_ lanes: LaneMask) {
    guard let order = warp.order else { return }
    var knowledge = Knowledge()
    order.release(lanes, into: &knowledge)
    seen.removeAll { $0.lanes & ~lanes == 0 }
    seen.append((lanes, knowledge))
  }

  // MARK: Questions

  /// Whether the lanes that run now come after an instruction's completion.
  func isDone(_ old: TensorOperation, needsFence: Bool) -> Bool {
    guard let order = warp.order, let actor = old.actor else { return true }
    if old.warp === warp {
      if old.pipeline == .load, old.time <= waitedLoads { return true }
      if old.pipeline == .store, old.time <= waitedStores { return true }
    }
    if knows(actor, old.time) { return true }
    return !needsFence && order.time(of: actor, lanes) >= old.time
  }

  /// The lanes that run the current instruction.
  var lanes: LaneMask = .max

  private func knows(_ actor: Int, _ time: Time) -> Bool {
    seen.contains { $0.lanes & lanes == lanes && $0.knowledge.own.seen[actor] >= time }
  }

  func isOrdered(_ old: TensorOperation, before new: TensorOperation) -> Bool {
    guard let order = warp.order else { return true }
    if isPipelined(old.pipeline, new.pipeline) {
      // One thread, or another one that comes after the issue.
      if old.warp === warp { return true }
      if let other = old.warp.order, knows(other.actor, old.issue) || order.time(of: other.actor, lanes) >= old.issue {
        return true
      }
    }
    return isDone(old, needsFence: true)
  }

  private func isPipelined(_ old: TensorOperation.Pipeline, _ new: TensorOperation.Pipeline) -> Bool {
    switch (old, new) {
    case (.product(let old), .product(let new)): old == new
    case (.copy, .product): true
    default: false
    }
  }

  func unordered(_ old: TensorOperation, _ new: TensorOperation) -> EmulatorError {
    if isDone(old, needsFence: false) {
      return EmulatorError(
        .inFlight,
        "\(old.text) uses the same tensor memory; that it is done is known, but this instruction is not ordered behind it: "
          + "put tcgen05.fence::after_thread_sync behind the wait")
    }
    let uses =
      new.writes.contains { new in old.writes.contains { $0.overlaps(new) } }
        || !old.writes.isEmpty && !new.reads.isEmpty
      ? "writes" : "reads"
    let remedy =
      switch old.pipeline {
      case .product, .copy:
        "wait for an mbarrier that tcgen05.commit signals behind it, then tcgen05.fence::after_thread_sync"
      case .load, .store:
        "tcgen05.wait::\(old.pipeline == .load ? "ld" : "st")"
          + (old.warp === warp
            ? " first"
            : ", tcgen05.fence::before_thread_sync and a barrier there, then tcgen05.fence::after_thread_sync here")
      }
    return EmulatorError(
      .inFlight, "\(old.text) may still \(uses == "writes" ? "write" : "read") the same tensor memory: \(remedy)")
  }
}
