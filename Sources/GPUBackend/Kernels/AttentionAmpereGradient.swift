// Attention backward with warp-level matrix products (sm_80): one kernel goes for each tile of queries through the keys and
// gives dq, another one goes for each tile of keys through the queries of all heads that share it and gives dk and dv. So two
// of seven products are computed twice, and nothing is added up between blocks.
//
// The kernel for keys computes the transposed scores, keys times queries: then weights and their gradients lie in registers as
// the left operands of the products that make dv and dk.
//
// Invariant: every sum has an order that depends on shapes and ranges alone.
//
// Dao, FlashAttention-2 (2023), arXiv:2307.08691.

internal import KernelLanguage
internal import Tensors

/// For what `AmpereAttention` takes. D of every row has been computed (`GeneralAttentionGradient`).
struct AmpereAttentionGradient: KernelSource {
  enum Part: Hashable, Sendable { case queries, keys }

  var problem: AttentionProblem
  var part: Part

  /// Rows of the block's own tile: queries or keys.
  static let rows = 64
  /// Positions of the tiles that it goes through.
  var tile: Int { problem.size > 64 ? 32 : 64 }
  /// In how many parts warps share the elements of a head: sums of large heads have no room in one warp's registers.
  var parts: Int { part == .keys && problem.size > 128 ? 2 : 1 }
  var threads: Int { Self.rows / 16 * 32 * parts }

  func kernel(for target: PTXTarget) -> Kernel {
    // Shared memory holds one or two blocks of large heads: registers need not be spared for more.
    Kernel("attentionGradient", target: target, threads: threads, blocks: problem.size > 128 ? 1 : nil) { k in
      let inputs = AttentionInputs(k, problem)
      let batch = BatchedRows(k, problem, segments: inputs.segments)
      let dO = k.pointer("dO", to: BF16.self)
      let logSumExps = k.pointer("logSumExps", to: F32.self), means = k.pointer("means", to: F32.self)
      let operands = Operands(
        inputs: inputs, batch: batch, dO: dO, logSumExps: logSumExps, means: means)
      switch part {
      case .queries: queries(k, operands, dQ: k.pointer("dQ"))
      case .keys: keys(k, operands, dK: k.pointer("dK"), dV: k.pointer("dV"))
      }
    }
  }

  private struct Operands {
    let inputs: AttentionInputs
    let batch: BatchedRows
    let dO: Pointer<BF16, Global>
    /// [batch, heads, queries]
    let logSumExps, means: Pointer<F32, Global>

    var q: Pointer<BF16, Global> { inputs.q.pointer.cast() }
    var k: Pointer<BF16, Global> { inputs.k.pointer.cast() }
    var v: Pointer<BF16, Global> { inputs.v.pointer.cast() }
  }

  private func tiles(_ k: KernelBuilder, rows: Int, heads: Int, count: Int = 1) -> LoadedTile {
    LoadedTile(
      k, problem.layout(rows: rows), size: problem.size, stride: heads * problem.size, threads: threads, count: count)
  }

  // MARK: dq

  private func queries(_ k: KernelBuilder, _ operands: Operands, dQ: Pointer<U32, Global>) {
    let (batch, type) = (operands.batch, problem.matrixType!)
    let queryTile = tiles(k, rows: Self.rows, heads: problem.heads)
    let gradientTile = tiles(k, rows: Self.rows, heads: problem.heads)
    let keyTiles = tiles(k, rows: tile, heads: problem.keyHeads, count: 2)
    let valueTiles = tiles(k, rows: tile, heads: problem.keyHeads, count: 2)

    let place = QueryTile(k, batch, problem, rows: Self.rows, index: k.block.x)
    let range = place.tiles(tile)
    let keyHead = k.quotient(place.head, problem.group)
    let load = { (number: Value<S32>) in
      k.when(number .>= range.first) {
        let first = number * Value(tile)
        let head = (place.entry * batch.keys + first.seen(as: U32.self)) * Value(problem.keyHeads) + keyHead
        let element = k.multiplyWide(head, Value(problem.size))
        let stage = number.seen(as: U32.self) & 1
        keyTiles.load(stage, from: operands.k + element, limit: place.length - first)
        valueTiles.load(stage, from: operands.v + element, limit: place.length - first)
      }
      k.commitCopies()
    }
    let element = batch.query(place.entry, place.first, place.head)
    let limit = (batch.queries - place.first).seen(as: S32.self)
    queryTile.load(from: operands.q + element, limit: limit)
    gradientTile.load(from: operands.dO + element, limit: limit)
    let number = k.variable(range.end - 1)
    load(number)

    let warpRow = k.warp * 16
    let rows = BlockAddresses(k, queryTile.layout, .rows, first: warpRow)
    let (columns, transposed) = (
      BlockAddresses(k, keyTiles.layout, .columns), BlockAddresses(k, keyTiles.layout, .rows)
    )
    let steps = keyTiles.layout.columns / 16
    let scores = registers(k, tile / 2), gradients = registers(k, tile / 2)
    let sums = registers(k, keyTiles.layout.columns / 2)
    for sum in sums { sum.assign(0) }
    let mask = place.mask(first: warpRow)
    let line = (place.entry * Value(problem.heads) + place.head) * batch.queries
    let own = (0..<2).map {
      line + k.minimum(place.first + warpRow + Value(8 * $0) + (k.lane >> 2), batch.queries - 1)
    }
    let logSumExps = own.map { problem.negated(k, operands.logSumExps[$0]) }
    let means = own.map { operands.means[$0] }

    k.loop { loop in
      loop.leave(when: number .< range.first)
      // Everybody has left the stage that is filled now.
      k.synchronise()
      load(number - 1)
      k.waitForCopies(pending: 1)
      k.synchronise()
      let stage = number.seen(as: U32.self) & 1
      for register in scores + gradients { register.assign(0) }
      k.multiplyRows(
        [scores], steps: steps, left: { [k.loadMatrices(4, from: rows.block(queryTile.pointer, column: 16 * $0))] },
        right: keyTiles[stage], columns, type)
      k.multiplyRows(
        [gradients], steps: steps,
        left: { [k.loadMatrices(4, from: rows.block(gradientTile.pointer, column: 16 * $0))] },
        right: valueTiles[stage], columns, type)
      problem.capScores(k, scores)
      let first = number * Value(tile)
      problem.weigh(
        k, scores, gradients: gradients, logSumExp: { logSumExps[$0 >> 1 & 1] }, mean: { means[$0 >> 1 & 1] },
        mask: { weights in k.when(place.isCut(first, tile)) { mask.apply(k, to: weights, first: first, hidden: 0) } })
      k.multiplyColumns(
        [sums], left: [k.leftOperands(gradients) { problem.pack(k, $0, $1) }], right: keyTiles[stage], transposed, type)
      number -= 1
    }
    k.waitForCopies()
    for row in 0..<2 {
      let query = place.first + warpRow + Value(8 * row) + (k.lane >> 2)
      k.when(query .< batch.queries) {
        store(k, sums, row: row, factor: problem.options.scale, to: dQ, at: batch.query(place.entry, query, place.head))
      }
    }
  }

  // MARK: dk and dv

  private func keys(_ k: KernelBuilder, _ operands: Operands, dK: Pointer<U32, Global>, dV: Pointer<U32, Global>) {
    let (batch, type) = (operands.batch, problem.matrixType!)
    let keyTile = tiles(k, rows: Self.rows, heads: problem.keyHeads)
    let valueTile = tiles(k, rows: Self.rows, heads: problem.keyHeads)
    let queryTiles = tiles(k, rows: tile, heads: problem.heads, count: 2)
    let gradientTiles = tiles(k, rows: tile, heads: problem.heads, count: 2)

    let place = KeyTile(k, batch, problem, rows: Self.rows, index: k.block.x)
    let range = place.tiles(tile)
    // Tiles of the queries of all heads that share the keys, as one row of numbers.
    let perHead = k.maximum(range.end - range.first, 0).seen(as: U32.self)
    let count = perHead * Value(problem.group)
    let tileOf = { (number: Value<U32>) -> (head: Value<U32>, first: Value<U32>) in
      let member = number / perHead
      return (
        place.keyHead * Value(problem.group) + member,
        (range.first.seen(as: U32.self) + (number - member * perHead)) * Value(tile)
      )
    }
    let load = { (number: Value<U32>) in
      k.when(number .< count) {
        let (head, first) = tileOf(number)
        let element = batch.query(place.entry, first, head)
        let limit = (batch.queries - first).seen(as: S32.self)
        queryTiles.load(number & 1, from: operands.q + element, limit: limit)
        gradientTiles.load(number & 1, from: operands.dO + element, limit: limit)
      }
      k.commitCopies()
    }
    let limit = (batch.keys - place.first).seen(as: S32.self)
    keyTile.load(from: operands.k + place.element(place.first), limit: limit)
    valueTile.load(from: operands.v + place.element(place.first), limit: limit)
    load(k.variable(0))

    let warpRow = (k.warp & 3) * 16
    let rows = BlockAddresses(k, keyTile.layout, .rows, first: warpRow)
    let columns = BlockAddresses(k, queryTiles.layout, .columns)
    let transposed = BlockAddresses(k, queryTiles.layout, .rows)
    let steps = keyTile.layout.columns / 16
    let scores = registers(k, tile / 2), gradients = registers(k, tile / 2)
    let sumsK = registers(k, (steps + parts - 1) / parts * 8), sumsV = registers(k, sumsK.count)
    for sum in sumsK + sumsV { sum.assign(0) }
    let mask = place.mask(first: warpRow)

    k.loop(count) { number in
      k.synchronise()
      load(number + 1)
      k.waitForCopies(pending: 1)
      k.synchronise()
      let (head, first) = tileOf(number)
      let (queryTile, gradientTile) = (queryTiles[number & 1], gradientTiles[number & 1])
      for register in scores + gradients { register.assign(0) }
      k.multiplyRows(
        [scores], steps: steps, left: { [k.loadMatrices(4, from: rows.block(keyTile.pointer, column: 16 * $0))] },
        right: queryTile, columns, type)
      k.multiplyRows(
        [gradients], steps: steps, left: { [k.loadMatrices(4, from: rows.block(valueTile.pointer, column: 16 * $0))] },
        right: gradientTile, columns, type)
      problem.capScores(k, scores)
      // Of the lane's columns, in the order of registers.
      let line = (place.entry * Value(problem.heads) + head) * batch.queries
      let own = (0..<tile / 4).map { column -> Value<U32> in
        let query = first + ((k.lane & 3) << 1) + Value(column / 2 * 8 + column % 2)
        return line + k.minimum(query, batch.queries - 1)
      }
      let logSumExps = own.map { problem.negated(k, operands.logSumExps[$0]) }
      let means = own.map { operands.means[$0] }
      let column = { (register: Int) in register / 4 * 2 + register % 2 }
      let position = first.seen(as: S32.self)
      problem.weigh(
        k, scores, gradients: gradients, logSumExp: { logSumExps[column($0)] }, mean: { means[column($0)] },
        mask: { weights in
          k.when(place.isCut(position, tile)) { mask.apply(k, to: weights, first: position, hidden: 0) }
        })
      let weights = [k.leftOperands(scores) { problem.pack(k, $0, $1) }]
      let scoreGradients = [k.leftOperands(gradients) { problem.pack(k, $0, $1) }]
      forOwnPart(k, steps, [sumsK, sumsV]) { sums, first in
        k.multiplyColumns([sums[1]], left: weights, right: gradientTile, transposed, first: first, type)
        k.multiplyColumns([sums[0]], left: scoreGradients, right: queryTile, transposed, first: first, type)
      }
    }
    k.waitForCopies()
    for row in 0..<2 {
      let key = place.first + warpRow + Value(8 * row) + (k.lane >> 2)
      k.when(key .< batch.keys) {
        forOwnPart(k, steps, [sumsK, sumsV]) { sums, first in
          let element = place.element(key)
          store(k, sums[0], row: row, factor: problem.options.scale, to: dK, at: element, first: first)
          store(k, sums[1], row: row, factor: 1, to: dV, at: element, first: first)
        }
      }
    }
  }

  // MARK: Parts

  private func registers(_ k: KernelBuilder, _ count: Int) -> [Value<F32>] {
    (0..<count).map { _ in k.register(F32.self) }
  }

  /// What the warp's sums are of, and the element of the head at which they begin.
  private func forOwnPart(
    _ k: KernelBuilder, _ steps: Int, _ sums: [[Value<F32>]],
    _ body: @escaping ([[Value<F32>]], _ first: Int) -> Void
  ) {
    guard parts == 2 else { return body(sums, 0) }
    let first = sums[0].count / 8
    k.when(
      (k.warp .< 4), { body(sums, 0) },
      otherwise: { body(sums.map { Array($0[..<(8 * (steps - first))]) }, 16 * first) })
  }

  private func store(
    _ k: KernelBuilder, _ sums: [Value<F32>], row: Int, factor: Double, to output: Pointer<U32, Global>,
    at element: Value<U64>, first: Int = 0
  ) {
    let own = sums.indices.filter { $0 >> 1 & 1 == row }.map { sums[$0] }
    problem.storeRow(k, factor == 1 ? own : own.map { $0 * Value(factor) }, to: output, at: element, first: first)
  }
}

/// A tile of keys of one head of keys: where it is and which queries see it.
struct KeyTile {
  let entry: Value<U32>
  let keyHead: Value<U32>
  let first: Value<U32>
  private let k: KernelBuilder
  private let problem: AttentionProblem
  private let batch: BatchedRows
  private let seeingFirst: KeyRange
  private let seeingLast: KeyRange

  /// - Parameter index: of all tiles: those of a head follow each other; under a causal mask the first is seen the most.
  init(_ k: KernelBuilder, _ batch: BatchedRows, _ problem: AttentionProblem, rows: Int, index: Value<U32>) {
    (self.k, self.problem, self.batch) = (k, problem, batch)
    let tiles = (batch.keys + Value(rows - 1)) / Value(rows)
    let line = index / tiles
    (entry, keyHead) = k.divided(line, by: problem.keyHeads)
    first = (index - line * tiles) * Value(rows)
    seeingFirst = Self.seeing(k, batch, problem, first)
    seeingLast = Self.seeing(k, batch, problem, k.minimum(first + Value(rows), batch.keys) - 1)
  }

  private static func seeing(
    _ k: KernelBuilder, _ batch: BatchedRows, _ problem: AttentionProblem, _ key: Value<U32>
  ) -> KeyRange {
    let count = batch.queries.seen(as: S32.self)
    return problem.queries(
      k, seeing: key.seen(as: S32.self), offset: batch.keys.seen(as: S32.self) - count, of: count)
  }

  /// The first element of a key's head.
  func element(_ key: Value<U32>) -> Value<U64> {
    k.multiplyWide((entry * batch.keys + key) * Value(problem.keyHeads) + keyHead, Value(problem.size))
  }

  /// The tiles of `size` queries of which any sees a key.
  func tiles(_ size: Int) -> KeyRange {
    KeyRange(first: seeingFirst.first / Value(size), end: (seeingLast.end + Value(size - 1)) / Value(size))
  }

  /// Whether a key is not seen by all of the `size` queries from `query` on.
  func isCut(_ query: Value<S32>, _ size: Int) -> Value<Predicate> {
    if problem.options.segments { return k.predicate(true) }
    return (query .< seeingLast.first) .| (query + Value(size) .> seeingFirst.end)
  }

  /// Which queries see the lane's rows of the sixteen from row `first` of the tile on.
  func mask(first: Value<U32>) -> FragmentMask {
    let own = self.first + first + (k.lane >> 2)
    let keys = (0..<2).map { own + Value(8 * $0) }
    let segments = batch.segments.map { segments in
      let columns = segments + entry * batch.keys
      return (keys.map { columns[k.minimum($0, batch.keys - 1)] }, columns)
    }
    return FragmentMask(ranges: keys.map { Self.seeing(k, batch, problem, $0) }, segments: segments)
  }
}
