// Registers as the machine sees them: places in a warp's register file.
//
// Invariant: constants, special registers and addresses of variables are registers too, filled when a warp starts; so a source
// operand always is one, and instructions have one form for each type. Readers take only the bits of their type: the upper ones
// of a register of 8 or 16 bits are arbitrary.

internal import KernelLanguage

/// Lanes of a warp, one a bit.
typealias LaneMask = UInt32

/// A register of a decoded kernel.
struct Register: Hashable {
  enum Width: UInt8, Hashable {
    /// A mask of lanes, 4 bytes.
    case predicate
    /// 32 x UInt32, also for 8 and 16 bits.
    case word
    /// 32 x UInt64.
    case long
    /// 32 x 16 bytes.
    case quad

    /// Bytes in the register file.
    var stride: Int {
      switch self {
      case .predicate: 4
      case .word: 128
      case .long: 256
      case .quad: 512
      }
    }

    init(_ type: PTXType) {
      switch type {
      case .pred: self = .predicate
      case .b128: self = .quad
      case .b64, .u64, .s64, .f64: self = .long
      default: self = .word
      }
    }
  }

  /// Of the first lane's value in the register file, in bytes.
  var offset: Int32
  /// Among the registers of the kernel: of its name and state.
  var index: Int32
  var width: Width
  /// Bits that were declared: 1, 8, 16, 32, 64 or 128.
  var bits: UInt8
}

/// A predicate as an operand: `%p` or `!%p`.
struct Predicate {
  var register: Register
  var isNegated: Bool
}

/// What a constant register is filled with when a warp starts.
enum ConstantValue: Hashable {
  case bits(UInt64)
  case predicate(Bool)
  /// `%tid.x`, `%laneid`, …
  case special(String)
  /// Of a variable in the block's shared memory, as an address in `.shared`.
  case shared(Int)
  /// Of what the launch adds to the shared memory, from this alignment on.
  case dynamicShared(alignment: Int)
  /// Of a variable in constant or global memory of the module.
  case module(String)
}

/// An address operand: `[%r+16]`.
struct AddressOperand {
  /// 32 or 64 bits; 32 are extended with zeros.
  var base: Register
  var offset: Int64
}
