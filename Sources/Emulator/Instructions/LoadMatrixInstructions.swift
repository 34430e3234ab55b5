// Fragments to and from shared memory: `ldmatrix` and `stmatrix`.
//
// Lane 8i + j gives the address of row j of matrix i: 16 bytes. Of a matrix of 8 x 8 elements of 16 bits, lane l holds row l / 4,
// columns 2 (l mod 4) and the next; with .trans it holds the same place of the transposed matrix. Of bytes (sm_100a):
//   ldmatrix .m16n16.trans  16 rows of 16 bytes, two registers: byte i of r is row 4 (l mod 4) + i, column l / 4 + 8 r
//   ldmatrix .m8n16         8 rows of 16 codes of 4 or 6 bits, one to a byte: lane l holds row l / 4, columns 4 (l mod 4) + i
//   stmatrix .m16n8.trans   8 rows of 16 bytes: byte i is row 2 (l mod 4) + i mod 2, column l / 4 + 8 (i / 2)
// The last two are read off CuTe's layouts of SM100_U8x4_STSM_T and its kind, since PTX has pictures of them only.
//
// PTX ISA 9.0, "ldmatrix", "stmatrix".

internal import KernelLanguage

enum LoadMatrixInstructions {
  static let decoders: [String: Decoder] = ["ldmatrix": load, "stmatrix": store]

  /// How a register's bytes lie in the rows of memory.
  enum Shape: Hashable {
    case halves(isTransposed: Bool)
    case bytes16x16
    case bytes8x16
    case bytes16x8

    /// Rows in memory of one matrix.
    var rows: Int { self == .bytes16x16 ? 16 : 8 }
    /// Registers of one matrix.
    var registers: Int { self == .bytes16x16 ? 2 : 1 }

    /// Where byte `byte` of register `register` of a matrix lies: row and byte in the row.
    @inline(__always)
    func place(lane: Int, register: Int, byte: Int) -> (row: Int, column: Int) {
      let (g, t) = (lane / 4, lane % 4)
      switch self {
      case .halves(isTransposed: false): return (g, 4 * t + byte)
      case .halves(isTransposed: true): return (2 * t + byte / 2, 2 * g + byte % 2)
      case .bytes16x16: return (4 * t + byte, g + 8 * register)
      case .bytes8x16: return (g, 4 * t + byte)
      case .bytes16x8: return (2 * t + byte % 2, g + 8 * (byte / 2))
      }
    }
  }

  /// Codes in a row of 16 bytes, to be spread to one a byte.
  enum Unpacking { case six, four }

  static func load(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 2...2)
    var modifiers = Modifiers(instruction)
    try requireAligned(&modifiers)
    let isTransposed = modifiers.take("trans")
    let isShared = modifiers.take(oneOf: ["shared", "shared::cta"]) != nil
    let count = try count(&modifiers)
    let shape: Shape
    var unpacking: Unpacking?
    switch (modifiers.take(oneOf: ["m8n8", "m16n16", "m8n16"]), modifiers.take(oneOf: ["b16", "b8", "b8x16"])) {
    case ("m8n8", "b16"): shape = .halves(isTransposed: isTransposed)
    case ("m16n16", "b8") where isTransposed && count <= 2: shape = .bytes16x16
    case ("m16n16", "b8x16") where isTransposed && count <= 2:
      shape = .bytes16x16
      unpacking = try unpack(&modifiers)
    case ("m8n16", "b8x16") where !isTransposed:
      shape = .bytes8x16
      unpacking = try unpack(&modifiers)
    default: throw modifiers.unknownForm()
    }
    try modifiers.finish()
    try require(shape, context)
    context.cost.unit = .memory
    let registers = try MMAInstructions.vector(
      &context, instruction.operands[0], count * shape.registers, .b32, isDestination: true)
    let address = try context.address(instruction.operands[1])
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try MMAInstructions.requireWholeWarp(lanes)
      let rows = try SharedRows(warp, address, isShared: isShared, count: count * shape.rows, kind: .read)
      let values = try warp.write(registers, lanes)
      for (index, value) in values.enumerated() {
        let first = index / shape.registers * shape.rows
        for lane in 0..<32 {
          var word: UInt32 = 0
          for byte in 0..<4 {
            let place = shape.place(lane: lane, register: index % shape.registers, byte: byte)
            let row = rows.pointers[first + place.row]
            word |= UInt32(code(row, place.column, unpacking)) << UInt32(8 * byte)
          }
          value[lane] = word
        }
      }
      return .next
    }
  }

  static func store(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 2...2)
    guard context.chip.generation >= .hopper else {
      throw context.unsupported("stmatrix needs sm_90; store fragments with st.shared")
    }
    var modifiers = Modifiers(instruction)
    try requireAligned(&modifiers)
    let isTransposed = modifiers.take("trans")
    let isShared = modifiers.take(oneOf: ["shared", "shared::cta"]) != nil
    let count = try count(&modifiers)
    let shape: Shape
    switch (modifiers.take(oneOf: ["m8n8", "m16n8"]), modifiers.take(oneOf: ["b16", "b8"])) {
    case ("m8n8", "b16"): shape = .halves(isTransposed: isTransposed)
    case ("m16n8", "b8") where isTransposed: shape = .bytes16x8
    default: throw modifiers.unknownForm()
    }
    try modifiers.finish()
    try require(shape, context)
    context.cost.unit = .memory
    let registers = try MMAInstructions.vector(&context, instruction.operands[1], count, .b32)
    let address = try context.address(instruction.operands[0])
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try MMAInstructions.requireWholeWarp(lanes)
      let values = try warp.read(registers, lanes)
      let rows = try SharedRows(warp, address, isShared: isShared, count: count * 8, kind: .write)
      for (index, value) in values.enumerated() {
        for lane in 0..<32 {
          for byte in 0..<4 {
            let place = shape.place(lane: lane, register: 0, byte: byte)
            let bits = UInt8(truncatingIfNeeded: value[lane] >> UInt32(8 * byte))
            rows.pointers[index * 8 + place.row].storeBytes(of: bits, toByteOffset: place.column, as: UInt8.self)
          }
        }
      }
      warp.launch.progress += 1
      return .next
    }
  }

  @inline(__always)
  private static func code(_ row: UnsafeMutableRawPointer, _ column: Int, _ unpacking: Unpacking?) -> UInt8 {
    switch unpacking {
    case nil: row.load(fromByteOffset: column, as: UInt8.self)
    case .four: (row.load(fromByteOffset: column / 2, as: UInt8.self) >> UInt8(column % 2 * 4)) & 0xF
    case .six:
      // 4 codes in each 3 bytes.
      UInt8(
        truncatingIfNeeded: (UInt16(row.load(fromByteOffset: column * 6 / 8, as: UInt8.self))
          | UInt16(row.load(fromByteOffset: column * 6 / 8 + 1, as: UInt8.self)) << 8) >> UInt16(column * 6 % 8)) & 0x3F
    }
  }

  // MARK: Forms

  private static func requireAligned(_ modifiers: inout Modifiers) throws(EmulatorError) {
    guard modifiers.take("sync"), modifiers.take("aligned") else { throw modifiers.unknownForm() }
  }

  private static func count(_ modifiers: inout Modifiers) throws(EmulatorError) -> Int {
    switch modifiers.take(oneOf: ["x1", "x2", "x4"]) {
    case "x1": return 1
    case "x2": return 2
    case "x4": return 4
    default: throw modifiers.unknownForm()
    }
  }

  private static func unpack(_ modifiers: inout Modifiers) throws(EmulatorError) -> Unpacking {
    switch modifiers.take(oneOf: ["b6x16_p32", "b4x16_p64"]) {
    case "b6x16_p32": return .six
    case "b4x16_p64": return .four
    default: throw modifiers.unknownForm()
    }
  }

  private static func require(_ shape: Shape, _ context: DecodingContext) throws(EmulatorError) {
    if case .halves = shape { return }
    guard context.chip.generation >= .blackwell else {
      throw context.unsupported("matrices of bytes need sm_100a; .m8n8 with .b16 moves pairs of bytes on all chips")
    }
  }
}

/// Rows of 16 bytes in shared memory whose addresses the lanes of a warp give, one each; told to the detector, and counted.
struct SharedRows {
  let pointers: [UnsafeMutableRawPointer]

  init(
    _ warp: Warp, _ address: AddressOperand, isShared: Bool, count: Int, kind: MemoryAccess.Kind
  ) throws(EmulatorError) {
    let lanes: LaneMask = count == 32 ? .max : (1 << UInt32(count)) - 1
    let isLong = address.base.width == .long
    let words = isLong ? nil : try warp.read(address.base, lanes)
    let longs = isLong ? try warp.readLong(address.base, lanes) : nil
    var pointers: [UnsafeMutableRawPointer] = []
    for lane in 0..<count {
      let base = words.map { UInt64($0[lane]) } ?? longs![lane]
      var place = base &+ UInt64(bitPattern: address.offset)
      if !isShared {
        let (space, inSpace) = AddressMap.resolve(place)
        guard space == .shared else {
          throw EmulatorError(
            .outOfBounds, lane: lane,
            "the generic address \(hexadecimal(place)) is not in shared memory: matrices are loaded from and stored there only"
          )
        }
        place = inSpace
      }
      guard place % 16 == 0 else {
        throw EmulatorError(
          .misaligned, lane: lane,
          "row \(lane % 8) of matrix \(lane / 8) is at shared address \(hexadecimal(place)), which is no multiple of 16"
        )
      }
      pointers.append(try warp.block.resolve(shared: place, 16, lane: lane).bytes)
      warp.addresses[lane] = place
    }
    try warp.observer?.access(
      MemoryAccess(space: .shared, kind: kind, bytes: 16, lanes: lanes), at: warp.addresses, by: warp)
    self.pointers = pointers
    // Eight rows pass at once, if each meets 16 bytes of the banks of its own.
    for first in stride(from: 0, to: count, by: 8) {
      var meetings = [Set<UInt64>](repeating: [], count: 8)
      for lane in first..<first + 8 { meetings[Int(warp.addresses[lane] / 16 % 8)].insert(warp.addresses[lane]) }
      let passes = meetings.map(\.count).max()!
      warp.counters.pointee.sharedPasses += passes
      warp.counters.pointee.sharedConflicts += passes - 1
    }
    warp.counters.pointee.sharedBytes += count * 16
  }
}
