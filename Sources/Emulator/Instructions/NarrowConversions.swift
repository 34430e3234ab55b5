// `cvt` to and from formats of less than 16 bits, which come in pairs, and to tf32.
//
// The first source goes to the upper half of a pair. Results of 6 bits have a byte each; pairs of e2m1 are one byte.
// `cvt.rs`, which rounds by random bits, is not here.
//
// PTX ISA 9.0, "cvt".

internal import KernelLanguage

enum NarrowConversions {
  private static let pairs: [String: NarrowFloat] = [
    "e4m3x2": .e4m3, "e5m2x2": .e5m2, "e2m3x2": .e2m3, "e3m2x2": .e3m2, "e2m1x2": .e2m1,
  ]

  /// By the formats of this file; all other `cvt`s are not.
  static let decoders: [String: Decoder] = [
    "cvt.e4m3x2": cvt, "cvt.e5m2x2": cvt, "cvt.e2m3x2": cvt, "cvt.e3m2x2": cvt, "cvt.e2m1x2": cvt, "cvt.ue8m0x2": cvt,
    "cvt.tf32": cvt,
  ]

  static func cvt(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .conversion
    var modifiers = Modifiers(instruction)
    guard instruction.modifiers.count >= 3,
      let rounding = modifiers.take(oneOf: ["rn", "rz", "rp", "rna"])
    else { throw modifiers.unknownForm() }
    let saturates = modifiers.take("satfinite")
    let clamps = modifiers.take("relu")
    let types = Array(instruction.modifiers.suffix(2))
    for type in types { _ = modifiers.take(type) }
    try modifiers.finish()
    let (to, from) = (types[0], types[1])
    switch (rounding, to, from) {
    case ("rn", _, "f32") where pairs[to] != nil && saturates:
      try require(to, context)
      return try pack(&context, instruction, pairs[to]!, clamps: clamps)
    case ("rn", _, "f16x2") where (to == "e4m3x2" || to == "e5m2x2") && saturates:
      try require(to, context)
      return try repack(&context, instruction, pairs[to]!, clamps: clamps)
    case ("rn", "f16x2", _) where pairs[from] != nil && !saturates:
      try require(from, context)
      return try unpack(&context, instruction, pairs[from]!, clamps: clamps)
    case ("rz", "ue8m0x2", "f32"), ("rp", "ue8m0x2", "f32"), ("rz", "ue8m0x2", "bf16x2"), ("rp", "ue8m0x2", "bf16x2"):
      guard !clamps else { throw modifiers.unknownForm() }
      try require(to, context)
      return try packPowers(
        &context, instruction, fromPair: from == "bf16x2", up: rounding == "rp", saturates: saturates)
    case ("rn", "bf16x2", "ue8m0x2") where !saturates && !clamps:
      try require(from, context)
      return try unpackPowers(&context, instruction)
    case ("rna", "tf32", "f32") where !clamps, ("rn", "tf32", "f32"), ("rz", "tf32", "f32"):
      return try toTensorFloat(
        &context, instruction,
        rounding == "rna" ? .toNearestAway : rounding == "rn" ? .toNearestEven : .towardZero, saturates, clamps)
    default: throw modifiers.unknownForm()
    }
  }

  /// Throws if the chip lacks a format: fp8 is from sm_89 on, the rest from sm_100a.
  private static func require(_ pair: String, _ context: DecodingContext) throws(EmulatorError) {
    let least: Chip.Generation = pair == "e4m3x2" || pair == "e5m2x2" ? .hopper : .blackwell
    guard context.chip.generation >= least else {
      throw context.unsupported(
        "conversions of .\(pair) need \(least == .hopper ? "sm_89" : "sm_100a"); the \(context.chip.name) has none")
    }
  }

  // MARK: Pairs of floats

  /// The type of the register that holds a pair, and the bits between its halves.
  private static func container(_ format: NarrowFloat) -> (type: PTXType, shift: UInt32) {
    format == .e2m1 ? (.b8, 4) : (.b16, 8)
  }

  private static func pack(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ format: NarrowFloat, clamps: Bool
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 3...3)
    let (type, shift) = container(format)
    let d = try context.destination(instruction.operands[0], type, widerAllowed: true)
    let a = try context.source(instruction.operands[1], .f32)
    let b = try context.source(instruction.operands[2], .f32)
    return { warp, lanes throws(EmulatorError) in
      let (upper, lower) = (try warp.read(a, lanes), try warp.read(b, lanes))
      let result = try warp.write(d, lanes)
      forEach(lanes) { lane in
        let high = format.encode(Double(Float(bitPattern: upper[lane])), saturates: true, clampsNegative: clamps)
        let low = format.encode(Double(Float(bitPattern: lower[lane])), saturates: true, clampsNegative: clamps)
        result[lane] = high << shift | low
      }
      return .next
    }
  }

  private static func repack(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ format: NarrowFloat, clamps: Bool
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 2...2)
    let (type, shift) = container(format)
    let d = try context.destination(instruction.operands[0], type, widerAllowed: true)
    let a = try context.source(instruction.operands[1], .b32)
    return { warp, lanes throws(EmulatorError) in
      let source = try warp.read(a, lanes)
      let result = try warp.write(d, lanes)
      forEach(lanes) { lane in
        let high = NarrowFloat.float16.decode(source[lane] >> 16)
        let low = NarrowFloat.float16.decode(source[lane] & 0xFFFF)
        result[lane] =
          format.encode(Double(high), saturates: true, clampsNegative: clamps) << shift
          | format.encode(Double(low), saturates: true, clampsNegative: clamps)
      }
      return .next
    }
  }

  private static func unpack(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ format: NarrowFloat, clamps: Bool
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 2...2)
    let (type, shift) = container(format)
    let d = try context.destination(instruction.operands[0], .b32)
    let a = try context.source(instruction.operands[1], type, widerAllowed: true)
    return { warp, lanes throws(EmulatorError) in
      let source = try warp.read(a, lanes)
      let result = try warp.write(d, lanes)
      forEach(lanes) { lane in
        let mask: UInt32 = 1 << shift - 1
        let high = Double(format.decode((source[lane] >> shift) & mask))
        let low = Double(format.decode(source[lane] & mask))
        result[lane] =
          NarrowFloat.float16.encode(high, clampsNegative: clamps) << 16
          | NarrowFloat.float16.encode(low, clampsNegative: clamps)
      }
      return .next
    }
  }

  // MARK: Powers of two

  private static func packPowers(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, fromPair: Bool, up: Bool, saturates: Bool
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, fromPair ? 2...2 : 3...3)
    let d = try context.destination(instruction.operands[0], .b16, widerAllowed: true)
    let a = try context.source(instruction.operands[1], fromPair ? .b32 : .f32)
    let b = fromPair ? a : try context.source(instruction.operands[2], .f32)
    return { warp, lanes throws(EmulatorError) in
      let (upper, lower) = (try warp.read(a, lanes), try warp.read(b, lanes))
      let result = try warp.write(d, lanes)
      forEach(lanes) { lane in
        // bf16 is the upper half of an f32.
        let high = Float(bitPattern: fromPair ? upper[lane] & 0xFFFF_0000 : upper[lane])
        let low = Float(bitPattern: fromPair ? upper[lane] << 16 : lower[lane])
        result[lane] =
          UInt32(PowerOfTwo.encode(Double(high), up: up, saturates: saturates)) << 8
          | UInt32(PowerOfTwo.encode(Double(low), up: up, saturates: saturates))
      }
      return .next
    }
  }

  private static func unpackPowers(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 2...2)
    let d = try context.destination(instruction.operands[0], .b32)
    let a = try context.source(instruction.operands[1], .b16, widerAllowed: true)
    return { warp, lanes throws(EmulatorError) in
      let source = try warp.read(a, lanes)
      let result = try warp.write(d, lanes)
      forEach(lanes) { lane in
        let high = PowerOfTwo.decode(UInt8(truncatingIfNeeded: source[lane] >> 8))
        let low = PowerOfTwo.decode(UInt8(truncatingIfNeeded: source[lane]))
        result[lane] = NarrowFloat.bfloat16.encode(high) << 16 | NarrowFloat.bfloat16.encode(low)
      }
      return .next
    }
  }

  // MARK: tf32

  private static func toTensorFloat(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ rounding: NarrowFloat.Rounding,
    _ saturates: Bool,
    _ clamps: Bool
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 2...2)
    guard rounding == .toNearestAway || context.chip.generation >= .hopper else {
      throw context.unsupported("cvt.rn and cvt.rz to .tf32 need sm_90; cvt.rna is on all chips")
    }
    let d = try context.destination(instruction.operands[0], .b32)
    let a = try context.source(instruction.operands[1], .f32)
    return { warp, lanes throws(EmulatorError) in
      let source = try warp.read(a, lanes)
      let result = try warp.write(d, lanes)
      forEach(lanes) { lane in
        let value = Double(Float(bitPattern: source[lane]))
        let code = NarrowFloat.tensorFloat32.encode(value, rounding, saturates: saturates, clampsNegative: clamps)
        result[lane] = code << 13
      }
      return .next
    }
  }

  @inline(__always)
  private static func forEach(_ lanes: LaneMask, _ body: (Int) -> Void) {
    var rest = lanes
    while rest != 0 {
      body(rest.trailingZeroBitCount)
      rest &= rest - 1
    }
  }
}
