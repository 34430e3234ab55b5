// Attention backward, for every type, size and option: a warp for each query and head gives dq, a warp for each key and head of
// keys gives dk and dv, a block for each head gives dsinks. The matrix of weights is computed twice, and nothing is added up
// by atomic operations.
//
// With p = exp(logit - logSumExp), dp = do·v and D = do·o (which is Σ p dp): dscore = p (dp - D) slope; dq = Σ dscore k,
// dk = Σ dscore q, dv = Σ p do, dsink = -Σ exp(sink - logSumExp) D.
//
// Invariant: every sum has an order that depends on shapes and ranges alone.

internal import KernelLanguage
internal import Tensors

/// The parts of the gradient of an attention.
struct GeneralAttentionGradient: KernelSource {
  enum Part: Hashable, Sendable {
    /// D, which the others read.
    case means
    case queries, keys, sinks
  }

  var problem: AttentionProblem
  var part: Part

  static let warps = 4

  func kernel(for target: PTXTarget) -> Kernel {
    problem.element == .float64 ? kernel(target, F64.self) : kernel(target, F32.self)
  }

  private func kernel<T: ElementaryType & ElementOfMemory>(_ target: PTXTarget, _ number: T.Type) -> Kernel
  where T.Register == T {
    Kernel("attentionGradient", target: target, threads: Self.warps * 32) { k in
      switch part {
      case .means: means(k, number)
      case .queries: queries(k, number)
      case .keys: keys(k, number)
      case .sinks: sinks(k, number)
      }
    }
  }

  /// D of every row.
  private func means<T: ElementaryType & ElementOfMemory>(_ k: KernelBuilder, _ number: T.Type) where T.Register == T {
    let rows = BatchedRows(k, problem, segments: nil)
    let o = Elements<Global>(problem.element, k.pointer("o"))
    let dO = Elements<Global>(problem.element, k.pointer("dO"))
    let means = k.pointer("means", to: T.self)
    let (index, lane) = (k.block.x * Value(Self.warps) + k.warp, k.lane)
    k.when(index .< rows.count) {
      let (entry, head, query) = rows.place(index)
      let row = rows.query(entry, query, head)
      let sum = k.variable(Value<T>(0))
      k.loop(from: lane, to: Value(problem.size), by: 32) { i in
        k.accumulate(sum, dO.advanced(row).value(k, at: i, as: T.self), o.advanced(row).value(k, at: i))
      }
      k.synchroniseWarp()
      let mean = k.warpSum(sum)
      k.when(lane .== 0) { means[index] = mean }
    }
  }

  /// dq.
  private func queries<T: ElementaryType & ElementOfMemory>(_ k: KernelBuilder, _ number: T.Type)
  where T.Register == T {
    let inputs = AttentionInputs(k, problem)
    let rows = BatchedRows(k, problem, segments: inputs.segments)
    let dO = Elements<Global>(problem.element, k.pointer("dO"))
    let logSumExps = k.pointer("logSumExps", to: F32.self), means = k.pointer("means", to: T.self)
    let dQ = Elements<Global>(problem.element, k.pointer("dQ"))
    let (index, lane) = (k.block.x * Value(Self.warps) + k.warp, k.lane)
    let query = vector(k, T.self), gradient = vector(k, T.self)

    k.when(index .< rows.count) {
      let row = rows.row(index)
      k.loop(from: lane, to: Value(problem.size), by: 32) { i in
        query[i] = inputs.q.advanced(row.query).value(k, at: i)
        gradient[i] = dO.advanced(row.query).value(k, at: i)
      }
      k.synchroniseWarp()
      let logSumExp: Value<T> = k.convert(logSumExps[index])
      let mean = means[index]
      let sums = LaneSums<T>(k, problem, lane)
      k.loop(from: row.keys.first, to: row.keys.end, by: 32) { base in
        let place = k.variable(Value<U32>(0)), dScore = k.variable(Value<T>(0))
        k.when(row.isSeen(base + lane.seen(as: S32.self), place).seen) {
          let product = inputs.product(k, query, inputs.k, place)
          let dWeight = inputs.product(k, gradient, inputs.v, place)
          dScore.assign(pair(k, product, dWeight, logSumExp, mean).dScore)
        }
        sums.add(k.minimum(row.keys.end - base, 32).seen(as: U32.self), dScore, inputs.k, place)
      }
      sums.store(dQ.advanced(row.query))
    }
  }

  /// dk and dv.
  private func keys<T: ElementaryType & ElementOfMemory>(_ k: KernelBuilder, _ number: T.Type) where T.Register == T {
    let inputs = AttentionInputs(k, problem)
    let rows = BatchedRows(k, problem, segments: inputs.segments)
    let dO = Elements<Global>(problem.element, k.pointer("dO"))
    let logSumExps = k.pointer("logSumExps", to: F32.self), means = k.pointer("means", to: T.self)
    let dK = Elements<Global>(problem.element, k.pointer("dK"))
    let dV = Elements<Global>(problem.element, k.pointer("dV"))
    // Number of the key's head: [batch, keys, key heads].
    let (index, lane) = (k.block.x * Value(Self.warps) + k.warp, k.lane)
    let key = vector(k, T.self), value = vector(k, T.self)

    k.when(index .< rows.batch * rows.keys * Value(problem.keyHeads)) {
      let (position, keyHead) = k.divided(index, by: problem.keyHeads)
      let (entry, place) = (position / rows.keys, position % rows.keys)
      let head = k.multiplyWide(index, Value(problem.size))
      k.loop(from: lane, to: Value(problem.size), by: 32) { i in
        key[i] = inputs.k.advanced(head).value(k, at: i)
        value[i] = inputs.v.advanced(head).value(k, at: i)
      }
      k.synchroniseWarp()
      let count = rows.queries.seen(as: S32.self)
      let range = problem.queries(
        k, seeing: place.seen(as: S32.self), offset: rows.keys.seen(as: S32.self) - count, of: count)
      let segment = inputs.segments.map { $0[position] }
      let keySums = LaneSums<T>(k, problem, lane), valueSums = LaneSums<T>(k, problem, lane)
      k.loop(Value<U32>(problem.group)) { member in
        let head = keyHead * Value(problem.group) + member
        k.loop(from: range.first, to: range.end, by: 32) { base in
          let query = (base + lane.seen(as: S32.self))
          let isSeen = k.variable(query .< range.end)
          if let segment {
            k.when(isSeen) {
              isSeen.assign(inputs.segments![entry * rows.queries + query.seen(as: U32.self)] .== segment)
            }
          }
          let number = (entry * rows.queries + query.seen(as: U32.self)) * Value(problem.heads) + head
          let weight = k.variable(Value<T>(0)), dScore = k.variable(Value<T>(0))
          k.when(isSeen) {
            let row = (entry * Value(problem.heads) + head) * rows.queries + query.seen(as: U32.self)
            let product = inputs.product(k, key, inputs.q, number)
            let dWeight = inputs.product(k, value, dO, number)
            let pair = pair(k, product, dWeight, k.convert(logSumExps[row]), means[row])
            weight.assign(pair.weight)
            dScore.assign(pair.dScore)
          }
          let here = k.minimum(range.end - base, 32).seen(as: U32.self)
          keySums.add(here, dScore, inputs.q, number)
          valueSums.add(here, weight, dO, number)
        }
      }
      keySums.store(dK.advanced(head))
      valueSums.store(dV.advanced(head))
    }
  }

  /// dsinks: a block for each head.
  private func sinks<T: ElementaryType & ElementOfMemory>(_ k: KernelBuilder, _ number: T.Type) where T.Register == T {
    let sinks = k.pointer("sinks", to: F32.self)
    let batch = k.parameter("batch", U32.self), queries = k.parameter("queries", U32.self)
    let logSumExps = k.pointer("logSumExps", to: F32.self), means = k.pointer("means", to: T.self)
    let dSinks = k.pointer("dSinks", to: F32.self)
    let parts = k.shared(T.self, count: Self.warps)
    let head = k.block.x
    let sink: Value<T> = k.convert(sinks[head])
    let sum = k.variable(Value<T>(0))
    k.loop(batch) { entry in
      let line = (entry * Value(problem.heads) + head) * queries
      k.loop(from: k.thread.x, to: queries, by: Value(Self.warps * 32)) { query in
        let weight = T.exp(k, sink - k.convert(logSumExps[line + query]))
        k.accumulate(sum, weight, means[line + query])
      }
    }
    let part = k.warpSum(sum)
    k.when(k.lane .== 0) { parts[k.warp] = part }
    k.synchronise()
    k.when(k.thread.x .== 0) {
      let total = (0..<Self.warps).map { parts[$0] }.reduce(k.variable(Value<T>(0))) { $0 + $1 }
      dSinks[head] = k.convert(-total)
    }
  }

  // MARK: Parts

  /// A vector of a head's size for each warp.
  private func vector<T: ElementOfMemory>(_ k: KernelBuilder, _ type: T.Type) -> Pointer<T, Shared> {
    k.shared(type, count: Self.warps * problem.size) + k.warp * Value(problem.size)
  }

  /// The weight of a query and a key, and what the gradient of their product is.
  private func pair<T: ElementaryType>(
    _ k: KernelBuilder, _ product: Value<T>, _ dWeight: Value<T>, _ logSumExp: Value<T>, _ mean: Value<T>
  ) -> (weight: Value<T>, dScore: Value<T>) {
    let logit = problem.logit(k, product)
    let weight = T.exp(k, logit - logSumExp)
    return (weight, weight * (dWeight - mean) * problem.slope(k, logit))
  }
}

/// A sum of vectors of a head's size; each lane has its elements of it.
private struct LaneSums<T: ElementaryType> {
  private let k: KernelBuilder
  private let problem: AttentionProblem
  private let lane: Value<U32>
  private let sums: [Value<T>]

  init(_ k: KernelBuilder, _ problem: AttentionProblem, _ lane: Value<U32>) {
    (self.k, self.problem, self.lane) = (k, problem, lane)
    sums = (0..<(problem.size + 31) / 32).map { _ in k.variable(Value<T>(0)) }
  }

  /// Adds the vectors that the first `count` lanes name, each times its lane's factor; a factor of 0 reads nothing.
  func add(_ count: Value<U32>, _ factor: Value<T>, _ elements: Elements<Global>, _ place: Value<U32>) {
    k.loop(count) { other in
      let factor = k.shuffle(factor, .index, other)
      let vector = elements.advanced(k.multiplyWide(k.shuffle(place, .index, other), Value(problem.size)))
      k.when(factor .!= 0) { forEach { sum, i in k.accumulate(sum, factor, vector.value(k, at: i)) } }
    }
  }

  func store(_ elements: Elements<Global>) { forEach { sum, i in elements.store(k, at: i, value: sum) } }

  private func forEach(_ body: (Value<T>, Value<U32>) -> Void) {
    for (part, sum) in sums.enumerated() {
      let i = lane + Value(32 * part)
      if 32 * part + 32 <= problem.size { body(sum, i) } else { k.when(i .< Value(problem.size)) { body(sum, i) } }
    }
  }
}
