// What the lanes of a warp do together.
//
// PTX ISA 9.1, "shfl.sync", "vote.sync", "match.sync", "redux.sync", "elect.sync".

extension KernelBuilder {
  /// Which lane a shuffle reads from.
  public enum Shuffle: String, Sendable {
    /// The lane itself, by number.
    case index = "idx"
    /// So many lanes below, above; at the segment's end the own value.
    case up, down
    /// Lane exclusive-or a mask.
    case butterfly = "bfly"
  }

  /// All lanes of a warp.
  public static let allLanes: Int64 = 0xFFFF_FFFF

  /// The value of another lane; all 32 take part.
  ///
  /// - Parameter width: of the segments in which lanes exchange: 32, 16, 8, 4 or 2.
  public func shuffle<T: RegisterType>(
    _ value: Value<T>, _ kind: Shuffle, _ lane: Value<U32>, width: Int = 32
  ) -> Value<T> {
    if T.registers.bits == .b64 {
      // In two halves.
      let (low, high) = halves(bits(value, as: U64.self))
      return bits(join(shuffle(low, kind, lane, width: width), shuffle(high, kind, lane, width: width)), as: T.self)
    }
    precondition(T.registers.bits == .b32, "a shuffle moves registers of 32 or 64 bits")
    let clamp = (32 - width) << 8 | (kind == .up ? 0 : 31)
    return result(
      T.self, "shfl.sync.\(kind.rawValue).b32", value.operand, lane.operand, .integer(Int64(clamp)),
      .integer(Self.allLanes))
  }

  /// The sum over lanes, in all of them; the order is that of a tree.
  ///
  /// - Parameter width: how many neighbours belong together: 32 are the warp.
  public func warpSum<T: NumberType>(_ value: Value<T>, width: Int = 32) -> Value<T> {
    butterfly(value, width) { $0 + $1 }
  }

  public func warpMaximum<T: NumberType>(_ value: Value<T>, width: Int = 32) -> Value<T> {
    butterfly(value, width) { maximum($0, $1) }
  }

  public func warpMinimum<T: NumberType>(_ value: Value<T>, width: Int = 32) -> Value<T> {
    butterfly(value, width) { minimum($0, $1) }
  }

  /// Combines the values of `width` neighbouring lanes, so that all have the result.
  public func butterfly<T: RegisterType>(
    _ value: Value<T>, _ width: Int = 32, _ combine: (Value<T>, Value<T>) -> Value<T>
  ) -> Value<T> {
    var (value, distance) = (value, width / 2)
    while distance > 0 {
      value = combine(value, shuffle(value, .butterfly, Value(distance)))
      distance /= 2
    }
    return value
  }

  /// A bit for each lane where the predicate holds.
  public func ballot(_ predicate: Value<Predicate>) -> Value<U32> {
    result(U32.self, "vote.sync.ballot.b32", predicate.operand, .integer(Self.allLanes))
  }

  public func any(_ predicate: Value<Predicate>) -> Value<Predicate> {
    result(Predicate.self, "vote.sync.any.pred", predicate.operand, .integer(Self.allLanes))
  }

  public func all(_ predicate: Value<Predicate>) -> Value<Predicate> {
    result(Predicate.self, "vote.sync.all.pred", predicate.operand, .integer(Self.allLanes))
  }

  /// The lanes that have the same value.
  public func matchAny(_ value: Value<U32>) -> Value<U32> {
    result(U32.self, "match.any.sync.b32", value.operand, .integer(Self.allLanes))
  }

  /// Sum, minimum or maximum of whole numbers over the warp in one instruction (`add`, `min`, `max`, `and`, `or`, `xor`).
  public func reduce<T: IntegerType>(_ operation: String, _ value: Value<T>) -> Value<T> {
    let type = ["and", "or", "xor"].contains(operation) ? "b32" : T.type.rawValue
    return result(T.self, "redux.sync.\(operation).\(type)", value.operand, .integer(Self.allLanes))
  }

  /// True in one lane of the warp, always the same one.
  public var elected: Value<Predicate> {
    let predicate = register(Predicate.self)
    emit("elect.sync", .pair(.unused, predicate.operand), .integer(Self.allLanes))
    return predicate
  }

  /// Waits for all lanes of the warp, whose memory accesses are then seen by each other.
  public func synchroniseWarp() { emit("bar.warp.sync", .integer(Self.allLanes)) }
}
