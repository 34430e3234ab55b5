// Tiles of attention on chips with warp-level matrix products (sm_80): how they come into shared memory, and how warps multiply
// what is there.
//
// Invariant: a tile's rows beyond its limit and columns beyond the head's size are zeros, so they add nothing to any product.

internal import KernelLanguage
internal import Tensors

extension AttentionProblem {
  /// What matrix products take; nil: there are none for the type.
  var matrixType: KernelBuilder.MatrixType? {
    element == .bfloat16 ? .bf16 : element == .float16 ? .f16 : nil
  }

  /// Columns of tiles: whole steps of the summed axis.
  func columns(multipleOf step: Int) -> Int { (size + step - 1) / step * step }

  /// A tile of so many positions of one head.
  func layout(rows: Int, multipleOf step: Int = 16) -> TileLayout {
    TileLayout(rows: rows, columns: columns(multipleOf: step), element == .bfloat16 ? .bfloat16 : .float16)
  }

  /// Two floats as the type's pair.
  func pack(_ k: KernelBuilder, _ low: Value<F32>, _ high: Value<F32>) -> Value<U32> {
    element == .bfloat16
      ? k.pack(low, high, as: BF16x2.self).seen(as: U32.self) : k.pack(low, high, as: F16x2.self).seen(as: U32.self)
  }
}

/// Tiles in shared memory that all threads of a block fill together, each with chunks of 16 bytes.
struct LoadedTile {
  let layout: TileLayout
  /// The tiles, one behind the other.
  let pointer: Pointer<BF16, Shared>
  private let k: KernelBuilder
  private let size: Int
  /// Elements between positions in global memory.
  private let stride: Int
  private let threads: Int
  private let place: Pointer<BF16, Shared>
  private let row: Value<U32>
  private let chunk: Value<U32>

  /// - Parameter stride: elements between positions in global memory.
  init(_ k: KernelBuilder, _ layout: TileLayout, size: Int, stride: Int, threads: Int, count: Int = 1) {
    (self.k, self.layout, self.size, self.stride, self.threads) = (k, layout, size, stride, threads)
    pointer = k.shared(BF16.self, count: count * layout.rows * layout.columns, alignment: layout.alignment)
    // A row of a panel is 2, 4 or 8 chunks, so the threads together fill a multiple of 8 rows of it, after which the swizzle
    // repeats.
    (row, chunk) = k.divided(k.thread.x, by: layout.swizzle.span / 16)
    place = SharedTile(layout, pointer).chunk(row: row, chunk)
  }

  private var rowsAtOnce: Int { threads / (layout.swizzle.span / 16) }

  subscript(index: Value<U32>) -> Pointer<BF16, Shared> { pointer.advanced(bytes: index * Value(layout.bytes)) }

  /// Begins to fill a tile.
  ///
  /// - Parameters:
  ///   - source: the first row's head; rows that are not filled are not read, wherever they would be.
  ///   - limit: how many rows there are; the others become zeros.
  func load(_ index: Value<U32> = 0, from source: Pointer<BF16, Global>, limit: Value<S32>) {
    let place = place.advanced(bytes: index * Value(layout.bytes))
    let mine = source + k.multiplyAdd(k.convert(row, to: U64.self), Value(stride), k.convert(chunk * 8, to: U64.self))
    let limit = limit - row.seen(as: S32.self)
    for first in Swift.stride(from: 0, to: layout.rows, by: rowsAtOnce) {
      // The last threads have nothing to do where a tile is lower than what all fill at once.
      let remains = layout.rows - first
      var isThere = limit .> Value(first)
      if remains < rowsAtOnce { isThere = isThere .& (row .< Value(remains)) }
      let bytes = k.select(isThere, Value<U32>(16), 0)
      for panel in 0..<layout.panels {
        let column = panel * layout.panelColumns
        let exists = column + layout.panelColumns <= size ? nil : chunk .< Value(max(0, size - column + 7) / 8)
        let copy = {
          k.copyAsync(
            to: Pointer(place.base, offset: place.offset + panel * layout.panelBytes + first * layout.swizzle.span),
            from: mine.advanced(first * stride + column),
            valid: exists.map { k.select($0, bytes, 0) } ?? bytes)
        }
        if remains < rowsAtOnce { k.when(row .< Value(remains), copy) } else { copy() }
      }
    }
  }
}

/// The addresses from which the lanes of a warp read 16 x 16 blocks of tiles of one layout, relative to a tile's beginning.
struct BlockAddresses {
  private let layout: TileLayout
  /// By column within a panel, in blocks.
  private let places: [Value<U32>]

  /// What becomes of the four 8 x 8 matrices of a block.
  enum Use {
    /// A left operand, in the order upper left, lower left, upper right, lower right; or, transposed, two right operands
    /// whose columns are the block's.
    case rows
    /// Two right operands whose columns are the block's rows.
    case columns
  }

  /// - Parameter first: row of the tile at which the warp's blocks begin, a multiple of 8.
  init(_ k: KernelBuilder, _ layout: TileLayout, _ use: Use, first: Value<U32>? = nil) {
    self.layout = layout
    let lane = k.lane
    let row = use == .rows ? lane & 15 : (lane & 7) + ((lane >> 4) << 3)
    let chunk = use == .rows ? lane >> 4 : (lane >> 3) & 1
    let tile = SharedTile<BF16>(layout, Pointer(k.variable(0)))
    places = (0..<layout.swizzle.span / 32).map { block in
      tile.chunk(row: first.map { row + $0 } ?? row, chunk + Value(2 * block)).address
    }
  }

  /// The block of 16 rows and columns at a multiple of 16 each.
  func block(_ tile: Pointer<BF16, Shared>, row: Int = 0, column: Int) -> Pointer<BF16, Shared> {
    let (panel, inside) = column.quotientAndRemainder(dividingBy: layout.panelColumns)
    return Pointer(
      tile.base + places[inside / 16], offset: tile.offset + panel * layout.panelBytes + row * layout.swizzle.span)
  }
}

extension KernelBuilder {
  /// sums += left · rightᵀ for 16 rows a left operand and the rows of the right tile; both are summed over their columns.
  ///
  /// - Parameters:
  ///   - sums: by left operand; four registers for 8 rows of the right tile.
  ///   - left: the left operands for 16 columns of them and of the right tile.
  func multiplyRows(
    _ sums: [[Value<F32>]], steps: Int, left: (_ step: Int) -> [[Value<U32>]], right: Pointer<BF16, Shared>,
    _ addresses: BlockAddresses, _ type: MatrixType
  ) {
    for step in 0..<steps {
      let left = left(step)
      for pair in 0..<sums[0].count / 8 {
        let block = loadMatrices(4, from: addresses.block(right, row: 16 * pair, column: 16 * step))
        multiplyPair(sums, pair, left, block, type)
      }
    }
  }

  /// sums += left · right, where left operands are in registers: by 16 rows of the sums, by 16 rows of the right tile.
  ///
  /// - Parameter first: column of the right tile at which the sums begin.
  func multiplyColumns(
    _ sums: [[Value<F32>]], left: [[[Value<U32>]]], right: Pointer<BF16, Shared>, _ addresses: BlockAddresses,
    first: Int = 0, _ type: MatrixType
  ) {
    for step in left[0].indices {
      for pair in 0..<sums[0].count / 8 {
        let block = loadMatrices(
          4, from: addresses.block(right, row: 16 * step, column: first + 16 * pair), transposed: true)
        multiplyPair(sums, pair, left.map { $0[step] }, block, type)
      }
    }
  }

  /// Sixteen columns of the sums.
  private func multiplyPair(
    _ sums: [[Value<F32>]], _ pair: Int, _ left: [[Value<U32>]], _ block: [Value<U32>], _ type: MatrixType
  ) {
    for (sums, left) in zip(sums, left) {
      multiplyAccumulate(Array(sums[8 * pair..<8 * pair + 4]), left, Array(block[0..<2]), type)
      multiplyAccumulate(Array(sums[8 * pair + 4..<8 * pair + 8]), left, Array(block[2..<4]), type)
    }
  }
}
