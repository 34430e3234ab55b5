// Tiles of a matrix brought to shared memory by the threads of a block, with cp.async (sm_80): where tensor copies do not exist or
// cannot be made because rows do not begin at multiples of 16 bytes.
//
// Invariant: what lies outside of the matrix becomes 0, so that edges add nothing to sums.

internal import KernelLanguage

/// The tiles of a row-major matrix of 16-bit elements that a block reads one after another along one axis.
struct TileLoader {
  private let k: KernelBuilder
  private let layout: TileLayout
  /// Bytes that one copy may move: 16, 8, 4, or 2, which are moved by ordinary loads and stores.
  private let unit: Int
  private let rowLimit: Value<U32>
  private let columnLimit: Value<U32>
  /// Rows between this thread's copies, and the bytes between them.
  private let rowStep: Int
  private let stepBytes: Value<U64>
  private let strideBytes: Value<U32>
  /// This thread's chunk in the tile, in bytes.
  private let place: Value<U32>
  /// Of this thread's first element.
  private let address: Value<U64>
  private let row: Value<U32>
  private let column: Value<U32>

  /// - Parameters:
  ///   - matrix: its first element.
  ///   - stride: elements from one row to the next.
  ///   - row: of the first tile's first element.
  ///   - column: likewise.
  init(
    _ k: KernelBuilder, _ layout: TileLayout, threads: Int, unit: Int, _ matrix: Pointer<BF16, Global>,
    stride: Value<U32>, rowLimit: Value<U32>, columnLimit: Value<U32>, row: Value<U32>, column: Value<U32>
  ) {
    let chunks = layout.columns / 8
    rowStep = threads / chunks
    precondition(
      threads % chunks == 0 && layout.rows % rowStep == 0 && rowStep % 8 == 0,
      "\(threads) threads do not copy \(layout.rows) x \(layout.columns) elements alike")
    (self.k, self.layout, self.unit, self.rowLimit, self.columnLimit) = (k, layout, unit, rowLimit, columnLimit)
    let (ownRow, chunk) = (k.thread.x / Value(chunks), k.thread.x % Value(chunks))
    place = SharedTile<BF16>(layout, Pointer(k.variable(Value<U32>(0)))).chunk(row: ownRow, chunk).address
    strideBytes = stride * 2
    stepBytes = k.convert(strideBytes * Value(rowStep), to: U64.self)
    self.row = k.variable(row + ownRow)
    self.column = k.variable(column + chunk * 8)
    let start = k.multiplyWide(self.row, strideBytes) + k.convert(self.column, to: U64.self) * 2
    address = k.variable(matrix.address + start)
  }

  /// Starts the copy of the tile; the threads' next `commitCopies` belongs to it.
  func copy(to tile: SharedTile<BF16>) {
    let left = k.minimum(columnLimit - k.minimum(column, columnLimit), 8) * 2
    var source = address
    for index in 0..<layout.rows / rowStep {
      if index > 0 { source = source + stepBytes }
      let isInside = row + Value(index * rowStep) .< rowLimit
      let bytes = k.select(isInside, left, Value(0))
      let target = Pointer<BF16, Shared>(
        tile.pointer.base + place, offset: tile.pointer.offset + index * rowStep * layout.swizzle.span)
      move(Pointer(source), to: target, bytes)
    }
  }

  private func move(_ source: Pointer<BF16, Global>, to target: Pointer<BF16, Shared>, _ bytes: Value<U32>) {
    if unit == 16 { return k.copyAsync(to: target, from: source, valid: bytes) }
    for start in stride(from: 0, to: 16, by: unit) {
      let (from, to) = (source.advanced(start / 2), target.advanced(start / 2))
      if unit > 2 {
        let rest = k.minimum(bytes - k.minimum(bytes, Value(start)), Value(unit))
        k.copyAsync(to: to, from: from, bytes: unit, valid: rest)
      } else {
        let value = k.register(BF16.self)
        k.when(bytes .> Value(start)) {
          value.assign(from.load())
        } otherwise: {
          value.assign(k.zero(BF16.self))
        }
        to.store(value)
      }
    }
  }

  /// On to the tile `count` columns further right.
  func advance(columns count: Int) {
    column += Value(count)
    address += Value(2 * count)
  }

  /// On to the tile `count` rows further down.
  func advance(rows count: Int) {
    row += Value(count)
    address += k.multiplyWide(strideBytes, Value(count))
  }
}

extension KernelBuilder {
  /// The bits 0.
  func zero<T: RegisterType>(_ type: T.Type) -> Value<T> { bits(variable(Value<U16>(0)), as: type) }
}
