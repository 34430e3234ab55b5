// The address space: where global, shared, local and parameter memory lie among generic addresses.
//
// Invariant: windows do not overlap, and a shared address names its block: bits 24 up are the block's rank in its cluster, the
// lower ones the byte, so the same number means the same byte in `.shared::cta` and `.shared::cluster`, as on the chip.
//
// PTX ISA 9.1, "State Spaces" and `cvta`.

/// Where an address points.
enum MemorySpace: UInt8, Hashable {
  case global, shared, local, param
}

enum AddressMap {
  /// Global memory begins here.
  static let global: UInt64 = 0x0000_0010_0000_0000
  /// Windows of the other spaces; 32 bits each.
  static let shared: UInt64 = 0x0000_7100_0000_0000
  static let local: UInt64 = 0x0000_7200_0000_0000
  static let param: UInt64 = 0x0000_7300_0000_0000

  static let rankShift: UInt32 = 24
  static let offsetMask: UInt32 = (1 << 24) - 1

  /// The space of a generic address and the address in it.
  @inline(__always)
  static func resolve(_ generic: UInt64) -> (space: MemorySpace, address: UInt64) {
    switch generic >> 32 {
    case shared >> 32: (.shared, generic & 0xFFFF_FFFF)
    case local >> 32: (.local, generic & 0xFFFF_FFFF)
    case param >> 32: (.param, generic & 0xFFFF_FFFF)
    default: (.global, generic)
    }
  }

  /// The window of a space, which `cvta` adds.
  static func window(_ space: MemorySpace) -> UInt64 {
    switch space {
    case .global: 0
    case .shared: shared
    case .local: local
    case .param: param
    }
  }

  /// The address in `.shared` of a byte of the block with this rank.
  @inline(__always)
  static func sharedAddress(rank: Int, offset: Int) -> UInt32 { UInt32(rank) << rankShift | UInt32(offset) }
}
