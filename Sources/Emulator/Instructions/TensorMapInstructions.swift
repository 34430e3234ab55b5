// Changing tensor maps on the device: `tensormap.replace`, `tensormap.cp_fenceproxy`.
//
// PTX ISA 9.1, `tensormap.replace`, `tensormap.cp_fenceproxy`.

internal import KernelLanguage

enum TensorMapInstructions {
  static let decoders: [String: Decoder] = ["tensormap": tensorMap]

  static func tensorMap(_ context: inout DecodingContext, _ instruction: PTXInstruction) throws(EmulatorError) -> Step {
    context.cost.unit = .memory
    return instruction.modifiers.contains("replace")
      ? try replace(&context, instruction) : try copyAndFence(&context, instruction)
  }

  /// A field of a map, and whether it is one of an axis.
  private enum Field: String, CaseIterable {
    case address = "global_address"
    case rank, box = "box_dim"
    case dimension = "global_dim"
    case stride = "global_stride"
    case step = "element_stride"
    case element = "elemtype"
    case interleave = "interleave_layout"
    case swizzle = "swizzle_mode"
    case fill = "fill_mode"

    var hasAxis: Bool { [.box, .dimension, .stride, .step].contains(self) }
  }

  /// `tensormap.replace.tile.global_address.shared::cta.b1024.b64 [map], value`, with the axis before the value where
  /// there is one.
  private static func replace(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    _ = modifiers.take("replace")
    guard modifiers.take("tile"), let name = modifiers.take(oneOf: Field.allCases.map(\.rawValue)),
      modifiers.take("b1024"), let field = Field(rawValue: name)
    else { throw modifiers.unknownForm() }
    let type = try modifiers.takeType()
    let space = modifiers.take(oneOf: ["global", "shared::cta"])
    try modifiers.finish()
    guard type == (field == .address || field == .stride ? .b64 : .b32) else { throw modifiers.unknownForm() }
    try context.requireOperands(instruction, field.hasAxis ? 3...3 : 2...2)
    let map = try ObjectOperand(instruction.operands[0], isGeneric: space == nil, &context)
    let axis = field.hasAxis ? try context.literal(instruction.operands[1]) : 0
    guard axis < (field == .stride ? 4 : 5) else { throw context.unsupported("a tensor map has no axis \(axis)") }
    let value = try context.source(instruction.operands.last!, type)
    return { warp, lanes throws(EmulatorError) in
      try warp.requireReadable(map.operand.base, lanes)
      try warp.requireReadable(value, lanes)
      try BulkCopyInstructions.eachLane(lanes) { lane throws(EmulatorError) in
        let place = try place(map, isShared: space == "shared::cta", warp, lane)
        let bytes = try place.bytes(TensorMap.encodedBytes, on: warp.launch.gpu)
        try access(.read, place, warp, lane)
        try access(.write, place, warp, lane)
        guard
          var known = TensorMap(encoded: UnsafeRawBufferPointer(start: bytes, count: TensorMap.encodedBytes))
        else {
          throw EmulatorError(
            .tensorMap, lane: lane,
            "there is no tensor map at \(place.description(on: warp.launch.gpu)): copy one there that the host has made"
          )
        }
        guard change(&known, field, axis, warp.value(value, lane)) else {
          throw EmulatorError(
            .tensorMap, lane: lane, "\(warp.value(value, lane)) is no value for .\(field.rawValue) of a tensor map")
        }
        bytes.copyMemory(from: known.encoded, byteCount: TensorMap.encodedBytes)
      }
      return .next
    }
  }

  private static func place(
    _ object: ObjectOperand, isShared: Bool, _ warp: Warp, _ lane: Int
  ) throws(EmulatorError) -> MemoryPlace {
    let address = object.address(warp, lane)
    guard isShared || object.isGeneric && AddressMap.resolve(address).space == .shared else {
      return .global(try object.global(warp, lane, alignment: 64, of: "a tensor map"))
    }
    let (block, offset) = try object.shared(warp, lane, TensorMap.encodedBytes, alignment: 64, of: "a tensor map")
    return .shared(block, offset)
  }

  /// Tells the detector of an access of a lane to all of a map.
  private static func access(
    _ kind: MemoryAccess.Kind, _ place: MemoryPlace, _ warp: Warp, _ lane: Int
  ) throws(EmulatorError) {
    guard let observer = warp.launch.detector else { return }
    for start in stride(from: 0, to: TensorMap.encodedBytes, by: 16) {
      let part = place + start
      warp.addresses[lane] =
        part.block.map { UInt64(AddressMap.sharedAddress(rank: $0.rank, offset: Int(part.address))) } ?? part.address
      try observer.access(
        MemoryAccess(space: part.isShared ? .shared : .global, kind: kind, bytes: 16, lanes: 1 << LaneMask(lane)),
        at: warp.addresses, by: warp)
    }
  }

  private static func change(_ map: inout TensorMap, _ field: Field, _ axis: Int, _ value: Int) -> Bool {
    func set(_ list: inout [Int]) -> Bool {
      guard axis < list.count else { return false }
      list[axis] = value
      return true
    }
    switch field {
    case .address: map.address = UInt64(truncatingIfNeeded: value)
    case .rank:
      // The rank is written less 1.
      guard (0...4).contains(value) else { return false }
      func resized(_ list: [Int], _ count: Int) -> [Int] {
        Array((list + [Int](repeating: 1, count: 5)).prefix(count))
      }
      (map.dimensions, map.strides) = (resized(map.dimensions, value + 1), resized(map.strides, value))
      (map.box, map.elementStrides) = (resized(map.box, value + 1), resized(map.elementStrides, value + 1))
    case .box: return set(&map.box)
    case .dimension: return set(&map.dimensions)
    case .stride: return set(&map.strides)
    case .step: return set(&map.elementStrides)
    case .element:
      guard let element = TensorMap.Element(rawValue: value) else { return false }
      map.element = element
    case .interleave: return value == 0
    case .swizzle:
      guard let swizzle = Swizzle(rawValue: value) else { return false }
      map.swizzle = swizzle
    case .fill:
      guard let fill = TensorMap.Fill(rawValue: value) else { return false }
      map.fill = fill
    }
    return true
  }

  /// `tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [target], [source], 128`
  private static func copyAndFence(
    _ context: inout DecodingContext, _ instruction: PTXInstruction
  ) throws(EmulatorError) -> Step {
    var modifiers = Modifiers(instruction)
    for name in ["cp_fenceproxy", "global", "shared::cta", "tensormap::generic", "release", "sync", "aligned"] {
      guard modifiers.take(name) else { throw modifiers.unknownForm() }
    }
    guard modifiers.takeScope() != nil else { throw modifiers.unknownForm() }
    try modifiers.finish()
    try context.requireOperands(instruction, 3...3)
    let target = try ObjectOperand(instruction.operands[0], isGeneric: false, &context)
    let source = try ObjectOperand(instruction.operands[1], isGeneric: false, &context)
    return { warp, lanes throws(EmulatorError) in
      guard warp.isConverged(lanes) else { return warp.blocked(on: .convergence(warp.live)) }
      try warp.requireReadable(target.operand.base, lanes)
      try warp.requireReadable(source.operand.base, lanes)
      let lane = lanes.trailingZeroBitCount
      let from = try place(source, isShared: true, warp, lane)
      let to = try place(target, isShared: false, warp, lane)
      let bytes = try from.bytes(TensorMap.encodedBytes, on: warp.launch.gpu)
      let copy = try to.bytes(TensorMap.encodedBytes, on: warp.launch.gpu)
      warp.order?.synchronise(lanes)
      try access(.read, from, warp, lane)
      try access(.write, to, warp, lane)
      copy.copyMemory(from: bytes, byteCount: TensorMap.encodedBytes)
      warp.order?.synchronise(lanes)
      warp.order?.fence(lanes)
      warp.order?.fenceProxy(lanes)
      return .next
    }
  }
}
