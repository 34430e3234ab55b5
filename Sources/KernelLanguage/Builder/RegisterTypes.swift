// The types of registers, as types of Swift: an instruction that PTX does not have for a type does not compile.
//
// Invariant: `type` is what stands behind the dot in instructions on such values; `registers` is how they are declared.
// Floats of 16 bits and packed pairs live in untyped registers, as PTX asks.
//
// PTX ISA 9.1, "Fundamental types".

/// How registers are declared: their width, and whether they hold floats or predicates.
public enum RegisterClass: String, Hashable, Sendable, CaseIterable {
  case pred, b16, b32, b64, b128, f32, f64

  /// What the names of such registers begin with.
  var prefix: String {
    switch self {
    case .pred: "%p"
    case .b16: "%h"
    case .b32: "%r"
    case .b64: "%d"
    case .b128: "%q"
    case .f32: "%f"
    case .f64: "%g"
    }
  }

  /// The untyped type of the same width, for moves and bitwise operations.
  var bits: PTXType {
    switch self {
    case .pred: .pred
    case .b16: .b16
    case .b32, .f32: .b32
    case .b64, .f64: .b64
    case .b128: .b128
    }
  }
}

/// What a register can hold.
public protocol RegisterType: Sendable {
  static var type: PTXType { get }
  static var registers: RegisterClass { get }
}

extension RegisterType {
  /// The type of moves and selections: floats have their own registers.
  static var movedType: PTXType { registers == .f32 || registers == .f64 ? type : registers.bits }
}

/// Bitwise operations.
public protocol BitsType: RegisterType {}
/// Sums, products, comparisons.
public protocol NumberType: RegisterType {
  /// A number as an operand.
  static func literal(_ number: Double) -> PTXOperand
}
/// Whole numbers: shifts and remainders too.
public protocol IntegerType: NumberType, BitsType {
  static func literal(_ number: Int64) -> PTXOperand
}
/// Floats with arithmetic of their own: one rounding each.
public protocol FloatType: NumberType {}

extension IntegerType {
  public static func literal(_ number: Int64) -> PTXOperand { .integer(number) }
  public static func literal(_ number: Double) -> PTXOperand { .integer(Int64(number)) }
}

public enum U16: IntegerType {
  public static let (type, registers) = (PTXType.u16, RegisterClass.b16)
}
public enum S16: IntegerType {
  public static let (type, registers) = (PTXType.s16, RegisterClass.b16)
}
public enum U32: IntegerType {
  public static let (type, registers) = (PTXType.u32, RegisterClass.b32)
}
public enum S32: IntegerType {
  public static let (type, registers) = (PTXType.s32, RegisterClass.b32)
}
public enum U64: IntegerType {
  public static let (type, registers) = (PTXType.u64, RegisterClass.b64)
}
public enum S64: IntegerType {
  public static let (type, registers) = (PTXType.s64, RegisterClass.b64)
}
public enum F32: FloatType {
  public static let (type, registers) = (PTXType.f32, RegisterClass.f32)
  public static func literal(_ number: Double) -> PTXOperand { .float32(Float(number).bitPattern) }
}
public enum F64: FloatType {
  public static let (type, registers) = (PTXType.f64, RegisterClass.f64)
  public static func literal(_ number: Double) -> PTXOperand { .float64(number.bitPattern) }
}
/// Half precision, in a register of 16 bits.
public enum F16: RegisterType {
  public static let (type, registers) = (PTXType.f16, RegisterClass.b16)
}
public enum BF16: RegisterType {
  public static let (type, registers) = (PTXType.bf16, RegisterClass.b16)
}
/// Two of them in 32 bits, the first in the lower half.
public enum F16x2: RegisterType {
  public static let (type, registers) = (PTXType.f16x2, RegisterClass.b32)
}
public enum BF16x2: RegisterType {
  public static let (type, registers) = (PTXType.bf16x2, RegisterClass.b32)
}
/// True or false, one a thread.
public enum Predicate: BitsType {
  public static let (type, registers) = (PTXType.pred, RegisterClass.pred)
}
/// Sixteen bytes that nothing is computed with.
public enum B128: RegisterType {
  public static let (type, registers) = (PTXType.b128, RegisterClass.b128)
}

// MARK: - Memory

/// What memory can hold, and the register that a load of it fills: bytes and halves of words widen to 32 bits.
public protocol ElementOfMemory: Sendable {
  associatedtype Register: RegisterType
  /// The type of loads and stores.
  static var memoryType: PTXType { get }
}

extension ElementOfMemory where Self: RegisterType, Register == Self {
  public static var memoryType: PTXType { type }
}

extension U32: ElementOfMemory { public typealias Register = U32 }
extension S32: ElementOfMemory { public typealias Register = S32 }
extension U64: ElementOfMemory { public typealias Register = U64 }
extension S64: ElementOfMemory { public typealias Register = S64 }
extension F32: ElementOfMemory { public typealias Register = F32 }
extension F64: ElementOfMemory { public typealias Register = F64 }
extension F16: ElementOfMemory {
  public typealias Register = F16
  public static let memoryType = PTXType.b16
}
extension BF16: ElementOfMemory {
  public typealias Register = BF16
  public static let memoryType = PTXType.b16
}
extension F16x2: ElementOfMemory {
  public typealias Register = F16x2
  public static let memoryType = PTXType.b32
}
extension BF16x2: ElementOfMemory {
  public typealias Register = BF16x2
  public static let memoryType = PTXType.b32
}
extension B128: ElementOfMemory { public typealias Register = B128 }
extension U16: ElementOfMemory {
  public typealias Register = U32
  public static let memoryType = PTXType.u16
}
extension S16: ElementOfMemory {
  public typealias Register = S32
  public static let memoryType = PTXType.s16
}
/// A byte: numbers of 8 bits, floats of 8 bits, truth values.
public enum U8: ElementOfMemory {
  public typealias Register = U32
  public static let memoryType = PTXType.u8
}
public enum S8: ElementOfMemory {
  public typealias Register = S32
  public static let memoryType = PTXType.s8
}
