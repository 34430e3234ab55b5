// Attention of few queries to many keys: a block takes a stretch of a row's keys, four warps sixteen of them at a time, for all
// query heads that share them, so that keys and values are read once, straight from memory into operands of matrix products.
//
// Products are transposed: scores are keys times queries, sums are values times weights, both with a row's heads as columns.
// What a thread loads in 16 bytes are its elements of a left operand, if the summed elements (of keys) and the rows (of values)
// are taken in another order; the order of a sum's terms within a product is not defined anyway.
//
// Invariant: a row's result has the same bits whatever the other rows are, in whichever slots its keys lie, and whether its
// stretches are worked through by one block or by many: they are cut at multiples of a length that follows from how many keys
// the row sees, each begins anew, and they are added in order. Rows of one sequence that follow each other share the reading.
//
// Dao et al., Flash-Decoding (2023); Kwon et al., PagedAttention (2023), arXiv:2309.06180.

internal import KernelLanguage
internal import Tensors

/// For 16-bit floats, heads of a multiple of 8 elements up to 256, positive scales; keys and values as they are or int8.
struct SplitAttention: KernelSource {
  var problem: AttentionProblem
  /// Positions of a block of the pool; nil: the keys of a batch entry lie one behind the other.
  var blockSize: Int?
  /// Rows that a block works for.
  var rows = 1
  /// Whether each stretch has a block of its own and leaves its part to `SplitAttentionSum`; for single rows.
  var isParallel = false

  static let warps = 4
  /// Keys of a stretch at least, and how many stretches a row is cut into until they become longer.
  static let (leastKeys, mostStretches) = (256, 64)

  static func takes(_ problem: AttentionProblem) -> Bool {
    var unscaled = problem
    unscaled.options.scales = false
    return AmpereAttention.takes(unscaled) && !problem.options.segments
  }

  /// Query heads of a block, which share a head of keys.
  var headsTogether: Int { min(problem.group, 8 * mostTiles) }
  /// Blocks that share a head of keys.
  var chunks: Int { (problem.group + headsTogether - 1) / headsTogether }
  /// Eights of columns, which are rows times heads: 1, 2 or 4.
  var tiles: Int {
    let least = (rows * headsTogether + 7) / 8
    return least <= 2 ? least : 4
  }
  var columns: Int { 8 * tiles }
  /// So many that registers suffice.
  private var mostTiles: Int { problem.size > 128 ? 1 : problem.size > 64 ? 2 : 4 }
  /// Rows of one sequence that a block can take.
  var mostRows: Int { max(1, 8 * mostTiles / headsTogether) }
  /// Elements of a head, as sums have them.
  var width: Int { problem.columns(multipleOf: 64) }

  /// How many stretches a row of `keys` keys can have.
  static func stretches(keys: Int) -> Int { min((keys + leastKeys - 1) / leastKeys, mostStretches) + 1 }

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("attention", target: target, threads: Self.warps * 32, blocks: isParallel ? nil : 2) { k in
      let inputs = AttentionInputs(k, problem)
      let source = SplitRows(k, problem, blockSize: blockSize)
      let output = isParallel ? nil : SplitOutput(k, problem, hasLogSumExps: blockSize == nil)
      let parts = isParallel ? SplitParts(k, self) : nil
      let block = SplitBlock(k, self, index: k.block.x, stretches: parts?.stretches)
      let queries = SplitQueries(k, self, inputs, source, block)
      let merge = SplitMerge(k, self, inputs.sinks, block)
      let lane = k.lane

      // Lane i knows of row i.
      let count = k.minimum(source.count - block.row, Value(rows))
      let own = source.row(block.row + k.minimum(lane, count - 1))
      let shift = stretchShift(k, own.keys)
      let isAlike = (own.sequence .== k.shuffle(own.sequence, .index, 0)) .& (shift .== k.shuffle(shift, .index, 0))
      // All rows at once if they are of one sequence, else one after the other.
      let step = rows == 1 ? Value<U32>(1) : k.select(k.all(isAlike), count, 1)
      k.loop(from: k.variable(0), to: count, by: step) { first in
        let isActive = (lane .>= first) .& (lane .< first + step) .& (own.keys.first .< own.keys.end)
        let all = KeyRange(
          first: k.warpMinimum(k.select(isActive, own.keys.first, Value(Int(Int32.max)))),
          end: k.warpMaximum(k.select(isActive, own.keys.end, 0)))
        let sequence = k.shuffle(own.sequence, .index, first), shift = k.shuffle(shift, .index, first)
        let masks = block.columns { column in
          let row = k.quotient(column, headsTogether)
          let (begin, end) = (k.shuffle(own.keys.first, .index, row), k.shuffle(own.keys.end, .index, row))
          let isOurs = (row .>= first) .& (row .< first + step)
          return KeyRange(first: begin, end: k.select(isOurs, end, 0))
        }
        let keys = SplitKeys(k, self, inputs, source, block, sequence: sequence, all)

        func add(_ stretch: Value<S32>) {
          let begin = k.maximum(stretch << shift, all.first), end = k.minimum((stretch + 1) << shift, all.end)
          let sums = SplitSums(k, self)
          // Sixteens of positions go to the warps in turn.
          let low = begin >> 4
          let warp = k.warp.seen(as: S32.self)
          k.loop(from: low + ((warp - low) & 3), to: (end + 15) >> 4, by: 4) { number in
            keys.load(number << 4)
            sums.add(keys, queries, masks, number << 4)
          }
          merge.put(sums)
        }
        let stretches = KeyRange(first: all.first >> shift, end: ((all.end - 1) >> shift) + 1)
        if let parts {
          let stretch = stretches.first + block.stretch!.seen(as: S32.self)
          k.when((all.first .< all.end) .& (stretch .< stretches.end)) {
            add(stretch)
            parts.store(k, merge, block)
          }
        } else {
          merge.begin()
          k.when(all.first .< all.end) {
            k.loop(from: stretches.first, to: stretches.end) { stretch in
              add(stretch)
              merge.add(merge.merged())
              // Others still read what this thread writes next.
              k.synchronise()
            }
          }
          let row = k.quotient(merge.column, headsTogether)
          let isOurs = (row .>= first) .& (row .< first + step)
          output!.store(k, merge, source, block, row: block.row + row, if: isOurs)
        }
      }
    }
  }

  /// The logarithm of a stretch's length.
  func stretchShift(_ k: KernelBuilder, _ keys: KeyRange) -> Value<U32> {
    let most = Self.leastKeys * Self.mostStretches
    let count = k.maximum(keys.end - keys.first, 1).seen(as: U32.self)
    let quotient = (count + Value(most - 1)) / Value(most)
    return Value<U32>(32 + 8) - k.leadingZeros(quotient - 1)
  }
}

/// Which rows there are, and where their keys lie.
struct SplitRows {
  private let k: KernelBuilder
  private let problem: AttentionProblem
  private let paged: PagedRows?
  private let batched: BatchedRows?

  /// Declares the parameters.
  init(_ k: KernelBuilder, _ problem: AttentionProblem, blockSize: Int?) {
    (self.k, self.problem) = (k, problem)
    paged = blockSize.map { PagedRows(k, problem, blockSize: $0) }
    batched = blockSize == nil ? BatchedRows(k, problem, segments: nil) : nil
  }

  /// Without heads.
  var count: Value<U32> { paged?.rows ?? batched!.batch * batched!.queries }

  /// What a row sees, and whose keys they are.
  func row(_ row: Value<U32>) -> (keys: KeyRange, sequence: Value<U32>) {
    if let paged { return paged.keys(row) }
    let batch = batched!
    let (entry, query) = (row / batch.queries, row % batch.queries)
    let length = batch.length(entry)
    let position = query.seen(as: S32.self) + length - batch.queries.seen(as: S32.self)
    return (problem.keys(k, from: position, of: length), entry)
  }

  /// Writes where a position of a sequence lies.
  ///
  /// - Returns: whether it is anywhere.
  func find(_ key: Value<S32>, _ sequence: Value<U32>, _ slot: Value<U32>) -> Value<Predicate> {
    if let paged { return paged.find(key, sequence, slot) }
    slot.assign(sequence * batched!.keys + key.seen(as: U32.self))
    return k.predicate(true)
  }

  /// The place of a row's logarithm in [batch, heads, queries].
  func logSumExp(_ row: Value<U32>, _ head: Value<U32>) -> Value<U32> {
    let batch = batched!
    return ((row / batch.queries) * Value(problem.heads) + head) * batch.queries + row % batch.queries
  }
}

/// What a block works on.
struct SplitBlock {
  /// The first of its rows, counted without heads.
  let row: Value<U32>
  let keyHead: Value<U32>
  /// The first of its query heads.
  let head: Value<U32>
  /// Counted over rows, heads of keys and chunks of query heads.
  let index: Value<U32>
  /// Counted from the row's first; nil: all.
  let stretch: Value<U32>?
  private let k: KernelBuilder
  private let kernel: SplitAttention

  init(_ k: KernelBuilder, _ kernel: SplitAttention, index number: Value<U32>, stretches: Value<U32>? = nil) {
    (self.k, self.kernel) = (k, kernel)
    index = stretches.map { number / $0 } ?? number
    stretch = stretches.map { number % $0 }
    let (line, chunk) = k.divided(index, by: kernel.chunks)
    let (tile, keyHead) = k.divided(line, by: kernel.problem.keyHeads)
    row = tile * Value(kernel.rows)
    self.keyHead = k.inRegister(keyHead)
    head = self.keyHead * Value(kernel.problem.group) + chunk * Value(kernel.headsTogether)
  }

  /// Row (of the block's) and head of a column, and whether there is such a head.
  func place(_ column: Value<U32>) -> (row: Value<U32>, head: Value<U32>, exists: Value<Predicate>) {
    let (row, inside) = k.divided(column, by: kernel.headsTogether)
    let isInGroup = head + inside .< (keyHead + 1) * Value(kernel.problem.group)
    return (row, head + inside, isInGroup .& (column .< Value(kernel.rows * kernel.headsTogether)))
  }

  /// Something for each of the lane's two columns of every eight.
  func columns<T>(_ body: (Value<U32>) -> T) -> [[T]] {
    (0..<kernel.tiles).map { tile in (0..<2).map { body(((k.lane & 3) << 1) + Value(8 * tile + $0)) } }
  }
}

/// The block's queries in shared memory, a row a column.
struct SplitQueries {
  private let k: KernelBuilder
  private let pointer: Pointer<U32, Shared>
  private let words: Int

  /// Fills it; by all threads.
  init(
    _ k: KernelBuilder, _ kernel: SplitAttention, _ inputs: AttentionInputs, _ source: SplitRows, _ block: SplitBlock
  ) {
    self.k = k
    // Sixteen bytes more than a row needs, so that eight rows meet in no bank.
    words = kernel.width / 2 + 4
    pointer = k.shared(U32.self, count: kernel.columns * words)
    let perColumn = kernel.width / 8
    k.loop(from: k.thread.x, to: Value<U32>(kernel.columns * perColumn), by: Value(SplitAttention.warps * 32)) { i in
      let (column, chunk) = k.divided(i, by: perColumn)
      let place = block.place(column)
      let row = block.row + place.row
      let values = (0..<4).map { _ in k.variable(Value<U32>(0)) }
      k.when(place.exists .& (row .< source.count) .& (chunk .< Value(kernel.problem.size / 8))) {
        let element = k.multiplyWide(row * Value(kernel.problem.heads) + place.head, Value(kernel.problem.size))
        let from = (inputs.q.advanced(element).advanced(chunk * 8)).pointer.cast(to: U32.self)
        for (value, loaded) in zip(values, from.load(4)) { value.assign(loaded) }
      }
      (pointer + (column * Value(words) + chunk * 4)).store(values)
    }
    k.synchronise()
  }

  /// Four registers of right operands: column `lane / 4` of eight, elements 8 (lane % 4) to 8 (lane % 4) + 7 of 32.
  func load(tile: Int, block: Int) -> [Value<U32>] {
    let lane = k.lane
    let first = (lane >> 2) * Value(words) + (lane & 3) * 4
    return (pointer + first).advanced(8 * tile * words + 16 * block).load(4)
  }
}
