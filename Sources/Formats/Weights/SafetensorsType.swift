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
  case f8E4M3FNUZ = "F8_E4M3FNUZ"
  case f8E5M2FNUZ = "F8_E5M2FNUZ"
  case f6E2M3 = "F6_E2M3"
  case f6E3M2 = "F6_E3M2"
  case f4 = "F4"
  case c64 = "C64"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"

  /// Bits per element; types of less than a byte are packed without gaps, and a tensor of them fills whole bytes.
  public var bitWidth: Int {
    switch self {
    case .f64, .i64, .u64, .c64: 64
    case .f32, .i32, .u32: 32
    case .f16, .bf16, .i16, .u16: 16
    case .f8E4M3, .f8E5M2, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ, .i8, .u8, .bool: 8
    case .f6E2M3, .f6E3M2: 6
    case .f4: 4
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

  /// Size of the data, or nil where it does not fit an Int or the bits do not fill whole bytes.
  var checkedByteCount: Int? {
    var bits = type.bitWidth
    for size in shape {
      let (product, overflow) = bits.multipliedReportingOverflow(by: size)
      if overflow { return nil }
      bits = product
    }
    return bits % 8 == 0 ? bits / 8 : nil
  }

  /// Size of the data.
  public var byteCount: Int { checkedByteCount! }

  /// Numbers in it.
  public var count: Int { shape.reduce(1, *) }
}
