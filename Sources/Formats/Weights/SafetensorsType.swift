// The element types of safetensors files, as their headers spell them.

/// How the numbers of a stored tensor are laid out.
public enum SafetensorsType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case f8E4M3 = "F8_E4M3"
  case f8E5M2 = "F8_E5M2"
  case f8E8M0 = "F8_E8M0"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"

  /// Bytes per element.
  public var byteWidth: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .f8E4M3, .f8E5M2, .f8E8M0, .i8, .u8, .bool: 1
    }
  }
}

/// What a weights file says of one tensor.
public struct SafetensorsTensor: Sendable, Equatable {
  public let name: String
  public let type: SafetensorsType
  /// Row-major; empty for a scalar.
  public let shape: [Int]

  public init(name: String, type: SafetensorsType, shape: [Int]) {
    precondition(shape.allSatisfy { $0 >= 0 }, "tensor \(name) of shape \(shape)")
    self.name = name
    self.type = type
    self.shape = shape
  }

  /// Size of the data, or nil where it does not fit an Int.
  var checkedByteCount: Int? {
    var count = type.byteWidth
    for size in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      if overflow { return nil }
      count = product
    }
    return count
  }

  /// Size of the data.
  public var byteCount: Int { checkedByteCount! }
}
