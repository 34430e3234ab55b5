// Integer arithmetic: `add`, `sub`, `mul`, `mad`, `mul24`, `mad24`, `div`, `rem`, `abs`, `neg`, `min`, `max`, `sad`, carries, `dp4a`,
// `dp2a`.
//
// Results wrap around, except with `.sat`. Division by zero gives all ones, as on the chip (PTX leaves it open), and the least
// integer divided by -1 gives itself.
//
// PTX ISA 9.1, "Integer Arithmetic Instructions", "Extended-Precision Integer Arithmetic Instructions".

internal import KernelLanguage

/// An integer of PTX's arithmetic.
protocol LaneInteger: FixedWidthInteger, LaneValue {
  /// Twice as wide, for `mul.wide` and `.hi`.
  associatedtype Wide: FixedWidthInteger & LaneValue
  associatedtype Bits: FixedWidthInteger & UnsignedInteger & LaneValue
}

extension UInt16: LaneInteger {
  typealias Wide = UInt32
  typealias Bits = UInt16
}
extension Int16: LaneInteger {
  typealias Wide = Int32
  typealias Bits = UInt16
}
extension UInt32: LaneInteger {
  typealias Wide = UInt64
  typealias Bits = UInt32
}
extension Int32: LaneInteger {
  typealias Wide = Int64
  typealias Bits = UInt32
}
extension UInt64: LaneInteger {
  // There is no wider product; `mul.wide` does not exist for 64 bits.
  typealias Wide = UInt64
  typealias Bits = UInt64
}
extension Int64: LaneInteger {
  typealias Wide = Int64
  typealias Bits = UInt64
}

private enum Add<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a &+ b }
}
private enum Subtract<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a &- b }
}
private enum AddSaturated: BinaryOperation {
  @inline(__always) static func apply(_ a: Int32, _ b: Int32) -> Int32 {
    let (sum, overflows) = a.addingReportingOverflow(b)
    return overflows ? (a < 0 ? .min : .max) : sum
  }
}
private enum SubtractSaturated: BinaryOperation {
  @inline(__always) static func apply(_ a: Int32, _ b: Int32) -> Int32 {
    let (difference, overflows) = a.subtractingReportingOverflow(b)
    return overflows ? (a < 0 ? .min : .max) : difference
  }
}
private enum MultiplyLow<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a &* b }
}
private enum MultiplyHigh<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a.multipliedFullWidth(by: b).high }
}
private enum MultiplyWide<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T.Wide {
    T.Wide(truncatingIfNeeded: a) &* T.Wide(truncatingIfNeeded: b)
  }
}
private enum MultiplyAddLow<T: LaneInteger>: TernaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T, _ c: T) -> T { a &* b &+ c }
}
private enum MultiplyAddHigh<T: LaneInteger>: TernaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T, _ c: T) -> T { a.multipliedFullWidth(by: b).high &+ c }
}
private enum MultiplyAddHighSaturated: TernaryOperation {
  @inline(__always) static func apply(_ a: Int32, _ b: Int32, _ c: Int32) -> Int32 {
    AddSaturated.apply(a.multipliedFullWidth(by: b).high, c)
  }
}
private enum MultiplyAddWide<T: LaneInteger>: TernaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T, _ c: T.Wide) -> T.Wide {
    T.Wide(truncatingIfNeeded: a) &* T.Wide(truncatingIfNeeded: b) &+ c
  }
}
private enum Divide<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T {
    b == 0 ? T(truncatingIfNeeded: -1) : a.dividedReportingOverflow(by: b).partialValue
  }
}
private enum Remainder<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T {
    b == 0 ? a : a.remainderReportingOverflow(dividingBy: b).partialValue
  }
}
private enum Minimum<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a < b ? a : b }
}
private enum Maximum<T: LaneInteger>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { a > b ? a : b }
}
/// `min.relu`, `max.relu`: no less than 0.
private enum Rectified<O: BinaryOperation>: BinaryOperation where O.D == Int32 {
  @inline(__always) static func apply(_ a: O.A, _ b: O.B) -> Int32 { max(O.apply(a, b), 0) }
}
/// Both halves of a register.
private enum Halves<O: BinaryOperation>: BinaryOperation where O.A: LaneInteger, O.B == O.A, O.D == O.A {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32) -> UInt32 {
    let low = O.apply(O.A(truncatingIfNeeded: a), O.A(truncatingIfNeeded: b))
    let high = O.apply(O.A(truncatingIfNeeded: a >> 16), O.A(truncatingIfNeeded: b >> 16))
    return UInt32(UInt16(truncatingIfNeeded: low)) | UInt32(UInt16(truncatingIfNeeded: high)) << 16
  }
}
private enum Rectified16<O: BinaryOperation>: BinaryOperation where O.D == Int16 {
  @inline(__always) static func apply(_ a: O.A, _ b: O.B) -> Int16 { max(O.apply(a, b), 0) }
}
private enum Absolute<T: LaneInteger>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> T { a < 0 ? 0 &- a : a }
}
private enum Negate<T: LaneInteger>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> T { 0 &- a }
}
private enum AbsoluteDifference<T: LaneInteger>: TernaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T, _ c: T) -> T { c &+ (a < b ? b &- a : a &- b) }
}

/// 24 low bits of 32, the product's low or high 32 of 48.
private protocol Shift24 { static var shift: Int64 { get } }
private enum Low24: Shift24 { static var shift: Int64 { 0 } }
private enum High24: Shift24 { static var shift: Int64 { 16 } }
private enum Multiply24<T: LaneInteger, S: Shift24>: BinaryOperation where T.Slot == UInt32 {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T {
    func low(_ value: T) -> Int64 { Int64((value &<< 8) &>> 8) }
    return T(truncatingIfNeeded: (low(a) &* low(b)) >> S.shift)
  }
}
private enum MultiplyAdd24<T: LaneInteger, S: Shift24>: TernaryOperation where T.Slot == UInt32 {
  @inline(__always) static func apply(_ a: T, _ b: T, _ c: T) -> T { Multiply24<T, S>.apply(a, b) &+ c }
}

/// Products of bytes, added to c.
private enum DotProduct4<A: FixedWidthInteger, B: FixedWidthInteger>: TernaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
    var sum = c
    for byte in 0..<4 as Range<UInt32> {
      let product = Int32(A(truncatingIfNeeded: a >> (8 * byte))) &* Int32(B(truncatingIfNeeded: b >> (8 * byte)))
      sum = sum &+ UInt32(bitPattern: product)
    }
    return sum
  }
}
/// Products of the halves of a with two bytes of b, added to c.
private enum DotProduct2<A: FixedWidthInteger, B: FixedWidthInteger, S: Shift24>: TernaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32, _ c: UInt32) -> UInt32 {
    var sum = c
    for part in 0..<2 as Range<UInt32> {
      let byte = B(truncatingIfNeeded: b >> (8 * part + UInt32(S.shift)))
      let product = Int32(A(truncatingIfNeeded: a >> (16 * part))) &* Int32(byte)
      sum = sum &+ UInt32(bitPattern: product)
    }
    return sum
  }
}

enum IntegerInstructions {
  /// `add`, `sub`, `mul`, `mad`, `div`, `min`, `max`, `abs` and `neg` have forms for floats, too: `ArithmeticInstructions` chooses.
  static let decoders: [String: Decoder] = [
    "rem": rem, "sad": sad, "mul24": mul24, "mad24": mad24, "dp4a": dp4a, "dp2a": dp2a, "addc": carry, "subc": carry,
    "madc": carry,
  ]

  // MARK: Two operands

  /// `add`, `sub`, `mul.lo/hi/wide`, `div`, `rem`, `min`, `max` of integers. `modifiers` has no type any more.
  static func two(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ type: PTXType, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = modifiers
    context.cost.unit = .integer
    let part = modifiers.take(oneOf: ["lo", "hi", "wide"])
    let isSaturated = modifiers.take("sat")
    let setsCarry = modifiers.take("cc")
    let isRectified = modifiers.take("relu")
    try modifiers.finish()
    if setsCarry { return try carry(&context, instruction) }
    try context.requireOperands(instruction, 3...3)
    let result: PTXType = part == "wide" ? (type == .u16 || type == .s16 ? .b32 : .b64) : type
    let d = try context.destination(instruction.operands[0], result)
    let a = try context.source(instruction.operands[1], type)
    let b = try context.source(instruction.operands[2], type)
    let unknown = modifiers.unknownForm()
    if isSaturated {
      guard type == .s32, part == nil else { throw unknown }
      switch instruction.opcode {
      case "add": return Lanes.binary(AddSaturated.self, d, a, b)
      case "sub": return Lanes.binary(SubtractSaturated.self, d, a, b)
      default: throw unknown
      }
    }
    if isRectified {
      guard type == .s32 else { throw unknown }
      return instruction.opcode == "min"
        ? Lanes.binary(Rectified<Minimum<Int32>>.self, d, a, b) : Lanes.binary(Rectified<Maximum<Int32>>.self, d, a, b)
    }
    func make<T: LaneInteger>(_: T.Type) throws(EmulatorError) -> Step {
      switch (instruction.opcode, part) {
      case ("add", nil): return Lanes.binary(Add<T>.self, d, a, b)
      case ("sub", nil): return Lanes.binary(Subtract<T>.self, d, a, b)
      case ("mul", "lo"?): return Lanes.binary(MultiplyLow<T>.self, d, a, b)
      case ("mul", "hi"?): return Lanes.binary(MultiplyHigh<T>.self, d, a, b)
      case ("mul", "wide"?) where T.bitWidth < 64: return Lanes.binary(MultiplyWide<T>.self, d, a, b)
      case ("div", nil): return Lanes.binary(Divide<T>.self, d, a, b)
      case ("rem", nil): return Lanes.binary(Remainder<T>.self, d, a, b)
      case ("min", nil): return Lanes.binary(Minimum<T>.self, d, a, b)
      case ("max", nil): return Lanes.binary(Maximum<T>.self, d, a, b)
      default: throw unknown
      }
    }
    switch type {
    case .u16, .b16: return try make(UInt16.self)
    case .s16: return try make(Int16.self)
    case .u32, .b32: return try make(UInt32.self)
    case .s32: return try make(Int32.self)
    case .u64, .b64: return try make(UInt64.self)
    case .s64: return try make(Int64.self)
    default: throw modifiers.unknownForm()
    }
  }

  static func rem(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    return try two(&context, instruction, type, modifiers)
  }

  /// `min.s16x2`, `max.u16x2`, `add.u16x2`: not types of registers, so they are among the modifiers.
  static func halves(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let isSigned = modifiers.take("s16x2")
    _ = modifiers.take("u16x2")
    let isRectified = modifiers.take("relu")
    try modifiers.finish()
    try context.requireOperands(instruction, 3...3)
    let d = try context.destination(instruction.operands[0], .b32)
    let a = try context.source(instruction.operands[1], .b32)
    let b = try context.source(instruction.operands[2], .b32)
    switch (instruction.opcode, isSigned, isRectified) {
    case ("add", _, false): return Lanes.binary(Halves<Add<UInt16>>.self, d, a, b)
    case ("min", false, false): return Lanes.binary(Halves<Minimum<UInt16>>.self, d, a, b)
    case ("max", false, false): return Lanes.binary(Halves<Maximum<UInt16>>.self, d, a, b)
    case ("min", true, false): return Lanes.binary(Halves<Minimum<Int16>>.self, d, a, b)
    case ("max", true, false): return Lanes.binary(Halves<Maximum<Int16>>.self, d, a, b)
    case ("min", true, true): return Lanes.binary(Halves<Rectified16<Minimum<Int16>>>.self, d, a, b)
    case ("max", true, true): return Lanes.binary(Halves<Rectified16<Maximum<Int16>>>.self, d, a, b)
    default: throw modifiers.unknownForm()
    }
  }

  // MARK: One operand

  /// `abs`, `neg` of integers.
  static func one(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ type: PTXType, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    try modifiers.finish()
    context.cost.unit = .integer
    try context.requireOperands(instruction, 2...2)
    let d = try context.destination(instruction.operands[0], type)
    let a = try context.source(instruction.operands[1], type)
    func make<T: LaneInteger>(_: T.Type) -> Step {
      instruction.opcode == "abs" ? Lanes.unary(Absolute<T>.self, d, a) : Lanes.unary(Negate<T>.self, d, a)
    }
    switch type {
    case .s16: return make(Int16.self)
    case .s32: return make(Int32.self)
    case .s64: return make(Int64.self)
    default: throw modifiers.unknownForm()
    }
  }

  // MARK: Three operands

  /// `mad.lo/hi/wide` of integers.
  static func mad(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ type: PTXType, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = modifiers
    context.cost.unit = .integer
    let part = modifiers.take(oneOf: ["lo", "hi", "wide"])
    let isSaturated = modifiers.take("sat")
    let setsCarry = modifiers.take("cc")
    try modifiers.finish()
    if setsCarry { return try carry(&context, instruction) }
    try context.requireOperands(instruction, 4...4)
    let result: PTXType = part == "wide" ? (type == .u16 || type == .s16 ? .b32 : .b64) : type
    let d = try context.destination(instruction.operands[0], result)
    let a = try context.source(instruction.operands[1], type)
    let b = try context.source(instruction.operands[2], type)
    let c = try context.source(instruction.operands[3], result)
    let unknown = modifiers.unknownForm()
    if isSaturated {
      guard type == .s32, part == "hi" else { throw unknown }
      return Lanes.ternary(MultiplyAddHighSaturated.self, d, a, b, c)
    }
    func make<T: LaneInteger>(_: T.Type) throws(EmulatorError) -> Step {
      switch part {
      case "lo": return Lanes.ternary(MultiplyAddLow<T>.self, d, a, b, c)
      case "hi": return Lanes.ternary(MultiplyAddHigh<T>.self, d, a, b, c)
      case "wide" where T.bitWidth < 64: return Lanes.ternary(MultiplyAddWide<T>.self, d, a, b, c)
      default: throw unknown
      }
    }
    switch type {
    case .u16, .b16: return try make(UInt16.self)
    case .s16: return try make(Int16.self)
    case .u32, .b32: return try make(UInt32.self)
    case .s32: return try make(Int32.self)
    case .u64, .b64: return try make(UInt64.self)
    case .s64: return try make(Int64.self)
    default: throw modifiers.unknownForm()
    }
  }

  static func sad(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    try context.requireOperands(instruction, 4...4)
    let d = try context.destination(instruction.operands[0], type)
    let a = try context.source(instruction.operands[1], type)
    let b = try context.source(instruction.operands[2], type)
    let c = try context.source(instruction.operands[3], type)
    func make<T: LaneInteger>(_: T.Type) -> Step { Lanes.ternary(AbsoluteDifference<T>.self, d, a, b, c) }
    switch type {
    case .u16, .b16: return make(UInt16.self)
    case .s16: return make(Int16.self)
    case .u32, .b32: return make(UInt32.self)
    case .s32: return make(Int32.self)
    case .u64, .b64: return make(UInt64.self)
    case .s64: return make(Int64.self)
    default: throw modifiers.unknownForm()
    }
  }

  static func mul24(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    let part = modifiers.take(oneOf: ["lo", "hi"])
    try modifiers.finish()
    try context.requireOperands(instruction, 3...3)
    let d = try context.destination(instruction.operands[0], type)
    let a = try context.source(instruction.operands[1], type)
    let b = try context.source(instruction.operands[2], type)
    switch (type, part) {
    case (.u32, "lo"): return Lanes.binary(Multiply24<UInt32, Low24>.self, d, a, b)
    case (.u32, "hi"): return Lanes.binary(Multiply24<UInt32, High24>.self, d, a, b)
    case (.s32, "lo"): return Lanes.binary(Multiply24<Int32, Low24>.self, d, a, b)
    case (.s32, "hi"): return Lanes.binary(Multiply24<Int32, High24>.self, d, a, b)
    default: throw modifiers.unknownForm()
    }
  }

  static func mad24(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    let part = modifiers.take(oneOf: ["lo", "hi"])
    try modifiers.finish()
    try context.requireOperands(instruction, 4...4)
    let d = try context.destination(instruction.operands[0], type)
    let a = try context.source(instruction.operands[1], type)
    let b = try context.source(instruction.operands[2], type)
    let c = try context.source(instruction.operands[3], type)
    switch (type, part) {
    case (.u32, "lo"): return Lanes.ternary(MultiplyAdd24<UInt32, Low24>.self, d, a, b, c)
    case (.u32, "hi"): return Lanes.ternary(MultiplyAdd24<UInt32, High24>.self, d, a, b, c)
    case (.s32, "lo"): return Lanes.ternary(MultiplyAdd24<Int32, Low24>.self, d, a, b, c)
    case (.s32, "hi"): return Lanes.ternary(MultiplyAdd24<Int32, High24>.self, d, a, b, c)
    default: throw modifiers.unknownForm()
    }
  }

  static func dp4a(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let types = modifiers.takeTypes()
    try modifiers.finish()
    try context.requireOperands(instruction, 4...4)
    let d = try context.destination(instruction.operands[0], .b32)
    let a = try context.source(instruction.operands[1], .b32)
    let b = try context.source(instruction.operands[2], .b32)
    let c = try context.source(instruction.operands[3], .b32)
    switch types {
    case [.u32, .u32]: return Lanes.ternary(DotProduct4<UInt8, UInt8>.self, d, a, b, c)
    case [.u32, .s32]: return Lanes.ternary(DotProduct4<UInt8, Int8>.self, d, a, b, c)
    case [.s32, .u32]: return Lanes.ternary(DotProduct4<Int8, UInt8>.self, d, a, b, c)
    case [.s32, .s32]: return Lanes.ternary(DotProduct4<Int8, Int8>.self, d, a, b, c)
    default: throw modifiers.unknownForm()
    }
  }

  static func dp2a(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let types = modifiers.takeTypes()
    let part = modifiers.take(oneOf: ["lo", "hi"])
    try modifiers.finish()
    try context.requireOperands(instruction, 4...4)
    let d = try context.destination(instruction.operands[0], .b32)
    let a = try context.source(instruction.operands[1], .b32)
    let b = try context.source(instruction.operands[2], .b32)
    let c = try context.source(instruction.operands[3], .b32)
    switch (types, part) {
    case ([.u32, .u32], "lo"): return Lanes.ternary(DotProduct2<UInt16, UInt8, Low24>.self, d, a, b, c)
    case ([.u32, .s32], "lo"): return Lanes.ternary(DotProduct2<UInt16, Int8, Low24>.self, d, a, b, c)
    case ([.s32, .u32], "lo"): return Lanes.ternary(DotProduct2<Int16, UInt8, Low24>.self, d, a, b, c)
    case ([.s32, .s32], "lo"): return Lanes.ternary(DotProduct2<Int16, Int8, Low24>.self, d, a, b, c)
    case ([.u32, .u32], "hi"): return Lanes.ternary(DotProduct2<UInt16, UInt8, High24>.self, d, a, b, c)
    case ([.u32, .s32], "hi"): return Lanes.ternary(DotProduct2<UInt16, Int8, High24>.self, d, a, b, c)
    case ([.s32, .u32], "hi"): return Lanes.ternary(DotProduct2<Int16, UInt8, High24>.self, d, a, b, c)
    case ([.s32, .s32], "hi"): return Lanes.ternary(DotProduct2<Int16, Int8, High24>.self, d, a, b, c)
    default: throw modifiers.unknownForm()
    }
  }

  // MARK: Carries

  /// `add.cc`, `addc`, `addc.cc`, `sub.cc`, `subc`, `subc.cc`, `mad.cc`, `madc`, `madc.cc`, with the warp's carry bits.
  static func carry(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    let setsCarry = modifiers.take("cc")
    let part = modifiers.take(oneOf: ["lo", "hi"])
    try modifiers.finish()
    let isProduct = instruction.opcode.hasPrefix("mad")
    let isDifference = instruction.opcode.hasPrefix("sub")
    let takesCarry = instruction.opcode.hasSuffix("c")
    try context.requireOperands(instruction, isProduct ? 4...4 : 3...3)
    guard isProduct == (part != nil) else { throw modifiers.unknownForm() }
    let d = try context.destination(instruction.operands[0], type)
    let a = try context.source(instruction.operands[1], type)
    let b = try context.source(instruction.operands[2], type)
    let c = isProduct ? try context.source(instruction.operands[3], type) : b
    func make<T: LaneInteger>(_: T.Type) -> Step {
      { warp, lanes throws(EmulatorError) in
        let x = try warp.slots(a, as: T.Slot.self, lanes)
        let y = try warp.slots(b, as: T.Slot.self, lanes)
        let w = try warp.slots(c, as: T.Slot.self, lanes)
        if takesCarry { try warp.requireCarry(lanes) }
        let z = try warp.newSlots(d, as: T.Slot.self, lanes)
        var carries = warp.carries
        Lanes.each(lanes) { lane in
          let bit: LaneMask = 1 << LaneMask(lane)
          var first = T.Bits(truncatingIfNeeded: x[lane])
          var second = T.Bits(truncatingIfNeeded: y[lane])
          if isProduct {
            let (p, q) = (T(truncatingIfNeeded: first), T(truncatingIfNeeded: second))
            first = T.Bits(truncatingIfNeeded: part == "lo" ? p &* q : p.multipliedFullWidth(by: q).high)
            second = T.Bits(truncatingIfNeeded: w[lane])
          }
          let carry: T.Bits = takesCarry && carries & bit != 0 ? 1 : 0
          let one = isDifference ? first.subtractingReportingOverflow(second) : first.addingReportingOverflow(second)
          let two =
            isDifference
            ? one.partialValue.subtractingReportingOverflow(carry) : one.partialValue.addingReportingOverflow(carry)
          z[lane] = T.Slot(truncatingIfNeeded: two.partialValue)
          if setsCarry { carries = one.overflow || two.overflow ? carries | bit : carries & ~bit }
        }
        warp.carries = carries
        if setsCarry { warp.validCarries |= lanes }
        return .next
      }
    }
    switch type {
    case .u32, .b32: return make(UInt32.self)
    case .s32: return make(Int32.self)
    case .u64, .b64: return make(UInt64.self)
    case .s64: return make(Int64.self)
    default: throw modifiers.unknownForm()
    }
  }
}

extension Warp {
  fileprivate func requireCarry(_ lanes: LaneMask) throws(EmulatorError) {
    let missing = lanes & ~validCarries
    guard missing == 0 else {
      throw EmulatorError(
        .uninitialised, lane: missing.trailingZeroBitCount,
        "the carry is read, but nothing has set it before: begin with add.cc, sub.cc or mad.cc")
    }
  }
}
