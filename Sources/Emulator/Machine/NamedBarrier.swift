// The 16 barriers of a block: `bar.sync 0` to `bar.sync 15`.
//
// Invariant: lanes are in `waiting` only if they are in `arrived`. When a barrier is complete, its arrivals begin anew, and those that
// waited are `released`: each leaves once.
//
// A barrier counts threads: with a count, a warp all of whose lanes have arrived counts as 32, also those that do not exist or have
// exited; without one it is complete when every thread that has not exited has arrived.
//
// PTX ISA 9.1, `bar`, `barrier`.

internal import KernelLanguage

/// State of one barrier.
final class NamedBarrier {
  /// Threads that the arrivals of this phase said it takes; nil: all of the block.
  var expected: Int?
  /// By warp.
  var arrived: [LaneMask]
  var waiting: [LaneMask]
  var released: [LaneMask]
  /// Of `bar.red`: lanes whose predicate held.
  var holding: [LaneMask]
  /// How often it was complete.
  var phase = 0
  /// Of the phase before: threads that arrived, and those whose predicate held.
  var result = (threads: 0, holding: 0)
  /// For the report: the last warp that arrived.
  var lastArrival: Int?

  init(warps: Int) {
    arrived = [LaneMask](repeating: 0, count: warps)
    (waiting, released, holding) = (arrived, arrived, arrived)
  }

  var isEmpty: Bool { arrived.allSatisfy { $0 == 0 } }
}

extension ThreadBlock {
  /// Lanes arrive. Throws `barrier` for a count that is not that of the others, and for lanes that arrive twice.
  ///
  /// - Parameters:
  ///   - count: of threads, nil: all of the block.
  ///   - holding: of `bar.red`, lanes whose predicate holds.
  func arrive(
    _ warp: Warp, _ lanes: LaneMask, barrier id: Int, count: Int?, holding: LaneMask, waits: Bool
  ) throws(EmulatorError) {
    let lane = lanes.trailingZeroBitCount
    if let count, count <= 0 || count % 32 != 0 {
      throw EmulatorError(
        .barrier, lane: lane, "barrier \(id) for \(count) threads: the count must be a positive multiple of 32")
    }
    let barrier = barriers[id]
    if barrier.isEmpty {
      barrier.expected = count
    } else if barrier.expected != count {
      func text(_ count: Int?) -> String { count.map { "\($0) threads" } ?? "all threads of the block" }
      throw EmulatorError(
        .barrier, lane: lane,
        "barrier \(id) is for \(text(count)) here, but for \(text(barrier.expected)) to those that have arrived: use "
          + "another barrier, or the same count")
    }
    let again = barrier.arrived[warp.index] & lanes
    guard again == 0 else {
      throw EmulatorError(
        .barrier, lane: again.trailingZeroBitCount,
        "the lane arrives at barrier \(id) again before the phase of its last arrival is complete: use two barriers in "
          + "turn, or wait in between")
    }
    warp.observer?.arrives(warp, lanes, barrier: id)
    barrier.arrived[warp.index] |= lanes
    barrier.holding[warp.index] |= holding & lanes
    if waits { barrier.waiting[warp.index] |= lanes }
    barrier.lastArrival = warp.index
    completeIfPossible(id)
  }

  /// Barriers and blocked warps may have waited for lanes that have exited now.
  func lanesHaveExited() {
    for id in barriers.indices where !barriers[id].isEmpty { completeIfPossible(id) }
    cluster.change()
  }

  private func completeIfPossible(_ id: Int) {
    let barrier = barriers[id]
    if let expected = barrier.expected {
      var count = 0
      for warp in warps {
        let arrived = barrier.arrived[warp.index]
        guard arrived != 0 else { continue }
        count += arrived & warp.live == warp.live ? 32 : arrived.nonzeroBitCount
      }
      guard count >= expected else { return }
    } else {
      for warp in warps where barrier.arrived[warp.index] & warp.live != warp.live { return }
    }
    barrier.phase += 1
    barrier.result = (
      barrier.arrived.reduce(0) { $0 + $1.nonzeroBitCount }, barrier.holding.reduce(0) { $0 + $1.nonzeroBitCount }
    )
    for warp in warps.indices {
      barrier.released[warp] |= barrier.waiting[warp]
      barrier.arrived[warp] = 0
      barrier.waiting[warp] = 0
      barrier.holding[warp] = 0
    }
    cluster.launch.gpu.observer?.completes(self, barrier: id)
    cluster.change()
  }
}
