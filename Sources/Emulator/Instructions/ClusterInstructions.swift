// Clusters: `mapa`, `getctarank`, `barrier.cluster`.
//
// PTX ISA 9.1, "mapa", "getctarank", "barrier.cluster".

internal import KernelLanguage

enum ClusterInstructions {
  static let decoders: [String: Decoder] = ["mapa": mapa, "getctarank": rank, "barrier.cluster": barrier]

  // MARK: Addresses

  /// `mapa.shared::cluster.u32 d, a, rank`: the address of the same place in another block of the cluster.
  static func mapa(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let isGeneric = !modifiers.take("shared::cluster")
    let type = try modifiers.takeType()
    try modifiers.finish()
    try context.requireOperands(instruction, 3...3)
    guard type == .u32 && !isGeneric || type == .u64 else { throw modifiers.unknownForm() }
    let target = try context.destination(instruction.operands[0], type)
    let source = try context.source(instruction.operands[1], type)
    let rank = try context.source(instruction.operands[2], .u32)
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(source, lanes)
      let ranks = try warp.read(rank, lanes)
      let count = warp.block.cluster.blocks.count
      var rest = lanes
      while rest != 0 {
        let lane = rest.trailingZeroBitCount
        rest &= rest - 1
        guard Int(ranks[lane]) < count else {
          throw EmulatorError(
            .outOfBounds, lane: lane,
            "rank \(ranks[lane]) is in no cluster of \(count) blocks: launch with a larger one")
        }
        let address = UInt64(truncatingIfNeeded: warp.value(source, lane))
        guard !isGeneric || AddressMap.resolve(address).space == .shared else {
          throw EmulatorError(
            .outOfBounds, lane: lane, "0x\(String(address, radix: 16)) is no generic address in shared memory")
        }
      }
      try warp.requireWritable(target, lanes)
      Lanes.each(lanes) { lane in
        let address = UInt64(truncatingIfNeeded: warp.value(source, lane))
        let mapped =
          address & ~UInt64(UInt32.max & ~AddressMap.offsetMask) | UInt64(ranks[lane]) << UInt64(AddressMap.rankShift)
        if type == .u64 {
          warp.longs(target)[lane] = mapped
        } else {
          warp.words(target)[lane] = UInt32(truncatingIfNeeded: mapped)
        }
      }
      return .next
    }
  }

  /// `getctarank.shared::cluster.u32 d, a`: the rank of the block that an address is in.
  static func rank(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let isGeneric = !modifiers.take("shared::cluster")
    let type = try modifiers.takeType()
    try modifiers.finish()
    try context.requireOperands(instruction, 2...2)
    guard type == .u32 && !isGeneric || type == .u64 else { throw modifiers.unknownForm() }
    let target = try context.destination(instruction.operands[0], .u32)
    let source = try context.source(instruction.operands[1], type)
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(source, lanes)
      let ranks = try warp.write(target, lanes)
      Lanes.each(lanes) { ranks[$0] = UInt32(truncatingIfNeeded: warp.value(source, $0)) >> AddressMap.rankShift }
      return .next
    }
  }

  // MARK: The barrier

  static func barrier(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .synchronisation
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("cluster")
    let arrives = modifiers.take("arrive")
    guard arrives || modifiers.take("wait") else { throw modifiers.unknownForm() }
    let order = modifiers.takeOrder() ?? (arrives ? .release : .acquire)
    let isAligned = modifiers.take("aligned")
    try modifiers.finish()
    try context.requireOperands(instruction, 0...0)
    guard arrives ? order == .release || order == .relaxed : order == .acquire else { throw modifiers.unknownForm() }
    return { warp, lanes throws(EmulatorError) in
      if isAligned, !warp.isConverged(lanes) { return warp.blocked(on: .convergence(warp.live)) }
      let barrier = warp.block.cluster.barrier
      if arrives {
        try barrier.arrive(warp, lanes, releases: order == .release)
      } else if !(try barrier.leave(warp, lanes)) {
        return warp.blocked(on: .object(barrier))
      } else {
        warp.order?.synchronise(lanes)
      }
      return .next
    }
  }
}
