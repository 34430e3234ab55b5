// Barriers of a block, and fences: `bar`, `barrier{.cta}`, `membar`, `fence`.
//
// `bar` is `barrier.cta` with `.aligned`: all lanes of a warp come to it together.
//
// PTX ISA 9.1, "Parallel Synchronization and Communication Instructions".

internal import KernelLanguage

enum BarrierInstructions {
  static let decoders: [String: Decoder] = ["bar": barrier, "barrier": barrier, "membar": membar, "fence": fence]

  private enum Action { case sync, arrive, count, all, any }

  static func barrier(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("cta")
    let isAligned = modifiers.take("aligned") || instruction.opcode == "bar"
    context.cost.unit = .synchronisation
    let action: Action
    var operands = instruction.operands[...]
    var d: Register?
    var p: Predicate?
    if modifiers.take("sync") {
      action = .sync
    } else if modifiers.take("arrive") {
      action = .arrive
    } else if modifiers.take("red") {
      try context.requireOperands(instruction, 3...4)
      if modifiers.take("popc") {
        action = .count
        guard try modifiers.takeType() == .u32 else { throw modifiers.unknownForm() }
        d = try context.destination(operands.removeFirst(), .u32)
      } else {
        action = modifiers.take("and") ? .all : .any
        guard action == .all || modifiers.take("or"), try modifiers.takeType() == .pred else {
          throw modifiers.unknownForm()
        }
        d = try context.destination(operands.removeFirst(), .pred)
      }
      p = try context.predicate(operands.removeLast())
    } else {
      throw modifiers.unknownForm()
    }
    try modifiers.finish()
    guard (action == .arrive ? 2...2 : 1...2).contains(operands.count) else { throw modifiers.unknownForm() }
    let id = try context.source(operands.removeFirst(), .u32)
    let count = try operands.first.map { operand throws(EmulatorError) in try context.source(operand, .u32) }
    return { [d, p] warp, lanes throws(EmulatorError) in
      guard !isAligned || warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      let id = Int(try uniform(warp, id, lanes))
      let block = warp.block
      guard id < 16 else {
        throw EmulatorError(
          .barrier, lane: lanes.trailingZeroBitCount, "there is no barrier \(id): a block has barriers 0 to 15")
      }
      let barrier = block.barriers[id]
      let holding = try p.map { predicate throws(EmulatorError) in try warp.read(predicate, lanes) } ?? 0
      if barrier.released[warp.index] & lanes != lanes {
        let threads = try count.map { register throws(EmulatorError) in Int(try uniform(warp, register, lanes)) }
        let new = lanes & ~(barrier.waiting[warp.index] | barrier.released[warp.index])
        if new != 0 {
          try block.arrive(warp, new, barrier: id, count: threads, holding: holding, waits: action != .arrive)
        }
        if action == .arrive { return .next }
        // The arrival may have been the last.
        guard barrier.released[warp.index] & lanes == lanes else {
          return warp.blocked(on: .namedBarrier(id))
        }
      }
      barrier.released[warp.index] &= ~lanes
      warp.observer?.leaves(warp, lanes, barrier: id)
      let result = barrier.result
      if let d {
        switch action {
        case .count:
          let z = try warp.write(d, lanes)
          Lanes.each(lanes) { z[$0] = UInt32(result.holding) }
        case .all: try warp.write(predicate: d, lanes, result.holding == result.threads ? .max : 0)
        default: try warp.write(predicate: d, lanes, result.holding > 0 ? .max : 0)
        }
      }
      return .next
    }
  }

  /// A value that must be the same in all lanes.
  private static func uniform(_ warp: Warp, _ register: Register, _ lanes: LaneMask) throws(EmulatorError) -> UInt32 {
    let values = try warp.read(register, lanes)
    let first = values[lanes.trailingZeroBitCount]
    let other = Lanes.mask(lanes) { values[$0] != first }
    guard other == 0 else {
      throw EmulatorError(
        .barrier, lane: other.trailingZeroBitCount,
        "lanes that run a barrier together name different ones: give all lanes of a warp the same number and count")
    }
    return first
  }

  // MARK: Fences

  /// `membar.cta`, `.gl`, `.sys`.
  static func membar(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let scopes: [String: MemoryAccess.Scope] = ["cta": .cta, "gl": .gpu, "sys": .system]
    guard let scope = modifiers.take(oneOf: Array(scopes.keys)).flatMap({ scopes[$0] }) else {
      throw modifiers.unknownForm()
    }
    try modifiers.finish()
    return try fence(&context, instruction, scope)
  }

  /// `fence.acq_rel.gpu`, `fence.sc.cta`; those of proxies are other instructions.
  static func fence(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    _ = modifiers.take(oneOf: ["sc", "acq_rel", "acquire", "release"])
    let scopes: [String: MemoryAccess.Scope] = ["cta": .cta, "cluster": .cluster, "gpu": .gpu, "sys": .system]
    guard let scope = modifiers.take(oneOf: Array(scopes.keys)).flatMap({ scopes[$0] }) else {
      throw modifiers.unknownForm()
    }
    try modifiers.finish()
    return try fence(&context, instruction, scope)
  }

  private static func fence(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ scope: MemoryAccess.Scope
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .synchronisation
    try context.requireOperands(instruction, 0...0)
    return { warp, lanes throws(EmulatorError) in
      warp.observer?.fences(warp, lanes, scope: scope)
      return .next
    }
  }
}
