// Opcodes that integers and floats share: the type chooses.

internal import KernelLanguage

enum ArithmeticInstructions {
  static let decoders: [String: Decoder] = [
    "add": two, "sub": two, "mul": two, "div": div, "min": extremum, "max": extremum, "mad": mad, "abs": sign,
    "neg": sign,
  ]

  static func two(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    if isHalves(instruction) { return try IntegerInstructions.halves(&context, instruction) }
    var modifiers = Modifiers(instruction)
    if modifiers.take("f32x2") { return try FloatInstructions.two(&context, instruction, .pairs, modifiers) }
    let types = modifiers.takeTypes()
    if types.count == 2 { return try FloatInstructions.mixed(&context, instruction, types, modifiers) }
    guard let type = types.first else { throw modifiers.unknownForm() }
    if let kind = FloatInstructions.Kind(type) {
      return try FloatInstructions.two(&context, instruction, kind, modifiers)
    }
    return try IntegerInstructions.two(&context, instruction, type, modifiers)
  }

  static func div(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    return type == .f32 || type == .f64
      ? try FunctionInstructions.div(&context, instruction)
      : try IntegerInstructions.two(&context, instruction, type, modifiers)
  }

  static func extremum(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    if isHalves(instruction) { return try IntegerInstructions.halves(&context, instruction) }
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    if let kind = FloatInstructions.Kind(type) {
      return try FloatInstructions.extremum(&context, instruction, kind, modifiers)
    }
    return try IntegerInstructions.two(&context, instruction, type, modifiers)
  }

  static func mad(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    if let kind = FloatInstructions.Kind(type) {
      return try FloatInstructions.fused(&context, instruction, kind, modifiers)
    }
    return try IntegerInstructions.mad(&context, instruction, type, modifiers)
  }

  static func sign(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let type = try modifiers.takeType()
    if let kind = FloatInstructions.Kind(type) {
      return try FloatInstructions.sign(&context, instruction, kind, modifiers)
    }
    return try IntegerInstructions.one(&context, instruction, type, modifiers)
  }

  private static func isHalves(_ instruction: PTXInstruction) -> Bool {
    instruction.modifiers.contains { $0 == "u16x2" || $0 == "s16x2" }
  }
}
