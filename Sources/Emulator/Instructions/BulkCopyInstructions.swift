// Bulk copies of bytes that lie together: `cp.async.bulk` between global memory, the block's shared memory and that of
// other blocks, `cp.reduce.async.bulk`, and bulk groups.
//
// PTX ISA 9.1, "Bulk copy"; the copies run in the async proxy.

internal import KernelLanguage

enum BulkCopyInstructions {
  private static let spaces = ["global", "shared::cta", "shared::cluster"]

  static func copy(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .asynchronousCopy
    var modifiers = Modifiers(instruction)
    _ = (modifiers.take("async"), modifiers.take("bulk"))
    if modifiers.take("commit_group") { return try commit(&context, instruction, modifiers) }
    if modifiers.take("wait_group") { return try wait(&context, instruction, modifiers) }
    let hasPolicy = modifiers.take("L2::cache_hint")
    if modifiers.take("prefetch") { return try prefetch(&context, instruction, modifiers, hasPolicy: hasPolicy) }
    let route = instruction.modifiers.filter(spaces.contains)
    for space in route { _ = modifiers.take(space) }
    let isMulticast = modifiers.take("multicast::cluster")
    let signals = modifiers.take("mbarrier::complete_tx::bytes")
    let isGrouped = modifiers.take("bulk_group")
    let reduction = try takeReduction(&modifiers, instruction)
    try modifiers.finish()
    guard route.count == 2, signals != isGrouped, isGrouped == (route[0] == "global") else {
      throw modifiers.unknownForm()
    }
    var operands = instruction.operands
    if hasPolicy, let policy = operands.popLast() { _ = try context.source(policy, .b64) }
    let mask =
      try isMulticast
      ? operands.popLast().map { operand throws(EmulatorError) in try context.source(operand, .u16) } : nil
    guard operands.count == (signals ? 4 : 3), reduction == nil || !isMulticast else { throw modifiers.unknownForm() }
    let form = Form(
      target: ObjectOperand(try context.address(operands[0]), isGeneric: false),
      source: ObjectOperand(try context.address(operands[1]), isGeneric: false),
      size: try context.source(operands[2], .u32),
      barrier: signals ? ObjectOperand(try context.address(operands[3]), isGeneric: false) : nil, mask: mask,
      readsGlobal: route[1] == "global", reduction: reduction)
    if form.barrier != nil {
      guard
        route == ["shared::cluster", "global"] || route == ["shared::cta", "global"] && mask == nil
          || route == ["shared::cluster", "shared::cta"] && mask == nil
      else { throw modifiers.unknownForm() }
      return { warp, lanes throws(EmulatorError) in
        try form.require(warp, lanes)
        try eachLane(lanes) { lane throws(EmulatorError) in try form.load(warp, lane) }
        return .next
      }
    }
    guard route == ["global", "shared::cta"] else { throw modifiers.unknownForm() }
    return { warp, lanes throws(EmulatorError) in
      try form.require(warp, lanes)
      try eachLane(lanes) { lane throws(EmulatorError) in try form.store(warp, lane) }
      return .next
    }
  }

  static func eachLane(_ lanes: LaneMask, _ body: (Int) throws(EmulatorError) -> Void) throws(EmulatorError) {
    var rest = lanes
    while rest != 0 {
      try body(rest.trailingZeroBitCount)
      rest &= rest - 1
    }
  }

  /// `.add.noftz.f16`
  private static func takeReduction(
    _ modifiers: inout Modifiers, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> BulkReduction? {
    guard modifiers.take("reduce") else { return nil }
    guard let name = modifiers.take(oneOf: BulkReduction.Operation.allCases.map(\.rawValue)) else {
      throw modifiers.unknownForm()
    }
    _ = modifiers.take("noftz")
    guard let reduction = BulkReduction(BulkReduction.Operation(rawValue: name)!, try modifiers.takeType()) else {
      throw modifiers.unknownForm()
    }
    return reduction
  }

  // MARK: One copy

  private struct Form {
    var target: ObjectOperand
    var source: ObjectOperand
    var size: Register
    var barrier: ObjectOperand?
    var mask: Register?
    var readsGlobal: Bool
    var reduction: BulkReduction?

    func require(_ warp: Warp, _ lanes: LaneMask) throws(EmulatorError) {
      for register in [target.operand.base, source.operand.base, size] { try warp.requireReadable(register, lanes) }
      if let barrier { try warp.requireReadable(barrier.operand.base, lanes) }
      if let mask { try warp.requireReadable(mask, lanes) }
    }

    private func count(_ warp: Warp, _ lane: Int) throws(EmulatorError) -> Int {
      let count = warp.value(size, lane)
      guard count > 0, count % 16 == 0 else {
        throw EmulatorError(
          .misaligned, lane: lane, "a bulk copy moves a multiple of 16 bytes, and some, not \(count): pad the data")
      }
      return count
    }

    private func sourcePlace(_ warp: Warp, _ lane: Int, _ count: Int) throws(EmulatorError) -> MemoryPlace {
      if readsGlobal { return .global(try source.global(warp, lane, alignment: 16, of: "the source of a bulk copy")) }
      let (block, offset) = try source.shared(warp, lane, count, alignment: 16, of: "the source of a bulk copy")
      return .shared(block, offset)
    }

    /// To shared memory, telling an mbarrier.
    func load(_ warp: Warp, _ lane: Int) throws(EmulatorError) {
      let count = try count(warp, lane)
      let from = try sourcePlace(warp, lane, count)
      _ = try from.bytes(count, on: warp.launch.gpu)
      let (block, offset) = try target.shared(warp, lane, count, alignment: 16, of: "the target of a bulk copy")
      let known = try barrier!.barrier(warp, lane, asynchronously: true)
      let blocks = try BulkTargets.blocks(
        warp, lane, target: block, barrier: known, mask: mask.map { warp.value($0, lane) }, pairs: false)
      for (block, barrier) in blocks {
        let transfer = Transfer(warp, lane, from: from, to: .shared(block, offset), count, reduction)
        try transfer.issue(telling: barrier)
      }
    }

    /// To global memory, in a bulk group.
    func store(_ warp: Warp, _ lane: Int) throws(EmulatorError) {
      let count = try count(warp, lane)
      let from = try sourcePlace(warp, lane, count)
      let to = MemoryPlace.global(try target.global(warp, lane, alignment: 16, of: "the target of a bulk copy"))
      _ = try to.bytes(count, on: warp.launch.gpu)
      try Transfer(warp, lane, from: from, to: to, count, reduction).issueInGroup()
    }
  }

  // MARK: Groups

  private static func commit(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    try modifiers.finish()
    try context.requireOperands(instruction, 0...0)
    return { warp, lanes throws(EmulatorError) in
      Lanes.each(lanes) { warp.groups.bulk($0).commit(warp.launch.detector) }
      return .next
    }
  }

  private static func wait(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rest: Modifiers
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .synchronisation
    var modifiers = rest
    let onlyReads = modifiers.take("read")
    try modifiers.finish()
    try context.requireOperands(instruction, 1...1)
    let left = try context.literal(instruction.operands[0])
    return { warp, lanes throws(EmulatorError) in
      var rest = lanes
      while rest != 0 {
        let groups = warp.groups.bulk(rest.trailingZeroBitCount)
        rest &= rest - 1
        if !groups.isDone(left: left, onlyReads: onlyReads) { return warp.blocked(on: .object(groups)) }
      }
      Lanes.each(lanes) { lane in
        let groups = warp.groups.bulk(lane)
        let known = groups.pass(left: left, onlyReads: onlyReads)
        guard let order = warp.order, groups.actor >= 0 else { return }
        order.acquire(1 << LaneMask(lane), actor: groups.readActor, upTo: known)
        if !onlyReads { order.acquire(1 << LaneMask(lane), actor: groups.actor, upTo: known) }
      }
      return .next
    }
  }

  /// `cp.async.bulk.prefetch.L2.global [a], size`: a hint.
  private static func prefetch(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rest: Modifiers, hasPolicy: Bool
  ) throws(EmulatorError) -> Step {
    var modifiers = rest
    guard modifiers.take("L2"), modifiers.take("global") else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, hasPolicy ? 3...3 : 2...2)
    let source = ObjectOperand(try context.address(instruction.operands[0]), isGeneric: false)
    let size = try context.source(instruction.operands[1], .u32)
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(source.operand.base, lanes)
      try warp.requireReadable(size, lanes)
      try eachLane(lanes) { lane throws(EmulatorError) in
        let place = MemoryPlace.global(try source.global(warp, lane, alignment: 16, of: "what a bulk prefetch names"))
        _ = try place.bytes(warp.value(size, lane), on: warp.launch.gpu)
      }
      return .next
    }
  }
}
