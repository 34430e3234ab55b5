// Who accesses memory, as the detector counts them: warps, parts of warps, and what asynchronous instructions belong
// to.
//
// Invariant: within a cluster, actor 0 is the grid before, actor `1 + rank * warps + warp` that warp of that block;
// the others follow as they are needed.

/// An actor of a cluster.
enum MemoryActor {
  /// All of the launch before this one.
  case gridBefore
  case warp(rank: Int, warp: Int)
  /// Some lanes of a warp. They access nothing: what they release is known by their clock, so that it does not speak
  /// for the other lanes.
  case lanes(LaneMask, of: Int)
  /// An mbarrier: copies that are complete with a phase of it.
  case barrier(address: UInt64)
  /// `cp.async` of a warp.
  case copies(of: Int)
  /// Bulk groups of one thread: what they read, or all that they do.
  case bulk(lane: Int, of: Int, reads: Bool)
  /// Matrix instructions of a warpgroup or of a thread, which complete group by group.
  case matrix(of: Int)
}

/// The actors of one cluster.
final class ClusterOrder {
  /// In the launch.
  let number: UInt32
  /// By rank, for messages; the cluster itself may have ended.
  let blockNames: [String]
  private(set) var actors: [MemoryActor] = [.gridBefore]
  static let gridBefore = 0
  /// Of warps, by their actor: parts of them that have released something.
  private(set) var parts: [Int: [WarpPart]] = [:]
  /// Accesses before it are before all that the cluster does.
  let floor: Time
  /// Released by `st.release`, `atom`, … in shared memory, or with a scope below the GPU's, by address.
  var released: [UInt64: Knowledge] = [:]

  init(_ cluster: Cluster, number: UInt32, floor: Time) {
    (self.number, self.floor) = (number, floor)
    blockNames = cluster.blocks.map(\.name)
    for block in cluster.blocks {
      for warp in block.warps { actors.append(.warp(rank: block.rank, warp: warp.index)) }
    }
  }

  /// A new actor.
  func add(_ actor: MemoryActor) -> Int {
    actors.append(actor)
    return actors.count - 1
  }

  /// The part of a warp with these lanes; nil if the warp has had too many to tell them apart.
  func part(_ lanes: LaneMask, of warp: Int) -> WarpPart? {
    if let known = parts[warp]?.first(where: { $0.lanes == lanes }) { return known }
    guard parts[warp, default: []].count < 8 else { return nil }
    let part = WarpPart(lanes: lanes, actor: add(.lanes(lanes, of: warp)))
    parts[warp, default: []].append(part)
    return part
  }

  /// The warp that a block and an index in it name.
  func actor(of warp: Warp) -> Int { 1 + warp.block.rank * warp.block.warps.count + warp.index }
}

/// Some lanes of a warp that acted without the others.
final class WarpPart {
  let lanes: LaneMask
  let actor: Int
  /// Up to here their accesses are ordered among themselves.
  var synchronised: Time = 0

  init(lanes: LaneMask, actor: Int) { (self.lanes, self.actor) = (lanes, actor) }
}

/// What is known of one block.
final class BlockOrder {
  /// A meeting: those who leave know what those who came had done.
  struct Meeting {
    var arriving = Knowledge()
    var completed = Knowledge()

    mutating func complete() {
      // Some may leave late, after others have met again: nothing that was known is forgotten.
      completed.join(arriving)
      arriving = Knowledge()
    }
  }

  let shadow: Shadow
  /// By number: `bar.sync`.
  var barriers = [Meeting](repeating: Meeting(), count: 16)
  /// What the threads that have exited had done and knew.
  var exit = Knowledge()
  /// The last access of each warp of another block to this block's shared memory, by its actor.
  private(set) var visits: [Int: Visit] = [:]

  struct Visit {
    var lanes: LaneMask
    var time: Time
    var pc: Int32
  }

  init(bytes: Int) { shadow = Shadow(bytes: bytes) }

  /// Lanes of another block's warp access this block's shared memory now.
  func visit(by order: WarpOrder, _ lanes: LaneMask) {
    let known = visits[order.actor]
    visits[order.actor] = Visit(
      lanes: known?.time == order.epoch ? known!.lanes | lanes : lanes, time: order.epoch, pc: order.warp.pc)
  }
}
