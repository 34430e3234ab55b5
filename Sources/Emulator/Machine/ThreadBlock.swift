// Blocks of threads and clusters of blocks.
//
// Invariant: the blocks of a cluster begin together. A block's shared memory stays until its cluster has ended, so an access to
// the memory of a peer that has exited finds `isFinished` set and is reported, instead of hitting something else.

internal import KernelLanguage

/// Blocks that run at the same time and read each other's shared memory.
final class Cluster {
  unowned(unsafe) let launch: Launch
  /// Among the clusters of the grid.
  let index: Extent
  /// By rank.
  private(set) var blocks: [ThreadBlock] = []
  /// Counted up whenever something has happened that blocked warps may have waited for.
  private(set) var changes = 0
  /// `barrier.cluster`
  private(set) lazy var barrier = ClusterBarrier(self)
  /// What the detector of races knows; nil without one. The same of blocks and warps.
  var order: ClusterOrder?
  /// Warps that cannot run before the next change.
  private var parked: [Warp] = []

  /// - Parameter index: from 0 along each axis.
  init(_ launch: Launch, index: Extent) {
    (self.launch, self.index) = (launch, index)
    let extent = launch.configuration.cluster
    for z in 0..<extent.z {
      for y in 0..<extent.y {
        for x in 0..<extent.x {
          let place = Extent(index.x * extent.x + x, index.y * extent.y + y, index.z * extent.z + z)
          blocks.append(ThreadBlock(self, index: place, rank: blocks.count))
        }
      }
    }
    for block in blocks { block.makeWarps() }
  }

  /// Lets blocked warps be tried again: to be called by whatever changes what they may wait for.
  func change() {
    changes += 1
    launch.progress += 1
    guard !parked.isEmpty else { return }
    launch.runnable += parked
    parked.removeAll(keepingCapacity: true)
  }

  /// A warp that can run only after a change.
  func park(_ warp: Warp) { parked.append(warp) }

  var isFinished: Bool { blocks.allSatisfy(\.isFinished) }
}

/// A block of threads and its shared memory.
final class ThreadBlock {
  unowned(unsafe) let cluster: Cluster
  /// `%ctaid`
  let index: Extent
  /// `%cluster_ctarank`
  let rank: Int
  /// From address 0 of the block on; the first `Chip.reservedSharedBytes` belong to the system.
  let shared: UnsafeMutableRawPointer
  /// With those of the system.
  let sharedBytes: Int
  /// The multiprocessor that it runs on: `%smid`.
  let multiprocessor: Int
  private(set) var warps: [Warp] = []
  var order: BlockOrder?
  /// Made by the first `setmaxnreg`.
  var registers: RegisterPool?
  /// mbarriers in use, by their place in shared memory.
  var memoryBarriers: [Int: BarrierObject] = [:]
  /// What it has done with `wgmma`, and with tensor memory; nil: nothing.
  var matrixState: MatrixState?
  /// `bar.sync 0` to 15.
  private(set) var barriers: [NamedBarrier] = []

  init(_ cluster: Cluster, index: Extent, rank: Int) {
    (self.cluster, self.index, self.rank) = (cluster, index, rank)
    let launch = cluster.launch
    sharedBytes = launch.sharedBytes
    shared = .allocate(byteCount: sharedBytes, alignment: 1024)
    shared.initializeMemory(as: UInt8.self, repeating: 0xA5, count: sharedBytes)
    let grid = launch.configuration.grid
    multiprocessor = (index.x + grid.x * (index.y + grid.y * index.z)) % launch.chip.multiprocessors
  }

  deinit { shared.deallocate() }

  fileprivate func makeWarps() {
    let threads = cluster.launch.configuration.block.count
    for first in stride(from: 0, to: threads, by: 32) {
      let lanes: LaneMask = threads - first >= 32 ? .max : (1 << UInt32(threads - first)) - 1
      warps.append(Warp(warps.count, of: self, lanes: lanes))
    }
    barriers = (0..<16).map { _ in NamedBarrier(warps: warps.count) }
  }

  /// `(x, y, z)`, for messages.
  var name: String { "(\(index.x), \(index.y), \(index.z))" }
  var isFinished: Bool { warps.allSatisfy(\.isFinished) }

  /// The bytes at an address in `.shared::cta` or `.shared::cluster` of this block, with the block that they belong to.
  ///
  /// Throws `outOfBounds` for what is in no block's shared memory, `exitedPeer` for what is in one that has ended.
  @inline(__always)
  func resolve(
    shared address: UInt64, _ count: Int, lane: Int? = nil
  ) throws(EmulatorError) -> (block: ThreadBlock, bytes: UnsafeMutableRawPointer) {
    let offset = Int(address & UInt64(AddressMap.offsetMask))
    let owner = Int(address >> UInt64(AddressMap.rankShift))
    if owner == rank, offset >= Chip.reservedSharedBytes, offset + count <= sharedBytes {
      return (self, shared + offset)
    }
    return try resolvePeer(address, count, lane: lane)
  }

  private func resolvePeer(
    _ address: UInt64, _ count: Int, lane: Int?
  ) throws(EmulatorError) -> (block: ThreadBlock, bytes: UnsafeMutableRawPointer) {
    let offset = Int(address & UInt64(AddressMap.offsetMask))
    let owner = Int(address >> UInt64(AddressMap.rankShift))
    let text = "0x" + String(address, radix: 16)
    guard owner < cluster.blocks.count else {
      throw EmulatorError(
        .outOfBounds, lane: lane,
        "\(count) bytes at shared address \(text) are in no block: it names block \(owner) of a cluster of "
          + "\(cluster.blocks.count)")
    }
    let block = cluster.blocks[owner]
    guard offset >= Chip.reservedSharedBytes, offset + count <= block.sharedBytes else {
      let (first, end) = (Chip.reservedSharedBytes, block.sharedBytes)
      throw EmulatorError(
        .outOfBounds, lane: lane,
        "\(count) bytes at shared address \(text) are outside of the block's \(end - first) bytes, which are "
          + "0x\(String(first, radix: 16)) up to 0x\(String(end, radix: 16)): mend the index, or launch with more "
          + "dynamic shared memory")
    }
    guard !block.isFinished else {
      throw EmulatorError(
        .exitedPeer, lane: lane,
        "\(count) bytes at shared address \(text) belong to block \(block.name), which has exited: let the blocks of "
          + "a cluster end together, with barrier.cluster.arrive and barrier.cluster.wait")
    }
    return (block, block.shared + offset)
  }
}
