// Quotients, roots and transcendental functions: `div`, `rcp`, `sqrt`, `rsqrt`, `ex2`, `lg2`, `sin`, `cos`, `tanh`.
//
// Where PTX asks for a rounding, results are exact to the last bit. Approximate forms are better here than on the chip, whose tables
// nobody has published: the nearest number to the true value, or one beside it; the special cases are those of the PTX ISA.
//
// PTX ISA 9.1, "Floating-Point Instructions".

internal import Core
internal import KernelLanguage

/// A function of one Float, computed with more bits than it gives.
private protocol Function {
  static func value(_ x: Double) -> Double
}
private enum Exponential: Function {
  @inline(__always) static func value(_ x: Double) -> Double { exp2(x) }
}
private enum Logarithm: Function {
  @inline(__always) static func value(_ x: Double) -> Double { log2(x) }
}
private enum Sine: Function {
  @inline(__always) static func value(_ x: Double) -> Double { sin(x) }
}
private enum Cosine: Function {
  @inline(__always) static func value(_ x: Double) -> Double { cos(x) }
}
private enum HyperbolicTangent: Function {
  @inline(__always) static func value(_ x: Double) -> Double { tanh(x) }
}
private enum Reciprocal: Function {
  @inline(__always) static func value(_ x: Double) -> Double { 1 / x }
}
private enum Root: Function {
  @inline(__always) static func value(_ x: Double) -> Double { x.squareRoot() }
}
private enum ReciprocalRoot: Function {
  @inline(__always) static func value(_ x: Double) -> Double { 1 / x.squareRoot() }
}

@inline(__always) private func flush(_ value: Float) -> Float {
  value.bitPattern & 0x7F80_0000 == 0 ? value.flushed : value
}

private enum Plain<F: Function>: UnaryOperation {
  @inline(__always) static func apply(_ a: Float) -> Float { Float(F.value(Double(a))).canonical }
}
private enum Flushed<F: Function>: UnaryOperation {
  @inline(__always) static func apply(_ a: Float) -> Float { flush(Float(F.value(Double(flush(a))))).canonical }
}
private enum Small<F: Function, T: SmallFloat>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> T { T(F.value(Double(a.float))) }
}
private enum SmallFlushed<F: Function, T: SmallFloat>: UnaryOperation {
  @inline(__always) static func apply(_ a: T) -> T {
    let result = T(F.value(Double((a.isSubnormal ? a.flushed : a).float)))
    return result.isSubnormal ? result.flushed : result
  }
}
private enum Both<O: UnaryOperation>: UnaryOperation where O.A: SmallFloat, O.D: SmallFloat {
  @inline(__always) static func apply(_ a: UInt32) -> UInt32 {
    UInt32(O.apply(O.A(slot: a)).bits) | UInt32(O.apply(O.A(slot: a >> 16)).bits) << 16
  }
}
/// Of 64 bits: only the upper 32 of the operand count, and only those of the result are given.
private enum Upper<F: Function>: UnaryOperation {
  @inline(__always) static func apply(_ a: Double) -> Double {
    var value = Double(bitPattern: a.bitPattern & ~0xFFFF_FFFF)
    if value.isSubnormal { value = value.flushed }
    let result = F.value(value)
    if result.isNaN { return .canonicalNaN }
    return Double(bitPattern: (result.isSubnormal ? result.flushed : result).bitPattern & ~0xFFFF_FFFF)
  }
}

enum FunctionInstructions {
  static let decoders: [String: Decoder] = [
    "rcp": rcp, "sqrt": sqrt, "rsqrt": approximate, "ex2": approximate, "lg2": approximate, "sin": approximate,
    "cos": approximate, "tanh": approximate,
  ]

  private static func operands(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ type: PTXType
  ) throws(EmulatorError) -> (d: Register, a: Register) {
    try context.requireOperands(instruction, 2...2)
    return (
      try context.destination(instruction.operands[0], type), try context.source(instruction.operands[1], type)
    )
  }

  // MARK: Approximate

  static func approximate(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    let flushes = modifiers.take("ftz")
    guard modifiers.take("approx") else { throw modifiers.unknownForm() }
    try modifiers.finish()
    context.cost.unit = .special
    let (d, a) = try operands(&context, instruction, type)
    func make<F: Function>(_: F.Type, small: Bool = false, large: Bool = false) throws(EmulatorError) -> Step {
      switch type {
      case .f32: return flushes ? Lanes.unary(Flushed<F>.self, d, a) : Lanes.unary(Plain<F>.self, d, a)
      case .f16 where small:
        return flushes
          ? Lanes.unary(SmallFlushed<F, Float16Bits>.self, d, a) : Lanes.unary(Small<F, Float16Bits>.self, d, a)
      case .f16x2 where small:
        return flushes
          ? Lanes.unary(Both<SmallFlushed<F, Float16Bits>>.self, d, a)
          : Lanes.unary(Both<Small<F, Float16Bits>>.self, d, a)
      case .bf16 where small:
        return flushes
          ? Lanes.unary(SmallFlushed<F, BFloat16Bits>.self, d, a) : Lanes.unary(Small<F, BFloat16Bits>.self, d, a)
      case .bf16x2 where small:
        return flushes
          ? Lanes.unary(Both<SmallFlushed<F, BFloat16Bits>>.self, d, a)
          : Lanes.unary(Both<Small<F, BFloat16Bits>>.self, d, a)
      case .f64 where large: return Lanes.unary(Upper<F>.self, d, a)
      default: throw modifiers.unknownForm()
      }
    }
    switch instruction.opcode {
    case "ex2": return try make(Exponential.self, small: true)
    case "lg2": return try make(Logarithm.self)
    case "sin": return try make(Sine.self)
    case "cos": return try make(Cosine.self)
    case "tanh": return try make(HyperbolicTangent.self, small: true)
    case "rsqrt": return try make(ReciprocalRoot.self, large: true)
    case "rcp": return try make(Reciprocal.self, large: true)
    default: return try make(Root.self)
    }
  }

  // MARK: Rounded

  /// What a form without `.approx` does in both types.
  private struct RoundedFunction: FloatFunction {
    enum Kind { case quotient, reciprocal, root }
    var kind: Kind
    var form: FloatForm

    func apply<T: LaneFloat>(_ a: T, _ b: T, _ c: T) -> T {
      if let x = form.take(a) as? Float, let y = form.take(b) as? Float {
        return form.give(value(x, y).canonical) as! T
      }
      return value(a as! Double, b as! Double) as! T
    }

    private func value<T: DirectedFloat>(_ a: T, _ b: T) -> T {
      switch kind {
      case .quotient: T.quotient(a, b, form.rounding)
      case .reciprocal: T.quotient(1, a, form.rounding)
      case .root: T.root(a, form.rounding)
      }
    }
  }

  private static func rounded(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ kind: RoundedFunction.Kind
  ) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    guard let float = FloatInstructions.Kind(type), type == .f32 || type == .f64 else { throw modifiers.unknownForm() }
    let form = FloatForm(&modifiers)
    try modifiers.finish()
    context.cost.unit = type == .f32 ? .float32 : .float64
    try context.requireOperands(instruction, kind == .quotient ? 3...3 : 2...2)
    let d = try context.destination(instruction.operands[0], type)
    var sources: [Register] = []
    for operand in instruction.operands.dropFirst() { sources.append(try context.source(operand, type)) }
    return FloatInstructions.map(float, d, sources, RoundedFunction(kind: kind, form: form))
  }

  static func rcp(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    instruction.modifiers.contains("approx")
      ? try approximate(&context, instruction) : try rounded(&context, instruction, .reciprocal)
  }

  static func sqrt(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    instruction.modifiers.contains("approx")
      ? try approximate(&context, instruction) : try rounded(&context, instruction, .root)
  }

  static func div(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    let isFull = modifiers.take("full")
    guard isFull || modifiers.take("approx") else { return try rounded(&context, instruction, .quotient) }
    let flushes = modifiers.take("ftz")
    try modifiers.finish()
    guard type == .f32 else { throw modifiers.unknownForm() }
    context.cost.unit = .special
    try context.requireOperands(instruction, 3...3)
    let d = try context.destination(instruction.operands[0], .f32)
    let a = try context.source(instruction.operands[1], .f32)
    let b = try context.source(instruction.operands[2], .f32)
    switch (isFull, flushes) {
    case (true, false): return Lanes.binary(FullQuotient.self, d, a, b)
    case (true, true): return Lanes.binary(FlushedQuotient<FullQuotient>.self, d, a, b)
    case (false, false): return Lanes.binary(ApproximateQuotient.self, d, a, b)
    case (false, true): return Lanes.binary(FlushedQuotient<ApproximateQuotient>.self, d, a, b)
    }
  }

  private enum FullQuotient: BinaryOperation {
    @inline(__always) static func apply(_ a: Float, _ b: Float) -> Float { (a / b).canonical }
  }
  /// a times the reciprocal of b, which is 0 for the largest divisors.
  private enum ApproximateQuotient: BinaryOperation {
    @inline(__always) static func apply(_ a: Float, _ b: Float) -> Float {
      abs(b) > 0x1p126 && b.isFinite ? (a * Float(0).copied(signOf: b)).canonical : (a / b).canonical
    }
  }
  private enum FlushedQuotient<O: BinaryOperation>: BinaryOperation where O.A == Float, O.B == Float, O.D == Float {
    @inline(__always) static func apply(_ a: Float, _ b: Float) -> Float { flush(O.apply(flush(a), flush(b))) }
  }
}

extension Float {
  @inline(__always)
  fileprivate func copied(signOf other: Float) -> Float { Float(signOf: other, magnitudeOf: self) }
}
