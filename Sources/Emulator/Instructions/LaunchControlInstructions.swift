// What a kernel says about its own launch: `setmaxnreg`, `griddepcontrol`, `clusterlaunchcontrol`.
//
// PTX ISA 9.1, "setmaxnreg", "griddepcontrol", "clusterlaunchcontrol".

internal import KernelLanguage

enum LaunchControlInstructions {
  static let decoders: [String: Decoder] = [
    "setmaxnreg": setRegisters, "griddepcontrol": dependency, "clusterlaunchcontrol": clusterLaunch,
  ]

  // MARK: Registers

  static func setRegisters(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .control
    var modifiers = Modifiers(instruction)
    guard let direction = modifiers.take(oneOf: ["inc", "dec"]), modifiers.take("sync"), modifiers.take("aligned"),
      try modifiers.takeType() == .u32
    else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, 1...1)
    let count = try context.literal(instruction.operands[0])
    guard (24...256).contains(count), count % 8 == 0 else {
      throw EmulatorError(.registerBudget, "setmaxnreg takes a multiple of 8 from 24 to 256, not \(count)")
    }
    let increases = direction == "inc"
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      let pool = try warp.block.requireRegisterPool()
      if increases {
        guard try pool.increase(warp.index, to: count) else { return warp.blocked(on: .object(pool)) }
      } else {
        try pool.decrease(warp.index, to: count)
        warp.block.cluster.change()
      }
      return .next
    }
  }

  // MARK: The grid before

  /// `griddepcontrol.launch_dependents`, `griddepcontrol.wait`: the emulator runs one grid after the other, so only
  /// the detector hears of it.
  static func dependency(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .control
    var modifiers = Modifiers(instruction)
    let action = modifiers.take(oneOf: ["launch_dependents", "wait"])
    guard action != nil else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, 0...0)
    let waits = action == "wait"
    return { warp, lanes throws(EmulatorError) in
      if waits { warp.launch.detector?.waitsForPreviousGrid(warp, lanes) }
      return .next
    }
  }

  // MARK: Clusters that have not begun

  static func clusterLaunch(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .control
    guard context.target.name.hasPrefix("sm_10") || context.target.name.hasPrefix("sm_12") else {
      throw context.unsupported(
        "clusterlaunchcontrol needs sm_100a: print the module for it, or count tiles in global memory")
    }
    var modifiers = Modifiers(instruction)
    if modifiers.take("try_cancel") { return try cancel(&context, instruction, modifiers) }
    guard modifiers.take("query_cancel") else { throw modifiers.unknownForm() }
    _ = modifiers.takeTypes()
    if modifiers.take("is_canceled") {
      try modifiers.finish()
      try context.requireOperands(instruction, 2...2)
      let target = try context.destination(instruction.operands[0], .pred)
      let response = try context.source(instruction.operands[1], .b128)
      return { warp, lanes throws(EmulatorError) in
        try warp.requireReadable(response, lanes)
        let holds = Lanes.mask(lanes) { LaunchResponse(warp, response, $0).isCancelled }
        try warp.write(predicate: target, lanes, holds)
        return .next
      }
    }
    let axes = ["get_first_ctaid::x", "get_first_ctaid::y", "get_first_ctaid::z"]
    let axis = modifiers.take(oneOf: axes).map { axes.firstIndex(of: $0)! }
    let isVector = axis == nil && modifiers.take("get_first_ctaid") && modifiers.take("v4")
    guard axis != nil || isVector else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, 2...2)
    let parts = context.parts(instruction.operands[0])
    guard parts.count == (isVector ? 4 : 1) else { throw modifiers.unknownForm() }
    var targets: [Register] = []
    for part in parts { targets.append(try context.destination(part, .b32)) }
    let response = try context.source(instruction.operands[1], .b128)
    return { [targets] warp, lanes throws(EmulatorError) in
      try warp.requireReadable(response, lanes)
      for (index, target) in targets.enumerated() where index < 3 {
        let values = try warp.write(target, lanes)
        Lanes.each(lanes) { values[$0] = LaunchResponse(warp, response, $0).block[axis ?? index] }
      }
      if isVector { Lanes.each(lanes) { warp.words(targets[3])[$0] = 0 } }
      return .next
    }
  }

  /// `clusterlaunchcontrol.try_cancel.async…b128 [response], [barrier]`
  private static func cancel(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rest: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = rest
    guard modifiers.take("async"), modifiers.take("mbarrier::complete_tx::bytes"), try modifiers.takeType() == .b128
    else {
      throw modifiers.unknownForm()
    }
    let space = modifiers.take("shared::cta")
    let toAll = modifiers.take("multicast::cluster::all")
    try modifiers.finish()
    try context.requireOperands(instruction, 2...2)
    let target = try ObjectOperand(instruction.operands[0], isGeneric: !space, &context)
    let barrier = try ObjectOperand(instruction.operands[1], isGeneric: !space, &context)
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(target.operand.base, lanes)
      try warp.requireReadable(barrier.operand.base, lanes)
      try BulkCopyInstructions.eachLane(lanes) { lane throws(EmulatorError) in
        let (block, offset) = try target.shared(warp, lane, 16, alignment: 16, of: "the response of try_cancel")
        let told = try barrier.barrier(warp, lane, asynchronously: true)
        let mask = toAll ? (1 << warp.block.cluster.blocks.count) - 1 : nil
        let blocks = try BulkTargets.blocks(warp, lane, target: block, barrier: told, mask: mask, pairs: false)
        let launch = warp.launch
        var accesses: [AsynchronousAccess?] = []
        for (block, barrier) in blocks {
          let access = AsynchronousAccess(by: warp, 1 << LaneMask(lane), actor: barrier.actor)
          try access?.begin(.write, at: .shared(block, offset), 16)
          barrier.issue(16)
          accesses.append(access)
        }
        // One answer, which all blocks get.
        var answer: LaunchResponse?
        for (index, (block, barrier)) in blocks.enumerated() {
          launch.later(warp) { [unowned launch, accesses] () throws(EmulatorError) in
            let response = answer ?? LaunchResponse(cancelled: launch.nextCluster().map(launch.firstBlock))
            answer = response
            response.store(to: block.shared + offset)
            accesses[index]?.end(.write, at: .shared(block, offset), 16, time: launch.detector?.tick())
            try barrier.land(16, knowledge: accesses[index]?.knowledge)
          }
        }
      }
      return .next
    }
  }
}

extension Launch {
  /// `%ctaid` of a cluster's first block.
  fileprivate func firstBlock(_ cluster: Extent) -> Extent {
    let extent = configuration.cluster
    return Extent(cluster.x * extent.x, cluster.y * extent.y, cluster.z * extent.z)
  }
}

/// The 16 bytes that answer `try_cancel`: whether a cluster was cancelled, and its first block.
struct LaunchResponse {
  let isCancelled: Bool
  /// `%ctaid` of the cancelled cluster's first block, by axis.
  let block: [UInt32]

  init(cancelled block: Extent?) {
    isCancelled = block != nil
    self.block = block.map { [UInt32($0.x), UInt32($0.y), UInt32($0.z)] } ?? [0, 0, 0]
  }

  /// As a lane's register of 128 bits has it.
  init(_ warp: Warp, _ register: Register, _ lane: Int) {
    let bytes = warp.file + Int(register.offset) + 16 * lane
    isCancelled = bytes.load(fromByteOffset: 12, as: UInt32.self) == 1
    block = (0..<3).map { bytes.load(fromByteOffset: 4 * $0, as: UInt32.self) }
  }

  func store(to target: UnsafeMutableRawPointer) {
    for axis in 0..<3 { target.storeBytes(of: block[axis], toByteOffset: 4 * axis, as: UInt32.self) }
    target.storeBytes(of: isCancelled ? 1 : 0, toByteOffset: 12, as: UInt32.self)
  }
}
