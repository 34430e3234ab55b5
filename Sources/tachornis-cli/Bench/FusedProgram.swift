// A small builder of fused elementwise programs (elementwise.h), for benchmarks that call the kernel without a graph.
//
// Invariant: registers are numbered in the order of their making, and all hold f32.

internal import CKernels

/// An elementwise program over dense inputs of equal length.
struct FusedProgram {
  typealias Register = UInt8

  private var instructions: [ck_instruction] = []
  private var registers: Register = 0
  private var inputs: UInt8 = 0
  private var outputs: UInt8 = 0

  /// The next input.
  mutating func load() -> Register {
    defer { inputs += 1 }
    return append(CK_LOAD, inputs)
  }

  mutating func constant(_ value: Double) -> Register {
    let register = append(CK_CONSTANT, 0)
    instructions[instructions.count - 1].immediate.value = value
    return register
  }

  mutating func unary(_ opcode: ck_opcode, _ a: Register) -> Register { append(opcode, a) }

  mutating func binary(_ opcode: ck_opcode, _ a: Register, _ b: Register) -> Register { append(opcode, a, b) }

  /// To the next output.
  mutating func store(_ a: Register) {
    instructions.append(instruction(CK_STORE, destination: outputs, a, 0))
    outputs += 1
  }

  /// Runs over `count` elements.
  func run(
    _ context: UnsafePointer<ck_context>, count: Int, inputs: [(Operand, ck_type)], outputs: [(Operand, ck_type)]
  ) {
    precondition(
      inputs.count == Int(self.inputs) && outputs.count == Int(self.outputs),
      "a program of \(self.inputs) inputs and \(self.outputs) outputs was given \(inputs.count) and \(outputs.count)")
    instructions.withUnsafeBufferPointer { instructions in
      var arguments = ck_elementwise_arguments()
      arguments.rank = 1
      arguments.dimensions.0 = Int64(count)
      arguments.inputs = Int32(inputs.count)
      arguments.outputs = Int32(outputs.count)
      arguments.instructions = Int32(instructions.count)
      arguments.program = instructions.baseAddress
      withUnsafeMutableBytes(of: &arguments.input) { pointers in
        withUnsafeMutableBytes(of: &arguments.input_type) { types in
          withUnsafeMutableBytes(of: &arguments.input_strides) { strides in
            for (index, (operand, type)) in inputs.enumerated() {
              pointers.bindMemory(to: UnsafeRawPointer?.self)[index] = UnsafeRawPointer(operand.pointer)
              types.bindMemory(to: ck_type.self)[index] = type
              strides.bindMemory(to: Int64.self)[index * Int(CK_MAX_RANK)] = 1
            }
          }
        }
      }
      withUnsafeMutableBytes(of: &arguments.output) { pointers in
        withUnsafeMutableBytes(of: &arguments.output_type) { types in
          for (index, (operand, type)) in outputs.enumerated() {
            pointers.bindMemory(to: UnsafeMutableRawPointer?.self)[index] = operand.pointer
            types.bindMemory(to: ck_type.self)[index] = type
          }
        }
      }
      ck_elementwise(context, &arguments)
    }
  }

  private mutating func append(_ opcode: ck_opcode, _ a: UInt8, _ b: UInt8 = 0) -> Register {
    let register = registers
    precondition(Int(register) < Int(CK_MAX_REGISTERS), "a fused program has at most \(CK_MAX_REGISTERS) registers")
    registers += 1
    instructions.append(instruction(opcode, destination: register, a, b))
    return register
  }

  private func instruction(_ opcode: ck_opcode, destination: UInt8, _ a: UInt8, _ b: UInt8) -> ck_instruction {
    var instruction = ck_instruction()
    instruction.opcode = UInt8(opcode.rawValue)
    instruction.class_ = UInt8(CK_CLASS_F32.rawValue)
    instruction.from = UInt8(CK_CLASS_F32.rawValue)
    instruction.destination = destination
    instruction.a = a
    instruction.b = b
    return instruction
  }
}
