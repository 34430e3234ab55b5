// A warp: 32 lanes, their registers, and where they are in the program.
//
// Invariant: fragments are disjoint, and together they are the lanes that have not exited. A warp that has not diverged has one.
// A lane of a register can be read iff its bit in `valid` is set: it was written, and no asynchronous instruction will still write
// it.
//
// For decoders: `read…` and `write…` check the state of a register and return its 32 values; a step checks all that it needs
// before it writes anything.

internal import KernelLanguage

/// 32 lanes that run together.
final class Warp {
  /// Lanes at the same instruction.
  struct Fragment {
    var lanes: LaneMask
    var pc: Int32
    /// Set while they are blocked.
    var wait: Wait?
    /// The cluster's `changes` when they were blocked: they are tried again once it differs.
    var changes: Int = 0
  }

  /// What an asynchronous instruction still does with a register.
  enum Use: UInt8 { case reads = 1, writes = 2 }

  unowned(unsafe) let block: ThreadBlock
  unowned(unsafe) let launch: Launch
  let kernel: DecodedKernel
  /// Of the launch.
  let counters: UnsafeMutablePointer<MemoryCounters>
  /// Hears of accesses; nil where races are not looked for.
  let observer: (any MemoryObserver)?
  /// In the block.
  let index: Int
  /// Lanes that exist: the last warp of a block may have fewer than 32.
  let lanes: LaneMask

  /// The register file; `Register.offset` counts in it.
  let file: UnsafeMutableRawPointer
  /// For each register, lanes that may be read.
  let valid: UnsafeMutablePointer<LaneMask>
  /// For each register, a sum of `Use`.
  private let uses: UnsafeMutablePointer<UInt8>
  /// Registers in use by asynchronous instructions.
  private var usedCount = 0
  /// What it has done with tcgen05.
  private(set) lazy var tensor = TensorThread(self)
  /// `wgmma.fence`s so far.
  var registerFences: UInt32 = 0
  /// For each register, how many of them there were when it was last written by a synchronous instruction.
  let fencesAtWrite: UnsafeMutablePointer<UInt32>
  /// For steps to put addresses of lanes into.
  let addresses: UnsafeMutablePointer<UInt64>
  /// Where those addresses are in our memory, after `locate`.
  let pointers: UnsafeMutablePointer<UnsafeMutableRawPointer>
  /// Thread-local memory: `kernel.localBytes` for each lane, one lane after the other.
  let local: UnsafeMutableRawPointer

  /// The carry of `add.cc`, and lanes in which it was set.
  var carries: LaneMask = 0
  var validCarries: LaneMask = 0
  var order: WarpOrder?
  /// Asynchronous copies that its threads have issued.
  private(set) lazy var groups = ThreadGroups()

  var fragments: [Fragment]
  private(set) var exited: LaneMask = 0
  /// Of the instruction that runs.
  var pc: Int32 = 0
  /// Lanes that are at it, also those that its guard leaves out.
  var fragmentLanes: LaneMask = 0
  /// Of the step that has just returned `.blocked`.
  private(set) var wait: Wait?
  /// Picks of a fragment since something got on: lanes that spin at a low instruction must not starve the others for ever.
  var picks = 0
  var progressAtPick = 0

  init(_ index: Int, of block: ThreadBlock, lanes: LaneMask) {
    (self.index, self.block, self.lanes) = (index, block, lanes)
    (launch, kernel) = (block.cluster.launch, block.cluster.launch.kernel)
    (counters, observer) = (launch.counters, launch.gpu.observer)
    file = .allocate(byteCount: kernel.fileBytes, alignment: 64)
    file.initializeMemory(as: UInt8.self, repeating: 0, count: kernel.fileBytes)
    valid = .allocate(capacity: kernel.registerNames.count)
    valid.initialize(repeating: 0, count: kernel.registerNames.count)
    uses = .allocate(capacity: kernel.registerNames.count)
    uses.initialize(repeating: 0, count: kernel.registerNames.count)
    fencesAtWrite = .allocate(capacity: kernel.registerNames.count)
    fencesAtWrite.initialize(repeating: 0, count: kernel.registerNames.count)
    addresses = .allocate(capacity: 32)
    addresses.initialize(repeating: 0, count: 32)
    pointers = .allocate(capacity: 32)
    pointers.initialize(repeating: file, count: 32)
    local = .allocate(byteCount: 32 * kernel.localBytes + 1, alignment: 16)
    local.initializeMemory(as: UInt8.self, repeating: 0xA5, count: 32 * kernel.localBytes + 1)
    fragments = [Fragment(lanes: lanes, pc: 0)]
    fillConstants()
  }

  deinit {
    file.deallocate()
    valid.deallocate()
    uses.deallocate()
    fencesAtWrite.deallocate()
    addresses.deallocate()
    pointers.deallocate()
    local.deallocate()
  }

  /// Lanes that have not exited.
  var live: LaneMask { lanes & ~exited }
  var isFinished: Bool { fragments.isEmpty }

  // MARK: Waiting

  /// Makes the lanes of the running step wait: `return warp.blocked(on: …)`.
  func blocked(on wait: Wait) -> Outcome {
    self.wait = wait
    return .blocked
  }

  /// Whether all lanes that have not exited are here, as an `.aligned` instruction wants:
  /// `guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }`.
  func isConverged(_ lanes: LaneMask) -> Bool { lanes == live }

  /// Where the running instruction is, for errors and effects.
  func place(lane: Int? = nil) -> EmulatorError.Place {
    EmulatorError.Place(
      kernel: kernel.name, index: Int(pc), instruction: kernel.instructions[Int(pc)].description,
      block: block.name, warp: index, lane: lane)
  }

  func exit(_ lanes: LaneMask) { exited |= lanes }

  // MARK: Registers

  /// The 32 values of a register of up to 32 bits, to be read in `lanes`.
  @inline(__always)
  func read(_ register: Register, _ lanes: LaneMask) throws(EmulatorError) -> UnsafeMutablePointer<UInt32> {
    try requireReadable(register, lanes)
    return words(register)
  }

  /// The 32 values of a register of 64 bits, to be read in `lanes`.
  @inline(__always)
  func readLong(_ register: Register, _ lanes: LaneMask) throws(EmulatorError) -> UnsafeMutablePointer<UInt64> {
    try requireReadable(register, lanes)
    return longs(register)
  }

  /// Lanes in which a predicate holds.
  @inline(__always)
  func read(_ predicate: Predicate, _ lanes: LaneMask) throws(EmulatorError) -> LaneMask {
    try requireReadable(predicate.register, lanes)
    let bits = words(predicate.register).pointee
    return (predicate.isNegated ? ~bits : bits) & lanes
  }

  /// The 32 values of a register of up to 32 bits, all of `lanes` to be written.
  @inline(__always)
  func write(_ register: Register, _ lanes: LaneMask) throws(EmulatorError) -> UnsafeMutablePointer<UInt32> {
    try requireWritable(register, lanes)
    return words(register)
  }

  /// The 32 values of a register of 64 bits, all of `lanes` to be written.
  @inline(__always)
  func writeLong(_ register: Register, _ lanes: LaneMask) throws(EmulatorError) -> UnsafeMutablePointer<UInt64> {
    try requireWritable(register, lanes)
    return longs(register)
  }

  /// Sets a predicate in `lanes` to the bits of `value`.
  @inline(__always)
  func write(predicate register: Register, _ lanes: LaneMask, _ value: LaneMask) throws(EmulatorError) {
    try requireWritable(register, lanes)
    let bits = words(register)
    bits.pointee = bits.pointee & ~lanes | value & lanes
  }

  /// Values without a check.
  @inline(__always)
  func words(_ register: Register) -> UnsafeMutablePointer<UInt32> {
    (file + Int(register.offset)).assumingMemoryBound(to: UInt32.self)
  }

  @inline(__always)
  func longs(_ register: Register) -> UnsafeMutablePointer<UInt64> {
    (file + Int(register.offset)).assumingMemoryBound(to: UInt64.self)
  }

  @inline(__always)
  func requireReadable(_ register: Register, _ lanes: LaneMask) throws(EmulatorError) {
    let missing = lanes & ~valid[Int(register.index)]
    if missing != 0 { throw unreadable(register, missing) }
  }

  /// Refuses registers that an asynchronous instruction uses, and marks `lanes` as written.
  @inline(__always)
  func requireWritable(_ register: Register, _ lanes: LaneMask) throws(EmulatorError) {
    if usedCount != 0 { try requireUnused(register) }
    valid[Int(register.index)] |= lanes
    fencesAtWrite[Int(register.index)] = registerFences
  }

  /// An asynchronous instruction will read or write a register from now on, until `release`. What will be written cannot be read.
  func use(_ register: Register, _ use: Use) {
    if uses[Int(register.index)] == 0 { usedCount += 1 }
    uses[Int(register.index)] |= use.rawValue
    if use == .writes { valid[Int(register.index)] = 0 }
  }

  /// Asynchronous instructions are done with a register; what they have written is valid in `written`.
  func release(_ register: Register, written: LaneMask) {
    if uses[Int(register.index)] != 0 { usedCount -= 1 }
    uses[Int(register.index)] = 0
    valid[Int(register.index)] |= written
  }

  func isUsed(_ register: Register, _ use: Use) -> Bool { uses[Int(register.index)] & use.rawValue != 0 }

  private func requireUnused(_ register: Register) throws(EmulatorError) {
    guard uses[Int(register.index)] != 0 else { return }
    throw EmulatorError(
      .inFlight,
      "\(kernel.registerNames[Int(register.index)]) is written while an asynchronous instruction still "
        + "\(isUsed(register, .writes) ? "writes" : "reads") it: wait for that instruction's group first")
  }

  private func unreadable(_ register: Register, _ missing: LaneMask) -> EmulatorError {
    let name = kernel.registerNames[Int(register.index)]
    let lane = missing.trailingZeroBitCount
    guard !isUsed(register, .writes) else {
      return EmulatorError(
        .inFlight, lane: lane,
        "\(name) is read while an asynchronous instruction still writes it: wait for that instruction's group first")
    }
    return EmulatorError(
      .uninitialised, lane: lane,
      "\(name) is read, but nothing was written to it before, or only what shfl took from a lane that did not take part: "
        + "give it a value on every way to this instruction")
  }
}
