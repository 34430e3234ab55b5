// What the machine tells a detector of races: each access to shared and global memory, and all that orders them.
//
// Invariant: an access is told before it takes place, so that nothing is changed when the observer throws. Calls are in the
// order in which the emulator does things, which is one legal order of the program.

internal import Core

/// Lanes of one warp access memory, each `bytes` bytes at an address of its own.
struct MemoryAccess {
  enum Kind: UInt8, Hashable {
    case read, write
    /// Reads and writes as one: `atom`, `red`.
    case atomic
  }

  enum Order: UInt8, Hashable {
    case weak, relaxed, acquire, release, acquireRelease

    var acquires: Bool { self == .acquire || self == .acquireRelease }
    var releases: Bool { self == .release || self == .acquireRelease }
  }

  enum Scope: UInt8, Hashable, Comparable {
    case cta, cluster, gpu, system

    static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  }

  /// Global or shared; other spaces are nobody else's.
  var space: MemorySpace
  var kind: Kind
  var order: Order = .weak
  var scope: Scope = .gpu
  /// Of each lane.
  var bytes: Int
  var lanes: LaneMask
}

/// Hears of everything in the generic proxy. Asynchronous instructions tell their detector themselves.
protocol MemoryObserver: AnyObject {
  // MARK: Device memory, by the host
  func hostAllocated(_ address: UInt64, _ count: Int)
  func hostFreed(_ address: UInt64, _ count: Int)
  func hostWrote(_ address: UInt64, _ count: Int)

  // MARK: Life
  func launchBegins(_ launch: Launch)
  func launchEnds(_ launch: Launch)
  func begins(_ cluster: Cluster)
  func ends(_ cluster: Cluster)
  /// Lanes have exited. Throws if their block must not end like this.
  func exits(_ warp: Warp, _ lanes: LaneMask) throws(EmulatorError)

  // MARK: Memory
  /// `addresses[lane]` is valid for the lanes of the access: a global address, or one in `.shared`, which names the block
  /// (`AddressMap`).
  func access(
    _ access: MemoryAccess, at addresses: UnsafePointer<UInt64>, by warp: Warp
  ) throws(EmulatorError)

  // MARK: Order
  /// `bar.warp.sync`, `shfl.sync`, `vote.sync`, …: what each lane did before is before what each does after.
  func synchronises(_ warp: Warp, _ lanes: LaneMask)
  /// Lanes arrive at barrier `id` of their block.
  func arrives(_ warp: Warp, _ lanes: LaneMask, barrier id: Int)
  /// Barrier `id` is complete: what these warps did before they arrived is before what those that wait do after.
  func completes(_ block: ThreadBlock, barrier id: Int)
  /// Lanes leave barrier `id`, which was completed.
  func leaves(_ warp: Warp, _ lanes: LaneMask, barrier id: Int)
  /// `membar`, `fence.sc`, `fence.acq_rel`.
  func fences(_ warp: Warp, _ lanes: LaneMask, scope: MemoryAccess.Scope)
}
