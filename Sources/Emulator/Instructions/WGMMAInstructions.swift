// Products by a warpgroup: `wgmma.mma_async` and what orders it: `fence`, `commit_group`, `wait_group`.
//
// B is in shared memory, A there or in registers, the accumulators are in registers. The instruction is asynchronous: it reads
// shared memory and registers, and writes the accumulators, at any time until its group has been waited for. Faults that are
// found: registers touched in between (`inFlight`), registers written without a `wgmma.fence` before the product, descriptors
// that contradict themselves or differ between the threads of a warpgroup. Reads of accumulators between two products without
// a fence in between are not found.
//
// PTX ISA 9.0, "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions".

internal import KernelLanguage

enum WGMMAInstructions {
  static let decoders: [String: Decoder] = ["wgmma": decode]

  /// What the text of an instruction says.
  struct Form {
    var name: String
    var n: Int
    /// Along K.
    var depth: Int
    var product: MatrixProduct
    var d: [Register]
    /// nil: A is in shared memory.
    var a: [Register]?
    var aDescriptor: Register?
    var bDescriptor: Register
    var scale: Predicate
    var negatesA = false
    var negatesB = false
    var isATransposed = false
    var isBTransposed = false

    /// All that are in use while it is on its way.
    var registers: [Register] { d + (a ?? []) }
  }

  /// What all threads of a warpgroup must agree on.
  struct Operands: Equatable {
    var a: UInt64?
    var b: UInt64
    /// Whether the accumulators are added to.
    var accumulates: Bool
  }

  static func decode(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    guard context.chip.generation == .hopper else {
      throw context.unsupported("wgmma runs on sm_90a only; the \(context.chip.name) has none")
    }
    let modifiers = instruction.modifiers
    guard modifiers.count >= 3, modifiers[1] == "sync", modifiers[2] == "aligned" else {
      throw context.unsupported("wgmma wants .sync.aligned")
    }
    switch modifiers[0] {
    case "mma_async": return try multiply(&context, instruction)
    case "fence" where modifiers.count == 3: return try fence(&context, instruction)
    case "commit_group" where modifiers.count == 3: return try commit(&context, instruction)
    case "wait_group" where modifiers.count == 3: return try wait(&context, instruction)
    default: throw context.unsupported("the emulator does not know the form \(instruction.name)")
    }
  }

  // MARK: Order

  private static func fence(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 0...0)
    context.cost.unit = .synchronisation
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      _ = try warpgroup(of: warp, lanes)
      warp.registerFences += 1
      return .next
    }
  }

  private static func commit(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 0...0)
    context.cost.unit = .synchronisation
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      let warpgroup = try warpgroup(of: warp, lanes)
      let member = warp.index - warpgroup.first
      warpgroup.members[member].groups.append(warpgroup.members[member].issued)
      return .next
    }
  }

  private static func wait(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    try context.requireOperands(instruction, 1...1)
    context.cost.unit = .synchronisation
    guard case .integer(let allowed) = instruction.operands[0], (0...7).contains(allowed) else {
      throw context.unsupported("wgmma.wait_group takes how many groups may still be pending, as a number of 0 to 7")
    }
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      let warpgroup = try warpgroup(of: warp, lanes)
      let member = warp.index - warpgroup.first
      let complete = warpgroup.members[member].groups.count - Int(allowed)
      guard complete > 0 else { return .next }
      let end = warpgroup.members[member].groups[complete - 1]
      for number in warpgroup.members[member].waited..<max(end, warpgroup.members[member].waited) {
        let operation = warpgroup.operation(number)
        guard operation.hasLanded else { return warp.blocked(on: .object(operation)) }
      }
      if let actor = warpgroup.actor, end > 0, end > warpgroup.members[member].waited,
        let time = warpgroup.operation(end - 1).access?.time
      {
        warp.order?.acquire(lanes, actor: actor, upTo: time)
      }
      warpgroup.members[member].groups.removeFirst(complete)
      warpgroup.release(warp, before: end)
      return .next
    }
  }

  /// The warpgroup of a warp that is there with all its lanes.
  private static func warpgroup(of warp: Warp, _ lanes: LaneMask) throws(EmulatorError) -> Warpgroup {
    try MMAInstructions.requireWholeWarp(lanes)
    guard warp.index / 4 < warp.block.warpgroups.count else {
      throw EmulatorError(
        .divergence,
        "warp \(warp.index) is in no whole warpgroup: the block has \(warp.block.warps.count) warps; wgmma wants four, the first "
          + "with an index that is a multiple of 4")
    }
    return warp.block.warpgroups[warp.index / 4]
  }

  // MARK: Products

  private static func multiply(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    let form = try form(&context, instruction)
    context.cost = InstructionCost(
      unit: .tensor, tensorOperations: Double(2 * 16 * form.n * form.depth),
      tensorRate: MMAInstructions.rate(form.product.element.a))
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      let warpgroup = try warpgroup(of: warp, lanes)
      let operands = Operands(
        a: try form.aDescriptor.map { register throws(EmulatorError) in try uniform(register, "A's", warp, lanes) },
        b: try uniform(form.bDescriptor, "B's", warp, lanes), accumulates: try uniform(form.scale, warp, lanes))
      try requireRegisters(form, accumulates: operands.accumulates, warp, warpgroup, lanes)
      let member = warp.index - warpgroup.first
      let operation = warpgroup.operation(warpgroup.members[member].issued) {
        WarpgroupOperation(form, operands, pc: warp.pc, in: warpgroup)
      }
      try requireSame(operation, operands, warp, warpgroup)
      if operation.bChunks.isEmpty { try findChunks(operation) }
      for register in form.d { warpgroup.use(register, by: warp, writer: form.name) }
      for register in form.a ?? [] { warpgroup.use(register, by: warp, writer: nil) }
      warpgroup.members[member].issued += 1
      operation.joined[member] = true
      if !operation.joined.contains(false) {
        try beginReads(operation, warp, lanes, warpgroup)
        warp.launch.later(warp, chain: warpgroup.chain) { () throws(EmulatorError) in
          try land(operation, warpgroup)
        }
      }
      return .next
    }
  }

  /// The one value of a register in all lanes.
  private static func uniform(
    _ register: Register, _ name: String, _ warp: Warp, _ lanes: LaneMask
  ) throws(EmulatorError) -> UInt64 {
    let values = try warp.readLong(register, lanes)
    for lane in 1..<32 where values[lane] != values[0] {
      throw EmulatorError(
        .descriptor, lane: lane,
        "\(name) matrix descriptor is \(hexadecimal(values[lane])) here and \(hexadecimal(values[0])) in lane 0: all threads of "
          + "a warpgroup give the same")
    }
    return values[0]
  }

  private static func uniform(_ predicate: Predicate, _ warp: Warp, _ lanes: LaneMask) throws(EmulatorError) -> Bool {
    let holds = try warp.read(predicate, lanes)
    guard holds == 0 || holds == lanes else {
      throw EmulatorError(
        .descriptor, lane: holds.trailingZeroBitCount,
        "scale-d holds in lanes \(hexadecimal(holds)) only: all threads agree")
    }
    return holds != 0
  }

  private static func requireSame(
    _ operation: WarpgroupOperation, _ operands: Operands, _ warp: Warp, _ warpgroup: Warpgroup
  ) throws(EmulatorError) {
    guard operation.pc == warp.pc else {
      throw EmulatorError(
        .divergence,
        "warp \(warp.index) issues this wgmma where another warp of its warpgroup has issued that of instruction "
          + "\(operation.pc): all four warps issue the same")
    }
    guard operation.operands == operands else {
      func text(_ operands: Operands) -> String {
        (operands.a.map { "A \(hexadecimal($0)), " } ?? "")
          + "B \(hexadecimal(operands.b)), scale-d \(operands.accumulates ? 1 : 0)"
      }
      throw EmulatorError(
        .descriptor,
        "warp \(warp.index) issues wgmma with \(text(operands)), but another warp of its warpgroup with "
          + "\(text(operation.operands)): all threads of a warpgroup give the same")
    }
  }

  /// Throws unless the registers may be used: fenced after they were written, readable, and not in use by others.
  private static func requireRegisters(
    _ form: Form, accumulates: Bool, _ warp: Warp, _ warpgroup: Warpgroup, _ lanes: LaneMask
  ) throws(EmulatorError) {
    let uses = warpgroup.members[warp.index - warpgroup.first].uses
    for register in form.registers where warp.fencesAtWrite[Int(register.index)] >= warp.registerFences {
      let name = warp.kernel.registerNames[Int(register.index)]
      throw EmulatorError(
        .inFlight,
        warp.registerFences == 0
          ? "no wgmma.fence was run before this wgmma: the first one of a warpgroup needs one, so that its registers are ready"
          : "\(name) was written after the last wgmma.fence: put a wgmma.fence.sync.aligned between the write and the wgmma"
      )
    }
    for register in form.a ?? [] { try warp.requireReadable(register, lanes) }
    for register in form.d {
      guard let use = uses[register.index] else {
        if accumulates { try warp.requireReadable(register, lanes) }
        continue
      }
      // Products of one shape into the same accumulators follow each other; all else waits.
      guard use.writer == form.name else {
        throw EmulatorError(
          .inFlight,
          "the accumulator \(warp.kernel.registerNames[Int(register.index)]) is in use by "
            + (use.writer.map { "a wgmma of another shape, \($0)" } ?? "a wgmma that reads A from it")
            + ": wait for its group with wgmma.wait_group first")
      }
    }
  }

  /// Takes the descriptors apart.
  private static func findChunks(_ operation: WarpgroupOperation) throws(EmulatorError) {
    let form = operation.form
    if let a = operation.operands.a {
      operation.aChunks = try SharedMatrix(wgmma: a, isLineMajor: form.isATransposed).chunks(
        form.product.element.a, lines: 64, depth: form.depth)
    }
    operation.bChunks = try SharedMatrix(wgmma: operation.operands.b, isLineMajor: form.isBTransposed).chunks(
      form.product.element.b, lines: form.n, depth: form.depth)
  }

  /// From now on until it lands, the product reads shared memory.
  private static func beginReads(
    _ operation: WarpgroupOperation, _ warp: Warp, _ lanes: LaneMask, _ warpgroup: Warpgroup
  ) throws(EmulatorError) {
    let block = warpgroup.block
    if let actor = warpgroup.actor { operation.access = AsynchronousAccess(by: warp, lanes, actor: actor) }
    for chunk in operation.aChunks + operation.bChunks {
      let place = MemoryPlace.shared(block, chunk)
      _ = try place.bytes(16, on: warp.launch.gpu)
      try operation.access?.begin(.read, at: place, 16, needsData: true)
    }
  }

  /// Computes a product, at a time when all its operands must be there.
  private static func land(_ operation: WarpgroupOperation, _ warpgroup: Warpgroup) throws(EmulatorError) {
    let (form, operands, block) = (operation.form, operation.operands, warpgroup.block)
    let element = form.product.element
    var a = MatrixOperand(element.a, lines: 64, depth: form.depth, order: .depthTogether, isNegated: form.negatesA)
    var b = MatrixOperand(element.b, lines: form.n, depth: form.depth, order: .linesTogether, isNegated: form.negatesB)
    let warps = (0..<4).map { block.warps[warpgroup.first + $0] }
    if let descriptor = operands.a {
      try SharedMatrix(wgmma: descriptor, isLineMajor: form.isATransposed).read(
        &a, element.a, lines: 64, chunks: operation.aChunks, memory: block.shared)
    } else {
      for (index, warp) in warps.enumerated() {
        MatrixFragment.readA(&a, element.a, form.a!.map { warp.words($0) }, row: 16 * index)
      }
    }
    try SharedMatrix(wgmma: operands.b, isLineMajor: form.isBTransposed).read(
      &b, element.b, lines: form.n, chunks: operation.bChunks, memory: block.shared)
    var sums = [UInt32](repeating: 0, count: 64 * form.n)
    if operands.accumulates {
      forEachElement(form, warps) { word, shift, mask, place in sums[place] = (word.pointee >> shift) & mask }
    }
    form.product.accumulate(a, b, into: &sums)
    forEachElement(form, warps) { word, shift, mask, place in
      word.pointee = word.pointee & ~(mask << shift) | sums[place] << shift
    }
    if let access = operation.access {
      for chunk in operation.aChunks + operation.bChunks { access.end(.read, at: .shared(block, chunk), 16) }
    }
    operation.hasLanded = true
  }

  /// Goes through the accumulators of four warps: the word, the bits to shift by, the mask, and the place by rows.
  @inline(__always)
  private static func forEachElement(
    _ form: Form, _ warps: [Warp], _ body: (UnsafeMutablePointer<UInt32>, UInt32, UInt32, Int) -> Void
  ) {
    let perRegister = form.product.accumulator.perRegister
    let mask: UInt32 = perRegister == 2 ? 0xFFFF : .max
    for (index, warp) in warps.enumerated() {
      for (r, register) in form.d.enumerated() {
        let words = warp.words(register)
        for i in 0..<perRegister {
          for lane in 0..<32 {
            let place = MatrixFragment.accumulator(lane: lane, r * perRegister + i)
            body(words + lane, UInt32(i * 16), mask, (16 * index + place.row) * form.n + place.column)
          }
        }
      }
    }
  }

  // MARK: Forms

  private static func form(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError)
    -> Form
  {
    var modifiers = Array(instruction.modifiers.dropFirst(3))
    let saturates = modifiers.contains("satfinite")
    modifiers.removeAll { $0 == "satfinite" }
    guard modifiers.count == 4, let shape = MMAInstructions.shape(modifiers[0]),
      let d = MatrixAccumulator(rawValue: modifiers[1]), let a = MatrixElement(rawValue: modifiers[2]),
      let b = MatrixElement(rawValue: modifiers[3])
    else { throw context.unsupported("the form is wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16") }
    try requireTypes(instruction, shape, d, a, b, saturates, context)
    var operands = instruction.operands[...]
    func next(_ what: String) throws(EmulatorError) -> PTXOperand {
      guard let operand = operands.popFirst() else {
        throw context.unsupported("\(what) is missing in \(instruction.name)")
      }
      return operand
    }
    func literal(_ what: String, _ allowed: [Int64]) throws(EmulatorError) -> Int64 {
      guard case .integer(let value) = try next(what), allowed.contains(value) else {
        throw context.unsupported("\(what) is one of \(allowed), as a number")
      }
      return value
    }
    let dRegisters = try MMAInstructions.vector(
      &context, try next("D"), shape.n / 2 / d.perRegister, d.register, isDestination: true)
    let left = try next("A")
    var aRegisters: [Register]?
    var aDescriptor: Register?
    if case .vector = left {
      aRegisters = try MMAInstructions.vector(&context, left, 4, .b32)
    } else {
      aDescriptor = try context.source(left, .b64)
    }
    let right = try next("B's descriptor")
    let bDescriptor = try context.source(right, .b64)
    let scale = try next("scale-d")
    var form = Form(
      name: modifiers.joined(separator: "."), n: shape.n, depth: shape.k,
      product: MatrixProduct(element: (a, b), accumulator: d, saturates: saturates, chip: context.chip.generation),
      d: dRegisters, a: aRegisters, aDescriptor: aDescriptor, bDescriptor: bDescriptor,
      scale: try context.predicate(scale))
    if !a.isInteger {
      form.negatesA = try literal("imm-scale-a", [1, -1]) == -1
      form.negatesB = try literal("imm-scale-b", [1, -1]) == -1
    }
    if a.bits == 16 {
      if aRegisters == nil { form.isATransposed = try literal("imm-trans-a", [0, 1]) == 1 }
      form.isBTransposed = try literal("imm-trans-b", [0, 1]) == 1
    }
    guard operands.isEmpty else {
      throw context.unsupported(
        "\(instruction.name) has operands that the form does not take: \(operands.map(\.description))")
    }
    let names = Set(form.registers.map(\.index))
    guard names.count == form.registers.count else {
      throw context.unsupported("a register stands twice among the accumulators and A")
    }
    return form
  }

  private static func requireTypes(
    _ instruction: PTXInstruction, _ shape: (m: Int, n: Int, k: Int), _ d: MatrixAccumulator, _ a: MatrixElement,
    _ b: MatrixElement, _ saturates: Bool, _ context: DecodingContext
  ) throws(EmulatorError) {
    let (fits, accumulators): (Bool, [MatrixAccumulator])
    switch a {
    case .f16: (fits, accumulators) = (b == a, [.f32, .f16])
    case .bf16, .tf32: (fits, accumulators) = (b == a, [.f32])
    case .e4m3, .e5m2: (fits, accumulators) = (b == .e4m3 || b == .e5m2, [.f32, .f16])
    case .s8, .u8: (fits, accumulators) = (b == .s8 || b == .u8, [.s32])
    default: (fits, accumulators) = (false, [])
    }
    guard fits, accumulators.contains(d), !saturates || d == .s32 else {
      throw context.unsupported("\(instruction.name) is no combination of types that wgmma has")
    }
    guard shape.m == 64, shape.k == 256 / a.bits else {
      throw context.unsupported("wgmma of .\(a.rawValue) is m64nNk\(256 / a.bits)")
    }
    let step = a.isInteger && shape.n > 32 ? 16 : 8
    guard (8...256).contains(shape.n), shape.n % step == 0 else {
      throw context.unsupported(
        "wgmma has N of 8 to 256 by 8\(a.isInteger ? ", from 32 on by 16 for integers" : ""), not \(shape.n)")
    }
  }
}
