// The element types of GGUF tensors (ggml.h of llama.cpp): plain numbers, and blocks in which a few numbers share a scale.
//
// Every type that files may hold has its size here, also those that nothing here computes with: such a file can still be
// listed and copied.

/// How the numbers of a GGUF tensor are laid out; the raw value is the type's number in files.
// swift-format-ignore: AlwaysUseLowerCamelCase
public enum GGUFType: UInt32, Sendable, CaseIterable {
  case f32 = 0
  case f16 = 1
  case q4_0 = 2
  case q4_1 = 3
  case q5_0 = 6
  case q5_1 = 7
  case q8_0 = 8
  case q8_1 = 9
  case q2_K = 10
  case q3_K = 11
  case q4_K = 12
  case q5_K = 13
  case q6_K = 14
  case q8_K = 15
  case iq2_XXS = 16
  case iq2_XS = 17
  case iq3_XXS = 18
  case iq1_S = 19
  case iq4_NL = 20
  case iq3_S = 21
  case iq2_S = 22
  case iq4_XS = 23
  case i8 = 24
  case i16 = 25
  case i32 = 26
  case i64 = 27
  case f64 = 28
  case iq1_M = 29
  case bf16 = 30
  case tq1_0 = 34
  case tq2_0 = 35
  case mxfp4 = 39
  case nvfp4 = 40
  case q1_0 = 41
  case q2_0 = 42

  /// Numbers that are stored together; a row of a tensor is a whole number of blocks.
  public var blockElements: Int { layout.elements }

  /// Bytes of a block.
  public var blockBytes: Int { layout.bytes }

  /// The name that llama.cpp prints: `Q4_K`.
  public var name: String { String(describing: self).uppercased() }

  /// Whether it is a scalar type rather than blocks.
  public var isPlain: Bool { layout.elements == 1 }

  private var layout: (elements: Int, bytes: Int) {
    switch self {
    case .f64, .i64: (1, 8)
    case .f32, .i32: (1, 4)
    case .f16, .bf16, .i16: (1, 2)
    case .i8: (1, 1)
    case .q1_0: (128, 18)
    case .q2_0: (64, 18)
    case .q4_0, .iq4_NL: (32, 18)
    case .q4_1: (32, 20)
    case .q5_0: (32, 22)
    case .q5_1: (32, 24)
    case .q8_0: (32, 34)
    case .q8_1: (32, 36)
    case .mxfp4: (32, 17)
    case .nvfp4: (64, 36)
    case .q2_K: (256, 84)
    case .q3_K, .iq3_S: (256, 110)
    case .q4_K: (256, 144)
    case .q5_K: (256, 176)
    case .q6_K: (256, 210)
    case .q8_K: (256, 292)
    case .iq1_S: (256, 50)
    case .iq1_M: (256, 56)
    case .iq2_XXS, .tq2_0: (256, 66)
    case .iq2_XS: (256, 74)
    case .iq2_S: (256, 82)
    case .iq3_XXS: (256, 98)
    case .iq4_XS: (256, 136)
    case .tq1_0: (256, 54)
    }
  }
}

/// What a GGUF file says of one tensor.
public struct GGUFTensor: Sendable, Equatable {
  public let name: String
  public let type: GGUFType
  /// Row-major, the longest stride first (files have it the other way round); empty for a scalar.
  public let shape: [Int]

  /// A tensor whose rows are whole blocks of its type.
  public init(name: String, type: GGUFType, shape: [Int]) {
    self.name = name
    self.type = type
    self.shape = shape
    precondition(
      shape.allSatisfy { $0 >= 0 } && checkedByteCount != nil, "tensor \(name) of type \(type.name) and shape \(shape)")
  }

  /// Sizes from a file, which are not to be trusted; nil if such a tensor cannot be.
  init?(name: String, type: GGUFType, untrustedShape shape: [Int]) {
    self.name = name
    self.type = type
    self.shape = shape
    guard shape.allSatisfy({ $0 >= 0 }), checkedByteCount != nil else { return nil }
  }

  /// Size of the data, or nil where it does not fit an Int or the rows are no whole blocks.
  private var checkedByteCount: Int? {
    let row = shape.last ?? 1
    guard row % type.blockElements == 0 else { return nil }
    var count = row / type.blockElements
    for factor in shape.dropLast() + [type.blockBytes] {
      let (product, overflow) = count.multipliedReportingOverflow(by: factor)
      if overflow { return nil }
      count = product
    }
    return count
  }

  /// Size of the data.
  public var byteCount: Int { checkedByteCount! }

  /// Numbers in it.
  public var count: Int { byteCount / type.blockBytes * type.blockElements }
}
