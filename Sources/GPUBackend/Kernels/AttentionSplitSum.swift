// How the parts of a row's attention become one: those of the warps of a block, then those of the stretches, always in order and by
// the same operations, wherever the parts come from.

internal import KernelLanguage
internal import Tensors

/// A part of a softmax and its sum, of which this thread has some elements of one column.
struct SplitPart {
  /// To base 2.
  let largest: Value<F32>
  let total: Value<F32>
  /// Pairs of neighbours.
  let sums: [[Value<F32>]]
}

/// Parts in shared memory, and what this thread has added up of them.
struct SplitMerge {
  /// The thread's column, and whether it is a query.
  let column: Value<U32>
  let isQuery: Value<Predicate>
  let head: Value<U32>
  private let k: KernelBuilder
  private let kernel: SplitAttention
  private let sinks: Pointer<F32, Global>?
  /// Of the block's warps, where there are any: sums, and what belongs to them.
  private let parts: (sums: Pointer<F32, Shared>, ends: Pointer<F32, Shared>)?
  private let state: SplitPart
  /// The thread's first element.
  private let element: Value<U32>

  /// - Parameter hasWarps: whether parts come from the warps of this block.
  init(
    _ k: KernelBuilder, _ kernel: SplitAttention, _ sinks: Pointer<F32, Global>?, _ block: SplitBlock,
    hasWarps: Bool = true
  ) {
    (self.k, self.kernel, self.sinks) = (k, kernel, sinks)
    let count = SplitAttention.warps * kernel.columns
    parts =
      hasWarps
      ? (k.shared(F32.self, count: count * (kernel.width + 4)), k.shared(F32.self, count: count * 2)) : nil
    let perColumn = SplitAttention.warps * 32 / kernel.columns
    let part: Value<U32>
    (column, part) = k.divided(k.thread.x, by: perColumn)
    element = part << 1
    let place = block.place(column)
    (head, isQuery) = (place.head, place.exists)
    state = SplitPart(
      largest: k.variable(Value(-.infinity)), total: k.variable(Value(0)),
      sums: (0..<kernel.width / (2 * perColumn)).map { _ in (0..<2).map { _ in k.variable(Value<F32>(0)) } })
  }

  private var step: Int { 2 * SplitAttention.warps * 32 / kernel.columns }
  /// Elements of the thread's pairs.
  private func forEachPair(_ body: (Int, Value<U32>) -> Void) {
    for pair in state.sums.indices { body(pair, element + Value(pair * step)) }
  }

  /// Puts the warp's part where the others find it; afterwards all are there.
  func put(_ part: SplitSums) {
    let (lane, row, parts) = (k.lane, k.warp * Value(kernel.columns), parts!)
    for tile in 0..<kernel.tiles {
      for column in 0..<2 {
        let place = row + ((lane & 3) << 1) + Value(8 * tile + column)
        let total = part.acrossKeys(part.total[tile][column]) { $0 + $1 }
        k.when(lane .< 4) {
          (parts.ends + place * 2).store([part.largest[tile][column] * Value(kernel.problem.exponentFactor), total])
        }
        for (operand, sums) in part.sums[tile].enumerated() {
          let element = (lane >> 2) * 8 + Value(operand / 4 * 64 + operand % 4 * 2)
          (parts.sums + (place * Value(kernel.width + 4) + element)).store([sums[column], sums[2 + column]])
        }
      }
    }
    k.synchronise()
  }

  /// The warps' parts as one.
  func merged() -> SplitPart {
    let shared = parts!
    let parts = (0..<SplitAttention.warps).map { warp -> SplitPart in
      let place = column + Value(warp * kernel.columns)
      let end = (shared.ends + place * 2).load(2)
      let row = shared.sums + place * Value(kernel.width + 4)
      var pairs: [[Value<F32>]] = []
      forEachPair { _, element in pairs.append((row + element).load(2)) }
      return SplitPart(largest: end[0], total: end[1], sums: pairs)
    }
    return parts.dropFirst().reduce(parts[0], combined)
  }

  /// Two parts as one.
  private func combined(_ a: SplitPart, _ b: SplitPart) -> SplitPart {
    let most = k.maximum(a.largest, b.largest)
    let base = k.select(most .== Value(-.infinity), Value(0), most)
    let (x, y) = (k.exp2(a.largest - base), k.exp2(b.largest - base))
    func sum(_ a: Value<F32>, _ b: Value<F32>) -> Value<F32> { k.fma(b, y, a * x) }
    return SplitPart(
      largest: most, total: sum(a.total, b.total), sums: zip(a.sums, b.sums).map { zip($0, $1).map(sum) })
  }

  func begin() { assign(SplitPart(largest: Value(-.infinity), total: 0, sums: state.sums.map { _ in [0, 0] })) }

  /// Adds the part of the next stretch.
  func add(_ part: SplitPart) { assign(combined(state, part)) }

  private func assign(_ part: SplitPart) {
    state.largest.assign(part.largest)
    state.total.assign(part.total)
    for (sum, value) in zip(state.sums.joined(), part.sums.joined()) { sum.assign(value) }
  }

  /// The row of the result: 0 where nothing was seen.
  ///
  /// - Returns: the logarithm of the sum of all weights.
  func finish(_ store: (_ element: Value<U32>, _ pair: [Value<F32>]) -> Void) -> Value<F32> {
    let ln2 = Value<F32>(0.6931471805599453)
    let factor: Value<F32>
    let logSumExp: Value<F32>
    if let sinks {
      let sink = k.variable(Value<F32>(0))
      k.when(isQuery) { sink.assign(sinks[head] * Value(1.4426950408889634)) }
      let base = k.maximum(state.largest, sink)
      let own = k.exp2(state.largest - base)
      let total = k.fma(state.total, own, k.exp2(sink - base))
      factor = own * k.reciprocal(total)
      logSumExp = (base + k.log2(total)) * ln2
    } else {
      let isEmpty = state.total .== 0
      factor = k.select(isEmpty, Value(0), k.reciprocal(state.total))
      logSumExp = k.select(isEmpty, Value(-.infinity), (state.largest + k.log2(state.total)) * ln2)
    }
    forEachPair { pair, element in store(element, state.sums[pair].map { $0 * factor }) }
    return logSumExp
  }

  /// Each pair of a part, with its element.
  func forEachPair(of part: SplitPart, _ body: (_ element: Value<U32>, _ pair: [Value<F32>]) -> Void) {
    forEachPair { body($1, part.sums[$0]) }
  }

  /// Whether the thread is the one that speaks for its column.
  var isFirst: Value<Predicate> { element .== 0 }

  /// A part that lies in memory, pairs first.
  func part(_ sums: Pointer<F32, Global>, _ ends: Pointer<F32, Global>) -> SplitPart {
    let end = ends.load(2)
    var pairs: [[Value<F32>]] = []
    forEachPair { _, element in pairs.append((sums + element).load(2)) }
    return SplitPart(largest: end[0], total: end[1], sums: pairs)
  }
}

/// Results in memory.
struct SplitOutput {
  private let problem: AttentionProblem
  private let output: Pointer<U16, Global>
  private let logSumExps: Pointer<F32, Global>?

  /// Declares the parameters.
  init(_ k: KernelBuilder, _ problem: AttentionProblem, hasLogSumExps: Bool) {
    self.problem = problem
    output = k.pointer("o")
    logSumExps = hasLogSumExps ? k.pointer("logSumExps") : nil
  }

  func store(
    _ k: KernelBuilder, _ merge: SplitMerge, _ source: SplitRows, _ block: SplitBlock, row: Value<U32>,
    if isOurs: Value<Predicate>
  ) {
    let isThere = merge.isQuery .& isOurs
    let head = output + k.multiplyWide(row * Value(problem.heads) + merge.head, Value(problem.size))
    let logSumExp = merge.finish { element, pair in
      k.when(isThere .& (element .< Value(problem.size))) {
        (head + element).cast(to: U32.self).store(problem.pack(k, pair[0], pair[1]))
      }
    }
    guard let logSumExps else { return }
    k.when(isThere .& merge.isFirst) { logSumExps[source.logSumExp(row, merge.head)] = logSumExp }
  }
}

/// Parts of stretches in memory: [blocks, stretches, columns].
struct SplitParts {
  /// How many there is room for, of a row.
  let stretches: Value<U32>
  private let sums: Pointer<F32, Global>
  private let ends: Pointer<F32, Global>
  private let kernel: SplitAttention

  /// Declares the parameters.
  init(_ k: KernelBuilder, _ kernel: SplitAttention) {
    self.kernel = kernel
    sums = k.pointer("sums")
    ends = k.pointer("ends")
    stretches = k.parameter("stretches")
  }

  /// Bytes of both for so many parts.
  static func bytes(_ kernel: SplitAttention, parts: Int) -> (sums: Int, ends: Int) {
    (parts * kernel.columns * kernel.width * 4, parts * kernel.columns * 8)
  }

  private func place(_ k: KernelBuilder, _ merge: SplitMerge, _ block: SplitBlock, _ stretch: Value<U32>)
    -> (sums: Pointer<F32, Global>, ends: Pointer<F32, Global>)
  {
    let line = (block.index * stretches + stretch) * Value(kernel.columns) + merge.column
    return (sums + k.multiplyWide(line, Value(kernel.width)), ends + k.multiplyWide(line, 2))
  }

  func store(_ k: KernelBuilder, _ merge: SplitMerge, _ block: SplitBlock) {
    let (sums, ends) = place(k, merge, block, block.stretch!)
    let part = merge.merged()
    merge.forEachPair(of: part) { element, pair in (sums + element).store(pair) }
    k.when(merge.isFirst) { ends.store([part.largest, part.total]) }
  }

  func load(_ k: KernelBuilder, _ merge: SplitMerge, _ block: SplitBlock, _ stretch: Value<U32>) -> SplitPart {
    let (sums, ends) = place(k, merge, block, stretch)
    return merge.part(sums, ends)
  }
}

/// Adds up what the blocks of a row have left: a block for each of `kernel`'s rows, heads of keys and chunks.
struct SplitAttentionSum: KernelSource {
  var kernel: SplitAttention

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("attentionSum", target: target, threads: SplitAttention.warps * 32) { k in
      let sinks = kernel.problem.options.sinks ? k.pointer("sinks", to: F32.self) : nil
      let source = SplitRows(k, kernel.problem, blockSize: kernel.blockSize)
      let output = SplitOutput(k, kernel.problem, hasLogSumExps: kernel.blockSize == nil)
      let parts = SplitParts(k, kernel)
      let block = SplitBlock(k, kernel, index: k.block.x)
      let merge = SplitMerge(k, kernel, sinks, block, hasWarps: false)
      let keys = source.row(block.row).keys
      let shift = kernel.stretchShift(k, keys)
      k.when(keys.first .< keys.end) {
        let count = ((keys.end - 1) >> shift) - (keys.first >> shift) + 1
        k.loop(count.seen(as: U32.self)) { stretch in merge.add(parts.load(k, merge, block, stretch)) }
      }
      output.store(k, merge, source, block, row: block.row, if: merge.column .< Value(kernel.headsTogether))
    }
  }
}
