// One access to one granule of 16 bytes, as the shadow of the memory remembers it.
//
// Invariant: 16 bytes; time 0 is no access.

/// Memory is shadowed by granules of so many bytes, as a power of two.
let granuleShift = 4

/// Which lane touched which byte of a granule, in one byte: bits 0 to 4 are the lane that byte 0 has or would have,
/// bits 5 to 7 say how the others follow.
struct LanePattern: Hashable {
  let bits: UInt8

  /// Lane after lane, each `1 << shift` bytes; `lane` has byte `byte`.
  @inline(__always)
  static func consecutive(_ lane: Int, at byte: Int, shift: Int) -> LanePattern {
    LanePattern(bits: UInt8(truncatingIfNeeded: shift << 5 | (lane - byte >> shift) & 31))
  }
  /// Several lanes touched the same bytes.
  static func shared(first lane: Int) -> LanePattern { LanePattern(bits: UInt8(6 << 5 | lane)) }
  /// Several lanes, in no order that this can say.
  static func irregular(first lane: Int) -> LanePattern { LanePattern(bits: UInt8(7 << 5 | lane)) }

  var isShared: Bool { bits >> 5 == 6 }
  private var isKnown: Bool { bits >> 5 < 6 }

  /// The lane that touched a byte, or the first of those that may have.
  func lane(of byte: Int) -> Int {
    isKnown ? (Int(bits & 31) + byte >> Int(bits >> 5)) & 31 : Int(bits & 31)
  }

  /// Lanes that touched the bytes of a mask, nil if that is not known.
  func lanes(of bytes: UInt16) -> LaneMask? {
    guard isKnown else { return nil }
    var (lanes, rest) = (LaneMask(0), bytes)
    while rest != 0 {
      lanes |= 1 << LaneMask(lane(of: rest.trailingZeroBitCount))
      rest &= rest - 1
    }
    return lanes
  }

  /// Whether some byte of a mask was certainly touched by another lane than that of `other`.
  func differs(from other: LanePattern, on bytes: UInt16) -> Bool {
    if self == other { return isShared }
    if isShared || other.isShared { return true }
    guard isKnown, other.isKnown else { return false }
    var rest = bytes
    while rest != 0 {
      let byte = rest.trailingZeroBitCount
      if lane(of: byte) != other.lane(of: byte) { return true }
      rest &= rest - 1
    }
    return false
  }
}

/// An access that later ones are compared with.
struct AccessRecord {
  struct Flags: OptionSet, Hashable {
    let rawValue: UInt32
    static let write = Flags(rawValue: 1 << 31)
    /// Strong: `atom`, `red`, `ld.relaxed`, …: two of them are never a race.
    static let atomic = Flags(rawValue: 1 << 30)
    /// By the asynchronous proxy: bulk and tensor copies, wgmma, tcgen05.
    static let asynchronous = Flags(rawValue: 1 << 29)
    /// Issued, and not known to be done.
    static let inFlight = Flags(rawValue: 1 << 28)
    static let all: UInt32 = 0xF000_0000
  }

  /// Of the actor's epoch; 0: no access.
  var time: Time
  /// Number of the actor's cluster in the launch.
  var cluster: UInt32
  var actor: UInt16
  /// Of the granule, one a bit.
  var bytes: UInt16
  /// Flags, then 8 bits of lanes, then 20 of the instruction's index.
  private var detail: UInt32

  init(
    time: Time, cluster: UInt32, actor: UInt16, bytes: UInt16, flags: Flags, lanes: LanePattern, pc: Int32
  ) {
    (self.time, self.cluster, self.actor, self.bytes) = (time, cluster, actor, bytes)
    detail = flags.rawValue | UInt32(lanes.bits) << 20 | UInt32(min(pc, (1 << 20) - 1))
  }

  /// Whether an access of the same epoch, kind, lanes and bytes was recorded already: then nothing new can be found.
  @inline(__always)
  func repeats(_ old: AccessRecord) -> Bool {
    time == old.time && actor == old.actor && bytes == old.bytes && cluster == old.cluster
      && detail >> 20 == old.detail >> 20
  }

  var flags: Flags {
    @inline(__always) get { Flags(rawValue: detail & Flags.all) }
    set { detail = detail & ~Flags.all | newValue.rawValue }
  }
  var lanes: LanePattern { LanePattern(bits: UInt8(truncatingIfNeeded: detail >> 20)) }
  /// Of the instruction in its kernel.
  var pc: Int { Int(detail & 0xF_FFFF) }
}
