// Lane loops: how an operation on one value becomes a step for 32 lanes.
//
// An operation is a type with a static function, so that the loop is compiled for it and, without divergence, runs on vectors of
// the CPU. All operands are checked before the first lane is written.

internal import KernelLanguage

/// A value of a lane as its register's slot holds it.
protocol LaneValue {
  associatedtype Slot: FixedWidthInteger & UnsignedInteger
  init(slot: Slot)
  var slot: Slot { get }
}

extension LaneValue where Self: FixedWidthInteger, Slot: FixedWidthInteger {
  @inline(__always) init(slot: Slot) { self.init(truncatingIfNeeded: slot) }
  @inline(__always) var slot: Slot { Slot(truncatingIfNeeded: self) }
}

extension UInt8: LaneValue { typealias Slot = UInt32 }
extension Int8: LaneValue { typealias Slot = UInt32 }
extension UInt16: LaneValue { typealias Slot = UInt32 }
extension Int16: LaneValue { typealias Slot = UInt32 }
extension UInt32: LaneValue { typealias Slot = UInt32 }
extension Int32: LaneValue { typealias Slot = UInt32 }
extension UInt64: LaneValue { typealias Slot = UInt64 }
extension Int64: LaneValue { typealias Slot = UInt64 }

extension Float: LaneValue {
  @inline(__always) init(slot: UInt32) { self.init(bitPattern: slot) }
  @inline(__always) var slot: UInt32 { bitPattern }
}

extension Double: LaneValue {
  @inline(__always) init(slot: UInt64) { self.init(bitPattern: slot) }
  @inline(__always) var slot: UInt64 { bitPattern }
}

protocol UnaryOperation {
  associatedtype A: LaneValue
  associatedtype D: LaneValue
  static func apply(_ a: A) -> D
}

protocol BinaryOperation {
  associatedtype A: LaneValue
  associatedtype B: LaneValue
  associatedtype D: LaneValue
  static func apply(_ a: A, _ b: B) -> D
}

protocol TernaryOperation {
  associatedtype A: LaneValue
  associatedtype B: LaneValue
  associatedtype C: LaneValue
  associatedtype D: LaneValue
  static func apply(_ a: A, _ b: B, _ c: C) -> D
}

/// A comparison.
protocol Relation {
  associatedtype A: LaneValue
  static func holds(_ a: A, _ b: A) -> Bool
}

extension Warp {
  /// The 32 slots of a register, to be read in `lanes`.
  @inline(__always)
  func slots<Slot>(
    _ register: Register, as type: Slot.Type, _ lanes: LaneMask
  ) throws(EmulatorError) -> UnsafeMutablePointer<Slot> {
    try requireReadable(register, lanes)
    return (file + Int(register.offset)).assumingMemoryBound(to: Slot.self)
  }

  /// The 32 slots of a register, all of `lanes` to be written.
  @inline(__always)
  func newSlots<Slot>(
    _ register: Register, as type: Slot.Type, _ lanes: LaneMask
  ) throws(EmulatorError) -> UnsafeMutablePointer<Slot> {
    try requireWritable(register, lanes)
    return (file + Int(register.offset)).assumingMemoryBound(to: Slot.self)
  }
}

enum Lanes {
  /// Calls `body` with each lane of a mask; all 32 in a plain loop.
  @inline(__always)
  static func each(_ lanes: LaneMask, _ body: (Int) -> Void) {
    if lanes == .max {
      for lane in 0..<32 { body(lane) }
    } else {
      var rest = lanes
      while rest != 0 {
        body(rest.trailingZeroBitCount)
        rest &= rest &- 1
      }
    }
  }

  /// The mask of lanes for which `body` holds.
  @inline(__always)
  static func mask(_ lanes: LaneMask, _ body: (Int) -> Bool) -> LaneMask {
    var result: LaneMask = 0
    if lanes == .max {
      for lane in 0..<32 { result |= (body(lane) ? 1 : 0) << LaneMask(truncatingIfNeeded: lane) }
    } else {
      each(lanes) { lane in result |= (body(lane) ? 1 : 0) << LaneMask(truncatingIfNeeded: lane) }
    }
    return result
  }

  static func unary<O: UnaryOperation>(_ operation: O.Type, _ d: Register, _ a: Register) -> Step {
    { warp, lanes throws(EmulatorError) in
      let x = try warp.slots(a, as: O.A.Slot.self, lanes)
      let z = try warp.newSlots(d, as: O.D.Slot.self, lanes)
      each(lanes) { z[$0] = O.apply(O.A(slot: x[$0])).slot }
      return .next
    }
  }

  static func binary<O: BinaryOperation>(_ operation: O.Type, _ d: Register, _ a: Register, _ b: Register) -> Step {
    { warp, lanes throws(EmulatorError) in
      let x = try warp.slots(a, as: O.A.Slot.self, lanes)
      let y = try warp.slots(b, as: O.B.Slot.self, lanes)
      let z = try warp.newSlots(d, as: O.D.Slot.self, lanes)
      each(lanes) { z[$0] = O.apply(O.A(slot: x[$0]), O.B(slot: y[$0])).slot }
      return .next
    }
  }

  static func ternary<O: TernaryOperation>(
    _ operation: O.Type, _ d: Register, _ a: Register, _ b: Register, _ c: Register
  ) -> Step {
    { warp, lanes throws(EmulatorError) in
      let x = try warp.slots(a, as: O.A.Slot.self, lanes)
      let y = try warp.slots(b, as: O.B.Slot.self, lanes)
      let w = try warp.slots(c, as: O.C.Slot.self, lanes)
      let z = try warp.newSlots(d, as: O.D.Slot.self, lanes)
      each(lanes) { z[$0] = O.apply(O.A(slot: x[$0]), O.B(slot: y[$0]), O.C(slot: w[$0])).slot }
      return .next
    }
  }
}

// MARK: Decoding

/// The modifiers of an instruction, taken one after the other while it is decoded.
struct Modifiers {
  private var left: [String]
  private let instruction: PTXInstruction

  init(_ instruction: PTXInstruction) { (left, self.instruction) = (instruction.modifiers, instruction) }

  /// Whether it was there; it is gone then.
  mutating func take(_ name: String) -> Bool {
    guard let index = left.firstIndex(of: name) else { return false }
    left.remove(at: index)
    return true
  }

  /// The first of several that is there.
  mutating func take(oneOf names: [String]) -> String? {
    guard let index = left.firstIndex(where: names.contains) else { return nil }
    return left.remove(at: index)
  }

  /// All that begin like this.
  mutating func takeAll(prefix: String) { left.removeAll { $0.hasPrefix(prefix) } }

  /// Types, in order; they are gone then.
  mutating func takeTypes() -> [PTXType] {
    let types = left.compactMap(PTXType.init(rawValue:))
    left.removeAll { PTXType(rawValue: $0) != nil }
    return types
  }

  /// The one type.
  mutating func takeType() throws(EmulatorError) -> PTXType {
    let types = takeTypes()
    guard types.count == 1 else {
      throw EmulatorError(.unsupported, "\(instruction.name) must name one type, not \(types.count)")
    }
    return types[0]
  }

  /// Throws if something is left that nobody took.
  func finish() throws(EmulatorError) {
    guard left.isEmpty else {
      throw EmulatorError(
        .unsupported, "the emulator does not know .\(left[0]) in \(instruction.name): use another form, or add it")
    }
  }

  func unknownForm() -> EmulatorError {
    EmulatorError(.unsupported, "the emulator does not know the form \(instruction.name)")
  }
}
