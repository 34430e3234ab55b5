// The matrix product of sm_90a: tensor copies feed stages of shared memory, warpgroups multiply them, results leave by tensor
// copies; a block works through many tiles, so that one tile's results are written while the next one's operands come.
//
// A tile of 128 x 256 takes 1,024 clocks a step of 64 on the tensor cores and 1,024 on shared memory, and a cluster of two blocks
// that share the right operand keeps the second-level cache below its rate: that is why this shape is the fastest.
//
// Invariant: K-blocks are added in order, so a result's bits depend on its row, its column and K alone.

internal import KernelLanguage
internal import Tensors

/// Products of 16-bit floats with float32 sums: y = residual + activation(a · b + bias).
struct HopperProduct: KernelSource {
  var operands: KernelBuilder.MatrixType
  /// How the operands lie: `.k` for a [m, k] and b [n, k], `.mn` for a [k, m] and b [k, n].
  var majorA: KernelBuilder.Major
  var majorB: KernelBuilder.Major
  var epilogue: TileEpilogue
  /// Columns of a tile.
  var columns = 256
  /// Warpgroups that multiply, 64 rows each.
  var consumers = 2
  var stages = 4
  /// Blocks that share the right operand; their tiles are above each other.
  var cluster = 2
  /// Rows of tiles that are worked through together.
  var group = 8
  /// Beside tiles.
  var division = ProductDivision.whole
  /// Whether results leave by tensor copies: rows of 16-bit floats that begin at multiples of 16 bytes.
  var storesTiles = true

  var rows: Int { consumers * 64 }
  /// Elements of the summed axis in a stage.
  static let depth = 64
  /// Columns that leave at once.
  private var partColumns: Int { min(64, columns) }

  var threads: Int { (consumers + 1) * 128 }
  var element: TensorMap.Element { operands == .bf16 ? .bfloat16 : .float16 }
  /// Of all stages, of what leaves and of the barriers; as much as alignment can cost.
  var sharedBytes: Int {
    (layoutA.bytes + layoutB.bytes) * stages + (layoutResult?.bytes ?? 0) * 2 * consumers + 16 * stages + 1024
  }

  /// Of the left operand's tile: rows are those of the matrix in memory.
  var layoutA: TileLayout {
    majorA == .k
      ? TileLayout(rows: rows, columns: Self.depth, element) : TileLayout(rows: Self.depth, columns: rows, element)
  }
  var layoutB: TileLayout {
    majorB == .k
      ? TileLayout(rows: columns, columns: Self.depth, element)
      : TileLayout(rows: Self.depth, columns: columns, element)
  }
  /// Of what a warpgroup writes at once; nil: results go straight from registers to memory.
  var layoutResult: TileLayout? {
    guard storesTiles else { return nil }
    return switch epilogue.result {
    case .bfloat16: TileLayout(rows: 64, columns: partColumns, .bfloat16)
    case .float16: TileLayout(rows: 64, columns: partColumns, .float16)
    default: nil
    }
  }

  /// Operands of a launch: maps of a, b and the result (where it leaves by tensor copies), sizes, those of the division, then those
  /// of the epilogue.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("product\(rows)x\(columns)", target: target, threads: threads, blocks: 1, cluster: Extent(cluster)) { k in
      let maps = (a: k.tensorMap("a"), b: k.tensorMap("b"), result: layoutResult.map { _ in k.tensorMap("result") })
      let shape = ProductShape(k)
      let division = ProductTiles.Division(k, division)
      let pointers = epilogue.parameters(k)

      let a = k.tile(layoutA, of: BF16.self, count: stages)
      let b = k.tile(layoutB, of: BF16.self, count: stages)
      let staging = layoutResult.map { k.tile($0, of: BF16.self, count: 2 * consumers) }
      let pipeline = Pipeline(k, stages: stages, users: consumers * cluster, spansCluster: cluster > 1)
      Pipeline.publish(k, cluster: cluster > 1)

      let tiles = ProductTiles(
        shape: shape, rows: rows, columns: columns, depth: Self.depth, cluster: cluster, group: group,
        division: division)

      k.roles([
        Role(registers: consumers == 1 ? 56 : 24) { _ in
          k.when(k.thread.x .== 0) {
            load(k, maps.a, maps.b, a, b, pipeline, tiles)
          }
        },
        Role(groups: consumers, registers: consumers == 1 ? 256 : 240) { index in
          multiply(k, pointers, maps.result, a, b, staging, pipeline, tiles, index)
        },
      ])
      // A block must live while its neighbour sends to it or arrives at its barriers.
      if cluster > 1 { k.synchroniseCluster(aligned: false) }
    }
  }

  // MARK: The filler

  private func load(
    _ k: KernelBuilder, _ mapA: Value<U64>, _ mapB: Value<U64>, _ a: SharedTiles<BF16>, _ b: SharedTiles<BF16>,
    _ pipeline: Pipeline, _ tiles: ProductTiles
  ) {
    let cursor = pipeline.cursor()
    let sends = cluster > 1 ? k.clusterRank .== 0 : nil
    let receivers = k.variable(Value<U16>((1 << cluster) - 1))
    tiles.each(k) { tile in
      let (row, column) = (tile.row.seen(as: S32.self), tile.column.seen(as: S32.self))
      k.loop(tile.steps) { step in
        let depth = ((tile.firstStep + step) * Value(Self.depth)).seen(as: S32.self)
        pipeline.fill(
          cursor,
          [
            TileCopy(
              a[cursor.stage], mapA, column: majorA == .k ? depth : row, row: majorA == .k ? row : depth,
              more: [tile.matrixA.seen(as: S32.self)]),
            TileCopy(
              b[cursor.stage], mapB, column: majorB == .k ? depth : column, row: majorB == .k ? column : depth,
              more: [tile.matrixB.seen(as: S32.self)], multicast: sends.map { (receivers, $0) }),
          ])
        cursor.advance()
      }
    }
  }

  // MARK: The users

  private func multiply(
    _ k: KernelBuilder, _ pointers: TileEpilogue.Pointers, _ mapResult: Value<U64>?, _ a: SharedTiles<BF16>,
    _ b: SharedTiles<BF16>, _ staging: SharedTiles<BF16>?, _ pipeline: Pipeline, _ tiles: ProductTiles,
    _ index: Value<U32>
  ) {
    let cursor = pipeline.cursor()
    let previous = k.variable(Value<U32>(0))
    let thread = k.thread.x & 127
    let sums = (0..<columns / 2).map { _ in k.register(F32.self) }
    // Two buffers take turns: one is read by the copy while the other is filled.
    let turn = k.variable(Value<U32>(0))
    // One thread a block of the cluster gives the stage back there.
    let release = {
      if cluster > 1 {
        k.when(thread .< Value(cluster)) { pipeline.release(stage: previous, toBlock: thread) }
      } else {
        k.when(thread .== 0) { pipeline.release(stage: previous) }
      }
    }
    // This group's rows of the left operand.
    let rowsOffset = k.convert(index, to: U64.self) * Value(layoutA.descriptorOffset(from: 64, majorA))
    let always = k.predicate(true)

    tiles.each(k) { tile in
      k.loop(tile.steps) { step in
        pipeline.waitUntilFull(cursor)
        let descriptorA = a[cursor.stage].descriptor(majorA) + rowsOffset
        let descriptorB = b[cursor.stage].descriptor(majorB)
        let isLater = step .!= 0
        k.fenceProducts()
        for inner in 0..<Self.depth / 16 {
          k.multiplyGroup(
            sums, descriptorA + Value(layoutA.descriptorStep(inner, majorA)),
            descriptorB + Value(layoutB.descriptorStep(inner, majorB)), operands,
            accumulates: inner == 0 ? isLater : always, majorA: majorA, majorB: majorB)
        }
        k.commitProducts()
        // The group before this one has read its stage.
        k.waitForProducts(pending: 1)
        k.when(isLater, release)
        previous.assign(cursor.stage)
        cursor.advance()
      }
      k.waitForProducts()
      if division == .groups {
        // Rows without a group.
        k.when(tile.steps .== 0) {
          for sum in sums { sum.assign(0) }
        } otherwise: {
          release()
        }
      } else {
        release()
      }
      write(k, sums, tile, index, thread, tiles.shape, pointers, mapResult, staging, turn)
    }
    if staging != nil { k.when(thread .== 0) { k.waitForStores() } }
  }

  /// Finishes the sums of a tile: from registers to shared memory in parts of 64 columns, from there by a tensor copy.
  private func write(
    _ k: KernelBuilder, _ sums: [Value<F32>], _ tile: ProductTile, _ index: Value<U32>, _ thread: Value<U32>,
    _ shape: ProductShape, _ pointers: TileEpilogue.Pointers, _ mapResult: Value<U64>?, _ staging: SharedTiles<BF16>?,
    _ turn: Value<U32>
  ) {
    let lane = thread & 31
    let warpRow = (thread >> 5) * 16
    let firstRow = tile.row + index * 64
    let row = firstRow + warpRow + (lane >> 2)
    let column = tile.column + (lane & 3) * 2
    // Registers 4g + 2i and the next are row 8i, columns 8g and 8g + 1 of those.
    let place = { (register: Int) in
      shape.place(
        row + Value(register & 2 == 0 ? 0 : 8), column + Value(register / 4 * 8), tile.result,
        end: tile.end)
    }
    guard let staging, let mapResult else {
      for register in stride(from: 0, to: sums.count, by: 2) {
        epilogue.write(k, [sums[register], sums[register + 1]], at: place(register), pointers)
      }
      return
    }
    let barrier = index + 1
    for part in 0..<columns / partColumns {
      let buffer = staging[index * 2 + turn]
      k.when(thread .== 0) { k.waitForStores(pending: 1, reading: true) }
      k.synchronise(barrier, threads: 128)
      for pair in 0..<partColumns / 16 {
        let first = (part * partColumns / 8 + 2 * pair) * 4
        let packed = (0..<4).map { quarter in
          let register = first + 2 * quarter
          return epilogue.pack(
            k, epilogue.finish(k, [sums[register], sums[register + 1]], at: place(register), pointers))
        }
        let place = buffer.chunk(row: warpRow + (lane & 15), Value<U32>(2 * pair) + (lane >> 4))
        k.storeMatrices(packed, to: place)
      }
      k.fenceAsync()
      k.synchronise(barrier, threads: 128)
      k.when(thread .== 0) {
        k.storeTensor(
          from: buffer.pointer, to: mapResult,
          at: [
            (tile.column + Value(part * partColumns)).seen(as: S32.self), firstRow.seen(as: S32.self),
            tile.result.seen(as: S32.self),
          ])
        k.commitStores()
      }
      turn.assign(turn ^ 1)
    }
  }
}
