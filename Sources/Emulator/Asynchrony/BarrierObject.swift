// An mbarrier in a block's shared memory: its counts, who arrived, what arrivals let waiters know, and which copies
// are still on their way to it.
//
// Invariant: its 8 bytes belong to mbarrier instructions alone: the shadow has them as never written, so that loads of
// them are refused, and stores to them are noticed by the next mbarrier instruction.
//
// PTX ISA 9.1, "mbarrier"; "Asynchronous operations".

internal import KernelLanguage

/// An mbarrier that is in use.
final class BarrierObject: Waitable {
  private(set) var state: MemoryBarrier
  unowned let block: ThreadBlock
  /// In the block's shared memory.
  let offset: Int
  /// Whether a fence has made the initialisation visible to other blocks and to the async proxy.
  private(set) var isFenced = false
  /// Bytes that copies were issued for and have not brought.
  private(set) var inFlight = 0
  private var lastArrival = "nobody has arrived"
  /// Arrivals of the phase by threads of other blocks, and of the phase before.
  private var (hasRemote, hadRemote) = (false, false)

  // MARK: For the detector of races

  /// Among the cluster's actors; -1 without a detector.
  private(set) var actor = -1
  /// Another one: who knows it up to a time knows that the phases until then are complete.
  private var phases = -1
  private var initialiser: (order: WarpOrder, lanes: LaneMask, time: Time)?
  /// What arrivals so far release, and what those of complete phases did.
  private var arriving = Knowledge()
  private var completed = Knowledge()
  /// When the last copy came.
  private var landed: Time = 0
  /// When each phase was complete.
  private var completions: [Time] = []

  /// `mbarrier.init` by a lane of a warp.
  init(count: Int, in block: ThreadBlock, at offset: Int, by warp: Warp, _ lanes: LaneMask) throws(EmulatorError) {
    do { state = try MemoryBarrier(count: count) } catch { throw EmulatorError(error.code, error.problem) }
    (self.block, self.offset) = (block, offset)
    if let order = warp.order, let cluster = block.cluster.order {
      actor = cluster.add(.barrier(address: UInt64(offset)))
      phases = cluster.add(.barrier(address: UInt64(offset)))
      initialiser = (order, lanes, order.epoch)
    }
  }

  var waitDescription: String {
    let bytes = state.transactions == 0 ? "" : ", \(state.transactions) bytes outstanding"
    return "mbarrier at shared 0x\(String(offset, radix: 16)) of block \(block.name): phase \(state.phase), "
      + "\(state.pending) of \(state.expected) arrivals pending\(bytes); \(lastArrival)"
  }

  /// Whether all have arrived, and only bytes are missing, which no copy will bring.
  var lacksBytes: Bool { state.pending == 0 && state.transactions != 0 && inFlight == 0 }

  private var name: String { "the mbarrier at shared 0x\(String(offset, radix: 16)) of block \(block.name)" }

  // MARK: Fences and visibility

  /// `fence.mbarrier_init`, `fence.proxy.async` by lanes that know of the initialisation.
  func fence(by warp: Warp, _ lanes: LaneMask) { if isInitialisationKnown(to: warp, lanes) { isFenced = true } }

  private func isInitialisationKnown(to warp: Warp, _ lanes: LaneMask) -> Bool {
    guard let initialiser, let order = warp.order else { return true }
    return order.knows(initialiser.order, initialiser.lanes, initialiser.time, lanes)
  }

  /// Throws if these lanes, or the async proxy for them, cannot be sure to find an initialised mbarrier.
  func requireVisible(to warp: Warp, _ lanes: LaneMask, asynchronously: Bool) throws(EmulatorError) {
    guard isInitialisationKnown(to: warp, lanes) else {
      throw EmulatorError(
        .race, lane: lanes.trailingZeroBitCount,
        "\(name) is used, and nothing orders that behind its mbarrier.init: put bar.sync (or, for other blocks, "
          + "barrier.cluster.arrive and barrier.cluster.wait) in between")
    }
    guard isFenced || !asynchronously && warp.block === block else {
      throw EmulatorError(
        .missingProxyFence, lane: lanes.trailingZeroBitCount,
        "\(name) is used by \(asynchronously ? "a copy" : "another block"), but no fence has made its mbarrier.init "
          + "visible "
          + "there: put fence.mbarrier_init.release.cluster behind mbarrier.init, in the same thread")
    }
    try requireUntouched(lanes)
  }

  private func requireUntouched(_ lanes: LaneMask) throws(EmulatorError) {
    guard let shadow = block.order?.shadow else { return }
    let written = shadow.initialised[offset >> granuleShift] & Shadow.mask(offset & 15, 8)
    guard written == 0 else {
      throw EmulatorError(
        .barrier, lane: lanes.trailingZeroBitCount,
        "\(name) was overwritten by an instruction that is none of an mbarrier: keep its 8 bytes apart from data, or "
          + "end it "
          + "with mbarrier.inval first")
    }
  }

  // MARK: Arrivals

  /// `mbarrier.arrive` by one lane. Returns the state before it.
  func arrive(_ arrival: Arrival, by warp: Warp, lane: Int) throws(EmulatorError) -> UInt64 {
    let before = state
    try change(lane) { (state: inout MemoryBarrier) throws(MemoryBarrier.Fault) in
      if arrival.expects > 0 { try state.expect(arrival.expects) }
      if arrival.completes {
        try state.arrive(arrival.count, dropping: arrival.drops)
      } else {
        try state.arriveWithoutCompleting(arrival.count)
      }
    }
    lastArrival = "warp \(warp.index) lane \(lane) of block \(warp.block.name) arrived last"
    if warp.block !== block { hasRemote = hasRemote || arrival.releases }
    try settle(from: before, lane, order: warp.order, lanes: 1 << LaneMask(lane))
    return before.token
  }

  /// What an arriving thread says.
  struct Arrival {
    var count = 1
    /// Bytes that it expects before it arrives.
    var expects = 0
    var drops = false
    var completes = true
    var releases = true
  }

  /// What lanes that are about to arrive release.
  func release(by warp: Warp, _ lanes: LaneMask, releases: Bool) {
    guard let order = warp.order else { return }
    if releases { order.release(lanes, into: &arriving) } else { order.releaseFenced(lanes, into: &arriving) }
  }

  /// `mbarrier.expect_tx`
  func expect(_ bytes: Int, lane: Int) throws(EmulatorError) {
    let before = state
    try change(lane) { (state: inout MemoryBarrier) throws(MemoryBarrier.Fault) in try state.expect(bytes) }
    try settle(from: before, lane, order: nil, lanes: 0)
  }

  /// A copy of so many bytes was issued that will tell this barrier.
  func issue(_ bytes: Int) { inFlight += bytes }

  /// Bytes of an asynchronous instruction have come; `lane` of an `mbarrier.complete_tx`, which no copy brings.
  ///
  /// - Parameter knowledge: what the thread that issued the copy had got to know.
  func land(_ bytes: Int, lane: Int? = nil, knowledge: Knowledge? = nil) throws(EmulatorError) {
    let before = state
    if let knowledge { arriving.join(knowledge) }
    if lane == nil {
      inFlight -= bytes
      if let detector = block.cluster.launch.detector { landed = detector.tick() }
    }
    try change(lane) { (state: inout MemoryBarrier) throws(MemoryBarrier.Fault) in try state.land(bytes) }
    try settle(from: before, lane, order: nil, lanes: 0)
  }

  /// An asynchronous instruction arrives once it is done (`cp.async.mbarrier.arrive`, `tcgen05.commit`).
  ///
  /// - Parameter knowledge: what those who wait will know of.
  func arriveAsynchronously(_ knowledge: Knowledge, from text: String) throws(EmulatorError) {
    let before = state
    try change(nil) { (state: inout MemoryBarrier) throws(MemoryBarrier.Fault) in try state.arrive() }
    arriving.join(knowledge)
    lastArrival = "\(text) arrived last"
    try settle(from: before, nil, order: nil, lanes: 0)
  }

  /// Makes room for an arrival that will come on top of those that were counted (`cp.async.mbarrier.arrive` without
  /// `.noinc`).
  func addPending(lane: Int) throws(EmulatorError) {
    try change(lane) { (state: inout MemoryBarrier) throws(MemoryBarrier.Fault) in try state.addPending() }
  }

  private func change(
    _ lane: Int?, _ operation: (inout MemoryBarrier) throws(MemoryBarrier.Fault) -> Void
  ) throws(EmulatorError) {
    do { try operation(&state) } catch {
      throw EmulatorError(error.code, lane: lane, "\(name): \(error.problem)")
    }
  }

  /// Wakes waiters, and ends the phase if it is complete.
  private func settle(from before: MemoryBarrier, _ lane: Int?, order: WarpOrder?, lanes: LaneMask)
    throws(EmulatorError)
  {
    block.cluster.change()
    guard state.phase != before.phase else { return }
    (hadRemote, hasRemote) = (hasRemote, false)
    // What lands now was issued for the phase that is complete: whoever waits for it finds less than was copied.
    guard inFlight == 0 else {
      throw EmulatorError(
        .transactionCount, lane: lane,
        "phase \(before.phase) of \(name) is complete while \(inFlight) bytes of copies that were issued for it are "
          + "still on "
          + "their way: expect (mbarrier.arrive.expect_tx) the bytes of all copies of the phase")
    }
    guard actor >= 0, let detector = block.cluster.launch.detector else { return }
    completions.append(detector.tick())
    completed.join(arriving)
    completed.own.seen.raise(actor, to: completions[completions.count - 1])
    completed.own.seen.raise(phases, to: completions[completions.count - 1])
    // Who arrives last may count the phase as complete, without knowing what was copied or released.
    order?.acquire(lanes, actor: phases, upTo: completions[completions.count - 1])
  }

  // MARK: Waiting

  /// These lanes go on: the phase that they waited for is complete.
  func pass(_ warp: Warp, _ lanes: LaneMask, acquires: Bool, scope: MemoryAccess.Scope) throws(EmulatorError) {
    guard let order = warp.order else { return }
    if hadRemote, acquires, scope == .cta {
      throw EmulatorError(
        .race, lane: lanes.trailingZeroBitCount,
        "the wait has scope .cta, but threads of other blocks have arrived at \(name): what they did is ordered only "
          + "by "
          + ".acquire.cluster")
    }
    if acquires { order.acquire(lanes, completed) } else { order.meet(lanes, completed) }
  }

  /// Throws if a wait for a parity cannot be told from one for the phase after next: the phase that these lanes have
  /// not seen complete is complete, and the one behind it, too.
  func requireCloseBehind(parity: Int, _ warp: Warp, _ lanes: LaneMask) throws(EmulatorError) {
    guard actor >= 0, completions.count >= 2, let order = warp.order else { return }
    let known = order.time(of: phases, lanes)
    guard known < completions[completions.count - 2] else { return }
    let seen = completions.firstIndex { $0 > known } ?? completions.count
    guard parity == seen & 1 else { return }
    throw EmulatorError(
      .parity, lane: lanes.trailingZeroBitCount,
      "the wait for parity \(parity) is for phase \(seen) of \(name), which is in phase \(state.phase) already: "
        + "parity tells "
        + "only the current phase from the one before, so nobody may complete a phase before all who wait have seen "
        + "the one "
        + "before it")
  }

  /// Throws unless the block may leave: all that was copied is known to its threads, and the bytes add up.
  ///
  /// - Parameter exit: what the threads of the block knew when they exited.
  func requireSettled(_ exit: Knowledge) throws(EmulatorError) {
    guard inFlight == 0, landed == 0 || exit.own.seen[actor] >= landed else {
      throw EmulatorError(
        .exitedPeer,
        "block \(block.name) exits while bytes may still be copied to it, of which \(name) will be told: wait for "
          + "that phase "
          + "before the end, and let the blocks of a cluster end together with barrier.cluster.arrive and "
          + "barrier.cluster.wait"
      )
    }
    guard state.transactions == 0 else {
      throw EmulatorError(
        .transactionCount,
        "block \(block.name) exits, and the bytes of \(name) do not add up: "
          + (state.transactions > 0
            ? "\(state.transactions) were expected that no copy has brought so far"
            : "\(-state.transactions) came that nobody expected")
          + "; expect the bytes of all copies, also of what lies outside of a tensor, and wait for them before the end")
    }
  }
}
