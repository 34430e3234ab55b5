// Attention forward, for every type, size and option: a warp for each query and head. Lanes take a key each to multiply it with
// the query, and elements of the head each to sum up values.
//
// Invariant: a row's result has the same bits whatever the other rows are; keys are added in order, in groups of 32.
//
// Milakov and Gimelshein, Online normalizer calculation for softmax (2018), arXiv:1805.02867.

internal import KernelLanguage
internal import Tensors

/// Attention of rows to keys that lie one behind the other, or in blocks of a pool.
struct GeneralAttention: KernelSource {
  var problem: AttentionProblem
  /// Positions of a block of the pool; nil: the keys of a batch entry lie one behind the other.
  var blockSize: Int?

  static let warps = 4

  func kernel(for target: PTXTarget) -> Kernel {
    problem.element == .float64 ? kernel(target, F64.self) : kernel(target, F32.self)
  }

  private func kernel<T: ElementaryType & ElementOfMemory>(_ target: PTXTarget, _ number: T.Type) -> Kernel
  where T.Register == T {
    Kernel("attention", target: target, threads: Self.warps * 32) { k in
      let inputs = AttentionInputs(k, problem)
      let rows = blockSize.map { PagedRows(k, problem, blockSize: $0) }
      let batched = blockSize == nil ? BatchedRows(k, problem, segments: inputs.segments) : nil
      let output = Elements<Global>(problem.element, k.pointer("o"))
      let logSumExps = blockSize == nil ? k.pointer("logSumExps", to: F32.self) : nil
      let queries = k.shared(T.self, count: Self.warps * problem.size)

      let index = k.block.x * Value(Self.warps) + k.warp
      let count = rows?.count ?? batched!.count
      k.when(index .< count) {
        let lane = k.lane
        let row = rows?.row(index) ?? batched!.row(index)
        let query = queries + k.warp * Value(problem.size)
        let q = inputs.q.advanced(row.query)
        forEachElement(k, lane) { i in query[i] = q.value(k, at: i) }
        k.synchroniseWarp()

        let state = Softmax<T>(k, problem, lane: lane, sink: inputs.sinks.map { k.convert($0[row.head]) })
        k.loop(from: row.keys.first, to: row.keys.end, by: 32) { base in
          let key = base + lane.seen(as: S32.self)
          let logit = k.variable(Value<T>(-.infinity))
          let valueFactor = k.variable(Value<T>(1))
          let place = k.variable(Value<U32>(0))
          let exists = row.isSeen(key, place)
          k.when(exists.seen) {
            let product = k.variable(Value<T>(0))
            k.when(exists.stored) {
              product.assign(inputs.product(k, query, inputs.k, place))
              if let factors = inputs.factors {
                product *= k.convert(factors.keys[place])
                valueFactor.assign(k.convert(factors.values[place]))
              }
            }
            logit.assign(problem.logit(k, product))
          }
          let weight = state.add(logit)
          let factor = k.select(exists.stored, weight * valueFactor, 0)
          let here = k.minimum(row.keys.end - base, 32).seen(as: U32.self)
          k.loop(here) { other in
            let factor = k.shuffle(factor, .index, other)
            let value = inputs.v.advanced(
              k.multiplyWide(k.shuffle(place, .index, other), Value(problem.size)))
            k.when(factor .!= 0) { state.accumulate(factor) { value.value(k, at: $0) } }
          }
        }
        let o = output.advanced(row.query)
        let total = state.finish { i, value in o.store(k, at: i, value: value) }
        if let logSumExps {
          k.when(lane .== 0) { logSumExps[index] = k.convert(total) }
        }
      }
    }
  }

  /// Each lane its elements of a head.
  private func forEachElement(_ k: KernelBuilder, _ lane: Value<U32>, _ body: (Value<U32>) -> Void) {
    k.loop(from: lane, to: Value(problem.size), by: 32, body)
  }
}

/// Where the operands are.
struct AttentionInputs {
  let problem: AttentionProblem
  let q, k, v: Elements<Global>
  let segments: Pointer<S32, Global>?
  let sinks: Pointer<F32, Global>?
  let factors: (keys: Pointer<F32, Global>, values: Pointer<F32, Global>)?

  /// Declares the parameters.
  init(_ builder: KernelBuilder, _ problem: AttentionProblem) {
    self.problem = problem
    q = Elements(problem.element, builder.pointer("q"))
    k = Elements(problem.stored, builder.pointer("k"))
    v = Elements(problem.stored, builder.pointer("v"))
    segments = problem.options.segments ? builder.pointer("segments") : nil
    sinks = problem.options.sinks ? builder.pointer("sinks") : nil
    factors = problem.options.scales ? (builder.pointer("keyFactors"), builder.pointer("valueFactors")) : nil
  }

  /// The product of a vector in shared memory with head number `place` of `elements`.
  func product<T: FloatType & ElementOfMemory>(
    _ builder: KernelBuilder, _ vector: Pointer<T, Shared>, _ elements: Elements<Global>, _ place: Value<U32>
  ) -> Value<T> where T.Register == T {
    let sum = builder.variable(Value<T>(0))
    let head = elements.advanced(builder.multiplyWide(place, Value(problem.size)))
    // As many neighbours at once as a head is a multiple of.
    var width = 16 / elements.type.size
    while problem.size % width != 0 { width /= 2 }
    builder.loop(from: 0, to: Value<U32>(problem.size), by: Value(width)) { i in
      for (place, value) in head.advanced(i).values(builder, count: width, as: T.self).enumerated() {
        builder.accumulate(sum, (vector + i).advanced(place).load(), value)
      }
    }
    return sum
  }
}

/// What a warp knows of a softmax and the sum it weighs: the largest logit, the sum of the weights relative to it (each lane's
/// part), and of the sum each lane's elements.
struct Softmax<T: ElementaryType> {
  private let k: KernelBuilder
  private let problem: AttentionProblem
  private let lane: Value<U32>
  private let largest: Value<T>
  private let total: Value<T>
  private let sums: [Value<T>]

  /// - Parameter sink: a logit that adds nothing to the sum.
  init(_ k: KernelBuilder, _ problem: AttentionProblem, lane: Value<U32>, sink: Value<T>?) {
    (self.k, self.problem, self.lane) = (k, problem, lane)
    largest = k.variable(sink ?? Value(-.infinity))
    total = k.variable(sink == nil ? Value(0) : k.select(lane .== 0, Value(1), Value(0)))
    sums = (0..<(problem.size + 31) / 32).map { _ in k.variable(Value<T>(0)) }
  }

  /// Adds a logit a lane; -infinity: none.
  ///
  /// - Returns: their weights.
  func add(_ logit: Value<T>) -> Value<T> {
    let next = k.maximum(largest, k.warpMaximum(logit))
    // While nothing was seen, nothing is subtracted.
    let base = k.select(next .== Value(-.infinity), Value(0), next)
    let factor = T.exp(k, largest - base)
    let weight = T.exp(k, logit - base)
    largest.assign(next)
    total.assign(k.fma(total, factor, weight))
    for sum in sums { sum *= factor }
    return weight
  }

  /// Adds a value, of which each lane asks for its elements.
  func accumulate(_ weight: Value<T>, _ value: (Value<U32>) -> Value<T>) {
    forEach { sum, i in k.accumulate(sum, weight, value(i)) }
  }

  /// Gives out the elements of the mean, by lane: 0 where nothing was seen.
  ///
  /// - Returns: the logarithm of the sum of all weights.
  func finish(_ store: (Value<U32>, Value<T>) -> Void) -> Value<T> {
    let total = k.warpSum(total)
    let inverse = k.select(total .== 0, Value(0), k.reciprocal(total))
    forEach { sum, i in store(i, sum * inverse) }
    return largest + T.log(k, total)
  }

  private func forEach(_ body: (Value<T>, Value<U32>) -> Void) {
    for (part, sum) in sums.enumerated() {
      let i = lane + Value(32 * part)
      if 32 * part + 32 <= problem.size { body(sum, i) } else { k.when(i .< Value(problem.size)) { body(sum, i) } }
    }
  }
}
