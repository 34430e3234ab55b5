// Comparisons: `setp`, `set`.
//
// Ordered comparisons of floats do not hold for NaN, unordered ones (`equ`, `ltu`, …) do.
//
// PTX ISA 9.1, "Comparison and Selection Instructions".

internal import KernelLanguage

private enum Equal<T: LaneValue & Comparable>: Relation {
  @inline(__always) static func holds(_ a: T, _ b: T) -> Bool { a == b }
}
private enum Less<T: LaneValue & Comparable>: Relation {
  @inline(__always) static func holds(_ a: T, _ b: T) -> Bool { a < b }
}
private enum LessOrEqual<T: LaneValue & Comparable>: Relation {
  @inline(__always) static func holds(_ a: T, _ b: T) -> Bool { a <= b }
}
/// Both are numbers.
private enum Ordered<T: LaneValue & Comparable>: Relation {
  @inline(__always) static func holds(_ a: T, _ b: T) -> Bool { a == a && b == b }
}
/// Different, and both numbers.
private enum Apart<T: LaneValue & Comparable>: Relation {
  @inline(__always) static func holds(_ a: T, _ b: T) -> Bool { a < b || b < a }
}

/// Subnormal operands are 0.
private enum FlushedRelation<R: Relation>: Relation where R.A == Float {
  @inline(__always) static func holds(_ a: Float, _ b: Float) -> Bool { R.holds(flush(a), flush(b)) }
  @inline(__always) private static func flush(_ value: Float) -> Float {
    value.bitPattern & 0x7F80_0000 == 0 ? 0 : value
  }
}

/// Floats of 16 bits compare as Floats, subnormal ones as 0 with `.ftz`.
private protocol Flushing { static var flushes: Bool { get } }
private enum Keeps: Flushing { static var flushes: Bool { false } }
private enum Flushes: Flushing { static var flushes: Bool { true } }
private struct Widened<T: SmallFloat, F: Flushing>: LaneValue, Comparable {
  var float: Float
  init(slot: UInt32) {
    let value = T(slot: slot)
    float = F.flushes && value.isSubnormal ? 0 : value.float
  }
  var slot: UInt32 { T(float).slot }
  @inline(__always) static func < (a: Self, b: Self) -> Bool { a.float < b.float }
  @inline(__always) static func <= (a: Self, b: Self) -> Bool { a.float <= b.float }
  @inline(__always) static func == (a: Self, b: Self) -> Bool { a.float == b.float }
}

/// The mask of lanes in which a relation holds, of registers that were checked.
private typealias Comparison = (Warp, LaneMask) -> LaneMask

enum ComparisonInstructions {
  static let decoders: [String: Decoder] = ["setp": setp, "set": set]

  /// A relation as one of five, its operands perhaps exchanged and its result turned around.
  private struct Form {
    enum Kind { case equal, less, lessOrEqual, ordered, apart }
    var kind: Kind
    var isSwapped = false
    var isNegated = false

    init(_ kind: Kind, swapped: Bool = false, negated: Bool = false) {
      (self.kind, isSwapped, isNegated) = (kind, swapped, negated)
    }

    static func make(_ name: String, isFloat: Bool, isSigned: Bool) -> Form? {
      switch name {
      case "eq": Form(.equal)
      case "ne": isFloat ? Form(.apart) : Form(.equal, negated: true)
      case "lt" where isFloat || isSigned, "lo" where !isFloat && !isSigned: Form(.less)
      case "le" where isFloat || isSigned, "ls" where !isFloat && !isSigned: Form(.lessOrEqual)
      case "gt" where isFloat || isSigned, "hi" where !isFloat && !isSigned: Form(.less, swapped: true)
      case "ge" where isFloat || isSigned, "hs" where !isFloat && !isSigned: Form(.lessOrEqual, swapped: true)
      // Unsigned numbers may be compared with either names.
      case "lt" where !isFloat: Form(.less)
      case "le" where !isFloat: Form(.lessOrEqual)
      case "gt" where !isFloat: Form(.less, swapped: true)
      case "ge" where !isFloat: Form(.lessOrEqual, swapped: true)
      case "equ" where isFloat: Form(.apart, negated: true)
      case "neu" where isFloat: Form(.equal, negated: true)
      case "ltu" where isFloat: Form(.lessOrEqual, swapped: true, negated: true)
      case "leu" where isFloat: Form(.less, swapped: true, negated: true)
      case "gtu" where isFloat: Form(.lessOrEqual, negated: true)
      case "geu" where isFloat: Form(.less, negated: true)
      case "num" where isFloat: Form(.ordered)
      case "nan" where isFloat: Form(.ordered, negated: true)
      default: nil
      }
    }
  }

  private static let names = [
    "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan",
  ]

  private static func comparison<R: Relation>(
    _: R.Type, _ a: Register, _ b: Register, negated: Bool, shift: UInt32 = 0
  ) -> Comparison {
    let turn: LaneMask = negated ? ~0 : 0
    return { warp, lanes in
      let x = (warp.file + Int(a.offset)).assumingMemoryBound(to: R.A.Slot.self)
      let y = (warp.file + Int(b.offset)).assumingMemoryBound(to: R.A.Slot.self)
      let amount = R.A.Slot(truncatingIfNeeded: shift)
      return (Lanes.mask(lanes) { R.holds(R.A(slot: x[$0] &>> amount), R.A(slot: y[$0] &>> amount)) } ^ turn) & lanes
    }
  }

  private static func comparison<T: LaneValue & Comparable>(
    _: T.Type, _ form: Form, _ a: Register, _ b: Register, shift: UInt32 = 0
  ) -> Comparison {
    let (a, b) = form.isSwapped ? (b, a) : (a, b)
    let negated = form.isNegated
    return switch form.kind {
    case .equal: comparison(Equal<T>.self, a, b, negated: negated, shift: shift)
    case .less: comparison(Less<T>.self, a, b, negated: negated, shift: shift)
    case .lessOrEqual: comparison(LessOrEqual<T>.self, a, b, negated: negated, shift: shift)
    case .ordered: comparison(Ordered<T>.self, a, b, negated: negated, shift: shift)
    case .apart: comparison(Apart<T>.self, a, b, negated: negated, shift: shift)
    }
  }

  private static func flushed(_ form: Form, _ a: Register, _ b: Register) -> Comparison {
    let (a, b) = form.isSwapped ? (b, a) : (a, b)
    let negated = form.isNegated
    return switch form.kind {
    case .equal: comparison(FlushedRelation<Equal<Float>>.self, a, b, negated: negated)
    case .less: comparison(FlushedRelation<Less<Float>>.self, a, b, negated: negated)
    case .lessOrEqual: comparison(FlushedRelation<LessOrEqual<Float>>.self, a, b, negated: negated)
    case .ordered: comparison(FlushedRelation<Ordered<Float>>.self, a, b, negated: negated)
    case .apart: comparison(FlushedRelation<Apart<Float>>.self, a, b, negated: negated)
    }
  }

  /// Of floats of 16 bits, for each part of the registers.
  private static func halves<T: SmallFloat>(
    _: T.Type, _ shifts: [UInt32], _ form: Form, _ flushes: Bool, _ a: Register, _ b: Register
  ) -> [Comparison] {
    shifts.map { shift in
      flushes
        ? comparison(Widened<T, Flushes>.self, form, a, b, shift: shift)
        : comparison(Widened<T, Keeps>.self, form, a, b, shift: shift)
    }
  }

  /// What an instruction compares: one comparison, or two for packed halves.
  private struct Decoded {
    var comparisons: [Comparison]
    var a: Register
    var b: Register
    var combination: String?
    var combined: Predicate?

    /// The relation, before it is combined.
    func masks(_ warp: Warp, _ lanes: LaneMask) throws(EmulatorError) -> [LaneMask] {
      try warp.requireReadable(a, lanes)
      try warp.requireReadable(b, lanes)
      return comparisons.map { $0(warp, lanes) }
    }

    /// A relation combined with the predicate operand.
    @inline(__always)
    func combine(_ mask: LaneMask, _ other: LaneMask) -> LaneMask {
      switch combination {
      case "and": mask & other
      case "or": mask | other
      case "xor": mask ^ other
      default: mask
      }
    }
  }

  private static func decode(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ type: PTXType, _ modifiers: inout Modifiers
  ) throws(EmulatorError) -> Decoded {
    guard let name = modifiers.take(oneOf: names) else { throw modifiers.unknownForm() }
    let combination = modifiers.take(oneOf: ["and", "or", "xor"])
    let flushes = modifiers.take("ftz")
    try modifiers.finish()
    try context.requireOperands(instruction, combination == nil ? 3...3 : 4...4)
    let kind = FloatInstructions.Kind(type)
    context.cost.unit = kind?.unit ?? .integer
    let isSigned = [.s16, .s32, .s64].contains(type)
    let isBits = [.b16, .b32, .b64].contains(type)
    guard let form = Form.make(name, isFloat: kind != nil, isSigned: isSigned),
      !isBits || name == "eq" || name == "ne"
    else { throw modifiers.unknownForm() }
    let a = try context.source(instruction.operands[1], type)
    let b = try context.source(instruction.operands[2], type)
    var combined: Predicate?
    if combination != nil { combined = try context.predicate(instruction.operands[3]) }
    let comparisons: [Comparison]
    switch type {
    case .u16, .b16: comparisons = [comparison(UInt16.self, form, a, b)]
    case .s16: comparisons = [comparison(Int16.self, form, a, b)]
    case .u32, .b32: comparisons = [comparison(UInt32.self, form, a, b)]
    case .s32: comparisons = [comparison(Int32.self, form, a, b)]
    case .u64, .b64: comparisons = [comparison(UInt64.self, form, a, b)]
    case .s64: comparisons = [comparison(Int64.self, form, a, b)]
    case .f32: comparisons = [flushes ? flushed(form, a, b) : comparison(Float.self, form, a, b)]
    case .f64: comparisons = [comparison(Double.self, form, a, b)]
    case .f16: comparisons = halves(Float16Bits.self, [0], form, flushes, a, b)
    case .bf16: comparisons = halves(BFloat16Bits.self, [0], form, flushes, a, b)
    case .f16x2: comparisons = halves(Float16Bits.self, [0, 16], form, flushes, a, b)
    case .bf16x2: comparisons = halves(BFloat16Bits.self, [0, 16], form, flushes, a, b)
    default: throw modifiers.unknownForm()
    }
    return Decoded(comparisons: comparisons, a: a, b: b, combination: combination, combined: combined)
  }

  /// `setp.lt.and.s32 p|q, a, b, c`: q is the relation turned around, combined likewise; of packed halves, the upper one.
  static func setp(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    let decoded = try decode(&context, instruction, type, &modifiers)
    let first: Register
    var second: Register?
    if case .pair(let p, let q) = instruction.operands[0] {
      first = try context.destination(p, .pred)
      if q != .unused { second = try context.destination(q, .pred) }
    } else {
      first = try context.destination(instruction.operands[0], .pred)
    }
    if decoded.comparisons.count == 1, second == nil, decoded.combined == nil {
      let (comparison, a, b) = (decoded.comparisons[0], decoded.a, decoded.b)
      return { warp, lanes throws(EmulatorError) in
        try warp.requireReadable(a, lanes)
        try warp.requireReadable(b, lanes)
        try warp.write(predicate: first, lanes, comparison(warp, lanes))
        return .next
      }
    }
    return { [second] warp, lanes throws(EmulatorError) in
      let masks = try decoded.masks(warp, lanes)
      var other: LaneMask = 0
      if let combined = decoded.combined { other = try warp.read(combined, lanes) }
      try warp.write(predicate: first, lanes, decoded.combine(masks[0], other))
      if let second {
        try warp.write(predicate: second, lanes, decoded.combine(masks.count == 2 ? masks[1] : ~masks[0], other))
      }
      return .next
    }
  }

  /// `set.lt.u32.f32 d, a, b`: all ones, or 1.0, where it holds.
  static func set(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let types = modifiers.takeTypes()
    guard types.count == 2 else { throw modifiers.unknownForm() }
    let decoded = try decode(&context, instruction, types[1], &modifiers)
    let d = try context.destination(instruction.operands[0], types[0])
    let yes: UInt32
    switch types[0] {
    case .u32, .s32: yes = ~0
    case .u16, .s16: yes = 0xFFFF
    case .f32: yes = Float(1).bitPattern
    case .f16, .f16x2: yes = 0x3C00
    case .bf16, .bf16x2: yes = 0x3F80
    default: throw modifiers.unknownForm()
    }
    guard decoded.comparisons.count == (types[0] == .f16x2 || types[0] == .bf16x2 ? 2 : 1) || d.bits == 32 else {
      throw modifiers.unknownForm()
    }
    let part: UInt32 = decoded.comparisons.count == 2 ? yes & 0xFFFF : yes
    return { warp, lanes throws(EmulatorError) in
      let masks = try decoded.masks(warp, lanes)
      var other: LaneMask = 0
      if let combined = decoded.combined { other = try warp.read(combined, lanes) }
      let chosen = masks.map { decoded.combine($0, other) }
      let z = try warp.write(d, lanes)
      Lanes.each(lanes) { lane in
        var value: UInt32 = 0
        for (place, mask) in chosen.enumerated() where mask >> LaneMask(lane) & 1 != 0 {
          value |= part << UInt32(16 * place)
        }
        z[lane] = value
      }
      return .next
    }
  }
}
