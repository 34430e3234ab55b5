// Atomic operations in memory: `atom`, `red`.
//
// Lanes take their turns in order, so that sums of floats are the same in every run; on a GPU they are not.
//
// PTX ISA 9.1, `atom`, `red`.

internal import KernelLanguage

/// The new value of an element: of the old one, the operand and, for `cas`, the second operand.
private typealias Update = @Sendable (_ old: UInt64, _ operand: UInt64, _ other: UInt64) -> UInt64

enum AtomicInstructions {
  static let decoders: [String: Decoder] = ["atom": atom, "red": atom]

  private static let operations = ["add", "exch", "cas", "and", "or", "xor", "inc", "dec", "min", "max"]

  static func atom(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    let space = MemoryInstructions.takeSpace(&modifiers)
    let (order, scope) = MemoryInstructions.takeOrder(&modifiers, default: .relaxed)
    let hasPolicy = MemoryInstructions.takeHints(&modifiers)
    let vector = MemoryInstructions.takeVector(&modifiers)
    _ = modifiers.take("noftz")
    guard let operation = modifiers.take(oneOf: operations) else { throw modifiers.unknownForm() }
    let type = try modifiers.takeType()
    try modifiers.finish()
    context.cost.unit = .memory
    let returns = instruction.opcode == "atom"
    let isSwap = operation == "cas"
    let count = (returns ? 1 : 0) + 2 + (isSwap ? 1 : 0) + (hasPolicy ? 1 : 0)
    try context.requireOperands(instruction, count...count)
    guard returns || (operation != "exch" && !isSwap), type != .pred, vector * type.size <= 16,
      space == nil || space == .global || space == .shared && vector == 1
    else { throw modifiers.unknownForm() }
    var operands = instruction.operands[...]
    var targets: [Register] = []
    if returns {
      for part in context.parts(operands.removeFirst()) { targets.append(try context.destination(part, type)) }
    }
    let address = try context.address(operands.removeFirst())
    var sources: [Register] = []
    for part in context.parts(operands.removeFirst()) { sources.append(try context.source(part, type)) }
    let other = isSwap ? try context.source(operands.removeFirst(), type) : sources[0]
    let policy = hasPolicy ? try context.source(operands.removeFirst(), .b64) : sources[0]
    guard sources.count == vector, !returns || targets.count == vector else {
      throw context.unsupported("\(instruction.name) works on \(vector) elements, but names \(sources.count)")
    }
    let form = AccessForm(space: space, kind: .atomic, order: order, scope: scope, bytes: vector * type.size)
    if type == .b128 {
      guard operation == "exch" || isSwap else { throw modifiers.unknownForm() }
      return wide(form, address, targets[0], sources[0], other, isSwap: isSwap)
    }
    guard let update = update(operation, type), let flushed = self.update(operation, type, flushes: true) else {
      throw modifiers.unknownForm()
    }
    let size = type.size
    return { warp, lanes throws(EmulatorError) in
      for source in sources { try warp.requireReadable(source, lanes) }
      try warp.requireReadable(other, lanes)
      try warp.requireReadable(policy, lanes)
      try warp.locate(address, form, lanes)
      for target in targets { try warp.requireWritable(target, lanes) }
      warp.counters.pointee.atomics += lanes.nonzeroBitCount
      var hasChanged = false
      Lanes.each(lanes) { lane in
        let memory = warp.pointers[lane]
        // Sums of f32 in global memory flush subnormal numbers, those in shared memory do not.
        let isGlobal = space == .global || space == nil && warp.addresses[lane] >= AddressMap.global
        for place in sources.indices {
          let old = load(memory + place * size, size)
          let operand = warp.bits(sources[place], lane)
          let new = (isGlobal ? flushed : update)(old, operand, warp.bits(other, lane))
          store(new, memory + place * size, size)
          hasChanged = hasChanged || new != old
          if !targets.isEmpty { warp.setBits(targets[place], lane, old) }
        }
      }
      if hasChanged { warp.launch.progress += 1 }
      return .next
    }
  }

  /// `atom.exch.b128`, `atom.cas.b128`.
  private static func wide(
    _ form: AccessForm, _ address: AddressOperand, _ d: Register, _ a: Register, _ b: Register, isSwap: Bool
  ) -> Step {
    { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(a, lanes)
      try warp.requireReadable(b, lanes)
      try warp.locate(address, form, lanes)
      try warp.requireWritable(d, lanes)
      warp.counters.pointee.atomics += lanes.nonzeroBitCount
      func quads(_ register: Register) -> UnsafeMutablePointer<SIMD2<UInt64>> {
        (warp.file + Int(register.offset)).assumingMemoryBound(to: SIMD2<UInt64>.self)
      }
      let (x, y, z) = (quads(a), quads(b), quads(d))
      Lanes.each(lanes) { lane in
        let memory = warp.pointers[lane]
        let old = memory.load(as: SIMD2<UInt64>.self)
        let new = !isSwap ? x[lane] : old == x[lane] ? y[lane] : old
        memory.storeBytes(of: new, as: SIMD2<UInt64>.self)
        z[lane] = old
        if new != old { warp.launch.progress += 1 }
      }
      return .next
    }
  }

  // MARK: Elements

  private static func load(_ memory: UnsafeMutableRawPointer, _ size: Int) -> UInt64 {
    switch size {
    case 2: UInt64(memory.load(as: UInt16.self))
    case 4: UInt64(memory.load(as: UInt32.self))
    default: memory.load(as: UInt64.self)
    }
  }

  private static func store(_ bits: UInt64, _ memory: UnsafeMutableRawPointer, _ size: Int) {
    switch size {
    case 2: memory.storeBytes(of: UInt16(truncatingIfNeeded: bits), as: UInt16.self)
    case 4: memory.storeBytes(of: UInt32(truncatingIfNeeded: bits), as: UInt32.self)
    default: memory.storeBytes(of: bits, as: UInt64.self)
    }
  }

  // MARK: Operations

  private static func update(_ operation: String, _ type: PTXType, flushes: Bool = false) -> Update? {
    switch (operation, type) {
    case ("exch", .b32), ("exch", .b64): { _, operand, _ in operand }
    case ("cas", .b16): { old, operand, other in old == operand & 0xFFFF ? other : old }
    case ("cas", .b32), ("cas", .b64): { old, operand, other in old == operand ? other : old }
    case ("and", .b32), ("and", .b64): { old, operand, _ in old & operand }
    case ("or", .b32), ("or", .b64): { old, operand, _ in old | operand }
    case ("xor", .b32), ("xor", .b64): { old, operand, _ in old ^ operand }
    case ("add", .u32), ("add", .s32), ("add", .u64), ("add", .s64): { old, operand, _ in old &+ operand }
    case ("inc", .u32): { old, operand, _ in old >= operand ? 0 : old + 1 }
    case ("dec", .u32): { old, operand, _ in old == 0 || old > operand ? operand : old - 1 }
    case ("min", .u32), ("min", .u64): { old, operand, _ in min(old, operand) }
    case ("max", .u32), ("max", .u64): { old, operand, _ in max(old, operand) }
    case ("min", .s32): signed(Int32.self) { min($0, $1) }
    case ("max", .s32): signed(Int32.self) { max($0, $1) }
    case ("min", .s64): signed(Int64.self) { min($0, $1) }
    case ("max", .s64): signed(Int64.self) { max($0, $1) }
    case ("add", .f32):
      floats(Float.self) { a, b in
        func flush(_ value: Float) -> Float { flushes && value.isSubnormal ? value.flushed : value }
        return flush((flush(a) + flush(b)).canonical)
      }
    case ("add", .f64): floats(Double.self) { $0 + $1 }
    case (_, .f16): floats(Float16Bits.self, operation)
    case (_, .bf16): floats(BFloat16Bits.self, operation)
    case (_, .f16x2): floats(Float16Bits.self, operation).map(pair)
    case (_, .bf16x2): floats(BFloat16Bits.self, operation).map(pair)
    default: nil
    }
  }

  private static func signed<T: FixedWidthInteger>(
    _: T.Type, _ choose: @escaping @Sendable (T, T) -> T
  ) -> Update {
    { old, operand, _ in
      UInt64(truncatingIfNeeded: choose(T(truncatingIfNeeded: old), T(truncatingIfNeeded: operand)))
    }
  }

  private static func floats<T: LaneFloat>(_: T.Type, _ apply: @escaping @Sendable (T, T) -> T) -> Update {
    { old, operand, _ in
      UInt64(
        apply(T(slot: T.Slot(truncatingIfNeeded: old)), T(slot: T.Slot(truncatingIfNeeded: operand))).slot)
    }
  }

  private static func floats<T: SmallFloat>(_: T.Type, _ operation: String) -> Update? {
    switch operation {
    case "add": floats(T.self) { T.add($0, $1, .nearest) }
    case "min": floats(T.self) { T.lesser($0, $1) }
    case "max": floats(T.self) { T.greater($0, $1) }
    default: nil
    }
  }

  /// The same for both halves.
  private static func pair(_ update: @escaping Update) -> Update {
    { old, operand, other in
      update(old & 0xFFFF, operand & 0xFFFF, other) & 0xFFFF | update(old >> 16, operand >> 16, other) << 16
    }
  }
}

extension Warp {
  /// The value of one lane of a register of up to 64 bits.
  func bits(_ register: Register, _ lane: Int) -> UInt64 {
    register.width == .long ? longs(register)[lane] : UInt64(words(register)[lane])
  }

  func setBits(_ register: Register, _ lane: Int, _ bits: UInt64) {
    if register.width == .long {
      longs(register)[lane] = bits
    } else {
      words(register)[lane] = UInt32(truncatingIfNeeded: bits)
    }
  }
}
