// What happens to scores between the two products of attention, where they lie in the registers of matrix products: masks,
// softmax, and the turn into a left operand.
//
// Of a warp's 16 x n scores lane l has, with g = l / 4 and t = l % 4, rows g and g + 8, columns 8j + 2t and the next; register
// 4j + 2i + c is row g + 8i, column 8j + 2t + c. Warp-level and warpgroup products agree on this, and a left operand of 16 x 16
// wants just these elements in this order: nothing moves between lanes.
//
// Dao, FlashAttention-2 (2023), arXiv:2307.08691.

internal import KernelLanguage
internal import Tensors

/// Which columns of scores the lane's two rows of sixteen see.
struct FragmentMask {
  /// By row.
  let ranges: [KeyRange]
  /// By row; and where those of the columns lie.
  let segments: (rows: [Value<S32>], columns: Pointer<S32, Global>)?

  /// Hides what is not seen.
  ///
  /// - Parameters:
  ///   - scores: 4 registers for 8 columns.
  ///   - first: position of the first column.
  ///   - left: whether rows begin within these columns or behind them.
  ///   - right: whether rows end within these columns.
  ///   - hidden: what scores become that are not seen.
  func apply(
    _ k: KernelBuilder, to scores: [Value<F32>], first: Value<S32>, left: Bool = true, right: Bool = true,
    hidden: Double = -.infinity
  ) {
    let column = first + ((k.lane & 3) << 1).seen(as: S32.self)
    let bounds = ranges.map { ($0.first - column, $0.end - column) }
    for (register, score) in scores.enumerated() {
      let (row, offset) = (register >> 1 & 1, register / 4 * 8 + register % 2)
      let (begin, end) = bounds[row]
      if left { score.assign(k.select(begin .> Value(offset), Value(hidden), score)) }
      if right { score.assign(k.select(end .<= Value(offset), Value(hidden), score)) }
    }
    guard let segments else { return }
    let end = k.maximum(ranges[0].end, ranges[1].end) - column
    for pair in stride(from: 0, to: scores.count, by: 4) {
      for c in 0..<2 {
        let offset = pair * 2 + c
        let segment = k.variable(Value<S32>(0))
        k.when(end .> Value(offset)) { segment.assign(segments.columns[column.seen(as: U32.self) + Value(offset)]) }
        for row in 0..<2 {
          let score = scores[pair + 2 * row + c]
          score.assign(k.select(segment .== segments.rows[row], score, Value(hidden)))
        }
      }
    }
  }
}

extension AttentionProblem {
  /// What scores, after `capScores`, are multiplied by to be logits to base 2.
  var exponentFactor: Double { (softcap ?? options.scale) * 1.4426950408889634 }

  /// Products become tanh(scale product / softcap), if there is a cap.
  func capScores(_ k: KernelBuilder, _ scores: [Value<F32>]) {
    guard let softcap else { return }
    // tanh x = 1 - 2 / (1 + 2^(2 x log2 e)).
    for score in scores {
      let power = k.exp2(score * Value(2 * options.scale / softcap * 1.4426950408889634))
      score.assign(k.fma(k.reciprocalApproximate(power + 1), Value(-2), Value(1)))
    }
  }

  /// Scores (after `capScores`) become weights, and the weights' gradients those of the scores, but for the scale.
  ///
  /// - Parameters:
  ///   - logSumExp: negated, to base 2, for a register.
  ///   - mean: D of the query, for a register.
  ///   - mask: hides what is not seen.
  func weigh(
    _ k: KernelBuilder, _ scores: [Value<F32>], gradients: [Value<F32>], logSumExp: (Int) -> Value<F32>,
    mean: (Int) -> Value<F32>, mask: ([Value<F32>]) -> Void
  ) {
    for (register, (score, gradient)) in zip(scores, gradients).enumerated() {
      gradient -= mean(register)
      if softcap != nil { gradient *= k.fma(-score, score, Value(1)) }
      score.assign(k.exp2(k.fma(score, Value(exponentFactor), logSumExp(register))))
    }
    mask(scores)
    for (score, gradient) in zip(scores, gradients) { gradient *= score }
  }

  /// A logarithm as `weigh` takes it: of rows that see nothing, all weights are 0.
  func negated(_ k: KernelBuilder, _ logSumExp: Value<F32>) -> Value<F32> {
    k.select(logSumExp .== Value(-.infinity), logSumExp, logSumExp * Value(-1.4426950408889634))
  }
}

extension AttentionProblem {
  /// Writes the elements of one row of a fragment, two neighbours of every 8 columns.
  ///
  /// - Parameters:
  ///   - element: the first of the head.
  ///   - first: element of the head at which the fragment begins.
  func storeRow(
    _ k: KernelBuilder, _ values: [Value<F32>], to output: Pointer<U32, Global>, at element: Value<U64>, first: Int = 0
  ) {
    let row = output.cast(to: U16.self) + (element + k.convert((k.lane & 3) << 1, to: U64.self))
    for pair in stride(from: 0, to: values.count, by: 2) where first + 4 * pair < size {
      row.advanced(first + 4 * pair).cast(to: U32.self).store(pack(k, values[pair], values[pair + 1]))
    }
  }
}

/// The softmax of two rows of scores, in a warp's registers.
struct FragmentSoftmax {
  private let k: KernelBuilder
  private let problem: AttentionProblem
  /// The largest score, and this lane's part of the sum of the weights relative to it, by row.
  private let largest: [Value<F32>]
  private let total: [Value<F32>]

  init(_ k: KernelBuilder, _ problem: AttentionProblem) {
    (self.k, self.problem) = (k, problem)
    largest = (0..<2).map { _ in k.variable(Value<F32>(-.infinity)) }
    total = (0..<2).map { _ in k.variable(Value<F32>(0)) }
  }

  /// Begins anew.
  func reset() {
    for row in 0..<2 {
      largest[row].assign(Value(-.infinity))
      total[row].assign(0)
    }
  }

  /// Scores become weights.
  ///
  /// - Returns: by row, what sums with earlier weights are to be multiplied by.
  func weigh(_ scores: [Value<F32>]) -> [Value<F32>] {
    let c = problem.exponentFactor
    return (0..<2).map { row in
      let own = scores.indices.filter { $0 >> 1 & 1 == row }.map { scores[$0] }
      let most = k.butterfly(k.maximum(largest[row], k.reduced(own) { k.maximum($0, $1) }), 4) { k.maximum($0, $1) }
      // While nothing was seen, nothing is subtracted.
      let shift = k.select(most .== Value(-.infinity), Value(0), most * Value(-c))
      let factor = k.exp2(k.fma(largest[row], Value(c), shift))
      largest[row].assign(most)
      for score in own { score.assign(k.exp2(k.fma(score, Value(c), shift))) }
      total[row].assign(k.fma(total[row], factor, k.reduced(own) { $0 + $1 }))
      return factor
    }
  }

  /// Keeps the computation of the weights in front of what follows: the assembler moves a wait for products up as far as it
  /// can, and then nothing is computed under them. It cannot move it over a branch, nor the weights behind one that depends on
  /// their sums, which are never negative.
  func settle() { k.when(k.minimum(total[0], total[1]) .< 0) { k.trap() } }

  /// What the sums are to be multiplied by in the end, and the logarithm of all weights' sum, by row; 0 and -infinity where
  /// nothing was seen.
  ///
  /// - Parameter sink: a logit that adds to the sum of the weights only.
  func finish(sink: Value<F32>?) -> [(factor: Value<F32>, logSumExp: Value<F32>)] {
    (0..<2).map { row in
      let sum = k.butterfly(total[row], 4) { $0 + $1 }
      let most = largest[row] * Value(problem.exponentFactor)
      let ln2 = Value<F32>(0.6931471805599453)
      guard let sink else {
        let isEmpty = sum .== 0
        return (
          k.select(isEmpty, Value(0), k.reciprocal(sum)),
          k.select(isEmpty, Value(-.infinity), (most + k.log2(sum)) * ln2)
        )
      }
      let sinkPower = sink * Value(1.4426950408889634)
      let base = k.maximum(most, sinkPower)
      let factor = k.exp2(most - base)
      let all = k.fma(sum, factor, k.exp2(sinkPower - base))
      return (factor * k.reciprocal(all), (base + k.log2(all)) * ln2)
    }
  }
}

extension KernelBuilder {
  /// All values combined, in four chains that do not wait for each other.
  func reduced(_ values: [Value<F32>], _ combine: (Value<F32>, Value<F32>) -> Value<F32>) -> Value<F32> {
    let chains = (0..<min(4, values.count)).map { first in
      stride(from: first, to: values.count, by: 4).map { values[$0] }
    }
    let ends = chains.map { $0.dropFirst().reduce($0[0], combine) }
    return ends.dropFirst().reduce(ends[0], combine)
  }

  /// Scores of 16 rows as left operands, one for 16 columns each.
  func leftOperands(_ scores: [Value<F32>], _ pack: (Value<F32>, Value<F32>) -> Value<U32>) -> [[Value<U32>]] {
    stride(from: 0, to: scores.count, by: 8).map { first in
      (0..<4).map { pack(scores[first + 2 * $0], scores[first + 2 * $0 + 1]) }
    }
  }
}
