// The barrier of a cluster: `barrier.cluster.arrive` and `barrier.cluster.wait`.
//
// Invariant: a lane is in one of three states: not arrived, arrived in the current phase, or free to leave the phase
// before; threads that have exited are not waited for.
//
// PTX ISA 9.1, `barrier.cluster`.

internal import KernelLanguage

/// The state of the barrier of one cluster.
final class ClusterBarrier: Waitable {
  unowned let cluster: Cluster
  /// By rank and warp.
  private var arrived: [[LaneMask]]
  private var released: [[LaneMask]]
  private var phase = 0
  private var meeting = BlockOrder.Meeting()
  private var lastArrival = "nobody has arrived"

  init(_ cluster: Cluster) {
    self.cluster = cluster
    arrived = cluster.blocks.map { [LaneMask](repeating: 0, count: $0.warps.count) }
    released = arrived
  }

  var waitDescription: String {
    let missing = cluster.blocks.flatMap(\.warps).filter { $0.live & ~arrived[$0.block.rank][$0.index] != 0 }
    let names = missing.prefix(4).map { "warp \($0.index) of block \($0.block.name)" }.joined(separator: ", ")
    return "the cluster's barrier: phase \(phase), \(missing.count) warps have not arrived (\(names)); \(lastArrival)"
  }

  /// Lanes arrive. What they did before is before what those that wait with acquire do after, if they release.
  func arrive(_ warp: Warp, _ lanes: LaneMask, releases: Bool) throws(EmulatorError) {
    let (rank, index) = (warp.block.rank, warp.index)
    let early = lanes & (arrived[rank][index] | released[rank][index])
    guard early == 0 else {
      throw EmulatorError(
        .barrier, lane: early.trailingZeroBitCount,
        "barrier.cluster.arrive is run twice without barrier.cluster.wait in between: wait for each phase")
    }
    arrived[rank][index] |= lanes
    lastArrival = "warp \(index) of block \(warp.block.name) arrived last"
    if let order = warp.order {
      if releases {
        order.release(lanes, into: &meeting.arriving)
      } else {
        order.releaseFenced(lanes, into: &meeting.arriving)
      }
    }
    completeIfDone()
    cluster.change()
  }

  /// Whether lanes may leave; they have then left.
  func leave(_ warp: Warp, _ lanes: LaneMask) throws(EmulatorError) -> Bool {
    let (rank, index) = (warp.block.rank, warp.index)
    // Threads that have exited since may have been the last that were missing.
    completeIfDone()
    let strangers = lanes & ~arrived[rank][index] & ~released[rank][index]
    guard strangers == 0 else {
      throw EmulatorError(
        .barrier, lane: strangers.trailingZeroBitCount,
        "barrier.cluster.wait is run without barrier.cluster.arrive before it: arrive first")
    }
    guard lanes & ~released[rank][index] == 0 else { return false }
    released[rank][index] &= ~lanes
    warp.order?.acquire(lanes, meeting.completed)
    return true
  }

  private func completeIfDone() {
    var somebody = false
    for block in cluster.blocks {
      for warp in block.warps {
        let here = arrived[block.rank][warp.index]
        if warp.live & ~here != 0 { return }
        somebody = somebody || here != 0
      }
    }
    guard somebody else { return }
    released = arrived
    for block in cluster.blocks { arrived[block.rank] = [LaneMask](repeating: 0, count: block.warps.count) }
    phase += 1
    meeting.complete()
  }
}
