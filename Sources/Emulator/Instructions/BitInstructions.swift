// Bits: `and`, `or`, `xor`, `not`, `cnot`, `lop3`, `shl`, `shr`, `shf`, `popc`, `clz`, `bfind`, `brev`, `bfe`, `bfi`, `fns`, `szext`,
// `bmsk`, `prmt`.
//
// Shifts by the width or more shift everything out.
//
// PTX ISA 9.1, "Logic and Shift Instructions", "Integer Arithmetic Instructions".

internal import KernelLanguage

private enum And<T: FixedWidthInteger & LaneValue>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a & b }
}
private enum Or<T: FixedWidthInteger & LaneValue>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a | b }
}
private enum ExclusiveOr<T: FixedWidthInteger & LaneValue>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a ^ b }
}
private enum Not<T: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> T { ~a }
}
private enum LogicalNot<T: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> T { a == 0 ? 1 : 0 }
}
private enum ShiftLeft<T: FixedWidthInteger & LaneValue>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: UInt32) -> T {
    b >= UInt32(T.bitWidth) ? 0 : a &<< T(truncatingIfNeeded: b)
  }
}
private enum ShiftRight<T: FixedWidthInteger & LaneValue>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: UInt32) -> T {
    b >= UInt32(T.bitWidth) ? (a < 0 ? ~0 : 0) : a &>> T(truncatingIfNeeded: b)
  }
}
private enum Population<T: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> UInt32 { UInt32(a.nonzeroBitCount) }
}
private enum LeadingZeros<T: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> UInt32 { UInt32(a.leadingZeroBitCount) }
}
private enum Reversed<T: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> T {
    var (rest, result) = (a, 0 as T)
    for _ in 0..<T.bitWidth {
      result = result &<< 1 | rest & 1
      rest = rest &>> 1
    }
    return result
  }
}
/// The highest bit that differs from the sign, ~0 if there is none.
private enum HighestBit<T: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> UInt32 {
    let zeros = (a < 0 ? ~a : a).leadingZeroBitCount
    return zeros == T.bitWidth ? ~0 : UInt32(T.bitWidth - 1 - zeros)
  }
}
/// By how much to shift so that the highest bit becomes the first.
private enum ShiftToHighestBit<T: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> UInt32 {
    let zeros = (a < 0 ? ~a : a).leadingZeroBitCount
    return zeros == T.bitWidth ? ~0 : UInt32(zeros)
  }
}
private enum Extract<T: FixedWidthInteger & LaneValue>: TernaryOperation {
  @inline(__always) static func apply(_ a: T, _ position: UInt32, _ length: UInt32) -> T {
    let (position, length) = (Int(position & 0xFF), Int(length & 0xFF))
    if length == 0 { return 0 }
    // Beyond the number there are copies of the field's highest bit, of a signed one.
    let highest = min(position + length - 1, T.bitWidth - 1)
    let sign: T = T.isSigned && a >> highest & 1 != 0 ? ~0 : 0
    let kept = min(length, T.bitWidth - position)
    guard kept > 0 else { return sign }
    let mask: T = kept == T.bitWidth ? ~0 : (1 << kept) &- 1
    return a >> position & mask | sign & ~mask
  }
}
private enum FunnelLeft: TernaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
    UInt32(truncatingIfNeeded: ((UInt64(b) << 32 | UInt64(a)) << UInt64(c & 31)) >> 32)
  }
}
private enum FunnelLeftClamped: TernaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
    c >= 32 ? a : FunnelLeft.apply(a, b, c)
  }
}
private enum FunnelRight: TernaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
    UInt32(truncatingIfNeeded: (UInt64(b) << 32 | UInt64(a)) >> UInt64(c & 31))
  }
}
private enum FunnelRightClamped: TernaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
    c >= 32 ? b : FunnelRight.apply(a, b, c)
  }
}
/// The `offset`-th set bit of `mask` from `base` on.
private enum FindSetBit: TernaryOperation {
  static func apply(_ mask: UInt32, _ base: UInt32, _ offset: Int32) -> UInt32 {
    guard base < 32 else { return ~0 }
    if offset == 0 { return mask >> base & 1 == 1 ? base : ~0 }
    var place = Int32(base)
    var left = offset.magnitude - 1
    while place >= 0, place < 32 {
      if mask >> UInt32(place) & 1 == 1 {
        if left == 0 { return UInt32(place) }
        left -= 1
      }
      place += offset > 0 ? 1 : -1
    }
    return ~0
  }
}
private enum Permute: TernaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
    let bytes = UInt64(b) << 32 | UInt64(a)
    var result: UInt32 = 0
    for place in 0..<4 as Range<UInt32> {
      let selector = c >> (4 * place)
      let byte = UInt32(truncatingIfNeeded: bytes >> UInt64(8 * (selector & 7))) & 0xFF
      // With the highest bit of the selector: copies of the byte's sign.
      let chosen = selector & 8 != 0 ? (byte & 0x80 != 0 ? 0xFF : 0) : byte
      result |= chosen << (8 * place)
    }
    return result
  }
}

enum BitInstructions {
  static let decoders: [String: Decoder] = [
    "and": logic, "or": logic, "xor": logic, "not": not, "cnot": not, "lop3": lop3, "shl": shift, "shr": shift,
    "shf": funnel, "popc": count, "clz": count, "bfind": bfind, "brev": brev, "bfe": bfe, "bfi": bfi, "fns": fns,
    "szext": szext, "bmsk": bmsk, "prmt": prmt,
  ]

  private static func operands(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ d: PTXType, _ types: [PTXType]
  ) throws(EmulatorError) -> (d: Register, s: [Register]) {
    try context.requireOperands(instruction, types.count + 1...types.count + 1)
    let d = try context.destination(instruction.operands[0], d)
    var s: [Register] = []
    for (operand, type) in zip(instruction.operands.dropFirst(), types) { s.append(try context.source(operand, type)) }
    return (d, s)
  }

  // MARK: Logic

  static func logic(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    if type == .pred { return try predicates(&context, instruction) }
    let (d, s) = try operands(&context, instruction, type, [type, type])
    func make<T: FixedWidthInteger & LaneValue>(_: T.Type) -> Step {
      switch instruction.opcode {
      case "and": Lanes.binary(And<T>.self, d, s[0], s[1])
      case "or": Lanes.binary(Or<T>.self, d, s[0], s[1])
      default: Lanes.binary(ExclusiveOr<T>.self, d, s[0], s[1])
      }
    }
    switch type {
    case .b16, .b32: return make(UInt32.self)
    case .b64: return make(UInt64.self)
    default: throw modifiers.unknownForm()
    }
  }

  /// `and.pred`, `or.pred`, `xor.pred`, `not.pred`.
  private static func predicates(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    let isUnary = instruction.opcode == "not"
    try context.requireOperands(instruction, isUnary ? 2...2 : 3...3)
    let d = try context.destination(instruction.operands[0], .pred)
    let a = try context.predicate(instruction.operands[1])
    let b = try context.predicate(instruction.operands.last!)
    let opcode = instruction.opcode
    return { warp, lanes throws(EmulatorError) in
      let (x, y) = (try warp.read(a, lanes), try warp.read(b, lanes))
      let value: LaneMask =
        switch opcode {
        case "and": x & y
        case "or": x | y
        case "xor": x ^ y
        default: ~x
        }
      try warp.write(predicate: d, lanes, value)
      return .next
    }
  }

  static func not(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    let isLogical = instruction.opcode == "cnot"
    if type == .pred, !isLogical { return try predicates(&context, instruction) }
    let (d, s) = try operands(&context, instruction, type, [type])
    func make<T: FixedWidthInteger & LaneValue>(_: T.Type) -> Step {
      isLogical ? Lanes.unary(LogicalNot<T>.self, d, s[0]) : Lanes.unary(Not<T>.self, d, s[0])
    }
    switch type {
    case .b16: return make(UInt16.self)
    case .b32: return make(UInt32.self)
    case .b64: return make(UInt64.self)
    default: throw modifiers.unknownForm()
    }
  }

  static func lop3(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let combination = modifiers.take(oneOf: ["or", "and"])
    guard try modifiers.takeType() == .b32 else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, combination == nil ? 5...5 : 6...6)
    var target = instruction.operands[0]
    var p: Register?
    if case .pair(let first, let second) = target, combination != nil {
      target = first
      p = try context.destination(second, .pred)
    }
    let d = try context.destination(target, .b32)
    let a = try context.source(instruction.operands[1], .b32)
    let b = try context.source(instruction.operands[2], .b32)
    let c = try context.source(instruction.operands[3], .b32)
    guard case .integer(let table) = instruction.operands[4], 0...255 ~= table else {
      throw context.unsupported("the table of lop3 is a number from 0 to 255")
    }
    let q = try combination.map { _ throws(EmulatorError) in try context.predicate(instruction.operands[5]) }
    // One term for each entry of the table that is set.
    let terms = (0..<8).map { table >> $0 & 1 != 0 ? ~0 as UInt32 : 0 }
    let m = SIMD8(terms)
    return { warp, lanes throws(EmulatorError) in
      let (x, y, w) = (try warp.read(a, lanes), try warp.read(b, lanes), try warp.read(c, lanes))
      let combined = try q.map { predicate throws(EmulatorError) in try warp.read(predicate, lanes) } ?? 0
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { lane in
        let (x, y, w) = (x[lane], y[lane], w[lane])
        let low = ~x & (~y & (~w & m[0] | w & m[1]) | y & (~w & m[2] | w & m[3]))
        let high = x & (~y & (~w & m[4] | w & m[5]) | y & (~w & m[6] | w & m[7]))
        z[lane] = low | high
      }
      if let p {
        let nonzero = Lanes.mask(lanes) { z[$0] != 0 }
        try warp.write(predicate: p, lanes, combination == "or" ? nonzero | combined : nonzero & combined)
      }
      return .next
    }
  }

  // MARK: Shifts

  static func shift(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, type, [type, .u32])
    func make<T: FixedWidthInteger & LaneValue>(_: T.Type) -> Step {
      instruction.opcode == "shl"
        ? Lanes.binary(ShiftLeft<T>.self, d, s[0], s[1]) : Lanes.binary(ShiftRight<T>.self, d, s[0], s[1])
    }
    switch (instruction.opcode, type) {
    case (_, .b16), ("shr", .u16): return make(UInt16.self)
    case (_, .b32), ("shr", .u32): return make(UInt32.self)
    case (_, .b64), ("shr", .u64): return make(UInt64.self)
    case ("shr", .s16): return make(Int16.self)
    case ("shr", .s32): return make(Int32.self)
    case ("shr", .s64): return make(Int64.self)
    default: throw modifiers.unknownForm()
    }
  }

  static func funnel(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let direction = modifiers.take(oneOf: ["l", "r"])
    let mode = modifiers.take(oneOf: ["clamp", "wrap"])
    guard try modifiers.takeType() == .b32 else { throw modifiers.unknownForm() }
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, .b32, [.b32, .b32, .u32])
    switch (direction, mode) {
    case ("l", "wrap"): return Lanes.ternary(FunnelLeft.self, d, s[0], s[1], s[2])
    case ("l", "clamp"): return Lanes.ternary(FunnelLeftClamped.self, d, s[0], s[1], s[2])
    case ("r", "wrap"): return Lanes.ternary(FunnelRight.self, d, s[0], s[1], s[2])
    case ("r", "clamp"): return Lanes.ternary(FunnelRightClamped.self, d, s[0], s[1], s[2])
    default: throw modifiers.unknownForm()
    }
  }

  // MARK: Counts and fields

  static func count(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, .b32, [type])
    switch (instruction.opcode, type) {
    case ("popc", .b32): return Lanes.unary(Population<UInt32>.self, d, s[0])
    case ("popc", .b64): return Lanes.unary(Population<UInt64>.self, d, s[0])
    case ("clz", .b32): return Lanes.unary(LeadingZeros<UInt32>.self, d, s[0])
    case ("clz", .b64): return Lanes.unary(LeadingZeros<UInt64>.self, d, s[0])
    default: throw modifiers.unknownForm()
    }
  }

  static func bfind(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let isShift = modifiers.take("shiftamt")
    let type = try modifiers.takeType()
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, .b32, [type])
    func make<T: FixedWidthInteger & LaneValue>(_: T.Type) -> Step {
      isShift ? Lanes.unary(ShiftToHighestBit<T>.self, d, s[0]) : Lanes.unary(HighestBit<T>.self, d, s[0])
    }
    switch type {
    case .u32: return make(UInt32.self)
    case .s32: return make(Int32.self)
    case .u64: return make(UInt64.self)
    case .s64: return make(Int64.self)
    default: throw modifiers.unknownForm()
    }
  }

  static func brev(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, type, [type])
    switch type {
    case .b32: return Lanes.unary(Reversed<UInt32>.self, d, s[0])
    case .b64: return Lanes.unary(Reversed<UInt64>.self, d, s[0])
    default: throw modifiers.unknownForm()
    }
  }

  static func bfe(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, type, [type, .u32, .u32])
    switch type {
    case .u32: return Lanes.ternary(Extract<UInt32>.self, d, s[0], s[1], s[2])
    case .s32: return Lanes.ternary(Extract<Int32>.self, d, s[0], s[1], s[2])
    case .u64: return Lanes.ternary(Extract<UInt64>.self, d, s[0], s[1], s[2])
    case .s64: return Lanes.ternary(Extract<Int64>.self, d, s[0], s[1], s[2])
    default: throw modifiers.unknownForm()
    }
  }

  static func bfi(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, type, [type, type, .u32, .u32])
    func make<T: FixedWidthInteger & LaneValue>(_: T.Type) -> Step {
      { warp, lanes throws(EmulatorError) in
        let (x, y) = (try warp.slots(s[0], as: T.Slot.self, lanes), try warp.slots(s[1], as: T.Slot.self, lanes))
        let (positions, lengths) = (try warp.read(s[2], lanes), try warp.read(s[3], lanes))
        let z = try warp.newSlots(d, as: T.Slot.self, lanes)
        Lanes.each(lanes) { lane in
          let (position, length) = (Int(positions[lane] & 0xFF), Int(lengths[lane] & 0xFF))
          let field: T = length >= T.bitWidth ? ~0 : (1 << length) &- 1
          let mask = position >= T.bitWidth ? 0 : field << position
          z[lane] = (T(slot: x[lane]) << position & mask | T(slot: y[lane]) & ~mask).slot
        }
        return .next
      }
    }
    switch type {
    case .b32: return make(UInt32.self)
    case .b64: return make(UInt64.self)
    default: throw modifiers.unknownForm()
    }
  }

  static func fns(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard try modifiers.takeType() == .b32 else { throw modifiers.unknownForm() }
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, .b32, [.b32, .b32, .s32])
    return Lanes.ternary(FindSetBit.self, d, s[0], s[1], s[2])
  }

  static func szext(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard let mode = modifiers.take(oneOf: ["clamp", "wrap"]) else { throw modifiers.unknownForm() }
    let type = try modifiers.takeType()
    try modifiers.finish()
    guard type == .u32 || type == .s32 else { throw modifiers.unknownForm() }
    let (d, s) = try operands(&context, instruction, type, [type, .u32])
    return { warp, lanes throws(EmulatorError) in
      let (x, y) = (try warp.read(s[0], lanes), try warp.read(s[1], lanes))
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { lane in
        let bits = y[lane] & 31
        let mask: UInt32 = mode == "clamp" && y[lane] >= 32 ? 0 : ~0 << bits
        let isNegative = type == .s32 && mask != 0 && bits != 0 && x[lane] >> (bits &- 1) & 1 != 0
        z[lane] = x[lane] & ~mask | (isNegative ? mask : 0)
      }
      return .next
    }
  }

  static func bmsk(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard let mode = modifiers.take(oneOf: ["clamp", "wrap"]), try modifiers.takeType() == .b32 else {
      throw modifiers.unknownForm()
    }
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, .b32, [.b32, .b32])
    return { warp, lanes throws(EmulatorError) in
      let (x, y) = (try warp.read(s[0], lanes), try warp.read(s[1], lanes))
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { lane in
        let clamps = mode == "clamp"
        let start = clamps ? UInt64(min(x[lane], 32)) : UInt64(x[lane] & 31)
        let width = clamps ? UInt64(min(y[lane], 32)) : UInt64(y[lane] & 31)
        z[lane] = UInt32(truncatingIfNeeded: ((1 << width) &- 1) << start)
      }
      return .next
    }
  }

  static func prmt(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard try modifiers.takeType() == .b32 else { throw modifiers.unknownForm() }
    let mode = modifiers.take(oneOf: ["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"])
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, .b32, [.b32, .b32, .b32])
    guard let mode else { return Lanes.ternary(Permute.self, d, s[0], s[1], s[2]) }
    // The selectors of each mode by the two lowest bits of the control.
    let selectors: [UInt32] =
      switch mode {
      case "f4e": [0x3210, 0x4321, 0x5432, 0x6543]
      case "b4e": [0x5670, 0x6701, 0x7012, 0x0123]
      case "rc8": [0x0000, 0x1111, 0x2222, 0x3333]
      case "ecl": [0x3210, 0x3211, 0x3222, 0x3333]
      case "ecr": [0x0000, 0x1110, 0x2210, 0x3210]
      default: [0x1010, 0x3232, 0x1010, 0x3232]
      }
    return { warp, lanes throws(EmulatorError) in
      let (x, y, w) = (try warp.read(s[0], lanes), try warp.read(s[1], lanes), try warp.read(s[2], lanes))
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { z[$0] = Permute.apply(x[$0], y[$0], selectors[Int(w[$0] & 3)]) }
      return .next
    }
  }
}
