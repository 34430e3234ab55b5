// Running a warp: the loop over its instructions, divergence and convergence.
//
// Invariant: of the fragments that can run, the one at the lowest instruction runs, so that lanes that left a loop early wait
// behind it for the others; fragments that come to the same instruction become one. Blocked lanes let the others run.

internal import KernelLanguage

extension Warp {
  /// Whether some lanes can go on.
  var canRun: Bool { fragments.contains(where: isRunnable) }

  private func isRunnable(_ fragment: Fragment) -> Bool {
    fragment.wait == nil || fragment.changes != block.cluster.changes
  }

  /// Runs up to `budget` instructions, fewer if all lanes block or exit. Returns how many.
  func run(_ budget: Int) throws(EmulatorError) -> Int {
    var left = budget
    while left > 0, let index = pick() { try run(index, &left) }
    return budget - left
  }

  /// The fragment to run: that at the lowest instruction, after those at the same one were put together.
  private func pick() -> Int? {
    if fragments.count == 1 { return isRunnable(fragments[0]) ? 0 : nil }
    merge()
    let candidates = fragments.indices.filter { isRunnable(fragments[$0]) }
    picks = progressAtPick == launch.progress ? picks + 1 : 0
    progressAtPick = launch.progress
    if picks > 256, let other = candidates.randomElement(using: &launch.random) {
      picks = 0
      return other
    }
    return candidates.min { fragments[$0].pc < fragments[$1].pc }
  }

  private func merge() {
    var first = 0
    while first < fragments.count {
      var second = first + 1
      while second < fragments.count {
        if fragments[second].pc == fragments[first].pc {
          fragments[first].lanes |= fragments[second].lanes
          fragments[first].wait = nil
          fragments.remove(at: second)
        } else {
          second += 1
        }
      }
      first += 1
    }
  }

  /// Runs a fragment until it blocks, splits, exits, or meets another one.
  private func run(_ index: Int, _ left: inout Int) throws(EmulatorError) {
    let mask = fragments[index].lanes
    fragmentLanes = mask
    var next = fragments[index].pc
    let isAlone = fragments.count == 1
    // Where the nearest other lanes wait, ahead of these.
    let limit = isAlone ? Int32.max : fragments.lazy.map(\.pc).filter { $0 > next }.min() ?? .max
    fragments[index].wait = nil
    let code = kernel.code
    let executions = launch.executions
    while left > 0, next < limit {
      pc = next
      left -= 1
      let instruction = code + Int(next)
      var lanes = mask
      if instruction.pointee.guardOffset >= 0 {
        let missing = mask & ~valid[Int(instruction.pointee.guardIndex)]
        if missing != 0 { try requireGuard(instruction.pointee.guardIndex, missing) }
        let bits = (file + Int(instruction.pointee.guardOffset)).load(as: UInt32.self)
        lanes &= instruction.pointee.guardIsNegated ? ~bits : bits
        if lanes == 0 {
          next += 1
          continue
        }
      }
      executions[Int(next)] += 1
      switch try instruction.pointee.step(self, lanes) {
      case .next: next += 1
      case .jump(let target):
        guard lanes == mask else {
          fragments[index].lanes = mask & ~lanes
          fragments[index].pc = next + 1
          fragments.append(Fragment(lanes: lanes, pc: target))
          return
        }
        next = target
        if !isAlone {
          fragments[index].pc = next
          return
        }
      case .exit:
        exit(lanes)
        fragments[index].lanes = mask & ~lanes
        fragments[index].pc = next + 1
        if mask == lanes { fragments.remove(at: index) }
        try observer?.exits(self, lanes)
        if isFinished, block.isFinished { try block.end() }
        // Others may have waited for these lanes.
        for other in fragments.indices { fragments[other].wait = nil }
        block.lanesHaveExited()
        return
      case .blocked:
        executions[Int(next)] -= 1
        counters.pointee.barrierWaits += 1
        fragments[index] = Fragment(lanes: lanes, pc: next, wait: wait, changes: block.cluster.changes)
        if lanes != mask { fragments.append(Fragment(lanes: mask & ~lanes, pc: next + 1)) }
        return
      }
    }
    fragments[index].pc = next
  }

  private func requireGuard(_ index: Int32, _ missing: LaneMask) throws(EmulatorError) {
    throw EmulatorError(
      .uninitialised, lane: missing.trailingZeroBitCount,
      "the guard \(kernel.registerNames[Int(index)]) is read, but nothing was written to it before: set it with setp")
  }
}
