// Tensor memory by warps: `tcgen05.alloc`, `dealloc`, `relinquish_alloc_permit`, `ld`, `st`, `wait` and `fence`.
//
// Loads are carried out when they are issued, which is one of the times that PTX allows, since a register that depends on one is
// waited for by itself; until `wait::ld` they count as reading. Stores land later.
//
// Fragments, with thread t of the warp and register i; a base of 32 bits is a column, with .pack::16b two columns:
//   32x32b     lane t,                                column i
//   16x64b     lane 8 (t mod 2) + t / 4,              column 2 i + (t / 2) mod 2
//   16x128b    lane t / 4 + 8 (i mod 2),              column 4 (i / 2) + t mod 4
//   16x256b    lane t / 4 + 8 (i / 2 mod 2),          column 8 (i / 4) + 2 (t mod 4) + i mod 2
//   16x32bx2   lane t mod 16,                         column i, from the second half of the warp on `split` further
//
// PTX ISA 9.0, "tcgen05.alloc", "tcgen05.ld", "tcgen05.st", "tcgen05.wait"; the fragments are those of CuTe's copy traits.

internal import KernelLanguage

enum TensorMemoryInstructions {
  static let decoders: [String: Decoder] = [
    "tcgen05.alloc": alloc, "tcgen05.dealloc": dealloc, "tcgen05.relinquish_alloc_permit": relinquish,
    "tcgen05.ld": load, "tcgen05.st": store, "tcgen05.wait::ld": wait, "tcgen05.wait::st": wait,
    "tcgen05.fence::before_thread_sync": fence, "tcgen05.fence::after_thread_sync": fence,
  ]

  static func requireChip(_ context: DecodingContext) throws(EmulatorError) {
    guard context.chip.generation >= .blackwell else {
      throw context.unsupported("tcgen05 needs sm_100a; the \(context.chip.name) has none")
    }
  }

  /// `.cta_group::1`, `.cta_group::2`.
  static func takeGroup(_ modifiers: inout Modifiers) throws(EmulatorError) -> Int {
    switch modifiers.take(oneOf: ["cta_group::1", "cta_group::2"]) {
    case "cta_group::1": return 1
    case "cta_group::2": return 2
    default: throw modifiers.unknownForm()
    }
  }

  /// Takes the operation and `.sync.aligned`.
  private static func begin(
    _ context: DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Modifiers {
    try requireChip(context)
    var modifiers = Modifiers(instruction)
    guard let name = instruction.modifiers.first, modifiers.take(name), modifiers.take("sync"),
      modifiers.take("aligned")
    else { throw modifiers.unknownForm() }
    return modifiers
  }

  /// The value of a register that all lanes must agree on.
  static func uniform(
    _ register: Register, _ what: String, _ warp: Warp, _ lanes: LaneMask
  ) throws(EmulatorError) -> UInt32 {
    let values = try warp.read(register, lanes)
    for lane in 1..<32 where values[lane] != values[0] {
      throw EmulatorError(
        .tensorMemory, lane: lane,
        "\(what) is \(hexadecimal(values[lane])) here and \(hexadecimal(values[0])) in lane 0: all threads of the warp give the same"
      )
    }
    return values[0]
  }

  // MARK: Allocation

  static func alloc(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = try begin(context, instruction)
    try context.requireOperands(instruction, 2...2)
    let group = try takeGroup(&modifiers)
    let isGeneric = modifiers.takeSharedSpace() == nil
    guard modifiers.take("b32") else { throw modifiers.unknownForm() }
    try modifiers.finish()
    context.cost.unit = .synchronisation
    let slot = try ObjectOperand(instruction.operands[0], isGeneric: isGeneric, &context)
    let count = try context.source(instruction.operands[1], .u32)
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try MMAInstructions.requireWholeWarp(lanes)
      let columns = try columnCount(count, warp, lanes)
      let tensor = warp.block.tensor
      try tensor.require(group: group)
      guard !tensor.hasRelinquished else {
        throw EmulatorError(.tensorMemory, "tcgen05.alloc after tcgen05.relinquish_alloc_permit of the same block")
      }
      guard columns <= tensor.lastColumns else {
        throw EmulatorError(
          .tensorMemory,
          "tcgen05.alloc of \(columns) columns after one of \(tensor.lastColumns): a block's allocations do not grow; allocate the "
            + "largest first")
      }
      let (owner, offset) = try slot.shared(warp, 0, 4, alignment: 4, of: "the slot of a tensor memory address")
      guard let first = try group == 1 ? allocate(columns, warp) : allocatePair(columns, warp) else {
        return warp.blocked(on: .object(tensor.requested == nil ? tensor.memory : tensor))
      }
      tensor.lastColumns = columns
      warp.addresses[0] = UInt64(AddressMap.sharedAddress(rank: owner.rank, offset: offset))
      try warp.observer?.access(
        MemoryAccess(space: .shared, kind: .write, bytes: 4, lanes: 1), at: warp.addresses, by: warp)
      (owner.shared + offset).storeBytes(of: UInt32(first), as: UInt32.self)
      // All lanes of the warp may read it.
      warp.observer?.synchronises(warp, lanes)
      warp.launch.progress += 1
      return .next
    }
  }

  private static func columnCount(
    _ register: Register, _ warp: Warp, _ lanes: LaneMask
  ) throws(EmulatorError) -> Int {
    let count = Int(try uniform(register, "the number of columns", warp, lanes))
    guard [32, 64, 128, 256, 512].contains(count) else {
      throw EmulatorError(.tensorMemory, "\(count) columns of tensor memory: they are 32, 64, 128, 256 or 512")
    }
    return count
  }

  /// Columns for the block of a warp; nil: none are free.
  private static func allocate(_ count: Int, _ warp: Warp) -> Int? {
    let memory = warp.block.tensor.memory
    guard let first = memory.place(for: count) else { return nil }
    memory.allocate(first..<first + count, for: warp.block)
    return first
  }

  /// The same columns for both blocks of a pair, when both have asked; nil: one has not, or none are free.
  private static func allocatePair(_ count: Int, _ warp: Warp) throws(EmulatorError) -> Int? {
    let own = warp.block.tensor
    if let first = own.granted {
      own.granted = nil
      return first
    }
    let peerBlock = try own.peer()
    let peer = peerBlock.tensor
    own.requested = count
    guard let other = peer.requested else { return nil }
    guard other == count else {
      throw EmulatorError(
        .tensorMemory,
        "the blocks of a pair allocate \(count) and \(other) columns: with .cta_group::2 both ask for the same")
    }
    let places = stride(from: 0, through: TensorMemory.columns - count, by: 32)
    let free = places.first { first in
      ![own.memory, peer.memory].contains { memory in
        memory.allocations.contains { $0.columns.overlaps(first..<first + count) }
      }
    }
    guard let first = free else { return nil }
    own.memory.allocate(first..<first + count, for: warp.block)
    peer.memory.allocate(first..<first + count, for: peerBlock)
    (own.requested, peer.requested, peer.granted) = (nil, nil, first)
    warp.block.cluster.change()
    return first
  }

  static func dealloc(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = try begin(context, instruction)
    try context.requireOperands(instruction, 2...2)
    let group = try takeGroup(&modifiers)
    guard modifiers.take("b32") else { throw modifiers.unknownForm() }
    try modifiers.finish()
    context.cost.unit = .synchronisation
    let address = try context.source(instruction.operands[0], .b32)
    let count = try context.source(instruction.operands[1], .u32)
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try MMAInstructions.requireWholeWarp(lanes)
      let columns = try columnCount(count, warp, lanes)
      let place = Int(try uniform(address, "the address in tensor memory", warp, lanes))
      let tensor = warp.block.tensor
      try tensor.require(group: group)
      let range = place & 0xFFFF..<place & 0xFFFF + columns
      warp.tensor.lanes = lanes
      try tensor.memory.requireDone(range, by: warp.tensor)
      try tensor.memory.free(range, of: warp.block)
      // Blocks of other clusters may have waited for columns.
      for cluster in warp.launch.clusters { cluster.change() }
      return .next
    }
  }

  static func relinquish(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step
  {
    var modifiers = try begin(context, instruction)
    try context.requireOperands(instruction, 0...0)
    let group = try takeGroup(&modifiers)
    try modifiers.finish()
    context.cost.unit = .synchronisation
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try warp.block.tensor.require(group: group)
      warp.block.tensor.hasRelinquished = true
      return .next
    }
  }

  // MARK: Order

  static func wait(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    let modifiers = try begin(context, instruction)
    try modifiers.finish()
    try context.requireOperands(instruction, 0...0)
    context.cost.unit = .synchronisation
    if instruction.modifiers[0] == "wait::ld" {
      return { warp, lanes throws(EmulatorError) in
        guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
        warp.tensor.waitLoads()
        return .next
      }
    }
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      guard warp.tensor.pendingStores == 0 else { return warp.blocked(on: .object(warp.tensor)) }
      warp.tensor.waitStores()
      return .next
    }
  }

  static func fence(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    try requireChip(context)
    try context.requireOperands(instruction, 0...0)
    guard instruction.modifiers.count == 1 else { throw Modifiers(instruction).unknownForm() }
    context.cost.unit = .synchronisation
    if instruction.modifiers[0] == "fence::before_thread_sync" {
      return { warp, lanes throws(EmulatorError) in
        warp.tensor.fenceBefore(lanes)
        return .next
      }
    }
    return { warp, lanes throws(EmulatorError) in
      warp.tensor.fenceAfter(lanes)
      return .next
    }
  }

  // MARK: Loads and stores

  /// The form of a load or store: `.16x64b.x4`.
  struct Shape: Hashable {
    enum Kind: String, Hashable, CaseIterable {
      case lanes32 = "32x32b"
      case bits64 = "16x64b"
      case bits128 = "16x128b"
      case bits256 = "16x256b"
      case halves = "16x32bx2"
    }

    var kind: Kind
    var count: Int
    /// Registers hold pairs of 16 bits from neighbouring columns.
    var isPacked: Bool
    /// Columns from the first to the second access of `halves`.
    var split = 0

    /// Registers of a thread.
    var registers: Int {
      switch kind {
      case .lanes32, .bits64, .halves: count
      case .bits128: 2 * count
      case .bits256: 4 * count
      }
    }

    /// Bases side by side, without the split.
    private var width: Int {
      switch kind {
      case .lanes32, .halves: count
      case .bits64: 2 * count
      case .bits128: 4 * count
      case .bits256: 8 * count
      }
    }
    var lanes: Int { kind == .lanes32 ? 32 : 16 }

    /// Where register `i` of thread `t` lies, from the base on; the column in units of bases.
    @inline(__always)
    func place(thread t: Int, register i: Int) -> (lane: Int, column: Int) {
      switch kind {
      case .lanes32: (t, i)
      case .bits64: (t % 2 * 8 + t / 4, 2 * i + t / 2 % 2)
      case .bits128: (t / 4 + i % 2 * 8, i / 2 * 4 + t % 4)
      case .bits256: (t / 4 + i / 2 % 2 * 8, i / 4 * 8 + t % 4 * 2 + i % 2)
      case .halves: (t % 16, i)
      }
    }

    /// What it touches, from an address on.
    func rectangles(lane: Int, column: Int) -> [TensorRectangle] {
      let columns = column..<column + width * (isPacked ? 2 : 1)
      let first = TensorRectangle(lanes: lane..<lane + lanes, columns: columns)
      guard kind == .halves else { return [first] }
      return [first, TensorRectangle(lanes: lane..<lane + lanes, columns: column + split..<columns.upperBound + split)]
    }

    /// Calls `body` with register, thread, lane and column of each 32 bits, of the first column where two are packed.
    @inline(__always)
    func forEach(
      lane: Int, column: Int, _ body: (Int, Int, Int, Int) throws(EmulatorError) -> Void
    ) throws(EmulatorError) {
      for register in 0..<registers {
        for thread in 0..<32 {
          let place = place(thread: thread, register: register)
          let second = kind == .halves && thread >= 16 ? split : 0
          try body(register, thread, lane + place.lane, column + place.column * (isPacked ? 2 : 1) + second)
        }
      }
    }
  }

  private static func shape(
    _ modifiers: inout Modifiers, packing: String
  ) throws(EmulatorError) -> Shape {
    guard let name = modifiers.take(oneOf: Shape.Kind.allCases.map(\.rawValue)), let kind = Shape.Kind(rawValue: name),
      let number = modifiers.take(oneOf: ["x1", "x2", "x4", "x8", "x16", "x32", "x64", "x128"]),
      let count = Int(number.dropFirst()), modifiers.take("b32")
    else { throw modifiers.unknownForm() }
    let shape = Shape(kind: kind, count: count, isPacked: modifiers.take(packing))
    guard shape.registers <= 128 else { throw modifiers.unknownForm() }
    try modifiers.finish()
    return shape
  }

  /// Throws unless the base is where this warp may access tensor memory.
  private static func base(
    _ address: AddressOperand, _ shape: Shape, _ warp: Warp, _ lanes: LaneMask
  ) throws(EmulatorError) -> (lane: Int, column: Int) {
    try MMAInstructions.requireWholeWarp(lanes)
    let bits =
      try uniform(address.base, "the address in tensor memory", warp, lanes)
      &+ UInt32(truncatingIfNeeded: address.offset)
    let (lane, column) = (Int(bits >> 16), Int(bits & 0xFFFF))
    let first = warp.index % 4 * 32
    guard (first..<first + 32).contains(lane) else {
      throw EmulatorError(
        .tensorMemory,
        "warp \(warp.index) accesses lane \(lane) of tensor memory: warp \(warp.index % 4) of a warpgroup reaches lanes \(first) to "
          + "\(first + 31) only; add \(first) << 16 to the address")
    }
    guard lane - first == 0 || shape.lanes == 16 && lane - first == 16 else {
      throw EmulatorError(
        .tensorMemory,
        "a .\(shape.kind.rawValue) access begins at lane \(lane): it begins at lane \(first)\(shape.lanes == 16 ? " or \(first + 16)" : "")"
      )
    }
    for rectangle in shape.rectangles(lane: lane, column: column) {
      try warp.block.tensor.memory.require(rectangle, of: warp.block)
    }
    return (lane, column)
  }

  private static func split(_ shape: inout Shape, _ operand: PTXOperand, _ context: DecodingContext)
    throws(EmulatorError)
  {
    guard case .integer(let value) = operand, (0...512).contains(value) else {
      throw context.unsupported("the offset of the second half of .16x32bx2 is a number of columns")
    }
    shape.split = Int(value)
  }

  static func load(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = try begin(context, instruction)
    var shape = try shape(&modifiers, packing: "pack::16b")
    try context.requireOperands(instruction, shape.kind == .halves ? 3...3 : 2...2)
    if shape.kind == .halves { try split(&shape, instruction.operands[2], context) }
    context.cost.unit = .memory
    let registers = try MMAInstructions.vector(
      &context, instruction.operands[0], shape.registers, .b32, isDestination: true)
    let address = try context.address(instruction.operands[1])
    return { [shape] warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      let (lane, column) = try base(address, shape, warp, lanes)
      let memory = warp.block.tensor.memory
      let operation = TensorOperation(
        .load, reads: shape.rectangles(lane: lane, column: column), writes: [], by: warp, actor: warp.tensor.loads)
      warp.tensor.lanes = lanes
      try memory.begin(operation, by: warp.tensor)
      warp.tensor.lastLoad = operation.time
      let values = try warp.write(registers, lanes)
      try shape.forEach(lane: lane, column: column) { (register, thread, lane, column) throws(EmulatorError) in
        var word = try memory.load(lane, column)
        if shape.isPacked { word = word & 0xFFFF | (try memory.load(lane, column + 1)) << 16 }
        values[register][thread] = word
      }
      return .next
    }
  }

  static func store(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = try begin(context, instruction)
    var shape = try shape(&modifiers, packing: "unpack::16b")
    let isSplit = shape.kind == .halves
    try context.requireOperands(instruction, isSplit ? 3...3 : 2...2)
    if isSplit { try split(&shape, instruction.operands[1], context) }
    context.cost.unit = .memory
    let address = try context.address(instruction.operands[0])
    let registers = try MMAInstructions.vector(
      &context, instruction.operands[isSplit ? 2 : 1], shape.registers, .b32)
    return { [shape] warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      let (lane, column) = try base(address, shape, warp, lanes)
      let values = try warp.read(registers, lanes).flatMap { Array(UnsafeBufferPointer(start: $0, count: 32)) }
      let memory = warp.block.tensor.memory
      let operation = TensorOperation(
        .store, reads: [], writes: shape.rectangles(lane: lane, column: column), by: warp, actor: warp.tensor.stores)
      warp.tensor.lanes = lanes
      try memory.begin(operation, by: warp.tensor)
      warp.tensor.lastStore = operation.time
      warp.tensor.pendingStores += 1
      warp.launch.later(warp, chain: warp.tensor.storeChain) { () throws(EmulatorError) in
        try shape.forEach(lane: lane, column: column) { (register, thread, lane, column) throws(EmulatorError) in
          let word = values[register * 32 + thread]
          memory.store(shape.isPacked ? word & 0xFFFF : word, lane, column)
          if shape.isPacked { memory.store(word >> 16, lane, column + 1) }
        }
        warp.tensor.pendingStores -= 1
      }
      return .next
    }
  }
}
