// The detector of races, of data that nobody has written, and of missing proxy fences.
//
// It follows one run of a program, in the order in which the emulator happens to do things, and compares each access
// with the last ones to the same bytes: those that conflict must be ordered by what the program did in between,
// whatever the order of this run. Invariant: what it reports is a fault of the program; not all faults are found.
//
// The order is that of PTX's memory model, simplified to what can only hide faults: program order within a lane,
// warp-level synchronisation, barriers, mbarriers, completion of asynchronous instructions, release and acquire with
// fences and atomics. What the generic proxy wrote and
// the async proxy reads or overwrites needs a proxy fence on the way, too.
//
// PTX ISA 9.1, "Memory Consistency Model" and "Asynchronous operations"; Flanagan and Freund, "FastTrack" (2009).

internal import KernelLanguage

/// Watches all accesses of an emulated GPU.
final class RaceDetector: MemoryObserver {
  let global = GlobalShadow()
  /// Released in global memory by `st.release`, `atom`, …, by address.
  private var released: [UInt64: [UInt32: Clocks]] = [:]
  /// Accesses in global memory before it are before all of the launch that runs.
  @exclusivity(unchecked) private(set) var floor: Time = 0
  /// Accesses until then are ordered in any case. Later ones, up to `floor`, are those of the grid before, which this
  /// one may overlap: they are before what follows `griddepcontrol.wait`.
  @exclusivity(unchecked) private(set) var settled: Time = 0
  /// Of the grid before.
  private(set) var kernelBefore: DecodedKernel?
  @exclusivity(unchecked) private var now: Time = 1
  private var clusters: [UInt32: ClusterOrder] = [:]
  private var clusterCount: UInt32 = 0
  private(set) var kernel: DecodedKernel?

  /// A time later than all before.
  func tick() -> Time {
    now += 1
    return now
  }

  /// The actors of a cluster of this launch.
  func cluster(_ number: UInt32) -> ClusterOrder? { clusters[number] }

  // MARK: Device memory, by the host

  func hostAllocated(_ address: UInt64, _ count: Int) {}
  func hostFreed(_ address: UInt64, _ count: Int) { global.free(address, count) }
  func hostWrote(_ address: UInt64, _ count: Int) { global.mark(address, count, initialised: true) }

  // MARK: Life

  func launchBegins(_ launch: Launch) {
    // Times must not run out: long before, all are given up, as all are before the launch anyway.
    if now > 1 << 31 {
      global.forget()
      (now, floor) = (1, 0)
    }
    settled = floor
    floor = tick()
    if !launch.configuration.overlapsPrevious { settled = floor }
    kernelBefore = kernel
    released = [:]
    clusters = [:]
    clusterCount = 0
    kernel = launch.kernel
  }

  func launchEnds(_ launch: Launch) { clusters = [:] }

  func begins(_ cluster: Cluster) {
    clusterCount += 1
    let order = ClusterOrder(cluster, number: clusterCount, floor: tick())
    cluster.order = order
    clusters[order.number] = order
    for block in cluster.blocks {
      let blockOrder = BlockOrder(bytes: block.sharedBytes)
      block.order = blockOrder
      for warp in block.warps { warp.order = WarpOrder(warp, in: order, blockOrder, of: self) }
    }
  }

  func ends(_ cluster: Cluster) { cluster.order?.released = [:] }

  func exits(_ warp: Warp, _ lanes: LaneMask) throws(EmulatorError) {
    guard let order = warp.order, let block = warp.block.order else { return }
    try warp.groups.requireRead(lanes)
    order.release(lanes, into: &block.exit)
    order.shrink()
    guard warp.block.isFinished else { return }
    for (actor, visit) in block.visits.sorted(by: { $0.key < $1.key }) {
      let parts = (order.cluster.parts[actor] ?? []).filter { visit.lanes & ~$0.lanes == 0 }
      let isKnown = ([actor] + parts.map(\.actor)).contains { block.exit.own.seen[$0] >= visit.time }
      guard isKnown else {
        throw EmulatorError(
          .exitedPeer,
          "block \(warp.block.name) exits, and nothing orders that behind what "
            + "\(order.cluster.name(of: actor, lane: visit.lanes.trailingZeroBitCount)) did in its shared memory, "
            + "instruction "
            + "\(visit.pc) `\(warp.kernel.instructions[Int(visit.pc)])`: let the blocks of a cluster end together, "
            + "with "
            + "barrier.cluster.arrive and barrier.cluster.wait")
      }
    }
    for barrier in warp.block.memoryBarriers.values.sorted(by: { $0.offset < $1.offset }) {
      try barrier.requireSettled(block.exit)
    }
  }

  // MARK: Order

  /// `griddepcontrol.wait`: the grid before has ended, and what it did can be read.
  func waitsForPreviousGrid(_ warp: Warp, _ lanes: LaneMask) {
    warp.order?.acquire(lanes, actor: ClusterOrder.gridBefore, upTo: floor)
  }

  func synchronises(_ warp: Warp, _ lanes: LaneMask) { warp.order?.synchronise(lanes) }

  func arrives(_ warp: Warp, _ lanes: LaneMask, barrier id: Int) {
    guard let block = warp.block.order else { return }
    warp.order?.release(lanes, into: &block.barriers[id].arriving)
  }

  func completes(_ block: ThreadBlock, barrier id: Int) {
    block.order?.barriers[id].complete()
  }

  func leaves(_ warp: Warp, _ lanes: LaneMask, barrier id: Int) {
    guard let block = warp.block.order else { return }
    warp.order?.acquire(lanes, block.barriers[id].completed)
    warp.order?.synchronise(lanes)
  }

  func fences(_ warp: Warp, _ lanes: LaneMask, scope: MemoryAccess.Scope) { warp.order?.fence(lanes) }

  // MARK: Accesses of warps

  func access(
    _ access: MemoryAccess, at addresses: UnsafePointer<UInt64>, by warp: Warp
  ) throws(EmulatorError) {
    guard let order = warp.order else { return }
    var flags: AccessRecord.Flags = access.kind == .read ? [] : .write
    if access.order != .weak || access.kind == .atomic { flags.insert(.atomic) }
    let by = Accessor(
      order, flags: flags, lanes: access.lanes, actor: order.actor, time: order.epoch, pc: warp.pc, in: self)
    let first = addresses[access.lanes.trailingZeroBitCount]
    if access.lanes == .max, access.bytes <= 16, RaceDetector.isCoalesced(addresses, first, access.bytes),
      access.space == .shared || Int(first) & (GlobalShadow.pageBytes - 1) + 32 * access.bytes <= GlobalShadow.pageBytes
    {
      try coalesced(access, first, by)
    } else if access.bytes <= 16 {
      try scattered(access, addresses, by)
    } else {
      try wide(access, addresses, by)
    }
    if flags.contains(.atomic) { synchronise(access, addresses, order) }
  }

  /// Whether lane after lane has the next bytes.
  @inline(__always)
  private static func isCoalesced(_ addresses: UnsafePointer<UInt64>, _ first: UInt64, _ bytes: Int) -> Bool {
    var difference: UInt64 = 0
    for lane in 0..<32 { difference |= addresses[lane] ^ (first &+ UInt64(truncatingIfNeeded: lane &* bytes)) }
    return difference == 0
  }

  /// All lanes, one behind the other.
  private func coalesced(_ access: MemoryAccess, _ first: UInt64, _ by: Accessor) throws(EmulatorError) {
    let (window, offset) = window(access.space, first, by)
    let shift = access.bytes.trailingZeroBitCount
    let end = offset &+ 32 &* access.bytes
    var (place, lane) = (offset, 0)
    while place < end {
      let start = place & 15
      let count = min(16 &- start, end &- place)
      try check(
        access, window, place >> granuleShift, Shadow.mask(start, count), .consecutive(lane, at: start, shift: shift),
        by)
      lane &+= count >> shift
      place &+= count
    }
  }

  /// Lanes that touch the same granule, one after the other, are checked together.
  private func scattered(
    _ access: MemoryAccess, _ addresses: UnsafePointer<UInt64>, _ by: Accessor
  ) throws(EmulatorError) {
    let shift = access.bytes.trailingZeroBitCount
    var rest = access.lanes
    while rest != 0 {
      let lane = rest.trailingZeroBitCount
      rest &= rest - 1
      let address = addresses[lane]
      let granule = address >> UInt64(granuleShift)
      let start = Int(address) & 15
      var bytes = Shadow.mask(start, access.bytes)
      var pattern = LanePattern.consecutive(lane, at: start, shift: shift)
      while rest != 0 {
        let other = rest.trailingZeroBitCount
        guard addresses[other] >> UInt64(granuleShift) == granule else { break }
        let place = Int(addresses[other]) & 15
        let mask = Shadow.mask(place, access.bytes)
        if bytes & mask != 0 {
          pattern = .shared(first: lane)
        } else if pattern != .consecutive(other, at: place, shift: shift), !pattern.isShared {
          pattern = .irregular(first: lane)
        }
        bytes |= mask
        rest &= rest - 1
      }
      let (window, offset) = window(access.space, address, by)
      try check(access, window, offset >> granuleShift, bytes, pattern, by)
    }
  }

  /// Lanes with more than a granule each, one after the other.
  private func wide(
    _ access: MemoryAccess, _ addresses: UnsafePointer<UInt64>, _ by: Accessor
  ) throws(EmulatorError) {
    var rest = access.lanes
    while rest != 0 {
      let lane = rest.trailingZeroBitCount
      rest &= rest - 1
      for start in stride(from: 0, to: access.bytes, by: 16) {
        let (window, offset) = window(access.space, addresses[lane] + UInt64(start), by)
        try check(access, window, offset >> granuleShift, .max, .consecutive(lane, at: 0, shift: 4), by)
      }
    }
  }

  /// An access to bytes of one granule.
  @inline(__always)
  private func check(
    _ access: MemoryAccess, _ window: Shadow.Window, _ granule: Int, _ bytes: UInt16, _ lanes: LanePattern,
    _ by: Accessor
  ) throws(EmulatorError) {
    let missing = bytes & ~window.initialised[granule]
    if missing != 0 {
      guard access.kind == .write else { throw uninitialised(missing, lanes, window, granule, by) }
      window.initialised[granule] |= bytes
    }
    try check(window, granule, bytes, lanes, by)
  }

  /// The shadow of an address, which the machine has found to exist, and the byte in it.
  @inline(__always)
  private func window(_ space: MemorySpace, _ address: UInt64, _ by: Accessor) -> (Shadow.Window, Int) {
    if space == .global { return (global.page(address).window, Int(address) & (GlobalShadow.pageBytes - 1)) }
    let block = by.order.warp.block
    let rank = Int(address >> UInt64(AddressMap.rankShift))
    let offset = Int(address & UInt64(AddressMap.offsetMask))
    if rank == block.rank { return (by.order.shadow.window, offset) }
    let owner = block.cluster.blocks[rank].order!
    owner.visit(by: by.order, by.lanes)
    return (owner.shadow.window, offset)
  }

  // MARK: Strong accesses

  /// Strong accesses pass on what their warps know: those that release or come after a fence to those that acquire or
  /// come before one, at the same address.
  private func synchronise(_ access: MemoryAccess, _ addresses: UnsafePointer<UInt64>, _ order: WarpOrder) {
    // What is released with a scope below the GPU's stays in the cluster.
    let isLocal = access.space == .shared || access.scope < .gpu
    let nothing = order.cluster.released.isEmpty && (access.space == .shared || released.isEmpty)
    if nothing, !access.order.releases, !order.hasFenced { return }
    var found: Knowledge?
    var rest = access.lanes
    while rest != 0 {
      let lane = rest.trailingZeroBitCount
      rest &= rest - 1
      let address = addresses[lane]
      if access.kind != .write, !nothing, let known = knowledge(at: address, access.scope, order.cluster) {
        if access.order.acquires {
          order.acquire(1 << LaneMask(lane), known)
        } else {
          order.meet(1 << LaneMask(lane), known)
        }
      }
    }
    guard access.kind != .read else { return }
    if access.order.releases {
      var all = Knowledge()
      order.release(access.lanes, into: &all)
      found = all
    } else if order.hasFenced {
      var all = Knowledge()
      order.releaseFenced(access.lanes, into: &all)
      found = all
    }
    rest = access.lanes
    while rest != 0 {
      let address = addresses[rest.trailingZeroBitCount]
      rest &= rest - 1
      // A store ends what was released here before; a read-modify-write goes on with it.
      if access.kind == .write {
        order.cluster.released[address] = nil
        if access.space == .global { released[address] = nil }
      }
      if let found {
        if isLocal {
          order.cluster.released[address, default: Knowledge()].join(found)
        } else {
          released[address, default: [:]].merge(found.byCluster(own: order.cluster.number)) { old, new in
            old.joined(new)
          }
        }
      }
    }
  }

  /// What was released at an address, as a cluster knows it. A scope below the GPU's meets the cluster's own releases
  /// only.
  private func knowledge(
    at address: UInt64, _ scope: MemoryAccess.Scope, _ cluster: ClusterOrder
  ) -> Knowledge? {
    let local = cluster.released[address]
    guard var clocks = released[address] else { return local }
    if scope < .gpu { clocks = clocks.filter { $0.key == cluster.number } }
    var known = Knowledge(clocks, own: cluster.number)
    if let local { known.join(local) }
    return known
  }
}
