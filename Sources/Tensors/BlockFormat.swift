/// How weights are quantised in blocks: the formats of GGUF files, and those into which other files are re-packed.
///
/// A quantised matrix is a `uint8` tensor `[..., rows, rowBytes]`: each row is whole blocks without gaps, as it lies in the
/// file. What a block holds is written in `CKernels/include/block_formats.h`.
public enum BlockFormat: Hashable, Sendable {
  case q40, q41, q50, q51, q80
  case q2K, q3K, q4K, q5K, q6K
  case iq4NL, iq4XS, mxfp4
  /// Four bits and eight bits, a scale and a zero point for each `group` elements of a row (a multiple of 32; nil: the whole
  /// row). GPTQ, AWQ and compressed-tensors files become these.
  case int4(group: Int?)
  case int8(group: Int?)
  /// bitsandbytes' NormalFloat, blocks of 64.
  case nf4
  /// E4M3 floats with a float32 scale for each `group` elements.
  case fp8E4M3(group: Int?)

  /// Elements and bytes of a block; nil where the block is the whole row.
  package var block: (elements: Int, bytes: Int)? {
    switch self {
    case .q40, .iq4NL: (32, 18)
    case .q41: (32, 20)
    case .q50: (32, 22)
    case .q51: (32, 24)
    case .q80: (32, 34)
    case .q2K: (256, 84)
    case .q3K: (256, 110)
    case .q4K: (256, 144)
    case .q5K: (256, 176)
    case .q6K: (256, 210)
    case .iq4XS: (256, 136)
    case .mxfp4: (32, 17)
    case .nf4: (64, 36)
    case .int4(let group): group.map { ($0, 4 + $0 / 2) }
    case .int8(let group), .fp8E4M3(let group): group.map { ($0, 4 + $0) }
    }
  }

  /// Elements that share a header in a row of `columns`.
  func group(columns: Int) -> Int { block?.elements ?? columns }

  /// Whether products can be computed with int8 activations: elements are integers times a scale.
  package var isInteger: Bool {
    switch self {
    case .nf4, .fp8E4M3: false
    default: true
    }
  }

  /// The bytes of a row of `columns` elements; nil if they are not whole blocks.
  public func rowBytes(columns: Int) -> Int? {
    guard columns >= 0 else { return nil }
    if let block {
      guard block.elements > 0, block.elements % 32 == 0, columns % block.elements == 0 else { return nil }
      return columns / block.elements * block.bytes
    }
    guard columns > 0, columns % 32 == 0 else { return columns == 0 ? 0 : nil }
    if case .int4 = self { return 4 + columns / 2 }
    return 4 + columns
  }

  /// The elements of a row of so many bytes; nil if they are not whole blocks.
  public func columns(rowBytes: Int) -> Int? {
    let columns: Int
    if let block {
      guard block.bytes > 0, rowBytes % block.bytes == 0 else { return nil }
      columns = rowBytes / block.bytes * block.elements
    } else if rowBytes == 0 {
      columns = 0
    } else if case .int4 = self {
      columns = (rowBytes - 4) * 2
    } else {
      columns = rowBytes - 4
    }
    return self.rowBytes(columns: columns) == rowBytes ? columns : nil
  }

  /// The name in printed programs and messages: `Q4_K`, `int4(128)`.
  public var name: String {
    func grouped(_ name: String, _ group: Int?) -> String { "\(name)(\(group.map { "\($0)" } ?? "row"))" }
    switch self {
    case .q40: return "Q4_0"
    case .q41: return "Q4_1"
    case .q50: return "Q5_0"
    case .q51: return "Q5_1"
    case .q80: return "Q8_0"
    case .q2K: return "Q2_K"
    case .q3K: return "Q3_K"
    case .q4K: return "Q4_K"
    case .q5K: return "Q5_K"
    case .q6K: return "Q6_K"
    case .iq4NL: return "IQ4_NL"
    case .iq4XS: return "IQ4_XS"
    case .mxfp4: return "MXFP4"
    case .int4(let group): return grouped("int4", group)
    case .int8(let group): return grouped("int8", group)
    case .nf4: return "NF4"
    case .fp8E4M3(let group): return grouped("fp8E4M3", group)
    }
  }
}

/// A product with weights in blocks, `x · wᵀ`.
public struct BlockMatmul: Hashable, Sendable {
  public var format: BlockFormat
  /// The type of the result; sums are kept in float32.
  public var type: ElementType
  /// Whether activations stay floats. Otherwise integer formats are multiplied with int8 activations, each 32 of a row with
  /// a scale of their own, which costs an error of about half a percent of an activation's size and is several times faster.
  public var exact: Bool

  package init(format: BlockFormat, type: ElementType, exact: Bool = false) {
    self.format = format
    self.type = type
    self.exact = exact
  }
}
