// What instructions for asynchronous work have in common: addresses of lanes, objects in shared memory, orders and
// scopes.

internal import KernelLanguage

/// The address operand of an object in memory, and how it is meant.
struct ObjectOperand {
  let operand: AddressOperand
  /// A generic address, rather than one in `.shared`.
  let isGeneric: Bool

  /// Decodes `[%r+8]` of an instruction whose state space has been taken.
  init(_ operand: PTXOperand, isGeneric: Bool, _ context: inout DecodingContext) throws(EmulatorError) {
    self.operand = try context.address(operand)
    self.isGeneric = isGeneric
  }

  init(_ operand: AddressOperand, isGeneric: Bool) { (self.operand, self.isGeneric) = (operand, isGeneric) }

  /// The address that a lane gives; the base must be readable.
  @inline(__always)
  func address(_ warp: Warp, _ lane: Int) -> UInt64 {
    let base =
      operand.base.width == .long ? warp.longs(operand.base)[lane] : UInt64(warp.words(operand.base)[lane])
    return base &+ UInt64(bitPattern: operand.offset)
  }

  /// The block and the place in its shared memory of `count` bytes, which lie at a multiple of `alignment`.
  func shared(
    _ warp: Warp, _ lane: Int, _ count: Int, alignment: Int, of what: String
  ) throws(EmulatorError) -> (block: ThreadBlock, offset: Int) {
    var address = address(warp, lane)
    if isGeneric {
      let (space, inside) = AddressMap.resolve(address)
      guard space == .shared else {
        throw EmulatorError(
          .outOfBounds, lane: lane,
          "0x\(String(address, radix: 16)) is no address in shared memory, where \(what) is: convert it with "
            + "cvta.shared, or name the state space .shared::cta")
      }
      address = inside
    }
    address &= 0xFFFF_FFFF
    let block = try warp.block.resolve(shared: address, count, lane: lane).block
    let offset = Int(address & UInt64(AddressMap.offsetMask))
    guard offset % alignment == 0 else {
      throw EmulatorError(
        .misaligned, lane: lane,
        "\(what) at shared address 0x\(String(address, radix: 16)) must be at a multiple of \(alignment): declare it "
          + "with "
          + ".align \(alignment), or round its address up")
    }
    return (block, offset)
  }

  /// A place in global memory.
  func global(
    _ warp: Warp, _ lane: Int, alignment: Int, of what: String
  ) throws(EmulatorError) -> UInt64 {
    let address = address(warp, lane)
    guard address % UInt64(alignment) == 0 else {
      throw EmulatorError(
        .misaligned, lane: lane,
        "\(what) at global address 0x\(String(address, radix: 16)) must be at a multiple of \(alignment)")
    }
    return address
  }
}

extension ObjectOperand {
  /// The mbarrier that a lane names, initialised and visible to these lanes.
  func barrier(_ warp: Warp, _ lane: Int, asynchronously: Bool = false) throws(EmulatorError) -> BarrierObject {
    let (block, offset) = try shared(warp, lane, 8, alignment: 8, of: "an mbarrier")
    guard let barrier = block.memoryBarriers[offset] else {
      throw EmulatorError(
        .barrier, lane: lane,
        "there is no mbarrier at shared 0x\(String(offset, radix: 16)) of block \(block.name): initialise it with "
          + "mbarrier.init "
          + "before it is used")
    }
    try barrier.requireVisible(to: warp, 1 << LaneMask(lane), asynchronously: asynchronously)
    return barrier
  }
}

extension Warp {
  /// The value of a register of 32 bits in a lane, or of 64.
  @inline(__always)
  func value(_ register: Register, _ lane: Int) -> Int {
    register.width == .long ? Int(truncatingIfNeeded: longs(register)[lane]) : Int(words(register)[lane])
  }
}

extension Modifiers {
  /// `.release`, `.acquire`, `.relaxed`, …; nil: none.
  mutating func takeOrder() -> MemoryAccess.Order? {
    switch take(oneOf: ["release", "acquire", "relaxed", "acq_rel", "weak"]) {
    case "release": .release
    case "acquire": .acquire
    case "relaxed": .relaxed
    case "acq_rel": .acquireRelease
    case "weak": .weak
    default: nil
    }
  }

  /// `.cta`, `.cluster`, `.gpu`, `.sys`; nil: none.
  mutating func takeScope() -> MemoryAccess.Scope? {
    switch take(oneOf: ["cta", "cluster", "gpu", "sys"]) {
    case "cta": .cta
    case "cluster": .cluster
    case "gpu": .gpu
    case "sys": .system
    default: nil
    }
  }

  /// The state space of an object in shared memory: `.shared`, `.shared::cta`, `.shared::cluster`, or none for a
  /// generic address.
  mutating func takeSharedSpace() -> String? { take(oneOf: ["shared", "shared::cta", "shared::cluster"]) }
}
