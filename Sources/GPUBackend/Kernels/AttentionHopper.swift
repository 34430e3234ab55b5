// Attention forward of sm_90a: one thread copies tiles of queries, keys and values into shared memory; warpgroups of 64 queries
// each multiply them, weights staying in registers as the left operand of the second product.
//
// Two overlaps hide the softmax. Within a group, the scores of the next keys are multiplied while the sums of these run, and the
// softmax runs under the latter. Between groups, named barriers let one issue its products while another does its softmax.
// A block works through many tiles of queries, the longest first, heads whose keys fit into the second-level cache together.
//
// Invariant: a row's keys are added in tiles that are cut by position alone, from the last to the first.
//
// Shah et al., FlashAttention-3 (2024), arXiv:2407.08608.

internal import KernelLanguage
internal import Tensors

/// For 16-bit floats, heads of a multiple of 8 elements, positive scales; keys and values as they are, and all of them.
struct HopperAttention: KernelSource {
  var problem: AttentionProblem
  /// Warpgroups that multiply, 64 queries each.
  var consumers: Int
  /// Keys of a tile.
  var keyTile: Int
  var stages = 2

  /// Whether it can compute the problem. Keys beyond a length would have to be finite.
  static func takes(_ problem: AttentionProblem) -> Bool { AmpereAttention.takes(problem) && !problem.options.lengths }

  init(_ problem: AttentionProblem) {
    self.problem = problem
    let isCut = problem.options.causal || problem.options.window != nil || problem.options.segments
    switch problem.columns(multipleOf: 32) {
    // Masks by segments need registers.
    case ...64: (consumers, keyTile) = (problem.options.segments ? 2 : 3, 128)
    case ...96: (consumers, keyTile) = (2, 128)
    case ...128: (consumers, keyTile) = (2, isCut ? 128 : 176)
    case ...192: (consumers, keyTile) = (2, 112)
    default: (consumers, keyTile) = (2, 80)
    }
  }

  /// Queries of a tile.
  var rows: Int { consumers * 64 }
  var threads: Int { (consumers + 1) * 128 }
  var queryLayout: TileLayout { problem.layout(rows: rows, multipleOf: 32) }
  /// Of keys and of values.
  var keyLayout: TileLayout { problem.layout(rows: keyTile, multipleOf: 32) }

  /// Heads (of all batch entries) that are worked through together.
  ///
  /// - Parameter cache: bytes of the second-level cache that their keys and values may take.
  func section(keys: Int, cache: Int = 32 << 20) -> Int {
    max(1, cache / max(1, 4 * keys * problem.size)) * problem.group
  }

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("attention", target: target, threads: threads, blocks: 1) { k in
      let maps = Maps(q: k.tensorMap("q"), k: k.tensorMap("k"), v: k.tensorMap("v"), o: k.tensorMap("o"))
      let segments = problem.options.segments ? k.pointer("segments", to: S32.self) : nil
      let sinks = problem.options.sinks ? k.pointer("sinks", to: F32.self) : nil
      let batch = BatchedRows(k, problem, segments: segments)
      let section = k.parameter("section", U32.self)
      let logSumExps = k.pointer("logSumExps", to: F32.self)

      let stage = Stage(
        q: k.tile(queryLayout, of: BF16.self)[0], k: k.tile(keyLayout, of: BF16.self, count: stages),
        v: k.tile(keyLayout, of: BF16.self, count: stages), queries: Pipeline(k, stages: 1, users: consumers),
        keys: Pipeline(k, stages: stages, users: consumers), values: Pipeline(k, stages: stages, users: consumers))
      Pipeline.publish(k, cluster: false)

      let tiles = { (_ body: (QueryTile) -> Void) in forEachTile(k, batch, section, body) }
      k.roles([
        Role(registers: consumers == 2 ? 24 : 32) { _ in
          k.when(k.thread.x .== 0) { fill(k, maps, stage, tiles) }
        },
        Role(groups: consumers, registers: consumers == 2 ? 240 : 160) { group in
          multiply(k, maps, stage, batch, sinks, logSumExps, tiles, group)
        },
      ])
    }
  }

  private struct Maps { let q, k, v, o: Value<U64> }

  /// What is in shared memory.
  private struct Stage {
    let q: SharedTile<BF16>
    let k, v: SharedTiles<BF16>
    let queries, keys, values: Pipeline
  }

  /// The tiles of this block: by sections of heads, within them the last queries of all heads first.
  private func forEachTile(
    _ k: KernelBuilder, _ batch: BatchedRows, _ section: Value<U32>, _ body: (QueryTile) -> Void
  ) {
    let tiles = (batch.queries + Value(rows - 1)) / Value(rows)
    let lines = batch.batch * Value(problem.heads)
    k.loop(from: k.block.x, to: lines * tiles, by: k.gridExtent.x) { index in
      let number = index / (section * tiles)
      let inside = index - number * section * tiles
      let height = k.minimum(lines - number * section, section)
      let tile = inside / height
      let (entry, head) = k.divided(number * section + (inside - tile * height), by: problem.heads)
      body(QueryTile(k, batch, problem, rows: rows, entry: entry, head: head, tile: tiles - 1 - tile))
    }
  }

  // MARK: The filler

  private func fill(_ k: KernelBuilder, _ maps: Maps, _ stage: Stage, _ tiles: ((QueryTile) -> Void) -> Void) {
    let (queries, keys, values) = (stage.queries.cursor(), stage.keys.cursor(), stage.values.cursor())
    tiles { tile in
      let range = tile.tiles(keyTile)
      let keyHead = k.quotient(tile.head, problem.group).seen(as: S32.self)
      let entry = tile.entry.seen(as: S32.self)
      func fill(
        _ pipeline: Pipeline, _ cursor: Pipeline.Cursor, _ tiles: SharedTiles<BF16>, _ map: Value<U64>,
        _ number: Value<S32>
      ) {
        pipeline.fill(
          cursor, [TileCopy(tiles[cursor.stage], map, column: 0, row: keyHead, more: [number * Value(keyTile), entry])])
        cursor.advance()
      }
      let number = k.variable(range.end - 1)
      let isAny = number .>= range.first
      k.when(isAny) { fill(stage.keys, keys, stage.k, maps.k, number) }
      stage.queries.fill(
        queries,
        [
          TileCopy(
            stage.q, maps.q, column: 0, row: tile.head.seen(as: S32.self), more: [tile.first.seen(as: S32.self), entry])
        ])
      queries.advance()
      k.loop { loop in
        loop.leave(when: number .<= range.first)
        fill(stage.keys, keys, stage.k, maps.k, number - 1)
        fill(stage.values, values, stage.v, maps.v, number)
        number -= 1
      }
      k.when(isAny) { fill(stage.values, values, stage.v, maps.v, number) }
    }
  }

  // MARK: The users

  private func multiply(
    _ k: KernelBuilder, _ maps: Maps, _ stage: Stage, _ batch: BatchedRows, _ sinks: Pointer<F32, Global>?,
    _ logSumExps: Pointer<F32, Global>, _ tiles: ((QueryTile) -> Void) -> Void, _ group: Value<U32>
  ) {
    let thread = k.thread.x & 127
    let (queries, keys, values) = (stage.queries.cursor(), stage.keys.cursor(), stage.values.cursor())
    let products = Products(k, self, stage, group)
    let softmax = FragmentSoftmax(k, problem)
    let turns = Turns(k, group, of: consumers)
    let isLater = k.variable(k.predicate(false))
    func release(_ pipeline: Pipeline, _ cursor: Pipeline.Cursor) {
      k.when(thread .== 0) { pipeline.release(stage: cursor.stage) }
      cursor.advance()
    }
    turns.begin()

    tiles { tile in
      let range = tile.tiles(keyTile)
      let mask = tile.mask(first: group * 64 + (thread >> 5) * 16)
      softmax.reset()
      isLater.assign(k.predicate(false))
      let number = k.variable(range.end - 1)
      // Scores become weights; the sums' factors.
      func weigh(left: Bool, right: Bool) -> [Value<F32>] {
        problem.capScores(k, products.scores)
        if left || right {
          mask.apply(k, to: products.scores, first: number * Value(keyTile), left: left, right: right)
        }
        return softmax.weigh(products.scores)
      }
      let isWindowed = problem.window != nil

      stage.queries.waitUntilFull(queries)
      k.when(
        (number .>= range.first),
        {
          stage.keys.waitUntilFull(keys)
          products.scores(stage: keys.stage)
          k.waitForProducts()
          release(stage.keys, keys)
          _ = weigh(left: isWindowed, right: true)
          products.takeWeights()

          // One step: the next scores, and the sums of the weights that are there.
          func steps(downTo end: Value<S32>, left: Bool, right: Bool) {
            k.loop { loop in
              loop.leave(when: number .<= end)
              number -= 1
              stage.keys.waitUntilFull(keys)
              turns.wait()
              products.scores(stage: keys.stage)
              stage.values.waitUntilFull(values)
              products.sums(stage: values.stage, accumulates: isLater)
              turns.pass()
              k.waitForProducts(pending: 1)
              release(stage.keys, keys)
              let factors = weigh(left: left, right: right)
              softmax.settle()
              k.waitForProducts()
              release(stage.values, values)
              products.scale(factors)
              products.takeWeights()
              isLater.assign(k.predicate(true))
            }
          }
          let whole = tile.wholeTiles(keyTile)
          if problem.options.segments {
            steps(downTo: range.first, left: isWindowed, right: true)
          } else {
            if problem.options.causal || isWindowed {
              steps(downTo: k.maximum(whole.end, range.first), left: isWindowed, right: true)
            }
            if isWindowed {
              steps(downTo: k.maximum(whole.first, range.first), left: false, right: false)
            }
            steps(downTo: range.first, left: isWindowed, right: false)
          }
          stage.values.waitUntilFull(values)
          products.sums(stage: values.stage, accumulates: isLater)
          k.waitForProducts()
          release(stage.values, values)
        }, otherwise: { products.clearSums() })

      let ends = softmax.finish(sink: sinks.map { $0[tile.head] })
      products.scale(ends.map(\.factor))
      let line = (tile.entry * Value(problem.heads) + tile.head) * batch.queries
      for row in 0..<2 {
        let query = tile.first + group * 64 + (thread >> 5) * 16 + (k.lane >> 2) + Value(8 * row)
        k.when((query .< batch.queries) .& ((k.lane & 3) .== 0)) { logSumExps[line + query] = ends[row].logSumExp }
      }
      // The group's own queries are not needed any more: their place takes the sums.
      products.store(maps.o, tile, thread)
      release(stage.queries, queries)
    }
    turns.end()
  }

  /// The products of a warpgroup, and the registers that they use.
  private struct Products {
    let scores: [Value<F32>]
    private let k: KernelBuilder
    private let kernel: HopperAttention
    private let stage: Stage
    private let group: Value<U32>
    private let sums: [Value<F32>]
    private let weights: [[Value<U32>]]
    private let queries: Value<U64>
    private let (never, always): (Value<Predicate>, Value<Predicate>)

    init(_ k: KernelBuilder, _ kernel: HopperAttention, _ stage: Stage, _ group: Value<U32>) {
      (self.k, self.kernel, self.stage, self.group) = (k, kernel, stage, group)
      scores = (0..<kernel.keyTile / 2).map { _ in k.register(F32.self) }
      sums = (0..<kernel.keyLayout.columns / 2).map { _ in k.register(F32.self) }
      weights = (0..<kernel.keyTile / 16).map { _ in (0..<4).map { _ in k.register(U32.self) } }
      let rows = kernel.queryLayout.descriptorOffset(from: 64, .k)
      queries = stage.q.descriptor() + k.convert(group, to: U64.self) * Value(rows)
      (never, always) = (k.predicate(false), k.predicate(true))
    }

    private var type: KernelBuilder.MatrixType { kernel.problem.matrixType! }

    /// Begins scores = queries · keysᵀ.
    func scores(stage number: Value<U32>) {
      let keys = stage.k[number].descriptor()
      k.fenceProducts()
      for step in 0..<kernel.keyLayout.columns / 16 {
        k.multiplyGroup(
          scores, queries + Value(kernel.queryLayout.descriptorStep(step, .k)),
          keys + Value(kernel.keyLayout.descriptorStep(step, .k)), type, accumulates: step == 0 ? never : always)
      }
      k.commitProducts()
    }

    /// Begins sums += weights · values.
    func sums(stage number: Value<U32>, accumulates: Value<Predicate>) {
      let values = stage.v[number].descriptor(.mn)
      k.fenceProducts()
      for (step, weights) in weights.enumerated() {
        k.multiplyGroup(
          sums, weights, values + Value(kernel.keyLayout.descriptorStep(step, .mn)), type,
          accumulates: step == 0 ? accumulates : always, majorB: .mn)
      }
      k.commitProducts()
    }

    /// What the scores have become is the left operand of the next sums.
    func takeWeights() {
      let packed = k.leftOperands(scores) { kernel.problem.pack(k, $0, $1) }
      for (weight, value) in zip(weights.joined(), packed.joined()) { weight.assign(value) }
    }

    func scale(_ factors: [Value<F32>]) {
      for (register, sum) in sums.enumerated() { sum *= factors[register >> 1 & 1] }
    }

    func clearSums() {
      for sum in sums { sum.assign(0) }
    }

    /// Writes the sums by way of shared memory; comes back when that may be written again.
    func store(_ map: Value<U64>, _ tile: QueryTile, _ thread: Value<U32>) {
      let row = group * 64 + (thread >> 5) * 16 + (k.lane & 15)
      for pair in 0..<sums.count / 8 {
        let packed = k.leftOperands(Array(sums[8 * pair..<8 * pair + 8])) { kernel.problem.pack(k, $0, $1) }
        k.storeMatrices(packed[0], to: stage.q.chunk(row: row, Value<U32>(2 * pair) + (k.lane >> 4)))
      }
      k.fenceAsync()
      k.synchronise(group + 1, threads: 128)
      k.when(thread .== 0) {
        let layout = kernel.queryLayout
        for panel in 0..<layout.panels where panel * layout.panelColumns < kernel.problem.size {
          k.storeTensor(
            from: stage.q.panel(panel).advanced(bytes: group * Value(64 * layout.swizzle.span)), to: map,
            at: [
              k.variable(Value(panel * layout.panelColumns)), tile.head.seen(as: S32.self),
              (tile.first + group * 64).seen(as: S32.self), tile.entry.seen(as: S32.self),
            ])
        }
        k.commitStores()
        k.waitForStores(reading: true)
      }
    }
  }
}

/// Turns in which warpgroups issue their products, one after the other.
private struct Turns {
  private let k: KernelBuilder
  private let group: Value<U32>
  private let count: Int
  private let own, next: Value<U32>

  /// Named barriers from here on.
  private static let first = 8

  init(_ k: KernelBuilder, _ group: Value<U32>, of count: Int) {
    (self.k, self.group, self.count) = (k, group, count)
    own = group + Value(Self.first)
    next = k.select(group .== Value(count - 1), Value(Self.first), own + 1)
  }

  /// Lets the first group be first, as if the last had had its turn.
  func begin() { k.when(group .== Value(count - 1)) { k.arrive(next, threads: 256) } }
  /// Waits until it is this group's turn.
  func wait() { k.synchronise(own, threads: 256) }
  /// Gives the turn to the next group.
  func pass() { k.arrive(next, threads: 256) }
  /// Takes the last turn, so that no barrier is left half full.
  func end() { k.when(group .== 0) { k.synchronise(own, threads: 256) } }
}
