// Float arithmetic of all types: `add`, `sub`, `mul`, `fma`, `mad`, `min`, `max`, `abs`, `neg`, `copysign`, `testp`.
//
// Plain forms of f32 have loops of their own; those with `.ftz`, `.sat`, `.relu`, another rounding, or two values in a register
// are put together of parts.
//
// PTX ISA 9.1, "Floating-Point Instructions", "Half Precision Floating-Point Instructions", "Mixed Precision Floating-Point
// Instructions".

internal import KernelLanguage

private enum AddFloat<T: LaneFloat & BinaryFloatingPoint>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { (a + b).canonical }
}
private enum SubtractFloat<T: LaneFloat & BinaryFloatingPoint>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { (a - b).canonical }
}
private enum MultiplyFloat<T: LaneFloat & BinaryFloatingPoint>: BinaryOperation {
  @inline(__always) static func apply(_ a: T, _ b: T) -> T { (a * b).canonical }
}
private enum FuseFloat: TernaryOperation {
  @inline(__always) static func apply(_ a: Float, _ b: Float, _ c: Float) -> Float { Float.fused(a, b, c).canonical }
}
private enum MinimumFloat: BinaryOperation {
  @inline(__always) static func apply(_ a: Float, _ b: Float) -> Float { Float.lesser(a, b) }
}
private enum MaximumFloat: BinaryOperation {
  @inline(__always) static func apply(_ a: Float, _ b: Float) -> Float { Float.greater(a, b) }
}
/// Subnormal operands and results are 0 with the same sign.
@inline(__always) private func flush(_ value: Float) -> Float {
  value.bitPattern & 0x7F80_0000 == 0 ? value.flushed : value
}
private enum Flushed2<O: BinaryOperation>: BinaryOperation where O.A == Float, O.B == Float, O.D == Float {
  @inline(__always) static func apply(_ a: Float, _ b: Float) -> Float { flush(O.apply(flush(a), flush(b))) }
}
private enum Flushed3<O: TernaryOperation>: TernaryOperation
where O.A == Float, O.B == Float, O.C == Float, O.D == Float {
  @inline(__always) static func apply(_ a: Float, _ b: Float, _ c: Float) -> Float {
    flush(O.apply(flush(a), flush(b), flush(c)))
  }
}
/// Halves of a register of 32 bits as two floats of 16.
private enum AddHalves<T: SmallFloat>: BinaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32) -> UInt32 {
    T(T(slot: a).float + T(slot: b).float).slot | T(T(slot: a >> 16).float + T(slot: b >> 16).float).slot << 16
  }
}
private enum MultiplyHalves<T: SmallFloat>: BinaryOperation {
  @inline(__always) static func apply(_ a: UInt32, _ b: UInt32) -> UInt32 {
    T(T(slot: a).float * T(slot: b).float).slot | T(T(slot: a >> 16).float * T(slot: b >> 16).float).slot << 16
  }
}

/// How the parts of an operation on floats are put together.
struct FloatForm {
  var rounding = Rounding.nearest
  var flushes = false
  var isSaturated = false
  var isRectified = false
  /// Of `min` and `max`.
  var keepsNaN = false
  var takesSign = false

  init(_ modifiers: inout Modifiers) {
    rounding = modifiers.take(oneOf: ["rn", "rz", "rm", "rp"]).flatMap(Rounding.init) ?? .nearest
    flushes = modifiers.take("ftz")
    isSaturated = modifiers.take("sat")
    isRectified = modifiers.take("relu")
    keepsNaN = modifiers.take("NaN")
    takesSign = modifiers.take("xorsign")
    if takesSign { _ = modifiers.take("abs") }
  }

  var isPlain: Bool { rounding == .nearest && !isSaturated && !isRectified && !keepsNaN && !takesSign }

  @inline(__always) func take<T: LaneFloat>(_ value: T) -> T { flushes && value.isSubnormal ? value.flushed : value }

  func give<T: LaneFloat>(_ value: T) -> T {
    let value = flushes && value.isSubnormal ? value.flushed : value
    return isSaturated ? value.saturated : isRectified ? value.rectified : value
  }

  /// `min` or `max`.
  func extremum<T: LaneFloat>(_ a: T, _ b: T, isMinimum: Bool) -> T {
    let (a, b) = (take(a), take(b))
    if keepsNaN, a.isNaN || b.isNaN { return .canonicalNaN }
    guard takesSign else { return isMinimum ? T.lesser(a, b) : T.greater(a, b) }
    let result = isMinimum ? T.lesser(a.magnitude, b.magnitude) : T.greater(a.magnitude, b.magnitude)
    return result.isNaN || a.isNegative == b.isNegative ? result : result.negated
  }
}

enum FloatInstructions {
  static let decoders: [String: Decoder] = ["fma": fma, "copysign": copysign, "testp": testp]

  /// A type of float arithmetic: the element, and whether a register holds two.
  struct Kind {
    enum Element { case f16, bf16, f32, f64 }
    var element: Element
    var isPacked: Bool
    /// Of the register.
    var type: PTXType

    init?(_ type: PTXType) {
      switch type {
      case .f16: (element, isPacked) = (.f16, false)
      case .f16x2: (element, isPacked) = (.f16, true)
      case .bf16: (element, isPacked) = (.bf16, false)
      case .bf16x2: (element, isPacked) = (.bf16, true)
      case .f32: (element, isPacked) = (.f32, false)
      case .f64: (element, isPacked) = (.f64, false)
      default: return nil
      }
      self.type = type
    }

    /// `.f32x2`, which is no type of registers.
    static let pairs: Kind = {
      var kind = Kind(.f32)!
      (kind.isPacked, kind.type) = (true, .b64)
      return kind
    }()

    var unit: FunctionalUnit {
      switch element {
      case .f16, .bf16: .half
      case .f32: .float32
      case .f64: .float64
      }
    }
  }

  // MARK: Putting together

  /// A step of a function of up to three floats, for each part of the register.
  private static func map<T: LaneFloat, F: FloatFunction>(
    _: T.Type, packed: Bool, _ d: Register, _ sources: [Register], _ function: F
  ) -> Step {
    let (a, b, c) = (sources[0], sources.count > 1 ? sources[1] : sources[0], sources.last!)
    let width = T.Slot(truncatingIfNeeded: MemoryLayout<T>.size * 8)
    return { warp, lanes throws(EmulatorError) in
      let x = (try warp.slots(a, as: UInt32.self, lanes), try warp.slots(b, as: UInt32.self, lanes))
      let y = try warp.slots(c, as: UInt32.self, lanes)
      let z = try warp.newSlots(d, as: UInt32.self, lanes)
      if !packed {
        let (p, q, r) = (raw(x.0, T.Slot.self), raw(x.1, T.Slot.self), raw(y, T.Slot.self))
        let s = raw(z, T.Slot.self)
        Lanes.each(lanes) { s[$0] = function.apply(T(slot: p[$0]), T(slot: q[$0]), T(slot: r[$0])).slot }
      } else if d.width == .word {
        Lanes.each(lanes) { lane in
          func part(_ shift: UInt32) -> UInt32 {
            let (p, q, r) = (x.0[lane] >> shift, x.1[lane] >> shift, y[lane] >> shift)
            let value = function.apply(
              T(slot: T.Slot(truncatingIfNeeded: p)), T(slot: T.Slot(truncatingIfNeeded: q)),
              T(slot: T.Slot(truncatingIfNeeded: r)))
            return UInt32(truncatingIfNeeded: value.slot) << shift
          }
          z[lane] = part(0) | part(UInt32(truncatingIfNeeded: width))
        }
      } else {
        // Two Floats in 64 bits.
        Lanes.each(lanes) { lane in
          for place in 2 * lane...2 * lane + 1 {
            let value = function.apply(
              T(slot: T.Slot(truncatingIfNeeded: x.0[place])), T(slot: T.Slot(truncatingIfNeeded: x.1[place])),
              T(slot: T.Slot(truncatingIfNeeded: y[place])))
            z[place] = UInt32(truncatingIfNeeded: value.slot)
          }
        }
      }
      return .next
    }
  }

  @inline(__always)
  private static func raw<Slot>(_ pointer: UnsafeMutablePointer<UInt32>, _: Slot.Type) -> UnsafeMutablePointer<Slot> {
    UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: Slot.self)
  }

  /// A step of a function that is the same for all elements.
  static func map<F: FloatFunction>(
    _ kind: Kind, _ d: Register, _ sources: [Register], _ function: F
  ) -> Step {
    switch kind.element {
    case .f16: map(Float16Bits.self, packed: kind.isPacked, d, sources, function)
    case .bf16: map(BFloat16Bits.self, packed: kind.isPacked, d, sources, function)
    case .f32: map(Float.self, packed: kind.isPacked, d, sources, function)
    case .f64: map(Double.self, packed: kind.isPacked, d, sources, function)
    }
  }

  // MARK: Decoders

  private static func operands(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ type: PTXType, _ counts: ClosedRange<Int>
  ) throws(EmulatorError) -> (d: Register, sources: [Register]) {
    try context.requireOperands(instruction, counts)
    let d = try context.destination(instruction.operands[0], type)
    var sources: [Register] = []
    for operand in instruction.operands.dropFirst() { sources.append(try context.source(operand, type)) }
    return (d, sources)
  }

  /// `add`, `sub`, `mul` of floats.
  static func two(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ kind: Kind, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = modifiers
    context.cost.unit = kind.unit
    let form = FloatForm(&modifiers)
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, kind.type, 3...3)
    if form.isPlain, let step = plain(instruction.opcode, kind, form.flushes, d, s[0], s[1]) { return step }
    switch instruction.opcode {
    case "add": return map(kind, d, s, SumFunction(form: form, isDifference: false))
    case "sub": return map(kind, d, s, SumFunction(form: form, isDifference: true))
    default: return map(kind, d, s, ProductFunction(form: form))
    }
  }

  private static func plain(
    _ opcode: String, _ kind: Kind, _ flushes: Bool, _ d: Register, _ a: Register, _ b: Register
  ) -> Step? {
    switch (opcode, kind.type, flushes) {
    case ("add", .f32, false): Lanes.binary(AddFloat<Float>.self, d, a, b)
    case ("sub", .f32, false): Lanes.binary(SubtractFloat<Float>.self, d, a, b)
    case ("mul", .f32, false): Lanes.binary(MultiplyFloat<Float>.self, d, a, b)
    case ("add", .f32, true): Lanes.binary(Flushed2<AddFloat<Float>>.self, d, a, b)
    case ("sub", .f32, true): Lanes.binary(Flushed2<SubtractFloat<Float>>.self, d, a, b)
    case ("mul", .f32, true): Lanes.binary(Flushed2<MultiplyFloat<Float>>.self, d, a, b)
    case ("min", .f32, false): Lanes.binary(MinimumFloat.self, d, a, b)
    case ("max", .f32, false): Lanes.binary(MaximumFloat.self, d, a, b)
    case ("min", .f32, true): Lanes.binary(Flushed2<MinimumFloat>.self, d, a, b)
    case ("max", .f32, true): Lanes.binary(Flushed2<MaximumFloat>.self, d, a, b)
    case ("add", .f16x2, false): Lanes.binary(AddHalves<Float16Bits>.self, d, a, b)
    case ("mul", .f16x2, false): Lanes.binary(MultiplyHalves<Float16Bits>.self, d, a, b)
    case ("add", .bf16x2, false): Lanes.binary(AddHalves<BFloat16Bits>.self, d, a, b)
    case ("mul", .bf16x2, false): Lanes.binary(MultiplyHalves<BFloat16Bits>.self, d, a, b)
    default: nil
    }
  }

  /// `min` and `max` of two or three floats.
  static func extremum(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ kind: Kind, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = modifiers
    context.cost.unit = kind.unit
    let form = FloatForm(&modifiers)
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, kind.type, 3...4)
    if form.isPlain, s.count == 2, let step = plain(instruction.opcode, kind, form.flushes, d, s[0], s[1]) {
      return step
    }
    return map(
      kind, d, s, ExtremumFunction(form: form, isMinimum: instruction.opcode == "min", takesThree: s.count == 3))
  }

  /// `abs` and `neg` of floats.
  static func sign(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ kind: Kind, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = modifiers
    context.cost.unit = kind.unit
    let form = FloatForm(&modifiers)
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, kind.type, 2...2)
    return map(kind, d, s, SignFunction(form: form, isAbsolute: instruction.opcode == "abs"))
  }

  static func fma(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    if modifiers.take("f32x2") { return try fused(&context, instruction, .pairs, modifiers) }
    let types = modifiers.takeTypes()
    if types.count == 2 { return try mixed(&context, instruction, types, modifiers) }
    guard types.count == 1, let kind = Kind(types[0]) else { throw modifiers.unknownForm() }
    return try fused(&context, instruction, kind, modifiers)
  }

  /// `fma.rn.f32`, the most frequent instruction: by way of Double, whose rounding does harm only where it gives the middle between
  /// two Floats, or a number so small that Floats have fewer bits. Only then are the lanes computed with care.
  private static func fusedSingles(_ d: Register, _ a: Register, _ b: Register, _ c: Register) -> Step {
    { warp, lanes throws(EmulatorError) in
      let (x, y, w) = (try warp.read(a, lanes), try warp.read(b, lanes), try warp.read(c, lanes))
      let z = try warp.write(d, lanes)
      func float(_ bits: UInt32) -> Float { Float(bitPattern: bits) }
      return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 32) { results in
        var doubtful: UInt64 = 0
        for lane in 0..<32 {
          let sum = Double(float(x[lane])) * Double(float(y[lane])) + Double(float(w[lane]))
          let bits = sum.bitPattern
          let isMiddle: UInt64 = bits & 0x1FFF_FFFF == 0x1000_0000 ? 1 : 0
          // Below 2^-126, but not 0.
          let isSmall: UInt64 = (bits & 0x7FFF_FFFF_FFFF_FFFF) &- 1 < 0x3810_0000_0000_0000 - 1 ? 1 : 0
          doubtful |= isMiddle | isSmall
          let result = Float(sum)
          results[lane] = result == result ? result.bitPattern : Float.canonicalNaN.bitPattern
        }
        if doubtful == 0 {
          Lanes.each(lanes) { z[$0] = results[$0] }
        } else {
          Lanes.each(lanes) { z[$0] = FuseFloat.apply(float(x[$0]), float(y[$0]), float(w[$0])).bitPattern }
        }
        return .next
      }
    }
  }

  /// `fma`, and `mad` of floats, which is the same.
  static func fused(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ kind: Kind, _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = modifiers
    context.cost.unit = kind.unit
    let form = FloatForm(&modifiers)
    try modifiers.finish()
    let (d, s) = try operands(&context, instruction, kind.type, 4...4)
    if form.isPlain, kind.type == .f32 {
      return form.flushes
        ? Lanes.ternary(Flushed3<FuseFloat>.self, d, s[0], s[1], s[2])
        : fusedSingles(d, s[0], s[1], s[2])
    }
    if form.isPlain, !form.flushes, kind.type == .f16x2 {
      return fusedHalves(Float16Bits.self, 13, d, s[0], s[1], s[2])
    }
    if form.isPlain, !form.flushes, kind.type == .bf16x2 {
      return fusedHalves(BFloat16Bits.self, 16, d, s[0], s[1], s[2])
    }
    return map(kind, d, s, FusedFunction(form: form))
  }

  /// `fma.rn.f16x2`, `fma.rn.bf16x2`: the same by way of Double and Float, which does harm only where the Float is the middle between
  /// two results, or subnormal as a result.
  ///
  /// - Parameter cut: bits that a Float has more than the result.
  private static func fusedHalves<T: SmallFloat>(
    _: T.Type, _ cut: UInt32, _ d: Register, _ a: Register, _ b: Register, _ c: Register
  ) -> Step {
    let least = T(bits: T.infinity & (0 &- T.infinity)).float
    return { warp, lanes throws(EmulatorError) in
      let (x, y, w) = (try warp.read(a, lanes), try warp.read(b, lanes), try warp.read(c, lanes))
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { lane in
        func part(_ shift: UInt32) -> UInt32 {
          let (p, q, r) = (T(slot: x[lane] >> shift), T(slot: y[lane] >> shift), T(slot: w[lane] >> shift))
          let sum = Float(Double(p.float) * Double(q.float) + Double(r.float))
          let isMiddle = sum.bitPattern & ((1 << cut) - 1) == 1 << (cut - 1)
          return isMiddle || abs(sum) < least ? T.fuse(p, q, r, .nearest).slot : T(sum).slot
        }
        z[lane] = part(0) | part(16) << 16
      }
      return .next
    }
  }

  /// `add.f32.bf16`, `sub.f32.f16`, `fma.f32.f16`: factors of 16 bits, a Float added.
  static func mixed(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ types: [PTXType], _ modifiers: Modifiers
  ) throws(EmulatorError) -> Step {
    var modifiers = modifiers
    context.cost.unit = .float32
    let form = FloatForm(&modifiers)
    try modifiers.finish()
    let isFused = instruction.opcode == "fma"
    try context.requireOperands(instruction, isFused ? 4...4 : 3...3)
    guard types[0] == .f32, types[1] == .f16 || types[1] == .bf16 else { throw modifiers.unknownForm() }
    let isHalf = types[1] == .f16
    let d = try context.destination(instruction.operands[0], .f32)
    let a = try context.source(instruction.operands[1], types[1])
    let b = isFused ? try context.source(instruction.operands[2], types[1]) : context.constant(0x3F80, types[1])
    let c = try context.source(instruction.operands.last!, .f32)
    let isDifference = instruction.opcode == "sub"
    return { warp, lanes throws(EmulatorError) in
      let (x, y, w) = (try warp.read(a, lanes), try warp.read(b, lanes), try warp.read(c, lanes))
      let z = try warp.write(d, lanes)
      func float(_ bits: UInt32) -> Float { isHalf ? Float16Bits(slot: bits).float : BFloat16Bits(slot: bits).float }
      Lanes.each(lanes) { lane in
        let added = form.take(Float(bitPattern: w[lane]))
        let result =
          isFused
          ? Float.fuse(float(x[lane]), float(y[lane]), added, form.rounding)
          : Float.add(float(x[lane]), isDifference ? added.negated : added, form.rounding)
        z[lane] = form.give(result).bitPattern
      }
      return .next
    }
  }

  /// `copysign d, a, b`: the sign of a, the magnitude of b.
  static func copysign(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    try modifiers.finish()
    guard let kind = Kind(type), type == .f32 || type == .f64 else { throw modifiers.unknownForm() }
    context.cost.unit = kind.unit
    let (d, s) = try operands(&context, instruction, type, 3...3)
    return map(kind, d, s, CopySignFunction())
  }

  static func testp(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    guard
      let test = modifiers.take(oneOf: ["finite", "infinite", "number", "notanumber", "normal", "subnormal"]),
      type == .f32 || type == .f64
    else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, 2...2)
    context.cost.unit = type == .f32 ? .float32 : .float64
    let d = try context.destination(instruction.operands[0], .pred)
    let a = try context.source(instruction.operands[1], type)
    func holds<T: BinaryFloatingPoint>(_ value: T) -> Bool {
      switch test {
      case "finite": value.isFinite
      case "infinite": value.isInfinite
      case "number": !value.isNaN
      case "notanumber": value.isNaN
      case "normal": value.isNormal
      default: value.isSubnormal
      }
    }
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(a, lanes)
      let (words, longs) = (warp.words(a), warp.longs(a))
      let mask = Lanes.mask(lanes) {
        type == .f32 ? holds(Float(bitPattern: words[$0])) : holds(Double(bitPattern: longs[$0]))
      }
      try warp.write(predicate: d, lanes, mask)
      return .next
    }
  }
}

// MARK: Functions

/// A function of up to three floats of any type.
protocol FloatFunction {
  func apply<T: LaneFloat>(_ a: T, _ b: T, _ c: T) -> T
}

private struct SumFunction: FloatFunction {
  var form: FloatForm
  var isDifference: Bool

  func apply<T: LaneFloat>(_ a: T, _ b: T, _ c: T) -> T {
    let b = form.take(b)
    return form.give(T.add(form.take(a), isDifference && !b.isNaN ? b.negated : b, form.rounding))
  }
}

private struct ProductFunction: FloatFunction {
  var form: FloatForm

  func apply<T: LaneFloat>(_ a: T, _ b: T, _ c: T) -> T {
    form.give(T.multiply(form.take(a), form.take(b), form.rounding))
  }
}

private struct FusedFunction: FloatFunction {
  var form: FloatForm

  func apply<T: LaneFloat>(_ a: T, _ b: T, _ c: T) -> T {
    form.give(T.fuse(form.take(a), form.take(b), form.take(c), form.rounding))
  }
}

private struct ExtremumFunction: FloatFunction {
  var form: FloatForm
  var isMinimum: Bool
  var takesThree: Bool

  func apply<T: LaneFloat>(_ a: T, _ b: T, _ c: T) -> T {
    let first = form.extremum(a, b, isMinimum: isMinimum)
    return form.give(takesThree ? form.extremum(first, c, isMinimum: isMinimum) : first)
  }
}

private struct SignFunction: FloatFunction {
  var form: FloatForm
  var isAbsolute: Bool

  func apply<T: LaneFloat>(_ a: T, _ b: T, _ c: T) -> T {
    let value = form.take(a)
    return isAbsolute ? value.magnitude : value.negated
  }
}

private struct CopySignFunction: FloatFunction {
  func apply<T: LaneFloat>(_ a: T, _ b: T, _ c: T) -> T { a.isNegative ? b.magnitude.negated : b.magnitude }
}
