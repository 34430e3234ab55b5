// The tiles of a product that a block works through, where blocks stay and take one after another.

internal import KernelLanguage

/// What a product is divided by, beside tiles.
enum ProductDivision: Hashable, Sendable {
  case whole
  /// Sums are made in parts; the result is then float32, [parts, batch, m, n]. Operands of a launch: how many, steps of each.
  case parts
  /// Rows belong to groups, each of which has a right operand. Operands of a launch: the list of row tiles, room in it.
  case groups
}

/// First row and column of a tile, its matrices, and what is summed.
struct ProductTile {
  let row: Value<U32>
  let column: Value<U32>
  /// Where its rows end.
  let end: Value<U32>
  /// Which matrix of the left operand, the right one and the result.
  let matrixA: Value<U32>
  let matrixB: Value<U32>
  let result: Value<U32>
  let firstStep: Value<U32>
  let steps: Value<U32>
}

/// All tiles of a batch of products, a cluster's blocks above each other.
struct ProductTiles {
  let shape: ProductShape
  /// Of a block's tile.
  let rows: Int
  let columns: Int
  /// Elements of the summed axis in a step.
  let depth: Int
  /// Blocks of a cluster.
  let cluster: Int
  /// Rows of tiles that are worked through together.
  let group: Int
  let division: Division

  /// What the work is divided by, beside tiles.
  enum Division {
    case whole
    /// So many parts of each sum, and the steps of each.
    case parts(count: Value<U32>, steps: Value<U32>)
    /// Row tiles of a list, which has room for so many.
    case groups(Pointer<U32, Global>, capacity: Value<U32>)

    /// Declares the parameters.
    init(_ k: KernelBuilder, _ division: ProductDivision) {
      switch division {
      case .whole: self = .whole
      case .parts:
        self = .parts(count: k.parameter("parts", U32.self), steps: k.parameter("stepsOfPart", U32.self))
      case .groups:
        self = .groups(k.pointer("tiles", to: U32.self), capacity: k.parameter("capacity", U32.self))
      }
    }
  }

  /// Emits `body` for each tile of this block.
  func each(_ k: KernelBuilder, _ body: (ProductTile) -> Void) {
    if case .groups(let list, let capacity) = division { return eachOfGroups(k, list, capacity, body) }
    let rank = cluster > 1 ? k.clusterRank : k.variable(Value<U32>(0))
    let allSteps = shape.steps(depth)
    let (height, width) = (shape.rowTiles(rows * cluster), shape.columnTiles(columns))
    var matrices = shape.batch
    if case .parts(let count, _) = division { matrices = count * matrices }
    k.loop(from: k.cluster, to: height * width * matrices, by: k.clusters) { index in
      let result = index / (height * width)
      let place = k.groupedTile(index - result * (height * width), rows: height, columns: width, height: group)
      var (matrix, firstStep, steps) = (result, Value<U32>(0), allSteps)
      if case .parts(_, let stepsOfPart) = division {
        let part = result / shape.batch
        (matrix, firstStep) = (result - part * shape.batch, part * stepsOfPart)
        steps = k.minimum(allSteps - firstStep, stepsOfPart)
      }
      body(
        ProductTile(
          row: (place.row * Value(cluster) + rank) * Value(rows), column: place.column * Value(columns),
          end: shape.rows, matrixA: matrix * shape.batchA, matrixB: matrix * shape.batchB, result: result,
          firstStep: firstStep, steps: steps))
    }
  }

  /// Rows without a group have no steps.
  private func eachOfGroups(
    _ k: KernelBuilder, _ list: Pointer<U32, Global>, _ capacity: Value<U32>, _ body: (ProductTile) -> Void
  ) {
    let (width, allSteps) = (shape.columnTiles(columns), shape.steps(depth))
    k.loop(from: k.cluster, to: capacity * width, by: k.clusters) { index in
      let place = k.groupedTile(index, rows: capacity, columns: width, height: group)
      let tile = GroupedTile(list, place.row)
      k.when(.!tile.isNone) {
        body(
          ProductTile(
            row: tile.row, column: place.column * Value(columns), end: tile.end, matrixA: k.variable(Value(0)),
            matrixB: k.select(tile.hasGroup, tile.group, Value(0)), result: k.variable(Value(0)), firstStep: Value(0),
            steps: k.select(tile.hasGroup, allSteps, Value(0))))
      }
    }
  }
}
