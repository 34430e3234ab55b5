// Attention backward of sm_90a: one thread copies tiles, two warpgroups multiply them. As on sm_80 one kernel goes for each tile
// of queries through the keys and gives dq, another one for each tile of keys through the queries and gives dk and dv; nothing
// is added up between blocks, and weights and their gradients stay in registers as left operands.
//
// Both kernels are one: own rows a (queries or keys) and b (do or values), rows that come by c (keys or queries) and d (values or
// do). Scores are a · cᵀ, the weights' gradients b · dᵀ; then the scores' gradients times c are the sums that a's gradient is
// made of, and, for keys, the weights times d those of b's.
//
// Invariant: every sum has an order that depends on shapes and ranges alone.
//
// Shah et al., FlashAttention-3 (2024), arXiv:2407.08608.

internal import KernelLanguage
internal import Tensors

/// For what `HopperAttention` takes, up to heads of 128 elements.
struct HopperAttentionGradient: KernelSource {
  enum Part: Hashable, Sendable { case queries, keys }

  var problem: AttentionProblem
  var part: Part

  /// Own rows of a block, in two warpgroups.
  static let rows = 128
  static let threads = 384
  private static let stages = 2

  /// Whether the sums have room in registers.
  static func takes(_ problem: AttentionProblem) -> Bool { HopperAttention.takes(problem) && problem.size <= 128 }

  /// Rows that come by at once: so many that registers suffice, of which masks by segments need some.
  var tile: Int {
    let segments = problem.options.segments
    return part == .queries ? (problem.size <= 64 && !segments ? 128 : 64) : (problem.size > 96 && segments ? 32 : 64)
  }
  var ownLayout: TileLayout { problem.layout(rows: Self.rows, multipleOf: 32) }
  var tileLayout: TileLayout { problem.layout(rows: tile, multipleOf: 32) }

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("attentionGradient", target: target, threads: Self.threads, blocks: 1) { k in
      let maps = Maps(
        a: k.tensorMap("a"), b: k.tensorMap("b"), c: k.tensorMap("c"), d: k.tensorMap("d"),
        results: (0..<(part == .keys ? 2 : 1)).map { k.tensorMap("result\($0)") })
      let segments = problem.options.segments ? k.pointer("segments", to: S32.self) : nil
      let batch = BatchedRows(k, problem, segments: segments)
      let statistics = AttentionStatistics.Values(k, problem)
      let stage = Stage(
        a: k.tile(ownLayout, of: BF16.self)[0], b: k.tile(ownLayout, of: BF16.self)[0],
        c: k.tile(tileLayout, of: BF16.self, count: Self.stages),
        d: k.tile(tileLayout, of: BF16.self, count: Self.stages), own: Pipeline(k, stages: 1, users: 2),
        others: Pipeline(k, stages: Self.stages, users: 2))
      Pipeline.publish(k, cluster: false)
      let place = part == .queries ? ownQueries(k, batch) : ownKeys(k, batch)
      k.roles([
        Role(registers: 24) { _ in k.when(k.thread.x .== 0) { fill(k, maps, stage, place) } },
        Role(groups: 2, registers: 240) { group in multiply(k, maps, stage, place, statistics, group) },
      ])
    }
  }

  private struct Maps {
    let a, b, c, d: Value<U64>
    let results: [Value<U64>]
  }

  /// What is in shared memory.
  private struct Stage {
    let a, b: SharedTile<BF16>
    let c, d: SharedTiles<BF16>
    let own, others: Pipeline
  }

  /// A block's own rows, and the tiles that come by.
  private struct Place {
    let entry, head, first: Value<U32>
    let count: Value<U32>
    /// Head and first position of tile `number`, and the head of its or the own queries.
    let tile: (_ number: Value<U32>) -> (head: Value<U32>, first: Value<U32>, queryHead: Value<U32>)
    let isCut: (_ first: Value<S32>) -> Value<Predicate>
    let mask: (_ row: Value<U32>) -> FragmentMask
  }

  private func ownQueries(_ k: KernelBuilder, _ batch: BatchedRows) -> Place {
    let own = QueryTile(k, batch, problem, rows: Self.rows, index: k.block.x)
    let range = own.tiles(tile)
    let keyHead = k.quotient(own.head, problem.group)
    return Place(
      entry: own.entry, head: own.head, first: own.first,
      count: k.maximum(range.end - range.first, 0).seen(as: U32.self),
      tile: { (keyHead, (range.first.seen(as: U32.self) + $0) * Value(tile), own.head) },
      isCut: { own.isCut($0, tile) }, mask: { own.mask(first: $0) })
  }

  private func ownKeys(_ k: KernelBuilder, _ batch: BatchedRows) -> Place {
    let own = KeyTile(k, batch, problem, rows: Self.rows, index: k.block.x)
    let range = own.tiles(tile)
    let perHead = k.maximum(range.end - range.first, 0).seen(as: U32.self)
    return Place(
      entry: own.entry, head: k.inRegister(own.keyHead), first: own.first, count: perHead * Value(problem.group),
      tile: { number in
        // The queries of all heads that share the keys, one head after the other.
        let member = number / perHead
        let head = own.keyHead * Value(problem.group) + member
        return (head, (range.first.seen(as: U32.self) + (number - member * perHead)) * Value(tile), head)
      }, isCut: { own.isCut($0, tile) }, mask: { own.mask(first: $0) })
  }

  // MARK: The filler

  private func fill(_ k: KernelBuilder, _ maps: Maps, _ stage: Stage, _ place: Place) {
    func copy(_ tile: SharedTile<BF16>, _ map: Value<U64>, _ head: Value<U32>, _ first: Value<U32>) -> TileCopy {
      TileCopy(
        tile, map, column: 0, row: head.seen(as: S32.self),
        more: [first.seen(as: S32.self), place.entry.seen(as: S32.self)])
    }
    stage.own.fill(
      stage.own.cursor(),
      [copy(stage.a, maps.a, place.head, place.first), copy(stage.b, maps.b, place.head, place.first)])
    let cursor = stage.others.cursor()
    k.loop(place.count) { number in
      let tile = place.tile(number)
      stage.others.fill(
        cursor,
        [
          copy(stage.c[cursor.stage], maps.c, tile.head, tile.first),
          copy(stage.d[cursor.stage], maps.d, tile.head, tile.first),
        ])
      cursor.advance()
    }
  }

  // MARK: The users

  private func multiply(
    _ k: KernelBuilder, _ maps: Maps, _ stage: Stage, _ place: Place, _ statistics: AttentionStatistics.Values,
    _ group: Value<U32>
  ) {
    let type = problem.matrixType!
    func registers(_ count: Int) -> [Value<F32>] { (0..<count).map { _ in k.register(F32.self) } }
    let scores = registers(tile / 2), gradients = registers(tile / 2)
    let sums = maps.results.map { _ in registers(ownLayout.columns / 2) }
    for sum in sums.joined() { sum.assign(0) }
    let thread = k.thread.x & 127
    let row = group * 64 + (thread >> 5) * 16
    let mask = place.mask(row)
    let (never, always) = (k.predicate(false), k.predicate(true))
    let offset = k.convert(group, to: U64.self) * Value(ownLayout.descriptorOffset(from: 64, .k))
    let (a, b) = (stage.a.descriptor() + offset, stage.b.descriptor() + offset)
    /// result = own rows · other rowsᵀ
    func multiplyRows(_ result: [Value<F32>], _ own: Value<U64>, _ others: SharedTile<BF16>) {
      let others = others.descriptor()
      for step in 0..<ownLayout.columns / 16 {
        k.multiplyGroup(
          result, own + Value(ownLayout.descriptorStep(step, .k)), others + Value(tileLayout.descriptorStep(step, .k)),
          type, accumulates: step == 0 ? never : always)
      }
    }
    /// result += left operands · other rows
    func multiplyColumns(_ result: [Value<F32>], _ left: [[Value<U32>]], _ others: SharedTile<BF16>) {
      let others = others.descriptor(.mn)
      for (step, left) in left.enumerated() {
        k.multiplyGroup(
          result, left, others + Value(tileLayout.descriptorStep(step, .mn)), type, accumulates: always, majorB: .mn)
      }
    }
    // Of the own queries; of those that come by, for each tile.
    let own =
      part == .queries
      ? statistics.rows(place.entry, place.head, place.first + row + (k.lane >> 2)) : nil

    stage.own.waitUntilFull(stage.own.cursor())
    let cursor = stage.others.cursor()
    k.loop(place.count) { number in
      let tile = place.tile(number)
      let (c, d) = (stage.c[cursor.stage], stage.d[cursor.stage])
      stage.others.waitUntilFull(cursor)
      k.fenceProducts()
      multiplyRows(scores, a, c)
      multiplyRows(gradients, b, d)
      k.commitProducts()
      let statistics = own ?? statistics.columns(place.entry, tile.queryHead, tile.first, count: self.tile)
      k.waitForProducts()
      problem.capScores(k, scores)
      let first = tile.first.seen(as: S32.self)
      // Row or column of a register, in the order of the statistics.
      let index = { (register: Int) in part == .queries ? register >> 1 & 1 : register / 4 * 2 + register % 2 }
      problem.weigh(
        k, scores, gradients: gradients, logSumExp: { statistics[index($0)].logSumExp },
        mean: { statistics[index($0)].mean },
        mask: { weights in k.when(place.isCut(first)) { mask.apply(k, to: weights, first: first, hidden: 0) } })
      let pack = { problem.pack(k, $0, $1) }
      let weights = part == .keys ? k.leftOperands(scores, pack) : []
      let scoreGradients = k.leftOperands(gradients, pack)
      k.fenceProducts()
      multiplyColumns(sums[0], scoreGradients, c)
      if part == .keys { multiplyColumns(sums[1], weights, d) }
      k.commitProducts()
      k.waitForProducts()
      k.when(thread .== 0) { stage.others.release(stage: cursor.stage) }
      cursor.advance()
    }

    for sum in sums[0] { sum *= Value(problem.options.scale) }
    // The group's own rows are not needed any more: their place takes the sums.
    for (sums, tile) in zip(sums, [stage.a, stage.b]) { put(k, sums, tile, row) }
    k.fenceAsync()
    k.synchronise(group + 1, threads: 128)
    k.when(thread .== 0) {
      for (map, tile) in zip(maps.results, [stage.a, stage.b]) {
        for panel in 0..<ownLayout.panels where panel * ownLayout.panelColumns < problem.size {
          k.storeTensor(
            from: tile.panel(panel).advanced(bytes: group * Value(64 * ownLayout.swizzle.span)), to: map,
            at: [
              k.variable(Value(panel * ownLayout.panelColumns)), place.head.seen(as: S32.self),
              (place.first + group * 64).seen(as: S32.self), place.entry.seen(as: S32.self),
            ])
        }
      }
      k.commitStores()
      k.waitForStores()
    }
  }

  /// The sums of a warp's 16 rows as 16-bit floats into shared memory.
  private func put(_ k: KernelBuilder, _ sums: [Value<F32>], _ tile: SharedTile<BF16>, _ row: Value<U32>) {
    for pair in 0..<sums.count / 8 {
      let packed = k.leftOperands(Array(sums[8 * pair..<8 * pair + 8])) { problem.pack(k, $0, $1) }
      k.storeMatrices(packed[0], to: tile.chunk(row: row + (k.lane & 15), Value<U32>(2 * pair) + (k.lane >> 4)))
    }
  }
}

/// What the backward pass must know of each query: the logarithm of the sum of its weights, as `AttentionProblem.weigh` takes it,
/// and D = do·o. [batch, heads, queries], where queries are filled up to a multiple of 128 with such that weigh nothing.
struct AttentionStatistics: KernelSource {
  var problem: AttentionProblem

  static let warps = 4

  /// Queries with what they are filled up to.
  static func padded(_ queries: Int) -> Int { (queries + 127) / 128 * 128 }

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("attentionStatistics", target: target, threads: Self.warps * 32) { k in
      let rows = BatchedRows(k, problem, segments: nil)
      let o = Elements<Global>(problem.element, k.pointer("o")), dO = Elements<Global>(problem.element, k.pointer("dO"))
      let logSumExps = k.pointer("logSumExps", to: F32.self)
      let values = Values(k, problem)
      let (index, lane) = (k.block.x * Value(Self.warps) + k.warp, k.lane)
      let (line, query) = (index / values.padded, index % values.padded)
      k.when(line .< rows.batch * Value(problem.heads)) {
        let logSumExp = k.variable(Value<F32>(-.infinity)), sum = k.variable(Value<F32>(0))
        k.when(query .< rows.queries) {
          let (entry, head) = k.divided(line, by: problem.heads)
          let row = rows.query(entry, query, head)
          // Heads are multiples of 8 elements.
          k.loop(from: lane * 2, to: Value(problem.size), by: 64) { i in
            let pairs = [o, dO].map { $0.advanced(row).advanced(i).values(k, count: 2, as: F32.self) }
            for element in 0..<2 { k.accumulate(sum, pairs[0][element], pairs[1][element]) }
          }
          logSumExp.assign(problem.negated(k, logSumExps[line * rows.queries + query]))
        }
        let mean = k.warpSum(sum)
        k.when(lane .== 0) { (values.pointer + k.multiplyWide(index, 2)).store([logSumExp, mean]) }
      }
    }
  }

  /// Where they are.
  struct Values {
    let pointer: Pointer<F32, Global>
    let padded: Value<U32>
    private let k: KernelBuilder
    private let problem: AttentionProblem

    /// Declares the parameters.
    init(_ k: KernelBuilder, _ problem: AttentionProblem) {
      (self.k, self.problem) = (k, problem)
      pointer = k.pointer("statistics")
      padded = k.parameter("padded")
    }

    private func place(_ entry: Value<U32>, _ head: Value<U32>, _ query: Value<U32>) -> Pointer<F32, Global> {
      pointer + k.multiplyWide((entry * Value(problem.heads) + head) * padded + query, 2)
    }

    /// Of a lane's two rows of a fragment.
    func rows(_ entry: Value<U32>, _ head: Value<U32>, _ query: Value<U32>) -> [(
      logSumExp: Value<F32>, mean: Value<F32>
    )] {
      (0..<2).map {
        let pair = place(entry, head, query).advanced(16 * $0).load(2)
        return (pair[0], pair[1])
      }
    }

    /// Of a lane's columns of a fragment of `count` columns, the first of which is `query`.
    func columns(_ entry: Value<U32>, _ head: Value<U32>, _ query: Value<U32>, count: Int) -> [(
      logSumExp: Value<F32>, mean: Value<F32>
    )] {
      let first = place(entry, head, query + ((k.lane & 3) << 1))
      return (0..<count / 8).flatMap { (block: Int) -> [(logSumExp: Value<F32>, mean: Value<F32>)] in
        let values = first.advanced(16 * block).load(4)
        return [(values[0], values[1]), (values[2], values[3])]
      }
    }
  }
}
