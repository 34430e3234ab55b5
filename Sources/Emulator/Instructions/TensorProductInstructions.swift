// Products and copies of sm_100 that one thread issues: `tcgen05.mma`, `tcgen05.cp`, and `tcgen05.commit`, which tells an mbarrier that
// they are done.
//
// All are asynchronous and land in the order of their issue. Not here: sparse products, `.ashift` and `tcgen05.shift`, whose
// direction PTX leaves to a picture, and codes of 4 bits in bytes of tensor memory, whose place in the byte it does.
//
// PTX ISA 9.0, "tcgen05.mma", "tcgen05.mma.ws", "tcgen05.cp", "tcgen05.commit".

internal import KernelLanguage

enum TensorProductInstructions {
  static let decoders: [String: Decoder] = [
    "tcgen05.mma": multiply, "tcgen05.cp": copy, "tcgen05.commit": commit,
  ]

  /// Calls `body` with each lane of a mask: each issues an instruction of its own.
  @inline(__always)
  private static func forEach(_ lanes: LaneMask, _ body: (Int) throws(EmulatorError) -> Void) throws(EmulatorError) {
    var rest = lanes
    while rest != 0 {
      try body(rest.trailingZeroBitCount)
      rest &= rest - 1
    }
  }

  private static func tensorAddress(
    _ address: AddressOperand, _ warp: Warp, _ lane: Int
  ) throws(EmulatorError) -> (lane: Int, column: Int) {
    let bits = try warp.read(address.base, 1 << LaneMask(lane))[lane] &+ UInt32(truncatingIfNeeded: address.offset)
    return (Int(bits >> 16), Int(bits & 0xFFFF))
  }

  // MARK: Products

  /// The operands of a product in the text.
  private struct Form {
    var kind: TensorKind
    var group: Int
    var isWeightStationary: Bool
    /// Scales along K; 0: none.
    var scaleCount = 0
    var d: AddressOperand
    var aTensor: AddressOperand?
    var aDescriptor: Register?
    var b: Register
    var descriptor: Register
    var scales: (a: AddressOperand, b: AddressOperand)?
    var disabled: [Register] = []
    var accumulates: Predicate
    var shift = 0
  }

  static func multiply(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    let form = try form(&context, instruction)
    context.cost.unit = .tensor
    return { warp, lanes throws(EmulatorError) in
      try forEach(lanes) { lane throws(EmulatorError) in
        let product = try product(form, warp, lane)
        try issue(product, warp, lane)
      }
      return .next
    }
  }

  /// The product that a lane issues.
  private static func product(_ form: Form, _ warp: Warp, _ lane: Int) throws(EmulatorError) -> TensorProduct {
    let mask: LaneMask = 1 << LaneMask(lane)
    try warp.block.tensor.require(group: form.group)
    let descriptor = try TensorInstructionDescriptor(
      try warp.read(form.descriptor, mask)[lane], form.kind, group: form.group,
      isWeightStationary: form.isWeightStationary)
    let d = try tensorAddress(form.d, warp, lane)
    let isHalf = !form.isWeightStationary && form.group == 1 && descriptor.m == 64
    guard d.lane == 0 || isHalf && d.lane == 16 else {
      throw EmulatorError(
        .tensorMemory, lane: lane,
        "D begins at lane \(d.lane) of tensor memory: with M = \(descriptor.m) it begins at lane 0\(isHalf ? " or 16" : "")"
      )
    }
    let b = try SharedMatrix(tcgen05: try warp.readLong(form.b, mask)[lane], isLineMajor: descriptor.isBTransposed)
    try require(b, descriptor.b, "B")
    let a: TensorProduct.Operand
    if let address = form.aTensor {
      let place = try tensorAddress(address, warp, lane)
      guard place.lane == d.lane else {
        throw EmulatorError(
          .tensorMemory, lane: lane,
          "A begins at lane \(place.lane) of tensor memory, and D at lane \(d.lane): both begin at the same")
      }
      guard !descriptor.isATransposed else {
        throw EmulatorError(
          .descriptor, lane: lane, "A in tensor memory cannot be transposed: clear bit 15 of the descriptor")
      }
      guard descriptor.a != .e2m1 || form.kind.isDenseFour, !form.isWeightStationary || descriptor.m == 128 else {
        throw EmulatorError(
          .unsupported, lane: lane,
          "the emulator does not know where A of this type or shape lies in tensor memory: put it into shared memory")
      }
      a = .tensor(lane: place.lane, column: place.column)
    } else {
      let matrix = try SharedMatrix(
        tcgen05: try warp.readLong(form.aDescriptor!, mask)[lane], isLineMajor: descriptor.isATransposed)
      try require(matrix, descriptor.a, "A")
      a = .shared(matrix)
    }
    var product = TensorProduct(
      kind: form.kind, descriptor: descriptor, isWeightStationary: form.isWeightStationary,
      blocks: try warp.block.tensor.blocks(group: form.group), d: d, a: a, b: b,
      accumulates: try warp.read(form.accumulates, mask) != 0, shift: form.shift)
    if let scales = form.scales {
      let (first, second) = (try tensorAddress(scales.a, warp, lane), try tensorAddress(scales.b, warp, lane))
      guard first.lane == 0, second.lane == 0 else {
        throw EmulatorError(.tensorMemory, lane: lane, "scales begin at lane 0 of tensor memory")
      }
      guard descriptor.aScale % form.scaleCount == 0, descriptor.bScale % form.scaleCount == 0 else {
        throw EmulatorError(
          .descriptor, lane: lane,
          "the scale identifiers \(descriptor.aScale) and \(descriptor.bScale) do not fit \(form.scaleCount) scales along K: they are "
            + "multiples of \(form.scaleCount)")
      }
      guard descriptor.scalesArePowers || form.scaleCount == 4 else {
        throw EmulatorError(.descriptor, lane: lane, "scales of ue4m3 are for blocks of 16: .scale_vec::4X or .block16")
      }
      product.scales = TensorProduct.Scales(a: first.column, b: second.column, count: form.scaleCount)
    }
    for register in form.disabled { product.disabled.append(try warp.read(register, mask)[lane]) }
    return product
  }

  /// Throws unless the swizzle fits the type and the order.
  private static func require(
    _ matrix: SharedMatrix, _ element: MatrixElement, _ name: String
  ) throws(EmulatorError) {
    let isWide = matrix.pattern == .bytes128Atoms32
    guard matrix.isLineMajor ? isWide == (element == .tf32) : true else {
      throw EmulatorError(
        .descriptor,
        "\(name) is transposed with \(isWide ? "atoms of 32 bytes" : "swizzle \(matrix.pattern)"): tf32 has atoms of 32 bytes then (1), "
          + "other types have not")
    }
    guard !matrix.isLineMajor || element.bits >= 8 else {
      throw EmulatorError(.descriptor, "\(name) of 4 bits cannot be transposed")
    }
  }

  private static func issue(_ product: TensorProduct, _ warp: Warp, _ lane: Int) throws(EmulatorError) {
    let launch = warp.launch
    let rate: Chip.TensorRate = product.kind.isDenseFour ? .fp4 : MMAInstructions.rate(product.descriptor.a)
    launch.tensorOperations[rate, default: 0] += Double(
      2 * product.descriptor.m * product.descriptor.n * product.kind.depth)
    let (accumulators, sources) = (product.accumulators, product.sources)
    for block in product.blocks {
      for rectangle in accumulators + sources { try block.tensor.memory.require(rectangle, of: block) }
    }
    let operation = TensorOperation(
      product.pipeline, reads: sources, writes: accumulators, by: warp, actor: warp.tensor.products)
    let reads = product.reads()
    try begin(operation, on: product.blocks, reads, warp, lane) { () throws(EmulatorError) in try product.land() }
  }

  /// Puts an operation into the log of the blocks' tensor memory, tells the detector of what it reads of shared memory, and lets
  /// it land later.
  private static func begin(
    _ operation: TensorOperation, on blocks: [ThreadBlock], _ reads: [(place: MemoryPlace, count: Int)], _ warp: Warp,
    _ lane: Int, _ land: @escaping () throws(EmulatorError) -> Void
  ) throws(EmulatorError) {
    warp.tensor.lanes = 1 << LaneMask(lane)
    for block in blocks { try block.tensor.memory.begin(operation, by: warp.tensor) }
    let access = warp.tensor.products.flatMap { AsynchronousAccess(by: warp, 1 << LaneMask(lane), actor: $0) }
    for read in reads {
      _ = try read.place.bytes(read.count, on: warp.launch.gpu)
      try access?.begin(.read, at: read.place, read.count, needsData: true)
    }
    warp.tensor.lastProduct = max(operation.time, access?.time ?? 0)
    warp.launch.later(warp, chain: blocks[0].tensor.chain) { () throws(EmulatorError) in
      for block in blocks where block.isFinished {
        throw EmulatorError(
          .exitedPeer,
          "block \(block.name) has exited before this was done: wait for an mbarrier that tcgen05.commit signals before the end"
        )
      }
      try land()
      for read in reads { access?.end(.read, at: read.place, read.count) }
    }
  }

  private static func form(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError)
    -> Form
  {
    try TensorMemoryInstructions.requireChip(context)
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("mma")
    for name in ["sp", "ashift"] where modifiers.take(name) {
      throw context.unsupported("the emulator has no tcgen05.mma with .\(name)")
    }
    let isWeightStationary = modifiers.take("ws")
    let group = try TensorMemoryInstructions.takeGroup(&modifiers)
    guard let name = modifiers.take(oneOf: TensorKind.allCases.map { "kind::\($0.rawValue)" }),
      let kind = TensorKind(rawValue: String(name.dropFirst(6))), modifiers.take("block_scale") == kind.isBlockScaled,
      !isWeightStationary || group == 1 && !kind.isBlockScaled
    else { throw modifiers.unknownForm() }
    let scaleCount = try kind.isBlockScaled ? scaleCount(&modifiers, kind) : 0
    // A hint for the reuse of operands.
    let buffers = isWeightStationary ? ["b0", "b1", "b2", "b3"] : ["a"]
    _ = modifiers.take(
      oneOf: buffers.flatMap { buffer in ["fill", "use", "lastuse", "discard"].map { "collector::\(buffer)::\($0)" } })
    try modifiers.finish()
    var operands = instruction.operands[...]
    func next(_ what: String) throws(EmulatorError) -> PTXOperand {
      guard let operand = operands.popFirst() else {
        throw context.unsupported("\(what) is missing in \(instruction.name)")
      }
      return operand
    }
    let d = try next("D")
    let dAddress = try context.address(d)
    let left = try next("A")
    var aTensor: AddressOperand?
    var aDescriptor: Register?
    if case .address = left {
      aTensor = try context.address(left)
    } else {
      aDescriptor = try context.source(left, .b64)
    }
    let right = try next("B's descriptor")
    let b = try context.source(right, .b64)
    let bits = try next("the instruction descriptor")
    let descriptor = try context.source(bits, .b32)
    var scales: (AddressOperand, AddressOperand)?
    if kind.isBlockScaled {
      let (first, second) = (try next("the scales of A"), try next("the scales of B"))
      scales = (try context.address(first), try context.address(second))
    }
    var disabled: [Register] = []
    if !kind.isBlockScaled, !isWeightStationary, case .vector? = operands.first {
      disabled = try MMAInstructions.vector(&context, try next("lanes"), 4 * group, .b32)
    }
    let enable = try next("enable-input-d")
    var form = Form(
      kind: kind, group: group, isWeightStationary: isWeightStationary, scaleCount: scaleCount, d: dAddress,
      aTensor: aTensor, aDescriptor: aDescriptor, b: b, descriptor: descriptor, scales: scales, disabled: disabled,
      accumulates: try context.predicate(enable))
    if let last = operands.popFirst() {
      guard !isWeightStationary, kind == .f16 || kind == .tf32, case .integer(let shift) = last,
        (0...15).contains(shift)
      else {
        throw context.unsupported("\(last) stands where only scale-input-d can, 0 to 15, of .kind::f16 and .kind::tf32")
      }
      form.shift = Int(shift)
    }
    guard operands.isEmpty else { throw context.unsupported("\(instruction.name) has too many operands") }
    return form
  }

  /// Scales along K of one product.
  private static func scaleCount(_ modifiers: inout Modifiers, _ kind: TensorKind) throws(EmulatorError) -> Int {
    let name = modifiers.take(oneOf: ["scale_vec::1X", "scale_vec::2X", "scale_vec::4X", "block16", "block32"])
    switch (kind, name) {
    case (.mxf8f6f4, nil), (.mxf8f6f4, "scale_vec::1X"), (.mxf8f6f4, "block32"): return 1
    case (.mxf4, nil), (.mxf4, "scale_vec::2X"), (.mxf4, "block32"): return 2
    case (.mxf4nvf4, "scale_vec::2X"), (.mxf4nvf4, "block32"): return 2
    case (.mxf4nvf4, "scale_vec::4X"), (.mxf4nvf4, "block16"): return 4
    default: throw modifiers.unknownForm()
    }
  }

  // MARK: Copies

  /// Rows of 16 or 32 bytes, and which quarters of the lanes each 32 of them go to.
  private struct CopyShape {
    var rows: Int
    var chunks: Int
    var quarters: [[Int]]
    /// 16 codes of 6 bits become 16 bytes.
    var unpacks = false
  }

  static func copy(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    try TensorMemoryInstructions.requireChip(context)
    try context.requireOperands(instruction, 2...2)
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("cp")
    let group = try TensorMemoryInstructions.takeGroup(&modifiers)
    let name = modifiers.take(oneOf: ["128x256b", "128x128b", "64x128b", "32x128b"])
    var shape: CopyShape
    switch (name, modifiers.take(oneOf: ["warpx2::02_13", "warpx2::01_23", "warpx4"])) {
    case ("128x256b", nil): shape = CopyShape(rows: 128, chunks: 2, quarters: [[0], [1], [2], [3]])
    case ("128x128b", nil): shape = CopyShape(rows: 128, chunks: 1, quarters: [[0], [1], [2], [3]])
    case ("64x128b", "warpx2::02_13"): shape = CopyShape(rows: 64, chunks: 1, quarters: [[0, 2], [1, 3]])
    case ("64x128b", "warpx2::01_23"): shape = CopyShape(rows: 64, chunks: 1, quarters: [[0, 1], [2, 3]])
    case ("32x128b", "warpx4"): shape = CopyShape(rows: 32, chunks: 1, quarters: [[0, 1, 2, 3]])
    default: throw modifiers.unknownForm()
    }
    if modifiers.take("b8x16") {
      guard modifiers.take("b6x16_p32") else { throw modifiers.unknownForm() }
      shape.unpacks = true
    }
    try modifiers.finish()
    context.cost.unit = .asynchronousCopy
    let target = try context.address(instruction.operands[0])
    let source = try context.source(instruction.operands[1], .b64)
    return { [shape] warp, lanes throws(EmulatorError) in
      try forEach(lanes) { lane throws(EmulatorError) in
        try warp.block.tensor.require(group: group)
        let matrix = try SharedMatrix(
          tcgen05: try warp.readLong(source, 1 << LaneMask(lane))[lane], isLineMajor: false)
        try copy(shape, matrix, to: try tensorAddress(target, warp, lane), group, warp, lane)
      }
      return .next
    }
  }

  private static func copy(
    _ shape: CopyShape, _ matrix: SharedMatrix, to target: (lane: Int, column: Int), _ group: Int, _ warp: Warp,
    _ lane: Int
  ) throws(EmulatorError) {
    guard target.lane == 0 else {
      throw EmulatorError(
        .tensorMemory, lane: lane, "tcgen05.cp to lane \(target.lane) of tensor memory: it begins at lane 0")
    }
    let columns = target.column..<target.column + 4 * shape.chunks
    let rectangle = TensorRectangle(lanes: 0..<128, columns: columns)
    let blocks = try warp.block.tensor.blocks(group: group)
    let count = shape.unpacks ? 12 : 16
    var reads: [(place: MemoryPlace, count: Int)] = []
    for block in blocks {
      try block.tensor.memory.require(rectangle, of: block)
      for row in 0..<shape.rows {
        for chunk in 0..<shape.chunks {
          reads.append((.shared(block, matrix.depthChunk(line: row, chunk: chunk)), count))
        }
      }
    }
    let operation = TensorOperation(.copy, reads: [], writes: [rectangle], by: warp, actor: warp.tensor.products)
    try begin(operation, on: blocks, reads, warp, lane) { () throws(EmulatorError) in
      for block in blocks {
        for row in 0..<shape.rows {
          for chunk in 0..<shape.chunks {
            let address = matrix.depthChunk(line: row, chunk: chunk)
            let words = words(block.shared + address, unpacks: shape.unpacks)
            for quarter in shape.quarters[row / 32] {
              for word in 0..<4 {
                block.tensor.memory.store(words[word], quarter * 32 + row % 32, target.column + 4 * chunk + word)
              }
            }
          }
        }
      }
    }
  }

  private static func words(_ bytes: UnsafeRawPointer, unpacks: Bool) -> [UInt32] {
    guard unpacks else { return (0..<4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self) } }
    let codes = (0..<16).map { index -> UInt32 in
      let first = index * 6 / 8
      let pair =
        UInt32(bytes.load(fromByteOffset: first, as: UInt8.self))
        | UInt32(bytes.load(fromByteOffset: min(first + 1, 11), as: UInt8.self)) << 8
      return (pair >> UInt32(index * 6 % 8)) & 0x3F
    }
    return (0..<4).map { word in (0..<4).reduce(0) { $0 | codes[4 * word + $1] << UInt32(8 * $1) } }
  }

  // MARK: Commits

  static func commit(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    try TensorMemoryInstructions.requireChip(context)
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("commit")
    let group = try TensorMemoryInstructions.takeGroup(&modifiers)
    guard modifiers.take("mbarrier::arrive::one"), modifiers.take("b64") else { throw modifiers.unknownForm() }
    let isGeneric = modifiers.takeSharedSpace() == nil
    let isMulticast = modifiers.take("multicast::cluster")
    try modifiers.finish()
    try context.requireOperands(instruction, isMulticast ? 2...2 : 1...1)
    context.cost.unit = .synchronisation
    let address = try ObjectOperand(instruction.operands[0], isGeneric: isGeneric, &context)
    let targets = isMulticast ? try context.source(instruction.operands[1], .b16) : nil
    return { warp, lanes throws(EmulatorError) in
      try forEach(lanes) { lane throws(EmulatorError) in
        let mask: LaneMask = 1 << LaneMask(lane)
        try warp.block.tensor.require(group: group)
        try warp.requireReadable(address.operand.base, mask)
        let barriers: [BarrierObject]
        if let targets {
          barriers = try multicast(address, try warp.read(targets, mask)[lane] & 0xFFFF, warp, lane)
        } else {
          barriers = [try address.barrier(warp, lane, asynchronously: true)]
        }
        // The products come behind all that this thread has waited for.
        var knowledge = warp.order?.acquired(mask) ?? Knowledge()
        if let actor = warp.tensor.products { knowledge.own.seen.raise(actor, to: warp.tensor.lastProduct) }
        let text = "tcgen05.commit of warp \(warp.index) lane \(lane) of block \(warp.block.name)"
        let chain = try warp.block.tensor.blocks(group: group)[0].tensor.chain
        warp.launch.later(warp, chain: chain) { () throws(EmulatorError) in
          for barrier in barriers { try barrier.arriveAsynchronously(knowledge, from: text) }
        }
      }
      return .next
    }
  }

  /// The mbarriers at the same place in all blocks of a mask.
  private static func multicast(
    _ address: ObjectOperand, _ mask: UInt32, _ warp: Warp, _ lane: Int
  ) throws(EmulatorError) -> [BarrierObject] {
    let (_, offset) = try address.shared(warp, lane, 8, alignment: 8, of: "an mbarrier")
    let blocks = warp.block.cluster.blocks
    guard mask != 0, mask >> UInt32(blocks.count) == 0 else {
      throw EmulatorError(
        .outOfBounds, lane: lane,
        "the mask \(hexadecimal(mask)) names blocks that the cluster of \(blocks.count) does not have, or none")
    }
    var barriers: [BarrierObject] = []
    for (rank, block) in blocks.enumerated() where mask >> UInt32(rank) & 1 == 1 {
      guard let barrier = block.memoryBarriers[offset] else {
        throw EmulatorError(
          .barrier, lane: lane,
          "there is no mbarrier at shared \(hexadecimal(offset)) of block \(block.name), where tcgen05.commit arrives: initialise it"
        )
      }
      try barrier.requireVisible(to: warp, 1 << LaneMask(lane), asynchronously: true)
      barriers.append(barrier)
    }
    return barriers
  }
}
