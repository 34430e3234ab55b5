// The matrix product of sm_100a: tensor copies feed stages of shared memory, one thread lets the tensor cores multiply them into
// tensor memory, four warps write results; two accumulators take turns, so that a tile's results are written under the next
// tile's products. Two blocks may work as a pair: each brings half of the right operand, and the tensor cores of both read it.
//
// Invariant: K-blocks are added in order, so a result's bits depend on its row, its column and K alone. Stages and accumulators are
// given on by commits, never by arrivals, where products may still be under way.

internal import KernelLanguage
internal import Tensors

/// Products of 16-bit floats with float32 sums: y = residual + activation(a · b + bias).
struct BlackwellProduct: KernelSource {
  var operands: KernelBuilder.MatrixType
  /// How the operands lie: `.k` for a [m, k] and b [n, k], `.mn` for a [k, m] and b [k, n].
  var majorA: KernelBuilder.Major
  var majorB: KernelBuilder.Major
  var epilogue: TileEpilogue
  /// Columns of a tile: 64, 128 or 256.
  var columns = 256
  /// Whether two blocks multiply 256 rows together.
  var isPair = true
  var stages = 4
  /// Rows of tiles that are worked through together.
  var group = 8
  /// Beside tiles: whole sums or parts of them.
  var division = ProductDivision.whole
  /// Whether results leave by tensor copies: rows of 16-bit floats that begin at multiples of 16 bytes.
  var storesTiles = true

  /// Of a block's tile: as many as tensor memory has lanes.
  static let rows = 128
  /// Elements of the summed axis in a stage.
  static let depth = 64
  /// Columns that leave at once.
  private static let part = 64
  /// Copies, products, tensor memory, one that has nothing to do, and four that write.
  static let threads = 256
  private static let writers = 128

  var cluster: Int { isPair ? 2 : 1 }
  var element: TensorMap.Element { operands == .bf16 ? .bfloat16 : .float16 }
  /// What a block brings of the right operand.
  private var ownColumns: Int { columns / cluster }

  var layoutA: TileLayout {
    majorA == .k
      ? TileLayout(rows: Self.rows, columns: Self.depth, element)
      : TileLayout(rows: Self.depth, columns: Self.rows, element)
  }
  var layoutB: TileLayout {
    majorB == .k
      ? TileLayout(rows: ownColumns, columns: Self.depth, element)
      : TileLayout(rows: Self.depth, columns: ownColumns, element)
  }
  /// Of what is written at once; nil: results go straight from registers to memory.
  var layoutResult: TileLayout? {
    guard storesTiles else { return nil }
    return switch epilogue.result {
    case .bfloat16: TileLayout(rows: Self.rows, columns: Self.part, .bfloat16)
    case .float16: TileLayout(rows: Self.rows, columns: Self.part, .float16)
    default: nil
    }
  }
  /// Of all stages, of what leaves and of the barriers; as much as alignment can cost.
  var sharedBytes: Int {
    (layoutA.bytes + layoutB.bytes) * stages + (layoutResult?.bytes ?? 0) * 2 + 16 * stages + 1024
  }

  /// What a kernel's roles share.
  private struct Shared {
    let a: SharedTiles<BF16>
    let b: SharedTiles<BF16>
    let staging: SharedTiles<BF16>?
    let stages: Pipeline
    /// Of tensor memory; filled by products, used by writers.
    let accumulators: Pipeline
  }

  /// Operands of a launch: as of `HopperProduct`.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel(
      "product\(Self.rows * cluster)x\(columns)", target: target, threads: Self.threads, blocks: 1,
      cluster: Extent(cluster)
    ) { k in
      let maps = (a: k.tensorMap("a"), b: k.tensorMap("b"), result: layoutResult.map { _ in k.tensorMap("result") })
      let shape = ProductShape(k)
      let division = ProductTiles.Division(k, division)
      let pointers = epilogue.parameters(k)
      let shared = Shared(
        a: k.tile(layoutA, of: BF16.self, count: stages), b: k.tile(layoutB, of: BF16.self, count: stages),
        staging: layoutResult.map { k.tile($0, of: BF16.self, count: 2) },
        stages: Pipeline(k, stages: stages, users: 1, spansCluster: isPair),
        accumulators: Pipeline(k, stages: 2, users: Self.writers * cluster, spansCluster: isPair))
      let slot = k.shared(U32.self, count: 1)
      // The same in all lanes, which the assembler should see.
      let warp = k.shuffle(k.thread.x >> 5, .index, 0)
      k.when(warp .== 2) {
        k.allocateTensorMemory(columns: 2 * columns, to: slot, pair: isPair)
        k.relinquishTensorMemory(pair: isPair)
      }
      k.fenceTensorBefore()
      Pipeline.publish(k, cluster: isPair)
      // All have seen the cluster's barrier; the address comes from this block's own warp.
      if isPair { k.synchronise() }
      k.fenceTensorAfter()
      let memory = slot.load()

      let tiles = ProductTiles(
        shape: shape, rows: Self.rows, columns: columns, depth: Self.depth, cluster: cluster, group: group,
        division: division)
      k.when(warp .== 0) {
        k.when(k.elected) { load(k, maps.a, maps.b, shared, tiles) }
        k.synchroniseWarp()
      }
      // Of a pair the first block issues.
      k.when(isPair ? (warp .== 1) .& (k.clusterRank .== 0) : warp .== 1) {
        k.when(k.elected) { multiply(k, memory, shared, tiles) }
        k.synchroniseWarp()
      }
      k.when(warp .>= 4) { write(k, memory, pointers, maps.result, shared, tiles) }

      k.fenceTensorBefore()
      // A block must live while its neighbour multiplies with its operands or arrives at its barriers.
      if isPair { k.synchroniseCluster() } else { k.synchronise() }
      k.when(warp .== 2) {
        k.fenceTensorAfter()
        k.freeTensorMemory(memory, columns: 2 * columns, pair: isPair)
      }
    }
  }

  // MARK: Roles

  private func load(
    _ k: KernelBuilder, _ mapA: Value<U64>, _ mapB: Value<U64>, _ shared: Shared, _ tiles: ProductTiles
  ) {
    let cursor = shared.stages.cursor()
    let rank = isPair ? k.clusterRank : nil
    tiles.each(k) { tile in
      let row = tile.row.seen(as: S32.self)
      let firstColumn = rank.map { tile.column + $0 * Value(ownColumns) } ?? tile.column
      let column = firstColumn.seen(as: S32.self)
      k.loop(tile.steps) { step in
        let depth = ((tile.firstStep + step) * Value(Self.depth)).seen(as: S32.self)
        let copies = [
          TileCopy(
            shared.a[cursor.stage], mapA, column: majorA == .k ? depth : row, row: majorA == .k ? row : depth,
            more: [tile.matrixA.seen(as: S32.self)], isPair: isPair),
          TileCopy(
            shared.b[cursor.stage], mapB, column: majorB == .k ? depth : column, row: majorB == .k ? column : depth,
            more: [tile.matrixB.seen(as: S32.self)], isPair: isPair),
        ]
        if let rank { shared.stages.fillPair(cursor, copies, rank: rank) } else { shared.stages.fill(cursor, copies) }
        cursor.advance()
      }
    }
  }

  private func multiply(_ k: KernelBuilder, _ memory: Value<U32>, _ shared: Shared, _ tiles: ProductTiles) {
    let instruction = InstructionDescriptor(
      operands, rows: Self.rows * cluster, columns: columns, majorA: majorA, majorB: majorB, pair: isPair)
    let bits = k.variable(Value<U32>(Int(instruction.bits)))
    let (cursor, accumulator) = (shared.stages.cursor(), shared.accumulators.cursor())
    let always = k.predicate(true)
    tiles.each(k) { tile in
      shared.accumulators.waitUntilEmpty(accumulator)
      k.fenceTensorAfter()
      let sums = memory + accumulator.stage * Value(columns)
      k.loop(tile.steps) { step in
        shared.stages.waitUntilFull(cursor)
        k.fenceTensorAfter()
        let (a, b) = (shared.a[cursor.stage].descriptor(majorA), shared.b[cursor.stage].descriptor(majorB))
        let isLater = step .!= 0
        for inner in 0..<Self.depth / 16 {
          k.multiplyTensor(
            sums, a + Value(layoutA.descriptorStep(inner, majorA)), b + Value(layoutB.descriptorStep(inner, majorB)),
            bits, kind: instruction.kind, accumulates: inner == 0 ? isLater : always, pair: isPair)
        }
        shared.stages.releaseAfterProducts(stage: cursor.stage, pair: isPair)
        cursor.advance()
      }
      shared.accumulators.fillAfterProducts(stage: accumulator.stage, pair: isPair)
      accumulator.advance()
    }
  }

  private func write(
    _ k: KernelBuilder, _ memory: Value<U32>, _ pointers: TileEpilogue.Pointers, _ mapResult: Value<U64>?,
    _ shared: Shared, _ tiles: ProductTiles
  ) {
    let accumulator = shared.accumulators.cursor()
    // Two buffers take turns: one is read by the copy while the other is filled.
    let turn = k.variable(Value<U32>(0))
    let thread = k.thread.x & 127
    // A warp reads the 32 lanes of its own: lane is row.
    let lanes = memory + ((thread >> 5) << 21)
    tiles.each(k) { tile in
      shared.accumulators.waitUntilFull(accumulator)
      k.fenceTensorAfter()
      k.loop(Value<U32>(columns / Self.part)) { part in
        let column = part * Value(Self.part)
        let first = lanes + accumulator.stage * Value(columns) + column
        let sums = (0..<2).flatMap { k.loadTensor(32, from: first + Value(32 * $0)) }.map { k.bits($0, as: F32.self) }
        k.waitForTensorLoads()
        k.when(part .== Value(columns / Self.part - 1)) {
          k.fenceTensorBefore()
          shared.accumulators.release(stage: accumulator.stage, toBlock: isPair ? Value(0) : nil)
        }
        let place = tiles.shape.place(tile.row + thread, tile.column + column, tile.result)
        write(k, sums, at: place, thread, tile, pointers, mapResult, shared.staging.map { $0[turn] })
        turn.assign(turn ^ 1)
      }
      accumulator.advance()
    }
    if shared.staging != nil { k.when(thread .== 0) { k.waitForStores() } }
  }

  /// Finishes 64 columns of the thread's row.
  private func write(
    _ k: KernelBuilder, _ sums: [Value<F32>], at place: ProductPlace, _ thread: Value<U32>, _ tile: ProductTile,
    _ pointers: TileEpilogue.Pointers, _ mapResult: Value<U64>?, _ buffer: SharedTile<BF16>?
  ) {
    let pairs = stride(from: 0, to: sums.count, by: 2)
    guard let buffer, let mapResult else {
      for first in pairs { epilogue.write(k, [sums[first], sums[first + 1]], at: place.advanced(first), pointers) }
      return
    }
    let packed = pairs.map { first in
      epilogue.pack(k, epilogue.finish(k, [sums[first], sums[first + 1]], at: place.advanced(first), pointers))
    }
    k.when(thread .== 0) { k.waitForStores(pending: 1, reading: true) }
    k.synchronise(1, threads: Self.writers)
    for chunk in 0..<Self.part / 8 {
      buffer.chunk(row: thread, k.variable(Value<U32>(chunk))).cast(to: U32.self).store(
        Array(packed[(4 * chunk)..<(4 * chunk + 4)]))
    }
    k.fenceAsync()
    k.synchronise(1, threads: Self.writers)
    k.when(thread .== 0) {
      k.storeTensor(
        from: buffer.pointer, to: mapResult,
        at: [place.column.seen(as: S32.self), tile.row.seen(as: S32.self), tile.result.seen(as: S32.self)])
      k.commitStores()
    }
  }
}
