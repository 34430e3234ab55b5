// Fences of asynchronous work: `fence.mbarrier_init`, `fence.proxy.async`, `fence.proxy.tensormap`,
// `fence.proxy.alias`.
//
// They move nothing here, as the emulator's memory has no caches; they tell the detector what the program may rely on.
//
// PTX ISA 9.1, "membar / fence", "Proxies".

internal import KernelLanguage

enum FenceInstructions {
  static let decoders: [String: Decoder] = ["fence.mbarrier_init": barrierFence, "fence.proxy": proxyFence]

  static func barrierFence(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .synchronisation
    var modifiers = Modifiers(instruction)
    guard modifiers.take("mbarrier_init"), modifiers.takeOrder() == .release, modifiers.takeScope() == .cluster else {
      throw modifiers.unknownForm()
    }
    try modifiers.finish()
    try context.requireOperands(instruction, 0...0)
    return { warp, lanes throws(EmulatorError) in
      for barrier in warp.block.memoryBarriers.values { barrier.fence(by: warp, lanes) }
      // A relaxed arrival at the cluster's barrier then releases the initialisation.
      warp.order?.fence(lanes)
      return .next
    }
  }

  static func proxyFence(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .synchronisation
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("proxy")
    if modifiers.take("alias") {
      try modifiers.finish()
      return { _, _ throws(EmulatorError) in .next }
    }
    if modifiers.take("tensormap::generic") { return try tensorMapFence(&context, instruction, modifiers) }
    guard modifiers.take(oneOf: ["async", "async::generic"]) != nil else { throw modifiers.unknownForm() }
    _ = modifiers.take(oneOf: [
      "global", "shared::cta", "shared::cluster", "sync_restrict::shared::cta", "sync_restrict::shared::cluster",
    ])
    _ = (modifiers.takeOrder(), modifiers.takeScope())
    try modifiers.finish()
    try context.requireOperands(instruction, 0...0)
    return { warp, lanes throws(EmulatorError) in
      for barrier in warp.block.memoryBarriers.values { barrier.fence(by: warp, lanes) }
      warp.order?.fenceProxy(lanes)
      return .next
    }
  }

  /// `fence.proxy.tensormap::generic.acquire.gpu [map], 128` and its `.release`: a map that was changed in memory may
  /// be used.
  private static func tensorMapFence(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rest: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = rest
    let order = modifiers.takeOrder()
    guard order == .acquire || order == .release, modifiers.takeScope() != nil else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, order == .acquire ? 2...2 : 0...0)
    let address = try instruction.operands.first.map { operand throws(EmulatorError) in try context.address(operand) }
    return { warp, lanes throws(EmulatorError) in
      if let address { try warp.requireReadable(address.base, lanes) }
      warp.order?.fence(lanes)
      warp.order?.fenceProxy(lanes)
      return .next
    }
  }
}
