// The instruction descriptor: what a tcgen05 product is told beside its operands, in 32 bits.
//
// Invariant: a descriptor that can be made is one that the chip takes: types that the kind has, a shape that it has.
//
// PTX ISA 9.1, "tcgen05 instruction descriptor".

/// Types, shape and layouts of a product with sums in tensor memory (sm_100a), without block scales.
public struct InstructionDescriptor: Hashable, Sendable {
  /// Of the operands: f16, bf16, tf32, e4m3 or e5m2.
  public let operands: KernelBuilder.MatrixType
  /// Rows and columns of the result, of both blocks where two work together.
  public let rows: Int
  public let columns: Int
  public let majorA: KernelBuilder.Major
  public let majorB: KernelBuilder.Major

  /// Sums are float32.
  ///
  /// - Parameter pair: whether two blocks work together.
  /// - Precondition: one block has 64 or 128 rows and 8 to 256 columns in steps of 8, 16 where there are 128 rows; a pair has twice
  ///   the rows and steps of 16, 32 where there are 256 rows. Only operands of 16 bits can have the summed axis strided.
  public init(
    _ operands: KernelBuilder.MatrixType, rows: Int, columns: Int, majorA: KernelBuilder.Major = .k,
    majorB: KernelBuilder.Major = .k, pair: Bool = false
  ) {
    let isWide = rows == (pair ? 256 : 128)
    let step = (pair ? 16 : 8) * (isWide ? 2 : 1)
    precondition(
      (isWide || rows == (pair ? 128 : 64)) && columns % step == 0 && (step...256).contains(columns),
      "tensor cores do not multiply \(rows) x \(columns) with \(pair ? "two blocks" : "one block")")
    precondition(operands != .s8 && operands != .u8, "float32 sums are of floats")
    precondition(
      operands.size == 2 || (majorA == .k && majorB == .k),
      "only operands of 16 bits can have the summed axis strided")
    (self.operands, self.rows, self.columns) = (operands, rows, columns)
    (self.majorA, self.majorB) = (majorA, majorB)
  }

  /// As it stands in the instruction's name.
  public var kind: String {
    switch operands {
    case .f16, .bf16: "f16"
    case .tf32: "tf32"
    case .e4m3, .e5m2, .s8, .u8: "f8f6f4"
    }
  }

  public var bits: UInt32 {
    let type: UInt32 =
      switch operands {
      case .f16, .e4m3, .s8, .u8: 0
      case .bf16, .e5m2: 1
      case .tf32: 2
      }
    let (float32, majors) = (UInt32(1) << 4, UInt32(majorA.rawValue) << 15 | UInt32(majorB.rawValue) << 16)
    return float32 | type << 7 | type << 10 | majors | UInt32(columns >> 3) << 17 | UInt32(rows >> 4) << 24
  }
}
