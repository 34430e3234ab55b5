// Swizzles: how chunks of 16 bytes change places in shared memory so that neither rows nor columns of a tile meet in a bank.
//
// Invariant: a swizzle is its own inverse, and moves nothing out of its pattern of `span * 8` bytes. It works on the bits of
// the absolute address, so a swizzled tile begins at a multiple of its pattern.
//
// PTX ISA 9.1, "Swizzling modes"; the same function for tensor copies and for matrix descriptors.

/// How chunks of 16 bytes are permuted within rows of `span` bytes.
public enum Swizzle: Int, Hashable, Sendable, CaseIterable {
  case none = 0
  case bytes32, bytes64, bytes128

  /// Bytes of a row of the pattern: what a tensor copy's innermost extent may have at most.
  public var span: Int {
    switch self {
    case .none: 16
    case .bytes32: 32
    case .bytes64: 64
    case .bytes128: 128
    }
  }

  /// Bytes after which the pattern repeats, which is also what a tile's first byte must be a multiple of.
  public var pattern: Int { self == .none ? 16 : span * 8 }

  /// Where the byte lies whose place would be `address` without swizzle.
  public func callAsFunction(_ address: Int) -> Int {
    // 1, 2 or 3 bits from bit 7 on are added to those from bit 4 on.
    address ^ ((address >> 3) & ((1 << (4 + rawValue)) - 16))
  }
}
