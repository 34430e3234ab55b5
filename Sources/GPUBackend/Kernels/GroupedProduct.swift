// Products of rows with the matrices of their groups, and sums of outer products by group, on mma.sync.
//
// Invariant: as of `WarpProduct`; which other rows a group has changes nothing in a row's bits.

internal import KernelLanguage
internal import Tensors

/// y[row] = x[row] · weights[group of row]; 0 for rows without a group.
struct GroupedProduct: KernelSource {
  /// Its right operand is .k for weights [groups, n, k], .mn for [groups, k, n].
  var warps: WarpProduct
  var epilogue: TileEpilogue
  var stages = 4
  var unitA = 16
  var unitB = 16

  /// Operands of a launch: x, weights, the list of tiles, columns, depth, y. The grid: tiles of columns, row tiles.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("groupedProduct", target: target, threads: warps.threads, blocks: 2) { k in
      let (x, weights) = (k.pointer("x", to: BF16.self), k.pointer("weights", to: BF16.self))
      let tile = GroupedTile(k.pointer("tiles", to: U32.self), k.block.y)
      let (columns, depth) = (k.parameter("columns", U32.self), k.parameter("depth", U32.self))
      let pointers = epilogue.parameters(k)
      k.exit(when: tile.isNone)

      let column = k.block.x * Value(warps.columns)
      let group = k.select(tile.hasGroup, tile.group, Value(0))
      let steps = k.select(tile.hasGroup, (depth + Value(warps.depth - 1)) / Value(warps.depth), Value(0))
      let sums = warps.thread(k)
      warps.sum(
        k, sums, steps: steps, stages: stages,
        warps.loaderA(k, unit: unitA, x, rows: tile.end, depth: depth, row: tile.row, start: Value(0)),
        warps.loaderB(
          k, unit: unitB, k.matrix(weights, group, columns, depth), columns: columns, depth: depth, column: column,
          start: Value(0)))
      warps.visit(k, sums) { pair, ownRow, ownColumn in
        let row = tile.row + ownRow
        epilogue.write(
          k, pair,
          at: ProductPlace(
            row: row, column: column + ownColumn, rowOfAll: row, rows: tile.end, columns: columns,
            pitch: columns),
          pointers)
      }
    }
  }
}

/// c[group] = Σ over the group's rows of a[row]ᵀ · b[row].
struct GroupedOuterProduct: KernelSource {
  /// Both operands are .mn.
  var warps: WarpProduct
  var epilogue: TileEpilogue
  var stages = 4
  var unitA = 16
  var unitB = 16

  /// Operands of a launch: a, b, ends of the groups, rows of c, columns of c, c. The grid: tiles of columns, tiles of rows, groups.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("groupedOuter", target: target, threads: warps.threads, blocks: 2) { k in
      let (a, b) = (k.pointer("a", to: BF16.self), k.pointer("b", to: BF16.self))
      let ends = k.pointer("ends", to: U32.self)
      let (rows, columns) = (k.parameter("rows", U32.self), k.parameter("columns", U32.self))
      let pointers = epilogue.parameters(k)
      let group = k.block.z
      let start = k.variable(Value<U32>(0))
      k.when(group .> 0) { start.assign(ends[group - 1]) }
      let end = ends[group]
      let (row, column) = (k.block.y * Value(warps.rows), k.block.x * Value(warps.columns))
      let sums = warps.thread(k)
      warps.sum(
        k, sums, steps: (end - start + Value(warps.depth - 1)) / Value(warps.depth), stages: stages,
        warps.loaderA(k, unit: unitA, a, rows: rows, depth: end, row: row, start: start),
        warps.loaderB(k, unit: unitB, b, columns: columns, depth: end, column: column, start: start))
      warps.visit(k, sums) { pair, ownRow, ownColumn in
        let row = row + ownRow
        epilogue.write(
          k, pair,
          at: ProductPlace(
            row: row, column: column + ownColumn, rowOfAll: group * rows + row, rows: rows, columns: columns,
            pitch: columns),
          pointers)
      }
    }
  }
}
