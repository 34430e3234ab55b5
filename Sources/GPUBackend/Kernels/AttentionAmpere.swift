// Attention forward with warp-level matrix products (sm_80): a block for a tile of queries of one head, through whose keys it
// goes from the last to the first, so that what is masked comes first.
//
// While scores are computed the tile's values come, while weights and values are multiplied the next tile's keys come: one
// buffer each is enough.
//
// Invariant: a row's keys are added in tiles that are cut by position alone.
//
// Dao, FlashAttention-2 (2023), arXiv:2307.08691.

internal import KernelLanguage
internal import Tensors

/// For 16-bit floats, heads of a multiple of 8 elements, positive scales; keys and values as they are.
struct AmpereAttention: KernelSource {
  var problem: AttentionProblem
  /// Sixteens of queries that a warp works for.
  var rowTiles: Int

  static let warps = 4

  /// Queries of a block.
  var rows: Int { Self.warps * 16 * rowTiles }
  /// Keys of a tile: so many that registers suffice.
  var keyTile: Int { problem.size > 128 || (problem.size > 96 && rowTiles == 2) ? 32 : 64 }

  /// Whether tensor cores can do it.
  static func takes(_ problem: AttentionProblem) -> Bool {
    problem.matrixType != nil && !problem.options.scales && problem.size % 8 == 0 && (8...256).contains(problem.size)
      && problem.options.scale > 0
  }

  init(_ problem: AttentionProblem, queries: Int) {
    self.problem = problem
    // Masks by segments need registers.
    let hasRoom = problem.size <= 96 || (problem.size <= 128 && !problem.options.segments)
    rowTiles = hasRoom && queries > 64 ? 2 : 1
  }

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("attention", target: target, threads: Self.warps * 32) { k in
      let inputs = AttentionInputs(k, problem)
      let batch = BatchedRows(k, problem, segments: inputs.segments)
      let output = k.pointer("o", to: U32.self), logSumExps = k.pointer("logSumExps", to: F32.self)
      let type = problem.matrixType!
      let layout = problem.layout(rows: keyTile)
      func tile(_ layout: TileLayout, _ heads: Int) -> LoadedTile {
        LoadedTile(k, layout, size: problem.size, stride: heads * problem.size, threads: Self.warps * 32)
      }
      let queryTile = tile(problem.layout(rows: rows), problem.heads)
      let keyTiles = tile(layout, problem.keyHeads), valueTiles = tile(layout, problem.keyHeads)

      let place = QueryTile(k, batch, problem, rows: rows, index: k.block.x)
      let tiles = place.tiles(keyTile)
      let keyHead = k.quotient(place.head, problem.group)
      // A tile of keys or values from position `first` on.
      func load(_ tile: LoadedTile, _ elements: Elements<Global>, _ first: Value<S32>) {
        let head = (place.entry * batch.keys + first.seen(as: U32.self)) * Value(problem.keyHeads) + keyHead
        tile.load(
          from: elements.pointer.cast(to: BF16.self) + k.multiplyWide(head, Value(problem.size)),
          limit: place.length - first)
        k.commitCopies()
      }

      queryTile.load(
        from: inputs.q.pointer.cast(to: BF16.self) + batch.query(place.entry, place.first, place.head),
        limit: (batch.queries - place.first).seen(as: S32.self))
      let number = k.variable(tiles.end - 1)
      k.when(number .>= tiles.first) { load(keyTiles, inputs.k, number * Value(keyTile)) }

      let warpRow = k.warp * Value(16 * rowTiles)
      let queryAddresses = BlockAddresses(k, queryTile.layout, .rows, first: warpRow)
      let keyAddresses = BlockAddresses(k, layout, .columns), valueAddresses = BlockAddresses(k, layout, .rows)
      let scores = (0..<rowTiles).map { _ in (0..<keyTile / 2).map { _ in k.register(F32.self) } }
      let sums = (0..<rowTiles).map { _ in (0..<layout.columns / 2).map { _ in k.variable(Value<F32>(0)) } }
      let softmaxes = (0..<rowTiles).map { _ in FragmentSoftmax(k, problem) }
      let masks = (0..<rowTiles).map { place.mask(first: warpRow + Value(16 * $0)) }

      k.loop { loop in
        loop.leave(when: number .< tiles.first)
        let first = number * Value(keyTile)
        // The keys are there, and nobody reads the last values any more.
        k.waitForCopies()
        k.synchronise()
        load(valueTiles, inputs.v, first)
        for score in scores.joined() { score.assign(0) }
        k.multiplyRows(
          scores, steps: layout.columns / 16,
          left: { step in
            (0..<rowTiles).map {
              k.loadMatrices(4, from: queryAddresses.block(queryTile.pointer, row: 16 * $0, column: 16 * step))
            }
          }, right: keyTiles.pointer, keyAddresses, type)
        for scores in scores { problem.capScores(k, scores) }
        k.when(place.isCut(first, keyTile)) {
          for (scores, mask) in zip(scores, masks) { mask.apply(k, to: scores, first: first) }
        }
        // The values are there, and nobody reads the keys any more.
        k.waitForCopies()
        k.synchronise()
        number -= 1
        k.when(number .>= tiles.first) { load(keyTiles, inputs.k, number * Value(keyTile)) }
        for tile in 0..<rowTiles {
          let factors = softmaxes[tile].weigh(scores[tile])
          for (register, sum) in sums[tile].enumerated() { sum *= factors[register >> 1 & 1] }
        }
        k.multiplyColumns(
          sums, left: scores.map { k.leftOperands($0) { problem.pack(k, $0, $1) } }, right: valueTiles.pointer,
          valueAddresses, type)
      }
      k.waitForCopies()

      let sink = inputs.sinks.map { $0[place.head] }
      for tile in 0..<rowTiles {
        let ends = softmaxes[tile].finish(sink: sink)
        for row in 0..<2 {
          let query = place.first + warpRow + Value(16 * tile + 8 * row) + (k.lane >> 2)
          k.when(query .< batch.queries) {
            k.when((k.lane & 3) .== 0) {
              logSumExps[(place.entry * Value(problem.heads) + place.head) * batch.queries + query] =
                ends[row].logSumExp
            }
            let values = sums[tile].indices.filter { $0 >> 1 & 1 == row }.map { sums[tile][$0] * ends[row].factor }
            problem.storeRow(k, values, to: output, at: batch.query(place.entry, query, place.head))
          }
        }
      }
    }
  }
}

/// A tile of queries of one head: where it is and what it sees.
struct QueryTile {
  let entry: Value<U32>
  let head: Value<U32>
  /// Query at which it begins.
  let first: Value<U32>
  /// How many keys its batch entry has.
  let length: Value<S32>
  private let k: KernelBuilder
  private let problem: AttentionProblem
  private let batch: BatchedRows
  /// Of its first and its last query.
  private let seenByFirst: KeyRange
  private let seenByLast: KeyRange

  /// - Parameter index: of all tiles: those of a head follow each other, the last first, which sees the most.
  init(_ k: KernelBuilder, _ batch: BatchedRows, _ problem: AttentionProblem, rows: Int, index: Value<U32>) {
    let tiles = (batch.queries + Value(rows - 1)) / Value(rows)
    let line = index / tiles
    let (entry, head) = k.divided(line, by: problem.heads)
    self.init(
      k, batch, problem, rows: rows, entry: entry, head: head, tile: tiles - 1 - (index - line * tiles))
  }

  init(
    _ k: KernelBuilder, _ batch: BatchedRows, _ problem: AttentionProblem, rows: Int, entry: Value<U32>,
    head: Value<U32>, tile: Value<U32>
  ) {
    (self.k, self.problem, self.batch) = (k, problem, batch)
    (self.entry, self.head) = (entry, head)
    first = tile * Value(rows)
    let length = batch.length(entry)
    self.length = length
    func seen(_ query: Value<U32>) -> KeyRange {
      problem.keys(k, from: query.seen(as: S32.self) + length - batch.queries.seen(as: S32.self), of: length)
    }
    seenByFirst = seen(first)
    seenByLast = seen(k.minimum(first + Value(rows), batch.queries) - 1)
  }

  /// The tiles of `size` keys that any query sees.
  func tiles(_ size: Int) -> KeyRange {
    KeyRange(first: seenByFirst.first / Value(size), end: (seenByLast.end + Value(size - 1)) / Value(size))
  }

  /// The tiles of `size` keys of which every query sees all; as long as segments hide nothing.
  func wholeTiles(_ size: Int) -> KeyRange {
    KeyRange(first: (seenByLast.first + Value(size - 1)) / Value(size), end: seenByFirst.end / Value(size))
  }

  /// Whether a query does not see all of the `size` keys from `key` on.
  func isCut(_ key: Value<S32>, _ size: Int) -> Value<Predicate> {
    if problem.options.segments { return k.predicate(true) }
    return (key .< seenByLast.first) .| (key + Value(size) .> seenByFirst.end)
  }

  /// What the lane's rows of the sixteen from row `first` of the tile on see.
  func mask(first: Value<U32>) -> FragmentMask {
    let own = self.first + first + (k.lane >> 2)
    let queries = (0..<2).map { own + Value(8 * $0) }
    let ranges = queries.map {
      problem.keys(k, from: $0.seen(as: S32.self) + length - batch.queries.seen(as: S32.self), of: length)
    }
    let segments = batch.segments.map { segments in
      let columns = segments + entry * batch.keys
      return (queries.map { columns[k.minimum($0, batch.queries - 1)] }, columns)
    }
    return FragmentMask(ranges: ranges, segments: segments)
  }
}
