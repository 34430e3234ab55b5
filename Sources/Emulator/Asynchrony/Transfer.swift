// One bulk copy on its way: bytes that lie together at both ends.
//
// PTX ISA 9.1, "Bulk copy", "Completion mechanisms".

internal import KernelLanguage

/// A bulk copy of one thread.
struct Transfer {
  private let warp: Warp
  private let lane: Int
  private let from: MemoryPlace
  private let to: MemoryPlace
  private let count: Int
  private let reduction: BulkReduction?

  init(_ warp: Warp, _ lane: Int, from: MemoryPlace, to: MemoryPlace, _ count: Int, _ reduction: BulkReduction?) {
    (self.warp, self.lane, self.from, self.to) = (warp, lane, from, to)
    (self.count, self.reduction) = (count, reduction)
  }

  private var change: MemoryAccess.Kind { reduction == nil ? .write : .atomic }

  /// Sends it off in pieces, each of which an mbarrier is told of.
  func issue(telling barrier: BarrierObject) throws(EmulatorError) {
    let access = AsynchronousAccess(by: warp, 1 << LaneMask(lane), actor: barrier.actor)
    try access?.begin(.read, at: from, count, needsData: from.isShared)
    try access?.begin(change, at: to, count)
    barrier.issue(count)
    let launch = warp.launch
    launch.counters.pointee.asynchronousBytes += count
    let (from, to, change, reduction) = (from, to, change, reduction)
    for (start, length) in Transfer.pieces(count, of: 16, launch) {
      launch.later(warp) { [gpu = launch.gpu] () throws(EmulatorError) in
        let (source, target) = (from + start, to + start)
        Transfer.move(
          try source.bytes(length, on: gpu), to: try target.bytes(length, on: gpu), length, reduction)
        let time = access.map { _ in gpu.detector!.tick() }
        access?.end(.read, at: source, length, time: time)
        access?.end(change, at: target, length, time: time)
        if reduction == nil { access?.carry(from: source, to: target, length) }
        try barrier.land(length, knowledge: access?.knowledge)
      }
    }
  }

  /// Sends it off as a part of the thread's bulk group: first the source is read, later the target written.
  func issueInGroup() throws(EmulatorError) {
    let group = warp.groups.bulk(lane)
    let current = group.issue(by: warp, lane)
    let lanes: LaneMask = 1 << LaneMask(lane)
    let reading = AsynchronousAccess(by: warp, lanes, actor: group.readActor)
    let writing = AsynchronousAccess(by: warp, lanes, actor: group.actor)
    try reading?.begin(.read, at: from, count, needsData: true)
    try writing?.begin(change, at: to, count)
    let launch = warp.launch
    launch.counters.pointee.asynchronousBytes += count
    let (place, cluster) = (warp.place(), warp.block.cluster)
    let (from, to, count, change, reduction) = (from, to, count, change, reduction)
    launch.later(warp) { [unowned launch] () throws(EmulatorError) in
      let source = try from.bytes(count, on: launch.gpu)
      let bytes = [UInt8](UnsafeRawBufferPointer(start: source, count: count))
      reading?.end(.read, at: from, count)
      current.reading -= 1
      launch.effects.append(
        PendingEffect(place: place, cluster: cluster, chain: nil) { () throws(EmulatorError) in
          let target = try to.bytes(count, on: launch.gpu)
          bytes.withUnsafeBytes { Transfer.move($0.baseAddress!, to: target, count, reduction) }
          writing?.end(change, at: to, count)
          current.writing -= 1
        })
    }
  }

  static func move(
    _ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, _ count: Int, _ reduction: BulkReduction?
  ) {
    if let reduction {
      reduction.apply(source, to: target, count)
    } else {
      target.copyMemory(from: source, byteCount: count)
    }
  }

  /// Some pieces of `count` bytes, each a multiple of `unit`, as the seed has it: a copy may land bit by bit.
  static func pieces(_ count: Int, of unit: Int, _ launch: Launch) -> [(start: Int, length: Int)] {
    let units = count / unit
    let draw = launch.random.next() as UInt64
    let pieces = min(units, [1, 1, 2, 3][Int(draw & 3)])
    return (0..<pieces).map { piece in
      let (start, end) = (units * piece / pieces * unit, units * (piece + 1) / pieces * unit)
      return (start, end - start)
    }
  }
}

/// Which blocks a copy goes to, and whose mbarriers it tells.
enum BulkTargets {
  /// With a mask, the same places in all blocks of it; else the block that the address names.
  ///
  /// - Parameter pairs: with `.cta_group::2` the mbarrier may be in the other block of an even and odd pair.
  static func blocks(
    _ warp: Warp, _ lane: Int, target: ThreadBlock, barrier: BarrierObject, mask: Int?, pairs: Bool
  ) throws(EmulatorError) -> [(ThreadBlock, BarrierObject)] {
    guard let mask else {
      guard barrier.block === target || pairs && barrier.block.rank ^ 1 == target.rank else {
        throw EmulatorError(
          .barrier, lane: lane,
          "a copy to block \(target.name) must tell an mbarrier of that block, not of block \(barrier.block.name)")
      }
      return [(target, barrier)]
    }
    let cluster = warp.block.cluster
    guard mask > 0, mask < 1 << cluster.blocks.count else {
      throw EmulatorError(
        .outOfBounds, lane: lane,
        "the multicast mask 0x\(String(mask, radix: 16)) names blocks that a cluster of \(cluster.blocks.count) does "
          + "not have, "
          + "or none")
    }
    var result: [(ThreadBlock, BarrierObject)] = []
    for block in cluster.blocks where mask >> block.rank & 1 == 1 {
      guard !block.isFinished else {
        throw EmulatorError(
          .exitedPeer, lane: lane,
          "a copy goes to block \(block.name), which has exited: let the blocks of a cluster end together, with "
            + "barrier.cluster.arrive and barrier.cluster.wait")
      }
      // In a pair, the mbarrier is in the block of the same parity as the one that was named.
      let owner = pairs ? cluster.blocks[block.rank & ~1 | barrier.block.rank & 1] : block
      guard let told = owner.memoryBarriers[barrier.offset] else {
        throw EmulatorError(
          .barrier, lane: lane,
          "there is no mbarrier at shared 0x\(String(barrier.offset, radix: 16)) of block \(owner.name), which the "
            + "copy to block "
            + "\(block.name) must tell: initialise it there, too, before the copy is issued")
      }
      if told !== barrier { try told.requireVisible(to: warp, 1 << LaneMask(lane), asynchronously: true) }
      result.append((block, told))
    }
    return result
  }
}
