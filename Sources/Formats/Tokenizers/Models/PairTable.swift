// A map from a pair of tokens to 64 bits: the rank and result of a merge, or an index while training.
//
// Open addressing with linear probing, at most half full, keys and values side by side so that a look-up touches one
// cache line. No removal.

/// A growing hash map keyed by pairs of non-negative tokens.
struct PairTable: ~Copyable {
  private struct Slot {
    var key: UInt64
    var value: UInt64
  }

  private static let free = UInt64.max
  private var slots: UnsafeMutablePointer<Slot>
  private var mask: Int
  private(set) var count = 0

  init(minimumCapacity: Int) {
    var capacity = 1024
    while capacity < minimumCapacity * 2 { capacity *= 2 }
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: Slot(key: Self.free, value: 0), count: capacity)
    mask = capacity - 1
  }

  deinit { slots.deallocate() }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func slot(_ key: UInt64) -> UnsafeMutablePointer<Slot> {
    var position = Int(truncatingIfNeeded: Hashing.fold(key, 0x8EBC_6AF0_9C88_C6E3)) & mask
    while true {
      let slot = slots + position
      if slot.pointee.key == key || slot.pointee.key == Self.free { return slot }
      position = (position + 1) & mask
    }
  }

  /// The value of a pair, or nil.
  @inline(__always)
  subscript(_ left: Int32, _ right: Int32) -> UInt64? {
    let key = Self.key(left, right)
    let slot = slot(key)
    return slot.pointee.key == key ? slot.pointee.value : nil
  }

  /// Adds a pair unless it is there; returns the value that it has now.
  mutating func insert(_ left: Int32, _ right: Int32, _ value: @autoclosure () -> UInt64) -> UInt64 {
    if count * 2 > mask { grow() }
    let key = Self.key(left, right)
    let slot = slot(key)
    if slot.pointee.key != key {
      slot.pointee = Slot(key: key, value: value())
      count += 1
    }
    return slot.pointee.value
  }

  /// Gives a pair a value, whether it has one or not.
  mutating func set(_ left: Int32, _ right: Int32, _ value: UInt64) {
    _ = insert(left, right, value)
    slot(Self.key(left, right)).pointee.value = value
  }

  private mutating func grow() {
    let old = slots
    let oldCapacity = mask + 1
    slots = .allocate(capacity: oldCapacity * 2)
    slots.initialize(repeating: Slot(key: Self.free, value: 0), count: oldCapacity * 2)
    mask = oldCapacity * 2 - 1
    for position in 0..<oldCapacity where old[position].key != Self.free {
      slot(old[position].key).pointee = old[position]
    }
    old.deallocate()
  }
}
