/// The element types of tensors, numbered as the C kernels number them.
///
/// **Promotion.** Two tensors of different types meet in the smallest type that loses neither's range:
/// `bool < uint8, int8 < int32 < int64 < float16, bfloat16 < float32 < float64`, where `uint8` with `int8` gives `int32`,
/// `float16` with `bfloat16` gives `float32`, and any integer with a float gives that float. A Swift number takes the type
/// of the tensor it meets; a fraction that meets an integer tensor makes both `float32`.
public enum ElementType: Int, CaseIterable, Codable, Hashable, Sendable {
  case float64 = 0
  case float32 = 1
  case bfloat16 = 2
  case float16 = 3
  case int8 = 4
  case uint8 = 5
  case int32 = 6
  case int64 = 7
  case bool = 8

  /// Bytes of one element in memory.
  public var size: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    case .int8, .uint8, .bool: 1
    }
  }

  public var isFloat: Bool {
    switch self {
    case .float64, .float32, .bfloat16, .float16: true
    case .int8, .uint8, .int32, .int64, .bool: false
    }
  }

  /// The type in which sums of this type are kept: 16-bit floats are summed in float32.
  public var accumulator: ElementType {
    switch self {
    case .bfloat16, .float16: .float32
    default: self
    }
  }

  /// The name used in printed programs and configuration: `f32`, `bf16`, `i64`, ...
  public var shortName: String {
    switch self {
    case .float64: "f64"
    case .float32: "f32"
    case .bfloat16: "bf16"
    case .float16: "f16"
    case .int8: "i8"
    case .uint8: "u8"
    case .int32: "i32"
    case .int64: "i64"
    case .bool: "bool"
    }
  }

  /// The common type of two operands; see the rules above.
  public static func promote(_ a: ElementType, _ b: ElementType) -> ElementType {
    if a == b { return a }
    switch (a.isFloat, b.isFloat) {
    case (true, false): return a
    case (false, true): return b
    case (true, true):
      if a == .float64 || b == .float64 { return .float64 }
      return .float32
    case (false, false):
      if a == .bool { return b }
      if b == .bool { return a }
      if a == .int64 || b == .int64 { return .int64 }
      return .int32
    }
  }
}
