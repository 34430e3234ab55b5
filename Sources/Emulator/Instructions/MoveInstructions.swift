// Moves between registers: `mov`, also of several packed into one, `selp`, `slct`, `cvta`, `isspacep`.
//
// PTX ISA 9.1, "Data Movement and Conversion Instructions", "Comparison and Selection Instructions".

internal import KernelLanguage

private enum Copy<T: LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> T { a }
}
private enum Plus: BinaryOperation {
  @inline(__always) static func apply(_ a: UInt64, _ b: UInt64) -> UInt64 { a &+ b }
}

enum MoveInstructions {
  static let decoders: [String: Decoder] = [
    "mov": mov, "selp": selp, "slct": slct, "cvta": cvta, "isspacep": isspacep,
  ]

  // MARK: mov

  static func mov(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    try context.requireOperands(instruction, 2...2)
    let (target, source) = (instruction.operands[0], instruction.operands[1])
    if type == .pred {
      let d = try context.destination(target, .pred)
      let a = try context.predicate(source)
      return { warp, lanes throws(EmulatorError) in
        try warp.write(predicate: d, lanes, try warp.read(a, lanes))
        return .next
      }
    }
    if case .vector(let parts) = source { return try pack(&context, target, parts, type) }
    if case .vector(let parts) = target { return try unpack(&context, parts, source, type) }
    let d = try context.destination(target, type)
    if case .register(let name) = source, SpecialRegister.isClock(name) { return clock(name, d) }
    let a = try context.source(source, type)
    switch d.width {
    case .word: return Lanes.unary(Copy<UInt32>.self, d, a)
    case .long where a.width == .word:
      // A special register of 32 bits in one of 64.
      return { warp, lanes throws(EmulatorError) in
        let (x, z) = (try warp.read(a, lanes), try warp.writeLong(d, lanes))
        Lanes.each(lanes) { z[$0] = UInt64(x[$0]) }
        return .next
      }
    case .long: return Lanes.unary(Copy<UInt64>.self, d, a)
    default:
      return { warp, lanes throws(EmulatorError) in
        let (x, z) = (try warp.readLong(a, lanes), try warp.writeLong(d, lanes))
        Lanes.each(lanes) { (z[2 * $0], z[2 * $0 + 1]) = (x[2 * $0], x[2 * $0 + 1]) }
        return .next
      }
    }
  }

  /// Clocks count the launch's warp instructions, as if each took a cycle of 1 GHz.
  private static func clock(_ name: String, _ d: Register) -> Step {
    let isHigh = name.hasSuffix("_hi")
    return { warp, lanes throws(EmulatorError) in
      let now = warp.launch.now
      if d.width == .long {
        let z = try warp.writeLong(d, lanes)
        Lanes.each(lanes) { z[$0] = now }
      } else {
        let z = try warp.write(d, lanes)
        let part = UInt32(truncatingIfNeeded: isHigh ? now >> 32 : now)
        Lanes.each(lanes) { z[$0] = part }
      }
      return .next
    }
  }

  private static func partType(_ type: PTXType, _ count: Int) throws(EmulatorError) -> PTXType {
    switch type == .pred ? 0 : type.size * 8 / count {
    case 8 where type.size * 8 == 8 * count: return .b8
    case 16 where type.size * 8 == 16 * count: return .b16
    case 32 where type.size * 8 == 32 * count: return .b32
    case 64 where type.size * 8 == 64 * count: return .b64
    default: throw EmulatorError(.unsupported, ".\(type.rawValue) has no \(count) equal parts")
    }
  }

  /// `mov.b32 %r, {%a, %b}`: the first part in the lowest bits.
  private static func pack(
    _ context: inout DecodingContext, _ target: PTXOperand, _ parts: [PTXOperand], _ type: PTXType
  ) throws(EmulatorError) -> Step {
    let part = try partType(type, parts.count)
    let d = try context.destination(target, type)
    var sources: [Register] = []
    for operand in parts { sources.append(try context.source(operand, part)) }
    if d.width == .quad, part == .b64 {
      let (a, b) = (sources[0], sources[1])
      return { warp, lanes throws(EmulatorError) in
        let (x, y) = (try warp.readLong(a, lanes), try warp.readLong(b, lanes))
        let z = try warp.writeLong(d, lanes)
        Lanes.each(lanes) { (z[2 * $0], z[2 * $0 + 1]) = (x[$0], y[$0]) }
        return .next
      }
    }
    let bits = part.size * 8
    let words = sources.count * bits / 32
    return { warp, lanes throws(EmulatorError) in
      for source in sources { try warp.requireReadable(source, lanes) }
      try warp.requireWritable(d, lanes)
      let z = warp.words(d)
      if bits == 32 {
        for (place, source) in sources.enumerated() {
          let x = warp.words(source)
          Lanes.each(lanes) { z[$0 * words + place] = x[$0] }
        }
        return .next
      }
      // Put together beside, because a part may be the target.
      withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 32) { sums in
        let mask: UInt32 = (1 << UInt32(bits)) - 1
        Lanes.each(lanes) { sums[$0] = 0 }
        for (place, source) in sources.enumerated() {
          let x = warp.words(source)
          Lanes.each(lanes) { sums[$0] |= UInt64(x[$0] & mask) << UInt64(place * bits) }
        }
        if d.width == .long {
          let long = warp.longs(d)
          Lanes.each(lanes) { long[$0] = sums[$0] }
        } else {
          Lanes.each(lanes) { z[$0] = UInt32(truncatingIfNeeded: sums[$0]) }
        }
      }
      return .next
    }
  }

  /// `mov.b32 {%a, %b}, %r`.
  private static func unpack(
    _ context: inout DecodingContext, _ parts: [PTXOperand], _ source: PTXOperand, _ type: PTXType
  ) throws(EmulatorError) -> Step {
    let part = try partType(type, parts.count)
    let a = try context.source(source, type)
    var targets: [(place: Int, register: Register)] = []
    for (place, operand) in parts.enumerated() where operand != .unused {
      targets.append((place, try context.destination(operand, part)))
    }
    let bits = part.size * 8
    let total = parts.count * bits
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(a, lanes)
      for target in targets { try warp.requireWritable(target.register, lanes) }
      switch (total, bits) {
      case (128, 64):
        let x = warp.longs(a)
        for target in targets {
          let z = warp.longs(target.register)
          Lanes.each(lanes) { z[$0] = x[2 * $0 + target.place] }
        }
      case (_, 32):
        let x = warp.words(a)
        for target in targets {
          let z = warp.words(target.register)
          Lanes.each(lanes) { z[$0] = x[$0 * parts.count + target.place] }
        }
      case (64, _):
        let x = warp.longs(a)
        let mask: UInt64 = (1 << UInt64(bits)) - 1
        for target in targets {
          let z = warp.words(target.register)
          Lanes.each(lanes) { z[$0] = UInt32(truncatingIfNeeded: x[$0] >> UInt64(target.place * bits) & mask) }
        }
      default:
        let x = warp.words(a)
        let mask: UInt32 = (1 << UInt32(bits)) - 1
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 32) { copy in
          Lanes.each(lanes) { copy[$0] = x[$0] }
          for target in targets {
            let z = warp.words(target.register)
            Lanes.each(lanes) { z[$0] = copy[$0] >> UInt32(target.place * bits) & mask }
          }
        }
      }
      return .next
    }
  }

  // MARK: Selection

  static func selp(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    try context.requireOperands(instruction, 4...4)
    let d = try context.destination(instruction.operands[0], type)
    let a = try context.source(instruction.operands[1], type)
    let b = try context.source(instruction.operands[2], type)
    let p = try context.predicate(instruction.operands[3])
    func make<Slot: FixedWidthInteger>(_: Slot.Type) -> Step {
      { warp, lanes throws(EmulatorError) in
        let x = try warp.slots(a, as: Slot.self, lanes)
        let y = try warp.slots(b, as: Slot.self, lanes)
        let chosen = try warp.read(p, lanes)
        let z = try warp.newSlots(d, as: Slot.self, lanes)
        Lanes.each(lanes) { z[$0] = chosen >> LaneMask(truncatingIfNeeded: $0) & 1 != 0 ? x[$0] : y[$0] }
        return .next
      }
    }
    switch d.width {
    case .word: return make(UInt32.self)
    case .long: return make(UInt64.self)
    default: throw modifiers.unknownForm()
    }
  }

  /// `slct.f32.s32 d, a, b, c`: a where c is at least 0.
  static func slct(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let flushes = modifiers.take("ftz")
    let types = modifiers.takeTypes()
    try modifiers.finish()
    try context.requireOperands(instruction, 4...4)
    guard types.count == 2, types[1] == .s32 || types[1] == .f32 else { throw modifiers.unknownForm() }
    let d = try context.destination(instruction.operands[0], types[0])
    let a = try context.source(instruction.operands[1], types[0])
    let b = try context.source(instruction.operands[2], types[0])
    let c = try context.source(instruction.operands[3], types[1])
    let isFloat = types[1] == .f32
    func make<Slot: FixedWidthInteger>(_: Slot.Type) -> Step {
      { warp, lanes throws(EmulatorError) in
        let x = try warp.slots(a, as: Slot.self, lanes)
        let y = try warp.slots(b, as: Slot.self, lanes)
        let w = try warp.read(c, lanes)
        let z = try warp.newSlots(d, as: Slot.self, lanes)
        Lanes.each(lanes) { lane in
          let number = Float(bitPattern: w[lane])
          let isFirst = isFloat ? number >= 0 || flushes && number.isSubnormal : Int32(bitPattern: w[lane]) >= 0
          z[lane] = isFirst ? x[lane] : y[lane]
        }
        return .next
      }
    }
    switch d.width {
    case .word: return make(UInt32.self)
    case .long: return make(UInt64.self)
    default: throw modifiers.unknownForm()
    }
  }

  // MARK: Generic addresses

  private static func space(_ modifiers: inout Modifiers) throws(EmulatorError) -> (MemorySpace, isCTA: Bool) {
    switch modifiers.take(oneOf: [
      "global", "const", "shared", "shared::cta", "shared::cluster", "local", "param", "param::entry",
    ]) {
    case "global", "const": return (.global, false)
    case "shared", "shared::cta": return (.shared, true)
    case "shared::cluster": return (.shared, false)
    case "local": return (.local, false)
    case "param", "param::entry": return (.param, false)
    default: throw modifiers.unknownForm()
    }
  }

  static func cvta(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let isBack = modifiers.take("to")
    let (space, _) = try space(&modifiers)
    guard try modifiers.takeType() == .u64 else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, 2...2)
    let d = try context.destination(instruction.operands[0], .u64)
    let a = try context.source(instruction.operands[1], .u64)
    let window = AddressMap.window(space)
    let step = context.constant(isBack ? 0 &- window : window, .u64)
    return Lanes.binary(Plus.self, d, a, step)
  }

  static func isspacep(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    guard !instruction.modifiers.contains("const") else {
      throw context.unsupported("constants lie in global memory here: isspacep.const cannot tell them apart")
    }
    var modifiers = Modifiers(instruction)
    let (space, isCTA) = try space(&modifiers)
    try modifiers.finish()
    try context.requireOperands(instruction, 2...2)
    let d = try context.destination(instruction.operands[0], .pred)
    let a = try context.source(instruction.operands[1], .u64)
    return { warp, lanes throws(EmulatorError) in
      let x = try warp.readLong(a, lanes)
      let mask = Lanes.mask(lanes) { lane in
        let (found, address) = AddressMap.resolve(x[lane])
        return found == space && (!isCTA || Int(address >> UInt64(AddressMap.rankShift)) == warp.block.rank)
      }
      try warp.write(predicate: d, lanes, mask)
      return .next
    }
  }
}
