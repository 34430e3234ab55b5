// A layout: where the elements of a tile of a matrix lie in shared memory, as one checked value.
//
// A tile is cut into panels, each as wide as the swizzle's span; a panel's rows follow each other, chunks of 16 bytes permuted by
// the swizzle. This is at once what a tensor copy writes, what a warpgroup's matrix product reads and what `ldmatrix` addresses:
// the box of the tensor map, the matrix descriptor and the chunk addresses are all derived from it, so that they cannot
// disagree.
//
// Invariant: `offset` is a bijection from the tile's elements onto its bytes; the tile begins at a multiple of `alignment`.

/// Rows and columns of a tile in shared memory; columns are contiguous in global memory.
public struct TileLayout: Hashable, Sendable {
  public let rows: Int
  public let columns: Int
  public let element: TensorMap.Element
  public let swizzle: Swizzle

  /// - Parameter swizzle: nil: the widest whose span divides a row.
  /// - Precondition: rows are cut into panels without rest, and a panel has 256 rows at most.
  public init(rows: Int, columns: Int, _ element: TensorMap.Element, swizzle: Swizzle? = nil) {
    let bytes = columns * element.size
    let widest = [Swizzle.bytes128, .bytes64, .bytes32].first { bytes % $0.span == 0 } ?? .none
    (self.rows, self.columns, self.element, self.swizzle) = (rows, columns, element, swizzle ?? widest)
    precondition(
      bytes % self.swizzle.span == 0 && (1...256).contains(rows),
      "a tile of \(rows) x \(columns) elements of \(element.size) bytes is not made of panels of \(self.swizzle.span) bytes"
    )
  }

  public var bytes: Int { rows * columns * element.size }
  /// What its first byte is a multiple of.
  public var alignment: Int { max(128, swizzle.pattern) }
  /// Elements of a panel's row.
  public var panelColumns: Int { swizzle.span / element.size }
  public var panels: Int { columns / panelColumns }
  public var panelBytes: Int { rows * swizzle.span }

  /// Where an element lies, in bytes from the tile's beginning.
  public func offset(row: Int, column: Int) -> Int {
    let (panel, inside) = column.quotientAndRemainder(dividingBy: panelColumns)
    return panel * panelBytes + swizzle(row * swizzle.span + inside * element.size)
  }

  /// The map by which tensor copies move such tiles of a row-major matrix, one copy a panel.
  ///
  /// - Parameters:
  ///   - rows: of the matrix.
  ///   - columns: of the matrix.
  ///   - stride: elements from one row to the next; a multiple of 16 bytes.
  ///   - rowsOfBox: rows that one copy moves; nil: all of the tile.
  public func map(
    _ address: UInt64, rows: Int, columns: Int, stride: Int? = nil, rowsOfBox: Int? = nil
  ) -> TensorMap {
    TensorMap(
      element, address: address, dimensions: [columns, rows], strides: [(stride ?? columns) * element.size],
      box: [panelColumns, rowsOfBox ?? self.rows], swizzle: swizzle)
  }

  /// The map for a batch of matrices: coordinates are column, row, matrix.
  public func map(_ address: UInt64, matrices: Int, matrixStride: Int, rows: Int, columns: Int, stride: Int)
    -> TensorMap
  {
    TensorMap(
      element, address: address, dimensions: [columns, rows, matrices],
      strides: [stride * element.size, matrixStride * element.size], box: [panelColumns, self.rows, 1], swizzle: swizzle
    )
  }
}
