// Products by one warp with all operands in registers: `mma.sync`, and `movmatrix`, which transposes a fragment.
//
// Dense forms of sm_80 to sm_90: f16, bf16, tf32, fp8 (from sm_89 on), s8, u8, s4, u4 and f64.
//
// PTX ISA 9.0, "Warp-level matrix instructions".

internal import KernelLanguage

enum MMAInstructions {
  static let decoders: [String: Decoder] = ["mma": mma, "movmatrix": movmatrix]

  /// The shape in `m16n8k16`.
  static func shape(_ name: String) -> (m: Int, n: Int, k: Int)? {
    let parts = name.split(whereSeparator: { "mnk".contains($0) }).compactMap { Int($0) }
    guard parts.count == 3, name == "m\(parts[0])n\(parts[1])k\(parts[2])" else { return nil }
    return (parts[0], parts[1], parts[2])
  }

  /// What the tensor cores' rate of a type of elements is counted by.
  static func rate(_ element: MatrixElement) -> Chip.TensorRate {
    switch element {
    case .f16, .bf16: .half
    case .tf32: .tf32
    case .s8, .u8, .s4, .u4: .int8
    case .e4m3, .e5m2, .e3m2, .e2m3, .e2m1: .fp8
    }
  }

  private static func shapes(_ element: MatrixElement) -> [String] {
    switch element {
    case .f16, .bf16: ["m16n8k8", "m16n8k16"]
    case .tf32: ["m16n8k4", "m16n8k8"]
    case .e4m3, .e5m2: ["m16n8k16", "m16n8k32"]
    case .s8, .u8: ["m8n8k16", "m16n8k16", "m16n8k32"]
    case .s4, .u4: ["m8n8k32", "m16n8k32", "m16n8k64"]
    case .e3m2, .e2m3, .e2m1: []
    }
  }

  private static func accumulators(_ element: MatrixElement) -> [MatrixAccumulator] {
    switch element {
    case .f16, .e4m3, .e5m2: [.f32, .f16]
    case .bf16, .tf32: [.f32]
    default: [.s32]
    }
  }

  static func mma(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 4...4)
    var modifiers = instruction.modifiers
    guard modifiers.starts(with: ["sync", "aligned"]), modifiers.count >= 9, let shape = shape(modifiers[2]),
      modifiers[3] == "row", modifiers[4] == "col"
    else {
      throw context.unsupported(
        "the form is mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32, and others of its kind")
    }
    let name = modifiers[2]
    let types = Array(modifiers.suffix(4))
    modifiers = Array(modifiers[5..<(modifiers.count - 4)])
    if types == ["f64", "f64", "f64", "f64"] { return try mmaDouble(&context, instruction, shape) }
    let saturates = modifiers == ["satfinite"]
    guard let a = MatrixElement(rawValue: types[1]), let b = MatrixElement(rawValue: types[2]),
      let d = MatrixAccumulator(rawValue: types[0]), types[3] == types[0], modifiers.isEmpty || saturates && d == .s32,
      shapes(a).contains(name), shapes(b).contains(name),
      a == b || a.isInteger == b.isInteger && a.bits == 8 || a.bits == 4,
      accumulators(a).contains(d)
    else { throw context.unsupported("\(instruction.name) is no dense form of mma.sync from sm_80 to sm_90") }
    guard a.bits != 8 || a.isInteger || context.chip.generation >= .hopper else {
      throw context.unsupported("mma.sync of fp8 needs sm_89 or later; the \(context.chip.name) has none")
    }
    context.cost = InstructionCost(
      unit: .tensor, tensorOperations: Double(2 * shape.m * shape.n * shape.k), tensorRate: rate(a))
    let dRegisters = try vector(
      &context, instruction.operands[0], shape.m * 8 / 32 / d.perRegister, d.register, isDestination: true)
    let aRegisters = try vector(&context, instruction.operands[1], shape.m * shape.k * a.bits / 1024, .b32)
    let bRegisters = try vector(&context, instruction.operands[2], 8 * shape.k * b.bits / 1024, .b32)
    let cRegisters = try vector(&context, instruction.operands[3], dRegisters.count, d.register)
    let product = MatrixProduct(element: (a, b), accumulator: d, saturates: saturates, chip: context.chip.generation)
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try requireWholeWarp(lanes)
      var left = MatrixOperand(a, lines: shape.m, depth: shape.k, order: .depthTogether)
      var right = MatrixOperand(b, lines: 8, depth: shape.k, order: .linesTogether)
      MatrixFragment.readA(&left, a, try warp.read(aRegisters, lanes), rows: shape.m)
      MatrixFragment.readB(&right, b, try warp.read(bRegisters, lanes))
      var sums = [UInt32](repeating: 0, count: shape.m * 8)
      let cValues = try warp.read(cRegisters, lanes)
      let mask: UInt32 = d == .f16 ? 0xFFFF : .max
      forEachElement(d.perRegister, cValues.count, rows: shape.m) { register, lane, shift, place in
        sums[place] = (cValues[register][lane] >> shift) & mask
      }
      product.accumulate(left, right, into: &sums)
      let dValues = try warp.write(dRegisters, lanes)
      forEachElement(d.perRegister, dValues.count, rows: shape.m) { register, lane, shift, place in
        dValues[register][lane] = dValues[register][lane] & ~(mask << shift) | sums[place] << shift
      }
      return .next
    }
  }

  /// Goes through an accumulator of 8 columns: its register, lane, bits to shift by, and its place by rows of 8.
  @inline(__always)
  private static func forEachElement(
    _ perRegister: Int, _ registers: Int, rows: Int, _ body: (Int, Int, UInt32, Int) -> Void
  ) {
    for index in 0..<registers * perRegister {
      for lane in 0..<32 {
        let place = MatrixFragment.accumulator(lane: lane, index, rows: rows)
        body(index / perRegister, lane, UInt32(index % perRegister * 16), place.row * 8 + place.column)
      }
    }
  }

  /// Products of doubles: each a chain of fused additions along K, rounded to nearest.
  private static func mmaDouble(
    _ context: inout DecodingContext, _ instruction: PTXInstruction, _ shape: (m: Int, n: Int, k: Int)
  ) throws(EmulatorError) -> Step {
    guard shape.n == 8, shape.m == 8 && shape.k == 4 || shape.m == 16 && [4, 8, 16].contains(shape.k) else {
      throw context.unsupported(
        "mma.sync of f64 has the shapes m8n8k4, and from sm_90 on m16n8k4, m16n8k8 and m16n8k16")
    }
    guard shape.m == 8 || context.chip.generation >= .hopper else {
      throw context.unsupported("mma.sync of f64 with 16 rows needs sm_90; use m8n8k4")
    }
    context.cost = InstructionCost(
      unit: .tensor, tensorOperations: Double(2 * shape.m * 8 * shape.k), tensorRate: .fp64)
    let dRegisters = try vector(&context, instruction.operands[0], shape.m / 4, .f64, isDestination: true)
    let aRegisters = try vector(&context, instruction.operands[1], shape.m * shape.k / 32, .f64)
    let bRegisters = try vector(&context, instruction.operands[2], shape.k / 4, .f64)
    let cRegisters = try vector(&context, instruction.operands[3], shape.m / 4, .f64)
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try requireWholeWarp(lanes)
      let (a, b) = (try warp.readLong(aRegisters, lanes), try warp.readLong(bRegisters, lanes))
      let c = try warp.readLong(cRegisters, lanes)
      var sums = [Double](repeating: 0, count: shape.m * 8)
      for index in 0..<c.count {
        for lane in 0..<32 {
          let (row, column) = MatrixFragment.accumulator(lane: lane, index, rows: shape.m)
          var sum = Double(bitPattern: c[index][lane])
          for k in 0..<shape.k {
            let left = a[k / 4 * (shape.m / 8) + row / 8][row % 8 * 4 + k % 4]
            let right = b[k / 4][column * 4 + k % 4]
            sum.addProduct(Double(bitPattern: left), Double(bitPattern: right))
          }
          sums[row * 8 + column] = sum
        }
      }
      let d = try warp.writeLong(dRegisters, lanes)
      for index in 0..<d.count {
        for lane in 0..<32 {
          let (row, column) = MatrixFragment.accumulator(lane: lane, index, rows: shape.m)
          d[index][lane] = sums[row * 8 + column].bitPattern
        }
      }
      return .next
    }
  }

  /// `movmatrix.sync.aligned.m8n8.trans.b16 d, a;`
  static func movmatrix(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 2...2)
    guard instruction.modifiers == ["sync", "aligned", "m8n8", "trans", "b16"] else {
      throw context.unsupported("the form is movmatrix.sync.aligned.m8n8.trans.b16")
    }
    context.cost.unit = .memory
    let d = try context.destination(instruction.operands[0], .b32)
    let a = try context.source(instruction.operands[1], .b32)
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try requireWholeWarp(lanes)
      let source = try warp.read(a, lanes)
      var result = [UInt32](repeating: 0, count: 32)
      for lane in 0..<32 {
        for i in 0..<2 {
          // Element (row, column) of the result is (column, row) of the source.
          let (row, column) = (lane / 4, lane % 4 * 2 + i)
          let element = (source[column * 4 + row / 2] >> UInt32(row % 2 * 16)) & 0xFFFF
          result[lane] |= element << UInt32(i * 16)
        }
      }
      let values = try warp.write(d, lanes)
      for lane in 0..<32 { values[lane] = result[lane] }
      return .next
    }
  }

  // MARK: Operands of matrix instructions

  /// The registers of a vector operand.
  static func vector(
    _ context: inout DecodingContext, _ operand: PTXOperand, _ count: Int, _ type: PTXType, isDestination: Bool = false
  ) throws(EmulatorError) -> [Register] {
    let parts = context.parts(operand)
    guard parts.count == count else {
      throw context.unsupported(
        "\(operand) has \(parts.count) registers where the form wants \(count) of .\(type.rawValue)")
    }
    var registers: [Register] = []
    for part in parts {
      registers.append(
        isDestination ? try context.destination(part, type) : try context.source(part, type))
    }
    return registers
  }

  /// Throws unless all 32 lanes are there, without which matrix instructions have no meaning.
  static func requireWholeWarp(_ lanes: LaneMask) throws(EmulatorError) {
    guard lanes == .max else {
      throw EmulatorError(
        .divergence, lane: (~lanes).trailingZeroBitCount,
        "a matrix instruction is run by lanes \(hexadecimal(lanes)) only: all 32 lanes of the warp must exist, be there and not "
          + "have exited")
    }
  }
}

extension Warp {
  /// The values of several registers of 32 bits.
  func read(_ registers: [Register], _ lanes: LaneMask) throws(EmulatorError) -> [UnsafeMutablePointer<UInt32>] {
    var values: [UnsafeMutablePointer<UInt32>] = []
    values.reserveCapacity(registers.count)
    for register in registers { values.append(try read(register, lanes)) }
    return values
  }

  func readLong(_ registers: [Register], _ lanes: LaneMask) throws(EmulatorError) -> [UnsafeMutablePointer<UInt64>] {
    var values: [UnsafeMutablePointer<UInt64>] = []
    for register in registers { values.append(try readLong(register, lanes)) }
    return values
  }

  /// The places of several registers of 32 bits, all of which will be written.
  func write(_ registers: [Register], _ lanes: LaneMask) throws(EmulatorError) -> [UnsafeMutablePointer<UInt32>] {
    var values: [UnsafeMutablePointer<UInt32>] = []
    values.reserveCapacity(registers.count)
    for register in registers { values.append(try write(register, lanes)) }
    return values
  }

  func writeLong(_ registers: [Register], _ lanes: LaneMask) throws(EmulatorError) -> [UnsafeMutablePointer<UInt64>] {
    var values: [UnsafeMutablePointer<UInt64>] = []
    for register in registers { values.append(try writeLong(register, lanes)) }
    return values
  }
}
