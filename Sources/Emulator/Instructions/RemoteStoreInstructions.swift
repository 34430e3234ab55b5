// Asynchronous stores and reductions in another block's shared memory: `st.async`, `red.async`.
//
// Each lane's value comes at some later time, and its bytes are told to an mbarrier of the same block.
//
// PTX ISA 9.1, `st.async`, `red.async`.

internal import KernelLanguage

enum RemoteStoreInstructions {
  static let decoders: [String: Decoder] = ["st.async": store, "red.async": store]

  static func store(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .asynchronousCopy
    var modifiers = Modifiers(instruction)
    _ = (modifiers.take("async"), modifiers.takeOrder(), modifiers.takeScope())
    guard modifiers.take("mbarrier::complete_tx::bytes") else { throw modifiers.unknownForm() }
    _ = modifiers.take("shared::cluster")
    let count = modifiers.take("v4") ? 4 : modifiers.take("v2") ? 2 : 1
    var reduction: BulkReduction?
    var operation: BulkReduction.Operation?
    if instruction.opcode == "red" {
      guard let name = modifiers.take(oneOf: BulkReduction.Operation.allCases.map(\.rawValue)) else {
        throw modifiers.unknownForm()
      }
      operation = BulkReduction.Operation(rawValue: name)
    }
    let type = try modifiers.takeType()
    try modifiers.finish()
    try context.requireOperands(instruction, 3...3)
    guard type.size == 4 || type.size == 8, operation == nil || count == 1 else { throw modifiers.unknownForm() }
    if let operation {
      reduction = BulkReduction(operation, type)
      guard reduction != nil else { throw modifiers.unknownForm() }
    }
    let target = ObjectOperand(try context.address(instruction.operands[0]), isGeneric: false)
    let parts = context.parts(instruction.operands[1])
    guard parts.count == count else { throw modifiers.unknownForm() }
    var values: [Register] = []
    for part in parts { values.append(try context.source(part, type)) }
    let barrier = ObjectOperand(try context.address(instruction.operands[2]), isGeneric: false)
    let size = type.size
    return { [values] warp, lanes throws(EmulatorError) in
      try warp.requireReadable(target.operand.base, lanes)
      try warp.requireReadable(barrier.operand.base, lanes)
      for value in values { try warp.requireReadable(value, lanes) }
      try BulkCopyInstructions.eachLane(lanes) { lane throws(EmulatorError) in
        let (block, offset) = try target.shared(
          warp, lane, size * count, alignment: size * count, of: "the target of \(instruction.opcode).async")
        let told = try barrier.barrier(warp, lane, asynchronously: true)
        guard told.block === block else {
          throw EmulatorError(
            .barrier, lane: lane,
            "the value goes to block \(block.name), and must tell an mbarrier of that block, not of block "
              + "\(told.block.name)"
          )
        }
        var bytes: [UInt8] = []
        for value in values {
          let bits = UInt64(truncatingIfNeeded: warp.value(value, lane))
          for byte in 0..<size { bytes.append(UInt8(truncatingIfNeeded: bits >> UInt64(8 * byte))) }
        }
        let place = MemoryPlace.shared(block, offset)
        let kind: MemoryAccess.Kind = reduction == nil ? .write : .atomic
        let access = AsynchronousAccess(by: warp, 1 << LaneMask(lane), actor: told.actor, asynchronousProxy: false)
        try access?.begin(kind, at: place, bytes.count)
        told.issue(bytes.count)
        let gpu = warp.launch.gpu
        warp.launch.later(warp) { [bytes] () throws(EmulatorError) in
          let target = try place.bytes(bytes.count, on: gpu)
          bytes.withUnsafeBytes { Transfer.move($0.baseAddress!, to: target, bytes.count, reduction) }
          access?.end(kind, at: place, bytes.count, time: gpu.detector?.tick())
          try told.land(bytes.count, knowledge: access?.knowledge)
        }
      }
      return .next
    }
  }
}
