// The matrix product of sm_80, and of later chips where tensor maps cannot be made: stages of shared memory filled by cp.async, warps
// that multiply by mma.sync.
//
// Invariant: 16s of the summed axis are added in order. Where the sum is cut into parts, as many blocks make one tile, each writes
// sums of its own, and `ProductParts` adds them in order.

internal import KernelLanguage
internal import Tensors

/// Products of 16-bit floats with float32 sums: y = residual + activation(a · b + bias).
struct AmpereProduct: KernelSource {
  var warps: WarpProduct
  var epilogue: TileEpilogue
  var stages: Int
  /// Bytes that copies of the operands move at once: by what their rows begin at.
  var unitA = 16
  var unitB = 16
  /// Whether blocks along the grid's second axis sum different parts; the result is then float32, [parts, batch, m, n].
  var isInParts = false
  /// Rows of tiles that are worked through together.
  var group = 8

  var sharedBytes: Int { warps.stageBytes * stages }
  /// Blocks that a multiprocessor should hold: sums take half of the registers.
  var blocks: Int { max(1, 128 * 256 / (warps.rows * warps.columns)) }

  /// Operands of a launch: a, b, sizes, steps of a part (where it is in parts), then those of the epilogue.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("product\(warps.rows)x\(warps.columns)", target: target, threads: warps.threads, blocks: min(4, blocks)) {
      k in
      let (a, b) = (k.pointer("a", to: BF16.self), k.pointer("b", to: BF16.self))
      let shape = ProductShape(k)
      let stepsOfPart = isInParts ? k.parameter("stepsOfPart", U32.self) : nil
      let pointers = epilogue.parameters(k)

      let (height, width) = (shape.rowTiles(warps.rows), shape.columnTiles(warps.columns))
      let matrix = k.block.x / (height * width)
      let place = k.groupedTile(
        k.block.x - matrix * (height * width), rows: height, columns: width, height: group)
      let (row, column) = (place.row * Value(warps.rows), place.column * Value(warps.columns))

      let allSteps = shape.steps(warps.depth)
      let firstStep = stepsOfPart.map { $0 * k.block.y }
      let steps = stepsOfPart.map { k.minimum(allSteps - firstStep!, $0) } ?? allSteps
      let start = firstStep.map { $0 * Value(warps.depth) } ?? Value(0)

      let sums = warps.thread(k)
      warps.sum(
        k, sums, steps: steps, stages: stages,
        warps.loaderA(
          k, unit: unitA, k.matrix(a, matrix * shape.batchA, shape.rows, shape.depth), rows: shape.rows,
          depth: shape.depth, row: row, start: start),
        warps.loaderB(
          k, unit: unitB, k.matrix(b, matrix * shape.batchB, shape.columns, shape.depth), columns: shape.columns,
          depth: shape.depth, column: column, start: start))
      // A part's sums are a matrix of their own.
      let result = isInParts ? k.block.y * shape.batch + matrix : matrix
      warps.visit(k, sums) { pair, ownRow, ownColumn in
        epilogue.write(k, pair, at: shape.place(row + ownRow, column + ownColumn, result), pointers)
      }
    }
  }
}

extension WarpProduct {
  /// Copies the left operand's tiles along the summed axis.
  ///
  /// - Parameters:
  ///   - rows: of the result.
  ///   - row: first of the tile.
  ///   - start: along the summed axis.
  func loaderA(
    _ k: KernelBuilder, unit: Int, _ matrix: Pointer<BF16, Global>, rows: Value<U32>, depth: Value<U32>,
    row: Value<U32>, start: Value<U32>
  ) -> TileLoader {
    loader(k, layoutA, majorA, unit, matrix, extent: rows, depth: depth, place: row, start: start)
  }

  /// Copies the right operand's tiles along the summed axis.
  func loaderB(
    _ k: KernelBuilder, unit: Int, _ matrix: Pointer<BF16, Global>, columns: Value<U32>, depth: Value<U32>,
    column: Value<U32>, start: Value<U32>
  ) -> TileLoader {
    loader(k, layoutB, majorB, unit, matrix, extent: columns, depth: depth, place: column, start: start)
  }

  private func loader(
    _ k: KernelBuilder, _ layout: TileLayout, _ major: KernelBuilder.Major, _ unit: Int,
    _ matrix: Pointer<BF16, Global>, extent: Value<U32>, depth: Value<U32>, place: Value<U32>, start: Value<U32>
  ) -> TileLoader {
    major == .k
      ? TileLoader(
        k, layout, threads: threads, unit: unit, matrix, stride: depth, rowLimit: extent, columnLimit: depth,
        row: place, column: start)
      : TileLoader(
        k, layout, threads: threads, unit: unit, matrix, stride: extent, rowLimit: depth, columnLimit: extent,
        row: start, column: place)
  }

  /// sums += a · b over `steps` of the summed axis, with `stages` tiles of each operand in shared memory.
  func sum(
    _ k: KernelBuilder, _ sums: Thread, steps: Value<U32>, stages: Int, _ loaderA: TileLoader, _ loaderB: TileLoader
  ) {
    let (a, b) = (k.tile(layoutA, of: BF16.self, count: stages), k.tile(layoutB, of: BF16.self, count: stages))
    let load = { (a: SharedTile<BF16>, b: SharedTile<BF16>) in
      loaderA.copy(to: a)
      loaderB.copy(to: b)
      if majorA == .k { loaderA.advance(columns: depth) } else { loaderA.advance(rows: depth) }
      if majorB == .k { loaderB.advance(columns: depth) } else { loaderB.advance(rows: depth) }
    }
    for stage in 0..<stages - 1 {
      k.when(steps .> Value(stage)) { load(a[stage], b[stage]) }
      k.commitCopies()
    }
    let (used, filled) = (k.variable(Value<U32>(0)), k.variable(Value<U32>(stages - 1)))
    k.loop(steps) { step in
      k.waitForCopies(pending: stages - 2)
      // All have waited for their copies, and nobody reads the stage any more that is filled now.
      k.synchronise()
      k.when(step + Value(stages - 1) .< steps) { load(a[filled], b[filled]) }
      k.commitCopies()
      multiply(k, sums, a[used], b[used])
      for stage in [used, filled] {
        stage += 1
        stage.assign(k.select(stage .== Value(stages), 0, stage))
      }
    }
  }
}

extension KernelBuilder {
  /// Matrix `index` of matrices of `rows` times `columns` elements that follow each other.
  func matrix<E: ElementOfMemory>(
    _ first: Pointer<E, Global>, _ index: Value<U32>, _ rows: Value<U32>, _ columns: Value<U32>
  ) -> Pointer<E, Global> {
    first + convert(index, to: U64.self) * multiplyWide(rows, columns)
  }
}
