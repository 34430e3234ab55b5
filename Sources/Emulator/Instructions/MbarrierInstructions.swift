// mbarriers: `mbarrier.init`, `.inval`, `.expect_tx`, `.complete_tx`, `.arrive`, `.arrive_drop`, `.test_wait`,
// `.try_wait`, `.pending_count`.
//
// A wait that may suspend the thread (`try_wait`) blocks here, but now and then it gives up, as the hardware does
// after a while.
//
// PTX ISA 9.1, "Parallel Synchronization and Communication Instructions: mbarrier".

internal import KernelLanguage

enum MbarrierInstructions {
  static let decoders: [String: Decoder] = ["mbarrier": mbarrier]

  static func mbarrier(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .synchronisation
    var modifiers = Modifiers(instruction)
    guard
      let operation = modifiers.take(oneOf: [
        "init", "inval", "arrive", "arrive_drop", "test_wait", "try_wait", "pending_count",
      ]) ?? modifiers.take(oneOf: ["expect_tx", "complete_tx"]), try modifiers.takeType() == .b64
    else { throw modifiers.unknownForm() }
    if operation == "pending_count" { return try pendingCount(&context, instruction, modifiers) }
    let space = modifiers.takeSharedSpace()
    let order = modifiers.takeOrder()
    let scope = modifiers.takeScope() ?? .cta
    switch operation {
    case "init", "inval":
      try modifiers.finish()
      try context.requireOperands(instruction, operation == "init" ? 2...2 : 1...1)
      let object = try ObjectOperand(instruction.operands[0], isGeneric: space == nil, &context)
      guard operation == "init" else { return invalidate(object) }
      return initialise(object, count: try context.source(instruction.operands[1], .u32))
    case "expect_tx", "complete_tx":
      try modifiers.finish()
      try context.requireOperands(instruction, 2...2)
      let object = try ObjectOperand(instruction.operands[0], isGeneric: space == nil, &context)
      return transact(
        object, bytes: try context.source(instruction.operands[1], .u32), expects: operation == "expect_tx")
    case "arrive", "arrive_drop":
      return try arrive(
        &context, instruction, modifiers, space, order ?? .release, scope, drops: operation == "arrive_drop")
    default:
      return try wait(
        &context, instruction, modifiers, isGeneric: space == nil, order ?? .acquire, scope,
        suspends: operation == "try_wait")
    }
  }

  // MARK: Life

  private static func initialise(_ object: ObjectOperand, count: Register) -> Step {
    { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(object.operand.base, lanes)
      let counts = try warp.read(count, lanes)
      var rest = lanes
      while rest != 0 {
        let lane = rest.trailingZeroBitCount
        rest &= rest - 1
        let (block, offset) = try object.shared(warp, lane, 8, alignment: 8, of: "an mbarrier")
        guard block === warp.block else {
          throw EmulatorError(
            .barrier, lane: lane, "a block initialises its own mbarriers only, not one of block \(block.name)")
        }
        if let before = block.memoryBarriers[offset] {
          throw EmulatorError(
            .barrier, lane: lane,
            "there is an mbarrier in use already, the \(before.waitDescription): initialise each once, or end it with "
              + "mbarrier.inval")
        }
        let barrier = try BarrierObject(
          count: Int(counts[lane]), in: block, at: offset, by: warp, 1 << LaneMask(lane))
        if let detector = warp.launch.detector, let shadow = block.order?.shadow {
          warp.addresses[lane] = UInt64(AddressMap.sharedAddress(rank: block.rank, offset: offset))
          try detector.access(
            MemoryAccess(space: .shared, kind: .write, bytes: 8, lanes: 1 << LaneMask(lane)), at: warp.addresses,
            by: warp)
          shadow.mark(offset, 8, initialised: false)
        }
        block.memoryBarriers[offset] = barrier
      }
      return .next
    }
  }

  private static func invalidate(_ object: ObjectOperand) -> Step {
    { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(object.operand.base, lanes)
      var rest = lanes
      while rest != 0 {
        let lane = rest.trailingZeroBitCount
        rest &= rest - 1
        let barrier = try object.barrier(warp, lane)
        guard barrier.state.transactions == 0, barrier.inFlight == 0 else {
          throw EmulatorError(
            .barrier, lane: lane,
            "mbarrier.inval ends an mbarrier that copies will still tell: \(barrier.waitDescription)")
        }
        barrier.block.memoryBarriers[barrier.offset] = nil
      }
      return .next
    }
  }

  private static func transact(_ object: ObjectOperand, bytes: Register, expects: Bool) -> Step {
    { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(object.operand.base, lanes)
      let bytes = try warp.read(bytes, lanes)
      var rest = lanes
      while rest != 0 {
        let lane = rest.trailingZeroBitCount
        rest &= rest - 1
        let barrier = try object.barrier(warp, lane)
        if expects {
          try barrier.expect(Int(bytes[lane]), lane: lane)
        } else {
          try barrier.land(Int(bytes[lane]), lane: lane)
        }
      }
      return .next
    }
  }

  // MARK: Arriving

  private static func arrive(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rest: Modifiers, _ space: String?,
    _ order: MemoryAccess.Order, _ scope: MemoryAccess.Scope, drops: Bool
  ) throws(EmulatorError) -> Step {
    var modifiers = rest
    let expects = modifiers.take("expect_tx")
    let completes = !modifiers.take("noComplete")
    try modifiers.finish()
    // The state may be left out where the barrier may be another block's.
    var operands = instruction.operands[...]
    var result: Register?
    if case .address? = operands.first {
    } else if let first = operands.popFirst() {
      if first != .unused { result = try context.destination(first, .b64) }
    }
    guard let address = operands.popFirst(), operands.count == 1 || operands.isEmpty && !expects && completes else {
      throw modifiers.unknownForm()
    }
    let object = try ObjectOperand(address, isGeneric: space == nil, &context)
    let number = try operands.popFirst().map { operand throws(EmulatorError) in try context.source(operand, .u32) }
    guard result == nil || space != "shared::cluster" else {
      throw context.unsupported("an arrival at an mbarrier in .shared::cluster gives no state: write _")
    }
    let releases = order.releases
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(object.operand.base, lanes)
      let numbers = try number.map { register throws(EmulatorError) in try warp.read(register, lanes) }
      var arrival = BarrierObject.Arrival(drops: drops, completes: completes, releases: releases)
      var rest = lanes
      var latest: (barrier: BarrierObject, address: UInt64)?
      var states = [UInt64](repeating: 0, count: result == nil ? 0 : 32)
      while rest != 0 {
        let lane = rest.trailingZeroBitCount
        rest &= rest - 1
        let address = object.address(warp, lane)
        if latest?.address != address {
          let barrier = try object.barrier(warp, lane)
          guard barrier.block === warp.block || !releases || scope >= .cluster else {
            throw EmulatorError(
              .race, lane: lane,
              "the arrival at an mbarrier of block \(barrier.block.name) has scope .cta, which orders nothing "
                + "between blocks: "
                + "write .release.cluster")
          }
          latest = (barrier, address)
          // Lanes at the same barrier release together.
          var group = lanes
          if lanes & (lanes - 1) != 0 {
            group = Lanes.mask(lanes) { object.address(warp, $0) == address }
          }
          if barrier.block !== warp.block, let order = warp.order { barrier.block.order?.visit(by: order, group) }
          barrier.release(by: warp, group, releases: releases)
        }
        if let numbers {
          if expects { arrival.expects = Int(numbers[lane]) } else { arrival.count = Int(numbers[lane]) }
        }
        let state = try latest!.barrier.arrive(arrival, by: warp, lane: lane)
        if result != nil { states[lane] = state }
      }
      if let result {
        let target = try warp.writeLong(result, lanes)
        Lanes.each(lanes) { target[$0] = states[$0] }
      }
      return .next
    }
  }

  private static func pendingCount(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    try modifiers.finish()
    try context.requireOperands(instruction, 2...2)
    let count = try context.destination(instruction.operands[0], .u32)
    let state = try context.source(instruction.operands[1], .b64)
    return { warp, lanes throws(EmulatorError) in
      let states = try warp.readLong(state, lanes)
      let counts = try warp.write(count, lanes)
      Lanes.each(lanes) { counts[$0] = MemoryBarrier.pendingCount(states[$0]) }
      return .next
    }
  }

  // MARK: Waiting

  private static func wait(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rest: Modifiers, isGeneric: Bool,
    _ order: MemoryAccess.Order, _ scope: MemoryAccess.Scope, suspends: Bool
  ) throws(EmulatorError) -> Step {
    var modifiers = rest
    let byParity = modifiers.take("parity")
    try modifiers.finish()
    try context.requireOperands(instruction, suspends ? 3...4 : 3...3)
    let done = try context.destination(instruction.operands[0], .pred)
    let object = try ObjectOperand(instruction.operands[1], isGeneric: isGeneric, &context)
    let phase = try context.source(instruction.operands[2], byParity ? .u32 : .b64)
    let hint = try instruction.operands.dropFirst(3).first.map { operand throws(EmulatorError) in
      try context.source(operand, .u32)
    }
    let acquires = order.acquires
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(object.operand.base, lanes)
      try warp.requireReadable(phase, lanes)
      if let hint { try warp.requireReadable(hint, lanes) }
      var complete: LaneMask = 0
      var rest = lanes
      var barrier: BarrierObject?
      while rest != 0 {
        // Lanes that wait for the same are asked together.
        let lane = rest.trailingZeroBitCount
        let (address, wanted) = (object.address(warp, lane), warp.value(phase, lane))
        let group =
          rest & (rest - 1) == 0
          ? rest : Lanes.mask(rest) { object.address(warp, $0) == address && warp.value(phase, $0) == wanted }
        rest &= ~group
        let known = try object.barrier(warp, lane)
        barrier = known
        guard known.block === warp.block else {
          throw EmulatorError(
            .barrier, lane: lane, "a thread waits for mbarriers of its own block only, not of block \(known.block.name)"
          )
        }
        if try isComplete(known, wanted, byParity: byParity, warp, group) {
          try known.pass(warp, group, acquires: acquires, scope: scope)
          complete |= group
        }
      }
      if complete == 0, suspends, let barrier, (warp.launch.random.next() as UInt64) & 7 != 0 {
        return warp.blocked(on: .object(barrier))
      }
      try warp.write(predicate: done, lanes, complete)
      return .next
    }
  }

  private static func isComplete(
    _ barrier: BarrierObject, _ wanted: Int, byParity: Bool, _ warp: Warp, _ lanes: LaneMask
  ) throws(EmulatorError) -> Bool {
    let lane = lanes.trailingZeroBitCount
    guard byParity else {
      do { return try barrier.state.isComplete(token: UInt64(bitPattern: Int64(wanted))) } catch {
        throw EmulatorError(error.code, lane: lane, error.problem)
      }
    }
    guard wanted == 0 || wanted == 1 else {
      throw EmulatorError(.parity, lane: lane, "a parity is 0 or 1, not \(wanted): take the lowest bit of the phase")
    }
    try barrier.requireCloseBehind(parity: wanted, warp, lanes)
    return barrier.state.isComplete(parity: wanted)
  }
}
