import CKernels
import Tensors

/// Elementwise expressions become programs of the kernel's register machine.
extension Lowering {
  func elementwise(_ fusion: Fusion) -> Kernel {
    let shape = resultTypes[0].shape
    precondition(shape.rank <= Int(CK_MAX_RANK), "\(op.name) on \(shape): at most \(CK_MAX_RANK) axes")
    let call = ElementwiseCall(
      RegisterProgram(fusion, inputs: inputTypes.map(\.element), result: resultTypes[0].element))
    call.set(shape: shape, inputs: inputTypes, result: resultTypes[0])
    let (inputs, result) = (inputs, results[0])
    return Kernel { frame in
      for (place, value) in inputs.enumerated() { call.inputPointers[place] = UnsafeRawPointer(frame[value]) }
      call.outputPointers[0] = frame[result]
      ck_elementwise(frame.context, call.arguments)
    }
  }
}

/// The kernel's arguments, kept for all runs.
private final class ElementwiseCall {
  let arguments: UnsafeMutablePointer<ck_elementwise_arguments>
  private let program: UnsafeMutablePointer<ck_instruction>
  let inputPointers: UnsafeMutablePointer<UnsafeRawPointer?>
  let outputPointers: UnsafeMutablePointer<UnsafeMutableRawPointer?>

  init(_ registers: RegisterProgram) {
    program = .allocate(capacity: registers.instructions.count)
    program.initialize(from: registers.instructions, count: registers.instructions.count)
    arguments = .allocate(capacity: 1)
    arguments.initialize(to: ck_elementwise_arguments())
    arguments.pointee.program = UnsafePointer(program)
    arguments.pointee.instructions = Int32(registers.instructions.count)
    let raw = UnsafeMutableRawPointer(arguments)
    inputPointers = (raw + MemoryLayout<ck_elementwise_arguments>.offset(of: \.input)!)
      .assumingMemoryBound(to: UnsafeRawPointer?.self)
    outputPointers = (raw + MemoryLayout<ck_elementwise_arguments>.offset(of: \.output)!)
      .assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
  }

  deinit {
    program.deallocate()
    arguments.deallocate()
  }

  func set(shape: Shape, inputs: [TensorType], result: TensorType) {
    arguments.pointee.rank = Int32(shape.rank)
    arguments.pointee.inputs = Int32(inputs.count)
    arguments.pointee.outputs = 1
    withUnsafeMutableBytes(of: &arguments.pointee.dimensions) { bytes in
      for (axis, size) in shape.dimensions.enumerated() { bytes.storeElement(Int64(size), axis) }
    }
    withUnsafeMutableBytes(of: &arguments.pointee.input_type) { bytes in
      for (place, input) in inputs.enumerated() { bytes.storeElement(input.element.kernels, place) }
    }
    withUnsafeMutableBytes(of: &arguments.pointee.output_type) { $0.storeElement(result.element.kernels, 0) }
    withUnsafeMutableBytes(of: &arguments.pointee.input_strides) { bytes in
      for (place, input) in inputs.enumerated() {
        for (axis, stride) in input.shape.strides(broadcastTo: shape).enumerated() {
          bytes.storeElement(Int64(stride), place * Int(CK_MAX_RANK) + axis)
        }
      }
    }
  }
}

extension UnsafeMutableRawBufferPointer {
  func storeElement<T: BitwiseCopyable>(_ value: T, _ index: Int) {
    storeBytes(of: value, toByteOffset: index * MemoryLayout<T>.stride, as: T.self)
  }
}

/// An expression as instructions on registers. A register is free again after its value's last use.
private struct RegisterProgram {
  private(set) var instructions: [ck_instruction] = []
  private var free: [UInt8] = (0..<UInt8(CK_MAX_REGISTERS)).reversed()
  private var lastUse: [Fusion.Operand: Int] = [:]
  private var held: [Fusion.Operand: (register: UInt8, type: ElementType)] = [:]

  init(_ fusion: Fusion, inputs: [ElementType], result: ElementType) {
    for (index, step) in fusion.steps.enumerated() {
      for operand in step.operands { lastUse[operand] = index }
    }
    let last = Fusion.Operand.step(fusion.steps.count - 1)
    lastUse[last] = fusion.steps.count
    for (index, step) in fusion.steps.enumerated() {
      let operands = step.operands.map { operand -> (register: UInt8, type: ElementType) in
        if held[operand] == nil, case .input(let place) = operand { load(place, inputs[place], operand) }
        return held[operand]!
      }
      let target = takeRegister()
      emit(step, operands, into: target)
      held[.step(index)] = (target, step.type)
      if lastUse[.step(index)] == nil { release(.step(index)) }
      for operand in Set(step.operands) where lastUse[operand] == index { release(operand) }
    }
    append(CK_STORE, result.registerClass, destination: 0, a: held[last]!.register)
    precondition(instructions.count <= Int(CK_MAX_INSTRUCTIONS), "an expression of \(instructions.count) instructions")
  }

  private mutating func takeRegister() -> UInt8 {
    precondition(!free.isEmpty, "an expression needs more than \(CK_MAX_REGISTERS) registers")
    return free.removeLast()
  }

  private mutating func release(_ operand: Fusion.Operand) {
    if let value = held.removeValue(forKey: operand) { free.append(value.register) }
  }

  private mutating func load(_ place: Int, _ type: ElementType, _ operand: Fusion.Operand) {
    let register = takeRegister()
    append(CK_LOAD, type.registerClass, destination: register, a: UInt8(place))
    held[operand] = (register, type)
  }

  private mutating func append(
    _ opcode: ck_opcode, _ type: ck_class, from: ck_class? = nil, destination: UInt8, a: UInt8 = 0, b: UInt8 = 0,
    c: UInt8 = 0
  ) {
    var instruction = ck_instruction()
    instruction.opcode = UInt8(opcode.rawValue)
    instruction.class_ = UInt8(type.rawValue)
    instruction.from = UInt8((from ?? type).rawValue)
    instruction.destination = destination
    instruction.a = a
    instruction.b = b
    instruction.c = c
    instructions.append(instruction)
  }

  private mutating func appendConstant(_ scalar: Scalar, _ type: ck_class, destination: UInt8) {
    append(CK_CONSTANT, type, destination: destination)
    if type == CK_CLASS_I64 {
      instructions[instructions.count - 1].immediate.integer = scalar.integer
    } else {
      instructions[instructions.count - 1].immediate.value = scalar.double
    }
  }

  private mutating func emit(_ step: Fusion.Step, _ x: [(register: UInt8, type: ElementType)], into target: UInt8) {
    let type = step.type.registerClass
    let from = x.first?.type.registerClass
    switch step.op {
    case .constant(.fill(let scalar, let stored)):
      appendConstant(scalar.stored(as: stored.element), type, destination: target)
    // Every integer is.
    case .unary(.isFinite) where !x[0].type.isFloat: appendConstant(.integer(1), CK_CLASS_I64, destination: target)
    case .unary(.isFinite): append(CK_IS_FINITE, CK_CLASS_I64, from: from, destination: target, a: x[0].register)
    case .unary(let unary):
      append(unary.opcode, type, destination: target, a: x[0].register)
      wrap(target, step.type)
    case .binary(let binary):
      append(binary.opcode, type, destination: target, a: x[0].register, b: x[1].register)
      wrap(target, step.type)
    case .compare(let comparison):
      append(comparison.opcode, CK_CLASS_I64, from: from, destination: target, a: x[0].register, b: x[1].register)
    case .select:
      append(CK_SELECT, type, destination: target, a: x[0].register, b: x[1].register, c: x[2].register)
    case .cast: cast(x[0], step.type, into: target)
    case .activationGradient(let activation):
      append(activation.gradientOpcode, type, destination: target, a: x[0].register, b: x[1].register)
    default: preconditionFailure("\(step.op.name) is not elementwise")
    }
  }

  private mutating func cast(_ x: (register: UInt8, type: ElementType), _ type: ElementType, into target: UInt8) {
    let (from, to) = (x.type.registerClass, type.registerClass)
    if type == .bool {
      let zero = takeRegister()
      appendConstant(.integer(0), from, destination: zero)
      append(CK_NE, CK_CLASS_I64, from: from, destination: target, a: x.register, b: zero)
      free.append(zero)
    } else {
      // Floats of 16 bits are kept in float32 between the steps of an expression and rounded only when they are stored.
      append(CK_CONVERT, to, from: from, destination: target, a: x.register)
      if !x.type.isFloat || !type.isFloat { wrap(target, type) }
    }
  }

  /// Registers hold 64-bit integers: cuts a result to its type's width.
  private mutating func wrap(_ register: UInt8, _ type: ElementType) {
    let bits = type.size * 8
    guard !type.isFloat, type != .bool, bits < 64 else { return }
    let amount = takeRegister()
    if type == .uint8 {
      appendConstant(.integer(0xFF), CK_CLASS_I64, destination: amount)
      append(CK_AND, CK_CLASS_I64, destination: register, a: register, b: amount)
    } else {
      appendConstant(.integer(Int64(64 - bits)), CK_CLASS_I64, destination: amount)
      append(CK_SHIFT_LEFT, CK_CLASS_I64, destination: register, a: register, b: amount)
      append(CK_SHIFT_RIGHT, CK_CLASS_I64, destination: register, a: register, b: amount)
    }
    free.append(amount)
  }
}

extension Scalar {
  /// The number as a value of `type` would read.
  func stored(as type: ElementType) -> Scalar {
    let data = TensorData(TensorType(type, .scalar))
    data[0] = self
    return data[0]
  }
}

extension ElementType {
  fileprivate var registerClass: ck_class {
    switch self {
    case .float64: CK_CLASS_F64
    case .float32, .bfloat16, .float16: CK_CLASS_F32
    case .int8, .uint8, .int32, .int64, .bool: CK_CLASS_I64
    }
  }
}

extension Unary {
  fileprivate var opcode: ck_opcode {
    switch self {
    case .negate: CK_NEG
    case .absolute: CK_ABS
    case .sign: CK_SIGN
    case .exp: CK_EXP
    case .log: CK_LOG
    case .squareRoot: CK_SQRT
    case .reciprocalSquareRoot: CK_RSQRT
    case .reciprocal: CK_RECIPROCAL
    case .sine: CK_SIN
    case .cosine: CK_COS
    case .tanh: CK_TANH
    case .erf: CK_ERF
    case .sigmoid: CK_SIGMOID
    case .floor: CK_FLOOR
    case .ceil: CK_CEIL
    case .round: CK_ROUND
    case .logicalNot: CK_LOGICAL_NOT
    case .bitwiseNot: CK_BIT_NOT
    case .isFinite: CK_IS_FINITE
    case .relu: CK_UNARY_RELU
    case .reluSquared: CK_UNARY_RELU_SQUARED
    case .geluTanh: CK_UNARY_GELU_TANH
    case .geluErf: CK_UNARY_GELU_ERF
    case .silu: CK_UNARY_SILU
    }
  }
}

extension Activation {
  fileprivate var gradientOpcode: ck_opcode {
    switch self {
    case .relu: CK_GRAD_RELU
    case .reluSquared: CK_GRAD_RELU_SQUARED
    case .geluTanh: CK_GRAD_GELU_TANH
    case .geluErf: CK_GRAD_GELU_ERF
    case .silu: CK_GRAD_SILU
    }
  }
}

extension Binary {
  fileprivate var opcode: ck_opcode {
    switch self {
    case .add: CK_ADD
    case .subtract: CK_SUB
    case .multiply: CK_MUL
    case .divide: CK_DIV
    case .maximum: CK_MAX
    case .minimum: CK_MIN
    case .power: CK_POW
    case .modulo: CK_MOD
    case .and: CK_AND
    case .or: CK_OR
    case .xor: CK_XOR
    case .shiftLeft: CK_SHIFT_LEFT
    case .shiftRight: CK_SHIFT_RIGHT
    }
  }
}

extension Comparison {
  fileprivate var opcode: ck_opcode {
    switch self {
    case .equal: CK_EQ
    case .notEqual: CK_NE
    case .less: CK_LT
    case .lessOrEqual: CK_LE
    case .greater: CK_GT
    case .greaterOrEqual: CK_GE
    }
  }
}
