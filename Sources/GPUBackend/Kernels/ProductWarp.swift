// The product of two tiles in shared memory on mma.sync (sm_80): what all kernels of that kind have in common.
//
// Warps divide the tile of the result among them; each loads 16 x 16 pieces of its rows and columns by `ldmatrix`, whose places
// come from the tiles' layouts, and multiplies all with all.
//
// Invariant: 16s of the summed axis are added in order, one instruction each, whatever the tile is: the bits of a result depend on
// its row, its column and the sum's length alone.

internal import KernelLanguage

/// How a block multiplies tiles.
struct WarpProduct: Hashable, Sendable {
  var operands: KernelBuilder.MatrixType
  /// How the operands lie: `.k` for a [m, k] and b [n, k], `.mn` for a [k, m] and b [k, n].
  var majorA: KernelBuilder.Major
  var majorB: KernelBuilder.Major
  /// Of the tile of the result, and of the summed axis in a stage.
  var rows: Int
  var columns: Int
  var depth: Int
  /// How many warps share the rows, and the columns.
  var warpsAlongRows: Int
  var warpsAlongColumns: Int

  var threads: Int { warpsAlongRows * warpsAlongColumns * 32 }
  /// Of one warp.
  var warpRows: Int { rows / warpsAlongRows }
  var warpColumns: Int { columns / warpsAlongColumns }
  var element: TensorMap.Element { operands == .bf16 ? .bfloat16 : .float16 }

  var layoutA: TileLayout {
    majorA == .k ? TileLayout(rows: rows, columns: depth, element) : TileLayout(rows: depth, columns: rows, element)
  }
  var layoutB: TileLayout {
    majorB == .k
      ? TileLayout(rows: columns, columns: depth, element) : TileLayout(rows: depth, columns: columns, element)
  }
  /// Of one stage.
  var stageBytes: Int { layoutA.bytes + layoutB.bytes }

  /// What a thread keeps while the kernel runs.
  struct Thread {
    fileprivate let row: Value<U32>
    fileprivate let column: Value<U32>
    fileprivate let a: OperandPlaces
    fileprivate let b: OperandPlaces
    /// By 16 rows, by 8 columns: registers of a 16 x 8 result.
    let sums: [[[Value<F32>]]]
  }

  /// Places and sums of this thread, the sums 0.
  func thread(_ k: KernelBuilder) -> Thread {
    // The same in all lanes, which the assembler should see.
    let warp = k.shuffle(k.thread.x >> 5, .index, 0)
    let (row, column) = (
      warp / Value(warpsAlongColumns) * Value(warpRows), warp % Value(warpsAlongColumns) * Value(warpColumns)
    )
    return Thread(
      row: row, column: column,
      a: OperandPlaces(k, layoutA, majorA, start: row, extent: warpRows, summedBit: 1),
      b: OperandPlaces(k, layoutB, majorB, start: column, extent: warpColumns, summedBit: 0),
      sums: (0..<warpRows / 16).map { _ in
        (0..<warpColumns / 8).map { _ in (0..<4).map { _ in k.variable(Value<F32>(0)) } }
      })
  }

  func clear(_ thread: Thread) {
    for sum in thread.sums.joined().joined() { sum.assign(0) }
  }

  /// sums += a · b.
  func multiply<E: ElementOfMemory>(
    _ k: KernelBuilder, _ thread: Thread, _ a: SharedTile<E>, _ b: SharedTile<E>
  ) {
    let (placesA, placesB) = (thread.a.based(at: a), thread.b.based(at: b))
    for step in 0..<depth / 16 {
      let left = (0..<warpRows / 16).map { k.loadMatrices(4, from: placesA.piece($0, step), transposed: majorA == .mn) }
      let right = (0..<warpColumns / 16).flatMap { piece -> [[Value<U32>]] in
        let both = k.loadMatrices(4, from: placesB.piece(piece, step), transposed: majorB == .mn)
        return [Array(both[..<2]), Array(both[2...])]
      }
      for (i, a) in left.enumerated() {
        for (j, b) in right.enumerated() { k.multiplyAccumulate(thread.sums[i][j], a, b, operands) }
      }
    }
  }

  /// Calls `body` with pairs of neighbouring sums, and the row and column of the first within the block's tile.
  func visit(
    _ k: KernelBuilder, _ thread: Thread, _ body: ([Value<F32>], _ row: Value<U32>, _ column: Value<U32>) -> Void
  ) {
    let row = thread.row + (k.lane >> 2)
    let column = thread.column + (k.lane & 3) * 2
    for (i, columns) in thread.sums.enumerated() {
      for half in 0..<2 {
        let row = row + Value(16 * i + 8 * half)
        for (j, sums) in columns.enumerated() {
          body(Array(sums[(2 * half)..<(2 * half + 2)]), row, column + Value(8 * j))
        }
      }
    }
  }
}

/// Where a lane's rows of 8 x 8 matrices are in an operand's tile: a register for each pattern of the swizzle that occurs, the rest
/// is known while the kernel is built.
private struct OperandPlaces {
  private let layout: TileLayout
  private let major: KernelBuilder.Major
  /// By step (K-major), or by piece within a panel (MN-major).
  private let places: [Value<U32>]
  private let base: Value<U32>?
  private let offset: Int

  /// - Parameters:
  ///   - start: the warp's first row (or column) of the result.
  ///   - summedBit: which bit of the matrix's number, of four, goes along the summed axis.
  init(
    _ k: KernelBuilder, _ layout: TileLayout, _ major: KernelBuilder.Major, start: Value<U32>, extent: Int,
    summedBit: Int
  ) {
    precondition(extent % 16 == 0, "a warp's product is made of 16 x 16 pieces")
    (self.layout, self.major, base, offset) = (layout, major, nil, 0)
    let lane = k.lane
    let bits = [(lane >> 3) & 1, lane >> 4]
    let (summed, other) = (bits[summedBit], bits[1 - summedBit])
    let tile = SharedTile<BF16>(layout, Pointer(k.variable(Value<U32>(0))))
    switch major {
    case .k:
      let row = start + other * 8 + (lane & 7)
      places = (0..<layout.columns / 16).map { step in
        tile.chunk(row: row, Value(2 * step) + summed).address
      }
    case .mn:
      precondition(
        extent % layout.panelColumns == 0 || layout.panelColumns % extent == 0, "a warp begins or ends at a panel")
      let row = summed * 8 + (lane & 7)
      places = (0..<min(extent, layout.panelColumns) / 16).map { piece in
        tile.chunk(row: row, (start >> 3) + Value(2 * piece) + other).address
      }
    }
  }

  private init(_ other: OperandPlaces, base: Value<U32>, offset: Int) {
    (layout, major, places) = (other.layout, other.major, other.places)
    (self.base, self.offset) = (base, offset)
  }

  func based<E: ElementOfMemory>(at tile: SharedTile<E>) -> OperandPlaces {
    OperandPlaces(self, base: tile.pointer.base, offset: tile.pointer.offset)
  }

  /// The lane's address for 16 rows (or columns) `piece` of the warp and 16 of the summed axis.
  func piece(_ piece: Int, _ step: Int) -> Pointer<BF16, Shared> {
    switch major {
    case .k: return Pointer(base! + places[step], offset: offset + piece * 16 * layout.swizzle.span)
    case .mn:
      let (panel, inside) = (piece * 16).quotientAndRemainder(dividingBy: places.count * 16)
      return Pointer(
        base! + places[inside / 16], offset: offset + panel * layout.panelBytes + step * 16 * layout.swizzle.span)
    }
  }
}
