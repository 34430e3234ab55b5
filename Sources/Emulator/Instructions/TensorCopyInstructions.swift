// Copies of boxes of tensors: `cp.async.bulk.tensor` with 1 to 5 axes, tiled or by listed rows,
// `cp.reduce.async.bulk.tensor`, `cp.async.bulk.prefetch.tensor`, `prefetch.tensormap`.
//
// PTX ISA 9.1, "Tensor copy"; `.im2col` forms are refused.

internal import KernelLanguage

enum TensorCopyInstructions {
  static let decoders: [String: Decoder] = ["prefetch.tensormap": prefetchMap]

  /// What stands in all forms.
  private struct Form {
    var map: AddressOperand
    var coordinates: [Register]
    var rank: Int
    /// Rows are listed one by one.
    var isListed: Bool

    func require(_ warp: Warp, _ lanes: LaneMask) throws(EmulatorError) {
      try warp.requireReadable(map.base, lanes)
      for register in coordinates { try warp.requireReadable(register, lanes) }
    }

    /// The box that a lane names.
    func box(_ warp: Warp, _ lane: Int) throws(EmulatorError) -> TensorBox {
      let map = try TensorMapMemory.map(warp, lane, ObjectOperand(map, isGeneric: true).address(warp, lane))
      guard map.dimensions.count == rank else {
        throw EmulatorError(
          .tensorMap, lane: lane,
          "the tensor map has \(map.dimensions.count) axes, the instruction is for \(rank): use "
            + ".\(map.dimensions.count)d, or "
            + "another map")
      }
      guard map.elementStrides[0] == 1 else {
        throw EmulatorError(
          .tensorMap, lane: lane,
          "the map's step along the innermost axis is \(map.elementStrides[0]), which the hardware ignores: make it 1")
      }
      let place = coordinates.map { Int(Int32(truncatingIfNeeded: warp.value($0, lane))) }
      guard isListed else { return TensorBox(map, at: place) }
      guard map.box[1] == 1, map.elementStrides[1] == 1 else {
        throw EmulatorError(
          .tensorMap, lane: lane, "four rows are listed one by one: the map's box must have one row, not \(map.box[1])")
      }
      return TensorBox(map, column: place[0], rows: Array(place[1...]))
    }
  }

  static func copy(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    for name in ["async", "bulk", "tensor"] { _ = modifiers.take(name) }
    guard let rank = modifiers.take(oneOf: ["1d", "2d", "3d", "4d", "5d"]).map({ Int($0.dropLast())! }) else {
      throw modifiers.unknownForm()
    }
    let listing = modifiers.take(oneOf: ["tile::gather4", "tile::scatter4"])
    if listing == nil { _ = modifiers.take("tile") }
    guard !instruction.modifiers.contains(where: { $0.hasPrefix("im2col") }) else {
      throw context.unsupported("the emulator has no im2col copies: make the tensor's map tiled")
    }
    guard listing == nil || rank == 2 else { throw modifiers.unknownForm() }
    let hasPolicy = modifiers.take("L2::cache_hint")
    let reduces = modifiers.take("reduce")
    if modifiers.take("prefetch") {
      guard modifiers.take("L2"), modifiers.take("global") else { throw modifiers.unknownForm() }
      try modifiers.finish()
      let form = try form(&context, instruction.operands.first, rank, isListed: listing != nil)
      return { warp, lanes throws(EmulatorError) in
        try form.require(warp, lanes)
        try BulkCopyInstructions.eachLane(lanes) { lane throws(EmulatorError) in _ = try form.box(warp, lane) }
        return .next
      }
    }
    var operands = instruction.operands
    if hasPolicy, let policy = operands.popLast() { _ = try context.source(policy, .b64) }
    let route = instruction.modifiers.filter { ["global", "shared::cta", "shared::cluster"].contains($0) }
    for space in route { _ = modifiers.take(space) }
    if route == ["global", "shared::cta"] {
      guard modifiers.take("bulk_group"), listing != "tile::gather4", operands.count == 2 else {
        throw modifiers.unknownForm()
      }
      var operation: BulkReduction.Operation?
      if reduces {
        guard let name = modifiers.take(oneOf: BulkReduction.Operation.allCases.map(\.rawValue)) else {
          throw modifiers.unknownForm()
        }
        operation = BulkReduction.Operation(rawValue: name)
      }
      try modifiers.finish()
      let form = try form(&context, operands[0], rank, isListed: listing != nil)
      return store(form, ObjectOperand(try context.address(operands[1]), isGeneric: false), operation)
    }
    let isMulticast = modifiers.take("multicast::cluster")
    let group = modifiers.take(oneOf: ["cta_group::1", "cta_group::2"])
    guard !reduces, modifiers.take("mbarrier::complete_tx::bytes"), listing != "tile::scatter4",
      route == ["shared::cluster", "global"] || route == ["shared::cta", "global"] && !isMulticast
    else { throw modifiers.unknownForm() }
    try modifiers.finish()
    let mask =
      try isMulticast
      ? operands.popLast().map { operand throws(EmulatorError) in try context.source(operand, .u16) } : nil
    guard operands.count == 3 else { throw modifiers.unknownForm() }
    let form = try form(&context, operands[1], rank, isListed: listing != nil)
    return load(
      form, target: ObjectOperand(try context.address(operands[0]), isGeneric: false),
      barrier: ObjectOperand(try context.address(operands[2]), isGeneric: false), mask: mask,
      pairs: group == "cta_group::2")
  }

  /// `[map, {c0, c1, …}]`
  private static func form(
    _ context: inout DecodingContext, _ operand: PTXOperand?, _ rank: Int, isListed: Bool
  ) throws(EmulatorError) -> Form {
    guard case .address(let base, let offset, let coordinates)? = operand, coordinates.count == (isListed ? 5 : rank)
    else {
      throw context.unsupported(
        "a copy of \(rank) axes names [map, "
          + "{\(isListed ? "column, row, row, row, row" : "one coordinate for each axis")}]"
      )
    }
    let map = try context.address(base, offset: offset)
    var registers: [Register] = []
    for coordinate in coordinates { registers.append(try context.source(coordinate, .s32)) }
    return Form(map: map, coordinates: registers, rank: rank, isListed: isListed)
  }

  private static func load(
    _ form: Form, target: ObjectOperand, barrier: ObjectOperand, mask: Register?, pairs: Bool
  ) -> Step {
    { warp, lanes throws(EmulatorError) in
      try form.require(warp, lanes)
      try warp.requireReadable(target.operand.base, lanes)
      try warp.requireReadable(barrier.operand.base, lanes)
      if let mask { try warp.requireReadable(mask, lanes) }
      try BulkCopyInstructions.eachLane(lanes) { lane throws(EmulatorError) in
        let box = try form.box(warp, lane)
        let (block, offset) = try target.shared(warp, lane, box.bytes, alignment: 16, of: "the target of a tensor copy")
        let told = try barrier.barrier(warp, lane, asynchronously: true)
        let blocks = try BulkTargets.blocks(
          warp, lane, target: block, barrier: told, mask: mask.map { warp.value($0, lane) }, pairs: pairs)
        for (block, barrier) in blocks {
          try TensorTransfer(warp, lane, box, block, offset).load(telling: barrier)
        }
      }
      return .next
    }
  }

  private static func store(_ form: Form, _ source: ObjectOperand, _ operation: BulkReduction.Operation?) -> Step {
    { warp, lanes throws(EmulatorError) in
      try form.require(warp, lanes)
      try warp.requireReadable(source.operand.base, lanes)
      try BulkCopyInstructions.eachLane(lanes) { lane throws(EmulatorError) in
        let box = try form.box(warp, lane)
        let (block, offset) = try source.shared(warp, lane, box.bytes, alignment: 16, of: "the source of a tensor copy")
        guard block === warp.block else {
          throw EmulatorError(
            .outOfBounds, lane: lane, "a tensor copy to global memory reads the block's own shared memory only")
        }
        var reduction: BulkReduction?
        if let operation {
          reduction = BulkReduction(operation, box.map.element)
          guard reduction != nil else {
            throw EmulatorError(
              .tensorMap, lane: lane,
              "elements of type \(box.map.element) cannot be reduced with .\(operation.rawValue)")
          }
        }
        try TensorTransfer(warp, lane, box, block, offset).store(reduction)
      }
      return .next
    }
  }

  /// `prefetch{.param}.tensormap [map]`: a hint.
  static func prefetchMap(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    context.cost.unit = .asynchronousCopy
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("tensormap")
    let space = modifiers.take(oneOf: ["param", "const"])
    try modifiers.finish()
    try context.requireOperands(instruction, 1...1)
    let address = try context.address(instruction.operands[0])
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(address.base, lanes)
      try BulkCopyInstructions.eachLane(lanes) { lane throws(EmulatorError) in
        let place = ObjectOperand(address, isGeneric: true).address(warp, lane)
        _ = try TensorMapMemory.map(warp, lane, space == "param" ? place | AddressMap.param : place)
      }
      return .next
    }
  }
}
