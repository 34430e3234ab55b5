// Copies of a few bytes by each thread: `cp.async.ca`, `cp.async.cg`, their groups, and `cp.async.mbarrier.arrive`;
// and the door to the bulk copies, which share the opcode.
//
// PTX ISA 9.1, "Non-bulk copy: cp.async"; the copies write through the generic proxy.

internal import KernelLanguage

enum CopyInstructions {
  static let decoders: [String: Decoder] = ["cp": copy]

  static func copy(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .asynchronousCopy
    let names = Set(instruction.modifiers)
    guard names.contains("async") else { throw Modifiers(instruction).unknownForm() }
    if names.contains("bulk") {
      return names.contains("tensor")
        ? try TensorCopyInstructions.copy(&context, instruction) : try BulkCopyInstructions.copy(&context, instruction)
    }
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("async")
    if modifiers.take("commit_group") { return try commit(&context, instruction, modifiers) }
    if modifiers.take("wait_group") { return try wait(&context, instruction, modifiers, all: false) }
    if modifiers.take("wait_all") { return try wait(&context, instruction, modifiers, all: true) }
    if modifiers.take("mbarrier") { return try arrive(&context, instruction, modifiers) }
    return try copySome(&context, instruction, modifiers)
  }

  // MARK: Copies

  /// `cp.async.cg.shared.global [d], [s], 16{, source-size | , ignore-source}{, policy}`
  private static func copySome(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rest: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = rest
    guard let level = modifiers.take(oneOf: ["ca", "cg"]), modifiers.take(oneOf: ["shared", "shared::cta"]) != nil,
      modifiers.take("global")
    else { throw modifiers.unknownForm() }
    let hasPolicy = modifiers.take("L2::cache_hint")
    modifiers.takeAll(prefix: "L2::")
    try modifiers.finish()
    var operands = instruction.operands
    try context.requireOperands(instruction, 3...5)
    if hasPolicy { _ = try context.source(operands.removeLast(), .b64) }
    guard case .integer(let size) = operands[2], level == "ca" ? [4, 8, 16].contains(size) : size == 16 else {
      throw context.unsupported("cp.async.ca copies 4, 8 or 16 bytes, cp.async.cg 16, not \(operands[2])")
    }
    let count = Int(size)
    let target = ObjectOperand(try context.address(operands[0]), isGeneric: false)
    let source = try context.address(operands[1])
    // The last one is a size of 32 bits, or a predicate that says not to read.
    var (sourceSize, ignores): (Register?, Predicate?) = (nil, nil)
    if operands.count == 4 {
      if let size = try? context.source(operands[3], .u32) {
        sourceSize = size
      } else {
        ignores = try context.predicate(operands[3])
      }
    }
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(target.operand.base, lanes)
      try warp.requireReadable(source.base, lanes)
      let sizes = try sourceSize.map { register throws(EmulatorError) in try warp.read(register, lanes) }
      let ignored = try ignores.map { predicate throws(EmulatorError) in try warp.read(predicate, lanes) } ?? 0
      let from = ObjectOperand(source, isGeneric: false)
      var parts: [(from: MemoryPlace, to: MemoryPlace, count: Int, lane: Int)] = []
      parts.reserveCapacity(32)
      var rest = lanes
      while rest != 0 {
        let lane = rest.trailingZeroBitCount
        rest &= rest - 1
        let (block, offset) = try target.shared(warp, lane, count, alignment: count, of: "the target of cp.async")
        let given = ignored >> LaneMask(lane) & 1 == 1 ? 0 : sizes.map { Int($0[lane]) } ?? count
        guard given <= count else {
          throw EmulatorError(.outOfBounds, lane: lane, "cp.async reads \(given) bytes of a copy of \(count)")
        }
        var address = from.address(warp, lane)
        if given > 0 {
          address = try from.global(warp, lane, alignment: count, of: "the source of cp.async")
          _ = try MemoryPlace.global(address).bytes(given, on: warp.launch.gpu)
        }
        parts.append((.global(address), .shared(block, offset), given, lane))
      }
      let gpu = warp.launch.gpu
      let access = warp.order.flatMap { order in
        AsynchronousAccess(by: warp, lanes, actor: order.copiesActor(), asynchronousProxy: false)
      }
      for part in parts {
        try access?.begin(.write, at: part.to, count, lane: part.lane)
        if part.count > 0 { try access?.begin(.read, at: part.from, part.count, lane: part.lane) }
      }
      let groups = warp.groups.copies
      let copy = groups.issue(lanes, time: access?.time ?? 0)
      warp.launch.counters.pointee.asynchronousBytes += parts.reduce(0) { $0 + $1.count }
      warp.launch.later(warp) { () throws(EmulatorError) in
        for part in parts {
          let bytes = try part.to.bytes(count, on: gpu)
          access?.end(.write, at: part.to, count)
          if part.count > 0 {
            bytes.copyMemory(from: try part.from.bytes(part.count, on: gpu), byteCount: part.count)
            access?.end(.read, at: part.from, part.count)
            access?.carry(from: part.from, to: part.to, part.count)
          }
          (bytes + part.count).initializeMemory(as: UInt8.self, repeating: 0, count: count - part.count)
        }
        groups.land(copy)
      }
      return .next
    }
  }

  // MARK: Groups

  private static func commit(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    try modifiers.finish()
    try context.requireOperands(instruction, 0...0)
    return { warp, lanes throws(EmulatorError) in
      warp.groups.copies.commit(lanes)
      return .next
    }
  }

  private static func wait(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ modifiers: Modifiers, all: Bool
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .synchronisation
    try modifiers.finish()
    try context.requireOperands(instruction, all ? 0...0 : 1...1)
    let left = all ? nil : try context.literal(instruction.operands[0])
    return { warp, lanes throws(EmulatorError) in
      guard let time = warp.groups.copies.wait(lanes, left: left) else {
        return warp.blocked(on: .object(warp.groups.copies))
      }
      warp.order?.waitCopies(upTo: time)
      return .next
    }
  }

  /// `cp.async.mbarrier.arrive{.noinc}.shared.b64 [barrier]`: an arrival once all that the thread has copied is there.
  private static func arrive(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rest: Modifiers
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .synchronisation
    var modifiers = rest
    guard modifiers.take("arrive"), try modifiers.takeType() == .b64 else { throw modifiers.unknownForm() }
    let isCounted = modifiers.take("noinc")
    let space = modifiers.take(oneOf: ["shared", "shared::cta"])
    try modifiers.finish()
    try context.requireOperands(instruction, 1...1)
    let object = try ObjectOperand(instruction.operands[0], isGeneric: space == nil, &context)
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(object.operand.base, lanes)
      let (launch, place, cluster) = (warp.launch, warp.place(), warp.block.cluster)
      let text = "cp.async of warp \(warp.index) of block \(warp.block.name)"
      var rest = lanes
      while rest != 0 {
        let lane = rest.trailingZeroBitCount
        rest &= rest - 1
        let barrier = try object.barrier(warp, lane)
        if !isCounted { try barrier.addPending(lane: lane) }
        var knowledge = warp.order?.acquired(1 << LaneMask(lane)) ?? Knowledge()
        let actor = warp.order?.copiesActor() ?? 0
        let order = warp.order
        var time: Time = 0
        time = warp.groups.copies.whenDone(1 << LaneMask(lane)) { [unowned launch] in
          launch.effects.append(
            PendingEffect(place: place, cluster: cluster, chain: nil) { () throws(EmulatorError) in
              if order != nil { knowledge.own.seen.raise(actor, to: time) }
              try barrier.arriveAsynchronously(knowledge, from: text)
            })
        }
      }
      return .next
    }
  }
}

extension DecodingContext {
  /// A whole number that must stand in the text.
  func literal(_ operand: PTXOperand) throws(EmulatorError) -> Int {
    guard case .integer(let value) = operand, (0...Int64(Int32.max)).contains(value) else {
      throw unsupported("\(operand) must be a number that is not negative")
    }
    return Int(value)
  }
}
