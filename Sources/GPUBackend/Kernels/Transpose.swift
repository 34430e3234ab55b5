// Copies in which neighbours in the source are not neighbours in the target: by way of tiles in shared memory, so that both are
// read and written in whole lines.

internal import KernelLanguage
internal import Tensors

/// Batches of matrices `[rows, columns]` of which the source has rows, the target columns side by side.
struct TransposeKernel: KernelSource {
  /// Of an element, in bytes.
  let size: Int
  /// Between rows of the source, and between columns of the target.
  let sourceStride: Int
  let targetStride: Int
  /// Over the matrices: source and target.
  let outer: Loops

  static let tile = 32
  static let threads = 256

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("transpose", target: target, threads: Self.threads) { k in
      switch size {
      case 1: build(k, U8.self)
      case 2: build(k, U16.self)
      case 4: build(k, U32.self)
      default: build(k, U64.self)
      }
    }
  }

  private func build<E: ElementOfMemory>(_ k: KernelBuilder, _ element: E.Type) {
    let source = k.pointer("source", to: element)
    let target = k.pointer("target", to: element)
    let rows = k.parameter("rows", U32.self)
    let columns = k.parameter("columns", U32.self)
    let rowTiles = k.parameter("rowTiles", U32.self)
    let columnTiles = k.parameter("columnTiles", U32.self)
    let tile = Value<U32>(Self.tile)
    // A column more keeps a column's elements in different banks.
    let pitch = Value<U32>(Self.tile + 1)
    let shared = k.shared(element, count: Self.tile * (Self.tile + 1))

    let (rest, columnTile) = (k.block.x / columnTiles, k.block.x % columnTiles)
    let (matrix, rowTile) = (rest / rowTiles, rest % rowTiles)
    let starts = outer.offsets(k, k.convert(matrix, to: U64.self))
    let (firstRow, firstColumn) = (rowTile * tile, columnTile * tile)
    let (lane, line) = (k.thread.x & 31, k.thread.x >> 5)
    let lines = Self.threads / 32

    for step in 0..<(Self.tile / lines) {
      let row = line + Value(step * lines)
      let (r, c) = (firstRow + row, firstColumn + lane)
      k.when((r .< rows) .& (c .< columns)) {
        let place = starts[0] + k.multiplyWide(r, Value(sourceStride)) + k.convert(c, to: U64.self)
        shared[k.multiplyAdd(row, pitch, lane)] = source[place]
      }
    }
    k.synchronise()
    for step in 0..<(Self.tile / lines) {
      let column = line + Value(step * lines)
      let (r, c) = (firstRow + lane, firstColumn + column)
      k.when((r .< rows) .& (c .< columns)) {
        let place = starts[1] + k.multiplyWide(c, Value(targetStride)) + k.convert(r, to: U64.self)
        target[place] = shared[k.multiplyAdd(lane, pitch, column)]
      }
    }
  }
}

// MARK: - Lowering

extension Lowering {
  /// The result's axes are those of the input in another order.
  mutating func permute(_ axes: [Int]) throws {
    let shape = resultTypes[0].shape
    let strides = axes.map { inputTypes[0].shape.strides[$0] }
    let own = shape.strides
    // The axis along which the input's neighbours lie, and that of the result's.
    let wide = shape.dimensions.indices.filter { shape[$0] > 1 }
    guard let last = wide.last, let column = wide.first(where: { strides[$0] == 1 }), column != last,
      shape.count > 0, shape[last] >= 8, shape[column] >= 8, strides[last] < 1 << 31, own[column] < 1 << 31
    else { return try copy(strides: strides) }
    let others = shape.dimensions.indices.filter { $0 != last && $0 != column }
    let outer = Shape(others.map { shape[$0] }, varies: shape.varies && others.first == 0)
    let kernel = TransposeKernel(
      size: resultTypes[0].element.size, sourceStride: strides[last], targetStride: own[column],
      outer: Loops(outer, [others.map { strides[$0] }, others.map { own[$0] }]))
    func tiles(_ axis: Int) -> Int { (shape[axis] + TransposeKernel.tile - 1) / TransposeKernel.tile }
    try launch(
      kernel, grid: Extent(tiles(last) * tiles(column) * outer.count), threads: TransposeKernel.threads,
      [.value(inputs[0]), .value(results[0])]
        + [shape[last], shape[column], tiles(last), tiles(column)].map { .count($0) })
  }
}
