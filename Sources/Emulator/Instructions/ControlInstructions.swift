// Control: `bra`, `exit`, `ret`, `trap`, `brkpt`, `nanosleep`.
//
// PTX ISA 9.1, "Control Flow Instructions" and "Miscellaneous Instructions".

internal import KernelLanguage

enum ControlInstructions {
  static let decoders: [String: Decoder] = [
    "bra": bra, "exit": exit, "ret": exit, "trap": trap, "brkpt": trap, "nanosleep": nanosleep,
  ]

  static func bra(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .control
    var modifiers = Modifiers(instruction)
    let isUniform = modifiers.take("uni")
    try modifiers.finish()
    try context.requireOperands(instruction, 1...1)
    let target = try context.label(instruction.operands[0])
    guard isUniform else { return { _, _ throws(EmulatorError) in .jump(target) } }
    return { warp, lanes throws(EmulatorError) in
      // All lanes that are at the instruction must go together.
      guard warp.fragmentLanes == lanes else {
        throw EmulatorError(
          .divergence, lane: lanes.trailingZeroBitCount,
          "bra.uni is taken by lanes 0x\(String(lanes, radix: 16)) of 0x\(String(warp.fragmentLanes, radix: 16)): "
            + "use bra where lanes may part")
      }
      return .jump(target)
    }
  }

  static func exit(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .control
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("uni")
    try modifiers.finish()
    try context.requireOperands(instruction, 0...0)
    return { _, _ throws(EmulatorError) in .exit }
  }

  static func trap(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .control
    try context.requireOperands(instruction, 0...0)
    let name = instruction.opcode
    return { _, lanes throws(EmulatorError) in
      throw EmulatorError(
        .trap, lane: lanes.trailingZeroBitCount, "the program ran \(name): a check of its own has failed")
    }
  }

  static func nanosleep(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .control
    var modifiers = Modifiers(instruction)
    guard try modifiers.takeType() == .u32 else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, 1...1)
    let duration = try context.source(instruction.operands[0], .u32)
    return { warp, lanes throws(EmulatorError) in
      let durations = try warp.read(duration, lanes)
      var longest: UInt32 = 0
      Lanes.each(lanes) { longest = max(longest, durations[$0]) }
      warp.launch.slept += UInt64(longest)
      return .next
    }
  }
}
