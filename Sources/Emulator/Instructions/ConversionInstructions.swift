// Conversions between the types of registers: `cvt`, `cvt.pack`.
//
// Formats that no register has (fp8, fp6, fp4, ue8m0, tf32) are decoded elsewhere, under keys such as `cvt.e4m3x2`.
//
// A value is read as an integer of 128 bits or as a Double, either of which holds all types, and then rounded once.
//
// PTX ISA 9.1, `cvt`.

internal import Core
internal import KernelLanguage

private enum ToHalf<T: SmallFloat>: UnaryOperation {
  @inline(__always) static func apply(_ a: Float) -> T { T(a) }
}
private enum FromHalf<T: SmallFloat>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> Float { a.isNaN ? .canonicalNaN : a.float }
}
private enum ToPair<T: SmallFloat>: BinaryOperation {
  @inline(__always) static func apply(_ high: Float, _ low: Float) -> UInt32 { T(high).slot << 16 | T(low).slot }
}
private enum Truncate<A: FixedWidthInteger & LaneValue, D: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: A) -> D { D(truncatingIfNeeded: a) }
}
private enum ToFloat<A: FixedWidthInteger & LaneValue>: UnaryOperation {
  @inline(__always) static func apply(_ a: A) -> Float { Float(a) }
}
private enum TruncateFloat: UnaryOperation {
  @inline(__always) static func apply(_ a: Float) -> Int32 {
    // Clamped; NaN is 0.
    a >= 0x1p31 ? .max : a > -0x1p31 ? Int32(a) : a.isNaN ? 0 : .min
  }
}

enum ConversionInstructions {
  static let decoders: [String: Decoder] = ["cvt": cvt, "cvt.pack": pack]

  /// What the modifiers ask for.
  private struct Form {
    var rounding: Rounding
    /// `.rni`, `.rzi`, `.rmi`, `.rpi`: to a whole number.
    var integral: FloatingPointRoundingRule?
    var flushes: Bool
    var isSaturated: Bool
    var isRectified: Bool
    var isFinite: Bool

    init(_ modifiers: inout Modifiers) {
      switch modifiers.take(oneOf: ["rni", "rzi", "rmi", "rpi"]) {
      case "rni": integral = .toNearestOrEven
      case "rzi": integral = .towardZero
      case "rmi": integral = .down
      case "rpi": integral = .up
      default: integral = nil
      }
      rounding = modifiers.take(oneOf: ["rn", "rz", "rm", "rp"]).flatMap(Rounding.init) ?? .nearest
      flushes = modifiers.take("ftz")
      isSaturated = modifiers.take("sat")
      isRectified = modifiers.take("relu")
      isFinite = modifiers.take("satfinite")
    }

    var isPlain: Bool {
      rounding == .nearest && integral == nil && !flushes && !isSaturated && !isRectified && !isFinite
    }
  }

  private static func isFloat(_ type: PTXType) -> Bool { [.f16, .bf16, .f32, .f64].contains(type) }
  private static func isSigned(_ type: PTXType) -> Bool { [.s8, .s16, .s32, .s64].contains(type) }

  static func cvt(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let types = modifiers.takeTypes()
    let form = Form(&modifiers)
    try modifiers.finish()
    context.cost.unit = .conversion
    guard types.count == 2 else { throw modifiers.unknownForm() }
    let (to, from) = (types[0], types[1])
    if to == .f16x2 || to == .bf16x2 {
      guard from == .f32 else { throw modifiers.unknownForm() }
      return try pair(&context, instruction, to, form)
    }
    guard isFloat(from) || integerBits(from) != nil, isFloat(to) || integerBits(to) != nil else {
      throw modifiers.unknownForm()
    }
    try context.requireOperands(instruction, 2...2)
    let d = try context.destination(instruction.operands[0], to, widerAllowed: !isFloat(to))
    let a = try context.source(instruction.operands[1], from, widerAllowed: !isFloat(from))
    let needsRounding = isFloat(from) && !isFloat(to)
    guard !needsRounding || form.integral != nil else {
      throw context.unsupported("\(instruction.name) needs a rounding to a whole number: .rni, .rzi, .rmi or .rpi")
    }
    if let step = fast(to, from, form, d, a) { return step }
    return general(to, from, form, d, a)
  }

  private static func integerBits(_ type: PTXType) -> Int? {
    switch type {
    case .u8, .s8, .u16, .s16, .u32, .s32, .u64, .s64: type.size * 8
    default: nil
    }
  }

  /// Loops of their own for what kernels do often.
  private static func fast(_ to: PTXType, _ from: PTXType, _ form: Form, _ d: Register, _ a: Register) -> Step? {
    if to == .s32, from == .f32, form.integral == .towardZero, !form.flushes, d.bits == 32 {
      return Lanes.unary(TruncateFloat.self, d, a)
    }
    guard form.isPlain, a.bits == from.size * 8, d.bits == to.size * 8 else { return nil }
    return switch (to, from) {
    case (.f16, .f32): Lanes.unary(ToHalf<Float16Bits>.self, d, a)
    case (.bf16, .f32): Lanes.unary(ToHalf<BFloat16Bits>.self, d, a)
    case (.f32, .f16): Lanes.unary(FromHalf<Float16Bits>.self, d, a)
    case (.f32, .bf16): Lanes.unary(FromHalf<BFloat16Bits>.self, d, a)
    case (.u32, .u64), (.s32, .s64), (.u32, .s64), (.s32, .u64): Lanes.unary(Truncate<UInt64, UInt32>.self, d, a)
    case (.u64, .u32), (.s64, .u32): Lanes.unary(Truncate<UInt32, UInt64>.self, d, a)
    case (.s64, .s32), (.u64, .s32): Lanes.unary(Truncate<Int32, Int64>.self, d, a)
    case (.u32, .u16), (.s32, .u16): Lanes.unary(Truncate<UInt16, UInt32>.self, d, a)
    case (.s32, .s16), (.u32, .s16): Lanes.unary(Truncate<Int16, Int32>.self, d, a)
    case (.u16, .u32), (.s16, .s32), (.u16, .s32), (.s16, .u32): Lanes.unary(Truncate<UInt32, UInt16>.self, d, a)
    case (.f32, .s32): Lanes.unary(ToFloat<Int32>.self, d, a)
    case (.f32, .u32): Lanes.unary(ToFloat<UInt32>.self, d, a)
    default: nil
    }
  }

  /// `cvt.rn.bf16x2.f32 d, high, low`.
  private static func pair(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ to: PTXType, _ form: Form
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 3...3)
    let d = try context.destination(instruction.operands[0], .b32)
    let high = try context.source(instruction.operands[1], .f32)
    let low = try context.source(instruction.operands[2], .f32)
    guard form.integral == nil, !form.isSaturated, !form.flushes else {
      throw context.unsupported("the emulator does not know the form \(instruction.name)")
    }
    if form.isPlain {
      return to == .f16x2
        ? Lanes.binary(ToPair<Float16Bits>.self, d, high, low) : Lanes.binary(ToPair<BFloat16Bits>.self, d, high, low)
    }
    return { warp, lanes throws(EmulatorError) in
      let (x, y) = (try warp.read(high, lanes), try warp.read(low, lanes))
      let z = try warp.write(d, lanes)
      func convert(_ bits: UInt32) -> UInt32 {
        let value = Double(Float(bitPattern: bits))
        return UInt32(
          truncatingIfNeeded: to == .f16x2
            ? small(value, form, Float16Bits.self) : small(value, form, BFloat16Bits.self))
      }
      Lanes.each(lanes) { z[$0] = convert(x[$0]) << 16 | convert(y[$0]) }
      return .next
    }
  }

  // MARK: General

  private static func general(
    _ to: PTXType, _ from: PTXType, _ form: Form, _ d: Register, _ a: Register
  ) -> Step {
    { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(a, lanes)
      try warp.requireWritable(d, lanes)
      let (x, longX, z, longZ) = (warp.words(a), warp.longs(a), warp.words(d), warp.longs(d))
      Lanes.each(lanes) { lane in
        let bits = a.width == .long ? longX[lane] : UInt64(x[lane])
        let result = convert(bits, to, from, form)
        if d.width == .long { longZ[lane] = result } else { z[lane] = UInt32(truncatingIfNeeded: result) }
      }
      return .next
    }
  }

  /// The bits of the converted value; integers are extended to 64 bits by their sign.
  private static func convert(_ bits: UInt64, _ to: PTXType, _ from: PTXType, _ form: Form) -> UInt64 {
    if isFloat(from) {
      let value = float(bits, from, form)
      return isFloat(to) ? fromFloat(value, bits, to, from, form) : integer(value, to, from, form)
    }
    let width = UInt64(from.size * 8)
    let number =
      isSigned(from)
      ? Int128(Int64(bitPattern: bits << (64 - width)) >> Int64(64 - width))
      : Int128((bits << (64 - width)) >> (64 - width))
    return isFloat(to) ? fromInteger(number, to, form) : clamp(number, to, saturated: form.isSaturated)
  }

  private static func float(_ bits: UInt64, _ type: PTXType, _ form: Form) -> Double {
    switch type {
    case .f16: return Double(Float16Bits(slot: UInt32(truncatingIfNeeded: bits)).float)
    case .bf16: return Double(BFloat16Bits(slot: UInt32(truncatingIfNeeded: bits)).float)
    case .f32:
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: bits))
      return Double(form.flushes && value.isSubnormal ? value.flushed : value)
    default: return Double(bitPattern: bits)
    }
  }

  /// An integer of a type: its lowest bits, or the nearest that it has.
  private static func clamp(_ value: Int128, _ type: PTXType, saturated: Bool) -> UInt64 {
    let width = type.size * 8
    let least: Int128 = isSigned(type) ? -(1 << (width - 1)) : 0
    let most: Int128 = isSigned(type) ? (1 << (width - 1)) - 1 : (1 << width) - 1
    if saturated { return UInt64(truncatingIfNeeded: min(max(value, least), most)) }
    let low = UInt64(truncatingIfNeeded: value)
    let shift = UInt64(64 - width)
    return isSigned(type)
      ? UInt64(bitPattern: Int64(bitPattern: low << shift) >> Int64(shift)) : (low << shift) >> shift
  }

  private static func integer(_ value: Double, _ type: PTXType, _ from: PTXType, _ form: Form) -> UInt64 {
    if value.isNaN { return from == .f64 || type.size == 8 ? 1 << UInt64(type.size * 8 - 1) : 0 }
    let whole = value.rounded(form.integral ?? .towardZero)
    let bounded = min(max(whole, -0x1p65), 0x1p65)
    return clamp(Int128(bounded), type, saturated: true)
  }

  private static func fromInteger(_ value: Int128, _ type: PTXType, _ form: Form) -> UInt64 {
    // To a Double with the last bit set if it lost something, so that it can be rounded again to fewer bits.
    let nearest = Double(value)
    let error = value - Int128(nearest)
    if type == .f64 { return Double.move(nearest, error: Double(error), form.rounding).bitPattern }
    let odd =
      error != 0 && nearest.bitPattern & 1 == 0
      ? Double(bitPattern: (error < 0) == (nearest < 0) ? nearest.bitPattern + 1 : nearest.bitPattern - 1) : nearest
    return narrow(odd, type, form)
  }

  private static func fromFloat(
    _ value: Double, _ bits: UInt64, _ to: PTXType, _ from: PTXType, _ form: Form
  ) -> UInt64 {
    let rounded = form.integral.map { value.rounded($0) } ?? value
    if to == .f64 { return form.isSaturated ? rounded.saturated.bitPattern : rounded.bitPattern }
    return narrow(rounded, to, form)
  }

  /// A value as a smaller float, rounded once.
  private static func narrow(_ value: Double, _ type: PTXType, _ form: Form) -> UInt64 {
    switch type {
    case .f16: return small(value, form, Float16Bits.self)
    case .bf16: return small(value, form, BFloat16Bits.self)
    default:
      let nearest = Float(value)
      let error = value.isFinite ? value - Double(nearest) : 0
      var result = Float.move(nearest, error: Float(error.sign == .minus ? -1 : error > 0 ? 1 : 0), form.rounding)
      if error == 0 { result = nearest }
      if form.isFinite, result.isInfinite {
        result = result < 0 ? -Float.greatestFiniteMagnitude : .greatestFiniteMagnitude
      }
      result = result.canonical
      if form.flushes, result.isSubnormal { result = result.flushed }
      if form.isSaturated { result = result.saturated }
      if form.isRectified { result = result.rectified }
      return UInt64(result.bitPattern)
    }
  }

  private static func small<T: SmallFloat>(_ value: Double, _ form: Form, _: T.Type) -> UInt64 {
    var result = T(Exact.floatToOdd(value), form.rounding)
    if form.isFinite, result.bits & 0x7FFF == T.infinity { result = T(bits: result.bits & 0x8000 | T.greatest) }
    if form.isSaturated { result = result.saturated }
    if form.isRectified { result = result.rectified }
    return UInt64(result.bits)
  }

  // MARK: Packing

  /// `cvt.pack.sat.s16.s32 d, a, b`, `cvt.pack.sat.s8.s32.b32 d, a, b, c`: a above b, both above or below what c brings.
  static func pack(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    guard modifiers.take("pack"), modifiers.take("sat") else { throw modifiers.unknownForm() }
    let types = modifiers.takeTypes()
    try modifiers.finish()
    context.cost.unit = .conversion
    guard types.count >= 2, types[1] == .s32, [.s8, .u8, .s16, .u16].contains(types[0]),
      types.count == (types[0].size == 1 ? 3 : 2)
    else { throw modifiers.unknownForm() }
    try context.requireOperands(instruction, types.count + 1...types.count + 1)
    let d = try context.destination(instruction.operands[0], .b32)
    let a = try context.source(instruction.operands[1], .s32)
    let b = try context.source(instruction.operands[2], .s32)
    let c = types.count == 3 ? try context.source(instruction.operands[3], .b32) : context.constant(0, .b32)
    let bits = UInt32(types[0].size * 8)
    let mask: UInt32 = (1 << bits) - 1
    let type = types[0]
    return { warp, lanes throws(EmulatorError) in
      let (x, y, w) = (try warp.read(a, lanes), try warp.read(b, lanes), try warp.read(c, lanes))
      let z = try warp.write(d, lanes)
      func part(_ value: UInt32) -> UInt32 {
        UInt32(truncatingIfNeeded: clamp(Int128(Int32(bitPattern: value)), type, saturated: true)) & mask
      }
      Lanes.each(lanes) { lane in
        let low = part(x[lane]) << bits | part(y[lane])
        z[lane] = bits == 16 ? low : w[lane] << 16 | low
      }
      return .next
    }
  }
}
