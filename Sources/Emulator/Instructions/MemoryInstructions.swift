// Loads and stores: `ld`, `ldu`, `st`, `prefetch`.
//
// Cache operators and hints change nothing here, but are read, so that a misspelt one is refused.
//
// PTX ISA 9.1, `ld`, `ld.global.nc`, `ldu`, `st`, `prefetch`.

internal import KernelLanguage

/// Copies an element of each lane between memory and a register.
private typealias Mover =
  @Sendable (
    _ memory: UnsafeMutablePointer<UnsafeMutableRawPointer>, _ offset: Int, _ register: UnsafeMutableRawPointer,
    _ lanes: LaneMask
  ) -> Void

enum MemoryInstructions {
  static let decoders: [String: Decoder] = [
    "ld": load, "ldu": load, "st": store, "prefetch": prefetch, "prefetchu": prefetch,
  ]

  // MARK: Modifiers

  /// The space that an instruction names, nil for generic addresses.
  static func takeSpace(_ modifiers: inout Modifiers) -> MemorySpace? {
    switch modifiers.take(oneOf: [
      "global", "const", "shared", "shared::cta", "shared::cluster", "local", "param", "param::entry",
    ]) {
    case "global", "const": .global
    case "shared", "shared::cta", "shared::cluster": .shared
    case "local": .local
    case "param", "param::entry": .param
    default: nil
    }
  }

  /// What stands for hints. `.L2::cache_hint` brings an operand: true.
  static func takeHints(_ modifiers: inout Modifiers) -> Bool {
    let hasPolicy = modifiers.take("L2::cache_hint")
    for hint in ["evict_normal", "evict_unchanged", "evict_first", "evict_last", "no_allocate"] {
      _ = modifiers.take("L1::\(hint)")
      _ = modifiers.take("L2::\(hint)")
    }
    for size in [64, 128, 256] { _ = modifiers.take("L2::\(size)B") }
    return hasPolicy
  }

  /// `.acquire.gpu`, `.volatile`, …
  static func takeOrder(
    _ modifiers: inout Modifiers, default order: MemoryAccess.Order
  ) -> (order: MemoryAccess.Order, scope: MemoryAccess.Scope) {
    if modifiers.take("volatile") { return (.relaxed, .system) }
    _ = modifiers.take("mmio")
    let names: [String: MemoryAccess.Order] = [
      "weak": .weak, "relaxed": .relaxed, "acquire": .acquire, "release": .release, "acq_rel": .acquireRelease,
    ]
    let chosen = modifiers.take(oneOf: Array(names.keys)).flatMap { names[$0] } ?? order
    let scopes: [String: MemoryAccess.Scope] = ["cta": .cta, "cluster": .cluster, "gpu": .gpu, "sys": .system]
    return (chosen, modifiers.take(oneOf: Array(scopes.keys)).flatMap { scopes[$0] } ?? .gpu)
  }

  static func takeVector(_ modifiers: inout Modifiers) -> Int {
    modifiers.take("v2") ? 2 : modifiers.take("v4") ? 4 : modifiers.take("v8") ? 8 : 1
  }

  private struct Decoded {
    var form: AccessForm
    var type: PTXType
    var vector: Int
    var hasPolicy: Bool
  }

  private static func decode(
    _ instruction: PTXInstruction, _ kind: MemoryAccess.Kind
  ) throws(EmulatorError) -> Decoded {
    var modifiers = Modifiers(instruction)
    let space = takeSpace(&modifiers)
    let hasPolicy = takeHints(&modifiers)
    let (order, scope) = takeOrder(&modifiers, default: .weak)
    if kind == .read {
      _ = modifiers.take("nc")
      _ = modifiers.take(oneOf: ["ca", "cg", "cs", "lu", "cv"])
    } else {
      _ = modifiers.take(oneOf: ["wb", "cg", "cs", "wt"])
    }
    let vector = takeVector(&modifiers)
    let type = try modifiers.takeType()
    try modifiers.finish()
    guard type != .pred, vector * type.size <= 32, kind == .read ? !order.releases : !order.acquires else {
      throw modifiers.unknownForm()
    }
    let form = AccessForm(space: space, kind: kind, order: order, scope: scope, bytes: vector * type.size)
    return Decoded(form: form, type: type, vector: vector, hasPolicy: hasPolicy)
  }

  // MARK: Loads

  private static func read<T: FixedWidthInteger, Slot: FixedWidthInteger>(_: T.Type, _: Slot.Type) -> Mover {
    { memory, offset, register, lanes in
      let z = register.assumingMemoryBound(to: Slot.self)
      Lanes.each(lanes) { z[$0] = Slot(truncatingIfNeeded: memory[$0].load(fromByteOffset: offset, as: T.self)) }
    }
  }

  private static func reader(_ type: PTXType, _ register: Register) -> Mover {
    func make<T: FixedWidthInteger>(_: T.Type) -> Mover {
      register.width == .long ? read(T.self, UInt64.self) : read(T.self, UInt32.self)
    }
    switch type {
    case .s8: return make(Int8.self)
    case .b8, .u8: return make(UInt8.self)
    case .s16: return make(Int16.self)
    case .b16, .u16, .f16, .bf16: return make(UInt16.self)
    case .s32: return make(Int32.self)
    case .b32, .u32, .f32, .f16x2, .bf16x2, .pred: return make(UInt32.self)
    case .b64, .u64, .s64, .f64: return make(UInt64.self)
    case .b128:
      return { memory, offset, register, lanes in
        let z = register.assumingMemoryBound(to: SIMD2<UInt64>.self)
        Lanes.each(lanes) { z[$0] = memory[$0].load(fromByteOffset: offset, as: SIMD2<UInt64>.self) }
      }
    }
  }

  static func load(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    let decoded = try decode(instruction, .read)
    context.cost.unit = .memory
    try context.requireOperands(instruction, decoded.hasPolicy ? 3...3 : 2...2)
    let parts = context.parts(instruction.operands[0])
    guard parts.count == decoded.vector else {
      throw context.unsupported("\(instruction.name) loads \(decoded.vector) elements, but names \(parts.count)")
    }
    var targets: [(register: Register, mover: Mover)] = []
    for part in parts {
      let register = try context.destination(part, decoded.type, widerAllowed: true)
      targets.append((register, reader(decoded.type, register)))
    }
    let address = try context.address(instruction.operands[1])
    let policy = decoded.hasPolicy ? try context.source(instruction.operands[2], .b64) : nil
    let form = decoded.form
    let size = decoded.type.size
    if targets.count == 1, policy == nil {
      let (d, mover) = targets[0]
      return { warp, lanes throws(EmulatorError) in
        try warp.locate(address, form, lanes)
        try warp.requireWritable(d, lanes)
        mover(warp.pointers, 0, warp.file + Int(d.offset), lanes)
        return .next
      }
    }
    return { warp, lanes throws(EmulatorError) in
      if let policy { try warp.requireReadable(policy, lanes) }
      try warp.locate(address, form, lanes)
      for target in targets { try warp.requireWritable(target.register, lanes) }
      var offset = 0
      for target in targets {
        target.mover(warp.pointers, offset, warp.file + Int(target.register.offset), lanes)
        offset += size
      }
      return .next
    }
  }

  // MARK: Stores

  private static func write<T: FixedWidthInteger, Slot: FixedWidthInteger>(_: T.Type, _: Slot.Type) -> Mover {
    { memory, offset, register, lanes in
      let x = register.assumingMemoryBound(to: Slot.self)
      Lanes.each(lanes) {
        memory[$0].storeBytes(of: T(truncatingIfNeeded: x[$0]), toByteOffset: offset, as: T.self)
      }
    }
  }

  private static func writer(_ type: PTXType, _ register: Register) -> Mover {
    func make<T: FixedWidthInteger>(_: T.Type) -> Mover {
      register.width == .long ? write(T.self, UInt64.self) : write(T.self, UInt32.self)
    }
    switch type.size {
    case 1: return make(UInt8.self)
    case 2: return make(UInt16.self)
    case 4: return make(UInt32.self)
    case 8: return make(UInt64.self)
    default:
      return { memory, offset, register, lanes in
        let x = register.assumingMemoryBound(to: SIMD2<UInt64>.self)
        Lanes.each(lanes) { memory[$0].storeBytes(of: x[$0], toByteOffset: offset, as: SIMD2<UInt64>.self) }
      }
    }
  }

  static func store(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    let decoded = try decode(instruction, .write)
    context.cost.unit = .memory
    try context.requireOperands(instruction, decoded.hasPolicy ? 3...3 : 2...2)
    let address = try context.address(instruction.operands[0])
    let parts = context.parts(instruction.operands[1])
    guard parts.count == decoded.vector else {
      throw context.unsupported("\(instruction.name) stores \(decoded.vector) elements, but names \(parts.count)")
    }
    var sources: [(register: Register, mover: Mover)] = []
    for part in parts {
      let register = try context.source(part, decoded.type, widerAllowed: true)
      sources.append((register, writer(decoded.type, register)))
    }
    let policy = decoded.hasPolicy ? try context.source(instruction.operands[2], .b64) : nil
    let form = decoded.form
    let size = decoded.type.size
    return { warp, lanes throws(EmulatorError) in
      for source in sources { try warp.requireReadable(source.register, lanes) }
      if let policy { try warp.requireReadable(policy, lanes) }
      try warp.locate(address, form, lanes)
      var offset = 0
      for source in sources {
        source.mover(warp.pointers, offset, warp.file + Int(source.register.offset), lanes)
        offset += size
      }
      warp.launch.progress += 1
      return .next
    }
  }

  // MARK: Hints

  /// `prefetch.global.L2 [a]`: nothing is read, but the address must be there to be computed.
  static func prefetch(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    _ = takeSpace(&modifiers)
    _ = modifiers.take(oneOf: ["L1", "L2", "L2::evict_last", "L2::evict_normal"])
    _ = modifiers.take("tensormap")
    try modifiers.finish()
    context.cost.unit = .memory
    try context.requireOperands(instruction, 1...1)
    let address = try context.address(instruction.operands[0])
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(address.base, lanes)
      return .next
    }
  }
}
