// What lanes of a warp do together: `shfl.sync`, `vote.sync`, `match.sync`, `redux.sync`, `elect.sync`, `activemask`,
// `bar.warp.sync`.
//
// Lanes wait until all others of the member mask that have not exited are at the same instruction.
//
// PTX ISA 9.1, "Data Movement and Conversion Instructions: shfl.sync", "Parallel Synchronization and Communication Instructions".

internal import KernelLanguage

enum WarpInstructions {
  static let decoders: [String: Decoder] = [
    "shfl": shfl, "vote": vote, "match": match, "redux": redux, "elect": elect, "activemask": activemask,
    "bar.warp": warpBarrier,
  ]

  /// The members of a `.sync` instruction, nil while some are elsewhere: then the lanes are to wait.
  ///
  /// Throws `divergence` where lanes name different members, or do not name themselves.
  static func members(
    _ warp: Warp, _ lanes: LaneMask, _ mask: Register
  ) throws(EmulatorError) -> (members: LaneMask?, wanted: LaneMask) {
    let masks = try warp.read(mask, lanes)
    let first = masks[lanes.trailingZeroBitCount]
    let differing = Lanes.mask(lanes) { masks[$0] != first }
    guard differing == 0 else {
      throw EmulatorError(
        .divergence, lane: differing.trailingZeroBitCount,
        "lanes that run a .sync instruction together name different members, 0x\(String(first, radix: 16)) and "
          + "0x\(String(masks[differing.trailingZeroBitCount], radix: 16)): give all the same mask")
    }
    let strangers = lanes & ~first
    guard strangers == 0 else {
      throw EmulatorError(
        .divergence, lane: strangers.trailingZeroBitCount,
        "the lane runs a .sync instruction with members 0x\(String(first, radix: 16)), of which it is none: let the "
          + "mask name all lanes that come here")
    }
    let wanted = first & warp.live
    return (lanes & wanted == wanted ? wanted : nil, wanted)
  }

  // MARK: shfl

  private enum ShuffleMode: String {
    case up, down, butterfly = "bfly", index = "idx"
  }

  static func shfl(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard modifiers.take("sync"),
      let mode = modifiers.take(oneOf: ["up", "down", "bfly", "idx"]).flatMap(ShuffleMode.init),
      try modifiers.takeType() == .b32
    else { throw modifiers.unknownForm() }
    try modifiers.finish()
    context.cost.unit = .synchronisation
    try context.requireOperands(instruction, 5...5)
    var target = instruction.operands[0]
    var p: Register?
    if case .pair(let first, let second) = target {
      target = first
      p = try context.destination(second, .pred)
    }
    let d = try context.destination(target, .b32)
    let a = try context.source(instruction.operands[1], .b32)
    let b = try context.source(instruction.operands[2], .b32)
    let c = try context.source(instruction.operands[3], .b32)
    let mask = try context.source(instruction.operands[4], .b32)
    return { [p] warp, lanes throws(EmulatorError) in
      let (members, wanted) = try members(warp, lanes, mask)
      guard members != nil else { return warp.blocked(on: .convergence(wanted)) }
      let (x, y, w) = (try warp.read(a, lanes), try warp.read(b, lanes), try warp.read(c, lanes))
      try warp.requireWritable(d, lanes)
      warp.observer?.synchronises(warp, lanes)
      var valid: LaneMask = 0
      var absent: LaneMask = 0
      withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 32) { result in
        Lanes.each(lanes) { lane in
          let clamp = Int(w[lane] & 31)
          let segment = Int(w[lane] >> 8 & 31)
          let value = Int(y[lane] & 31)
          let least = lane & segment
          let most = least | clamp & ~segment
          var source: Int
          let isValid: Bool
          switch mode {
          case .up:
            source = lane - value
            isValid = source >= most
          case .down:
            source = lane + value
            isValid = source <= most
          case .butterfly:
            source = lane ^ value
            isValid = source <= most
          case .index:
            source = least | value & ~segment
            isValid = source <= most
          }
          if !isValid { source = lane }
          if isValid { valid |= 1 << LaneMask(lane) }
          // The value of a lane that does not take part is undefined: reading what was got of it is an error.
          if lanes >> LaneMask(source) & 1 == 0 { absent |= 1 << LaneMask(lane) }
          result[lane] = x[source]
        }
        let z = warp.words(d)
        Lanes.each(lanes) { z[$0] = result[$0] }
      }
      warp.valid[Int(d.index)] &= ~absent
      if let p { try warp.write(predicate: p, lanes, valid) }
      return .next
    }
  }

  // MARK: vote

  static func vote(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard modifiers.take("sync"), let mode = modifiers.take(oneOf: ["all", "any", "uni", "ballot"]) else {
      throw modifiers.unknownForm()
    }
    let type = try modifiers.takeType()
    try modifiers.finish()
    guard type == (mode == "ballot" ? .b32 : .pred) else { throw modifiers.unknownForm() }
    context.cost.unit = .synchronisation
    try context.requireOperands(instruction, 3...3)
    let d = try context.destination(instruction.operands[0], type)
    let p = try context.predicate(instruction.operands[1])
    let mask = try context.source(instruction.operands[2], .b32)
    return { warp, lanes throws(EmulatorError) in
      let (members, wanted) = try members(warp, lanes, mask)
      guard members != nil else { return warp.blocked(on: .convergence(wanted)) }
      let holding = try warp.read(p, lanes)
      warp.observer?.synchronises(warp, lanes)
      switch mode {
      case "all": try warp.write(predicate: d, lanes, holding == lanes ? .max : 0)
      case "any": try warp.write(predicate: d, lanes, holding != 0 ? .max : 0)
      case "uni": try warp.write(predicate: d, lanes, holding == lanes || holding == 0 ? .max : 0)
      default:
        let z = try warp.write(d, lanes)
        Lanes.each(lanes) { z[$0] = holding }
      }
      return .next
    }
  }

  // MARK: match

  static func match(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard let mode = modifiers.take(oneOf: ["any", "all"]), modifiers.take("sync") else {
      throw modifiers.unknownForm()
    }
    let type = try modifiers.takeType()
    try modifiers.finish()
    guard type == .b32 || type == .b64 else { throw modifiers.unknownForm() }
    context.cost.unit = .synchronisation
    try context.requireOperands(instruction, 3...3)
    var target = instruction.operands[0]
    var p: Register?
    if case .pair(let first, let second) = target {
      guard mode == "all" else { throw modifiers.unknownForm() }
      target = first
      p = try context.destination(second, .pred)
    }
    let d = try context.destination(target, .b32)
    let a = try context.source(instruction.operands[1], type)
    let mask = try context.source(instruction.operands[2], .b32)
    return { [p] warp, lanes throws(EmulatorError) in
      let (members, wanted) = try members(warp, lanes, mask)
      guard members != nil else { return warp.blocked(on: .convergence(wanted)) }
      try warp.requireReadable(a, lanes)
      warp.observer?.synchronises(warp, lanes)
      try warp.requireWritable(d, lanes)
      let values = (0..<32).map { warp.bits(a, $0) }
      let z = warp.words(d)
      if mode == "any" {
        Lanes.each(lanes) { lane in z[lane] = Lanes.mask(lanes) { values[$0] == values[lane] } }
      } else {
        let first = values[lanes.trailingZeroBitCount]
        let isSame = Lanes.mask(lanes) { values[$0] == first } == lanes
        Lanes.each(lanes) { z[$0] = isSame ? lanes : 0 }
        if let p { try warp.write(predicate: p, lanes, isSame ? .max : 0) }
      }
      return .next
    }
  }

  // MARK: redux

  static func redux(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard modifiers.take("sync"), let operation = modifiers.take(oneOf: ["add", "min", "max", "and", "or", "xor"])
    else {
      throw modifiers.unknownForm()
    }
    let type = try modifiers.takeType()
    let isAbsolute = modifiers.take("abs")
    let keepsNaN = modifiers.take("NaN")
    try modifiers.finish()
    context.cost.unit = .synchronisation
    try context.requireOperands(instruction, 3...3)
    let d = try context.destination(instruction.operands[0], type)
    let a = try context.source(instruction.operands[1], type)
    let mask = try context.source(instruction.operands[2], .b32)
    let reduce: (UInt32, UInt32) -> UInt32
    func signed(_ choose: @escaping (Int32, Int32) -> Int32) -> (UInt32, UInt32) -> UInt32 {
      { UInt32(bitPattern: choose(Int32(bitPattern: $0), Int32(bitPattern: $1))) }
    }
    func float(isMinimum: Bool) -> (UInt32, UInt32) -> UInt32 {
      { a, b in
        let (a, b) = (Float(bitPattern: a), Float(bitPattern: b))
        if keepsNaN, a.isNaN || b.isNaN { return Float.canonicalNaN.bitPattern }
        return (isMinimum ? Float.lesser(a, b) : Float.greater(a, b)).bitPattern
      }
    }
    switch (operation, type) {
    case ("add", .u32), ("add", .s32): reduce = { $0 &+ $1 }
    case ("min", .u32): reduce = { min($0, $1) }
    case ("max", .u32): reduce = { max($0, $1) }
    case ("min", .s32): reduce = signed { min($0, $1) }
    case ("max", .s32): reduce = signed { max($0, $1) }
    case ("and", .b32): reduce = { $0 & $1 }
    case ("or", .b32): reduce = { $0 | $1 }
    case ("xor", .b32): reduce = { $0 ^ $1 }
    case ("min", .f32): reduce = float(isMinimum: true)
    case ("max", .f32): reduce = float(isMinimum: false)
    default: throw modifiers.unknownForm()
    }
    guard type == .f32 || !isAbsolute && !keepsNaN else { throw modifiers.unknownForm() }
    return { warp, lanes throws(EmulatorError) in
      let (members, wanted) = try members(warp, lanes, mask)
      guard members != nil else { return warp.blocked(on: .convergence(wanted)) }
      let x = try warp.read(a, lanes)
      warp.observer?.synchronises(warp, lanes)
      var result: UInt32?
      Lanes.each(lanes) { lane in
        let value = isAbsolute ? x[lane] & 0x7FFF_FFFF : x[lane]
        result = result.map { reduce($0, value) } ?? value
      }
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { z[$0] = result! }
      return .next
    }
  }

  // MARK: elect, activemask, bar.warp.sync

  /// The leader is the lowest lane of the members, the same each time.
  static func elect(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard modifiers.take("sync") else { throw modifiers.unknownForm() }
    try modifiers.finish()
    context.cost.unit = .synchronisation
    try context.requireOperands(instruction, 2...2)
    guard case .pair(let first, let second) = instruction.operands[0] else { throw modifiers.unknownForm() }
    let d = try context.destination(first, .b32)
    let p = try context.destination(second, .pred)
    let mask = try context.source(instruction.operands[1], .b32)
    return { warp, lanes throws(EmulatorError) in
      let (members, wanted) = try members(warp, lanes, mask)
      guard members != nil else { return warp.blocked(on: .convergence(wanted)) }
      let leader = lanes.trailingZeroBitCount
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { z[$0] = UInt32(leader) }
      try warp.write(predicate: p, lanes, 1 << LaneMask(leader))
      return .next
    }
  }

  static func activemask(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard try modifiers.takeType() == .b32 else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, 1...1)
    let d = try context.destination(instruction.operands[0], .b32)
    return { warp, lanes throws(EmulatorError) in
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { z[$0] = lanes }
      return .next
    }
  }

  static func warpBarrier(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard modifiers.take("warp"), modifiers.take("sync") else { throw modifiers.unknownForm() }
    try modifiers.finish()
    context.cost.unit = .synchronisation
    try context.requireOperands(instruction, 1...1)
    let mask = try context.source(instruction.operands[0], .b32)
    return { warp, lanes throws(EmulatorError) in
      let (members, wanted) = try members(warp, lanes, mask)
      guard members != nil else { return warp.blocked(on: .convergence(wanted)) }
      warp.observer?.synchronises(warp, lanes)
      return .next
    }
  }
}
