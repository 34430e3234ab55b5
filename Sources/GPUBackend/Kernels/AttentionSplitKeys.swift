// Sixteen keys and values of one head in a warp's registers, and what is done with them.

internal import KernelLanguage
internal import Tensors

/// Sixteen positions as they lie in memory: of keys lane l loads positions l / 4 and l / 4 + 8, of every 32 elements eight from
/// 8 (l % 4) on; of values positions 2 (l % 4), 2 (l % 4) + 1, and 8 more, of every 64 elements eight from 8 (l / 4) on.
struct SplitKeys {
  private let k: KernelBuilder
  private let kernel: SplitAttention
  private let inputs: AttentionInputs
  private let source: SplitRows
  private let block: SplitBlock
  private let sequence: Value<U32>
  private let range: KeyRange
  /// By position, by block of elements.
  private let keyWords: [[[Value<U32>]]]
  private let valueWords: [[[Value<U32>]]]
  /// Of the lane's two rows of scores.
  let keyFactors: [Value<F32>]?
  let valueFactors: [Value<F32>]?

  /// What stands for a position that is nowhere.
  private static let nowhere = 0xFFFF_FFFF

  init(
    _ k: KernelBuilder, _ kernel: SplitAttention, _ inputs: AttentionInputs, _ source: SplitRows, _ block: SplitBlock,
    sequence: Value<U32>, _ range: KeyRange
  ) {
    (self.k, self.kernel, self.inputs, self.source, self.block) = (k, kernel, inputs, source, block)
    (self.sequence, self.range) = (sequence, range)
    let size = kernel.problem.size
    let words = kernel.problem.options.scales ? 2 : 4
    func registers(_ positions: Int, _ blocks: Int) -> [[[Value<U32>]]] {
      (0..<positions).map { _ in (0..<blocks).map { _ in (0..<words).map { _ in k.register(U32.self) } } }
    }
    keyWords = registers(2, (size + 31) / 32)
    valueWords = registers(4, (size + 63) / 64)
    let factors = (0..<2).map { _ in (0..<2).map { _ in k.register(F32.self) } }
    (keyFactors, valueFactors) = inputs.factors == nil ? (nil, nil) : (factors[0], factors[1])
  }

  /// Loads the sixteen positions from `first` on; those out of the range, and those that are nowhere, are zeros.
  func load(_ first: Value<S32>) {
    let lane = k.lane
    let key = first + (lane & 15).seen(as: S32.self)
    let slot = k.variable(Value<U32>(Self.nowhere))
    k.when((key .>= range.first) .& (key .< range.end)) {
      let found = k.variable(Value<U32>(0))
      let exists = source.find(key, sequence, found)
      slot.assign(k.select(exists, found, Value(Self.nowhere)))
    }
    let (row, column) = (lane >> 2, lane & 3)
    let keySlots = (0..<2).map { k.shuffle(slot, .index, row + Value(8 * $0)) }
    let valueSlots = (0..<4).map { k.shuffle(slot, .index, column * 2 + Value($0 % 2 + $0 / 2 * 8)) }
    let read = { (isGuarded: Bool) in
      for (slot, words) in zip(keySlots, keyWords) {
        load(words, inputs.k, slot, from: column * 8, step: 32, isGuarded)
      }
      for (slot, words) in zip(valueSlots, valueWords) {
        load(words, inputs.v, slot, from: row * 8, step: 64, isGuarded)
      }
      guard let factors = inputs.factors, let keyFactors, let valueFactors else { return }
      for (register, slot) in keySlots.enumerated() {
        let place = slot * Value(kernel.problem.keyHeads) + block.keyHead
        for (factor, pointer) in [(keyFactors[register], factors.keys), (valueFactors[register], factors.values)] {
          if isGuarded {
            factor.assign(0)
            k.when(slot .!= Value(Self.nowhere)) { factor.assign(pointer[place]) }
          } else {
            factor.assign(pointer[place])
          }
        }
      }
    }
    k.when(k.all(slot .!= Value(Self.nowhere)), { read(false) }, otherwise: { read(true) })
  }

  /// Eight elements of each block of `step`, from `first` on.
  private func load(
    _ words: [[Value<U32>]], _ elements: Elements<Global>, _ slot: Value<U32>, from first: Value<U32>, step: Int,
    _ isGuarded: Bool
  ) {
    let size = kernel.problem.size
    let head = k.multiplyWide(slot * Value(kernel.problem.keyHeads) + block.keyHead, Value(size))
    let start = elements.advanced(head).advanced(first).pointer
    for (block, words) in words.enumerated() {
      let isWhole = block * step + step <= size
      let read = {
        let place = start.advanced(block * step * elements.type.size).cast(to: U32.self)
        for (word, value) in zip(words, place.load(words.count, "nc", "L1::no_allocate")) { word.assign(value) }
      }
      if isWhole && !isGuarded {
        read()
      } else {
        for word in words { word.assign(0) }
        let isInside = first .< Value(size - block * step)
        let exists = slot .!= Value(Self.nowhere)
        k.when(isWhole ? exists : isGuarded ? isInside .& exists : isInside, read)
      }
    }
  }

  // MARK: Operands

  /// Pairs of 16-bit floats.
  private func pairs(_ words: [Value<U32>]) -> [Value<U32>] {
    guard kernel.problem.options.scales else { return words }
    return words.flatMap { word -> [Value<U32>] in
      // 2^23 + 128 + n as a float, less 2^23 + 128: exact, and so in 16 bits.
      let bytes = word ^ 0x8080_8080
      let floats = (0..<4).map { byte in
        k.bits(k.permuteBytes(bytes, Value(0x4B00_0000), Value(0x7650 & ~7 | byte)), as: F32.self) - Value(8_388_736)
      }
      return [
        kernel.problem.pack(k, floats[0], floats[1]), kernel.problem.pack(k, floats[2], floats[3]),
      ]
    }
  }

  /// Left operands of the 16 keys, and for each which two of a query's four registers are its right operand.
  func forEachKeyOperand(_ body: (_ block: Int, _ half: Int, _ operand: [Value<U32>]) -> Void) {
    for block in keyWords[0].indices {
      let (upper, lower) = (pairs(keyWords[0][block]), pairs(keyWords[1][block]))
      for half in 0..<2 {
        body(block, half, [upper[2 * half], lower[2 * half], upper[2 * half + 1], lower[2 * half + 1]])
      }
    }
  }

  /// Left operands of 16 elements of the 16 values: row r is element 8 r + 2 i of a block of 64, row r + 8 the one behind it, where
  /// i counts the block's operands.
  func forEachValueOperand(_ body: (_ index: Int, _ operand: [Value<U32>]) -> Void) {
    for block in valueWords[0].indices {
      let words = valueWords.map { pairs($0[block]) }
      for i in 0..<4 {
        let (low, high) = (Value<U32>(0x5410), Value<U32>(0x7632))
        body(
          4 * block + i,
          [
            k.permuteBytes(words[0][i], words[1][i], low), k.permuteBytes(words[0][i], words[1][i], high),
            k.permuteBytes(words[2][i], words[3][i], low), k.permuteBytes(words[2][i], words[3][i], high),
          ])
      }
    }
  }
}

/// A warp's part of a stretch: by column the largest score, the sum of the weights (by lane), and the sums of the values.
struct SplitSums {
  private let k: KernelBuilder
  private let kernel: SplitAttention
  /// By tile of eight columns, by the lane's column of it.
  let largest: [[Value<F32>]]
  let total: [[Value<F32>]]
  /// By tile, by operand of values.
  let sums: [[[Value<F32>]]]

  init(_ k: KernelBuilder, _ kernel: SplitAttention) {
    (self.k, self.kernel) = (k, kernel)
    func registers(_ value: Double) -> [[Value<F32>]] {
      (0..<kernel.tiles).map { _ in (0..<2).map { _ in k.variable(Value<F32>(value)) } }
    }
    largest = registers(-.infinity)
    total = registers(0)
    sums = (0..<kernel.tiles).map { _ in
      (0..<kernel.width / 16).map { _ in (0..<4).map { _ in k.variable(Value<F32>(0)) } }
    }
  }

  /// Adds sixteen positions.
  func add(_ keys: SplitKeys, _ queries: SplitQueries, _ masks: [[KeyRange]], _ first: Value<S32>) {
    let (problem, type) = (kernel.problem, kernel.problem.matrixType!)
    let scores = (0..<kernel.tiles).map { _ in (0..<4).map { _ in k.variable(Value<F32>(0)) } }
    var right: [[Value<U32>]] = []
    keys.forEachKeyOperand { block, half, operand in
      if half == 0 { right = scores.indices.map { queries.load(tile: $0, block: block) } }
      for (scores, right) in zip(scores, right) {
        k.multiplyAccumulate(scores, operand, [right[2 * half], right[2 * half + 1]], type)
      }
    }
    let position = first + (k.lane >> 2).seen(as: S32.self)
    var weights: [[Value<U32>]] = []
    for (tile, scores) in scores.enumerated() {
      // Register 2 i + c is key l / 4 + 8 i, the lane's column c.
      if let factors = keys.keyFactors {
        for (register, score) in scores.enumerated() { score *= factors[register / 2] }
      }
      problem.capScores(k, scores)
      for (register, score) in scores.enumerated() {
        let (mask, key) = (masks[tile][register % 2], position + Value(register / 2 * 8))
        score.assign(k.select((key .>= mask.first) .& (key .< mask.end), score, Value(-.infinity)))
      }
      for column in 0..<2 {
        let (a, b) = (scores[column], scores[2 + column])
        let most = acrossKeys(k.maximum(largest[tile][column], k.maximum(a, b))) { k.maximum($0, $1) }
        let c = problem.exponentFactor
        let shift = k.select(most .== Value(-.infinity), Value(0), most * Value(-c))
        let factor = k.exp2(k.fma(largest[tile][column], Value(c), shift))
        largest[tile][column].assign(most)
        a.assign(k.exp2(k.fma(a, Value(c), shift)))
        b.assign(k.exp2(k.fma(b, Value(c), shift)))
        total[tile][column].assign(k.fma(total[tile][column], factor, a + b))
        for sums in sums[tile] {
          sums[column] *= factor
          sums[2 + column] *= factor
        }
      }
      if let factors = keys.valueFactors {
        for (register, score) in scores.enumerated() { score *= factors[register / 2] }
      }
      weights.append((0..<2).map { k.transposeMatrix(problem.pack(k, scores[2 * $0], scores[2 * $0 + 1])) })
    }
    keys.forEachValueOperand { index, operand in
      for (sums, weights) in zip(sums, weights) { k.multiplyAccumulate(sums[index], operand, weights, type) }
    }
  }

  /// Combined over the lanes that have other keys of the same columns.
  func acrossKeys(_ value: Value<F32>, _ combine: (Value<F32>, Value<F32>) -> Value<F32>) -> Value<F32> {
    [4, 8, 16].reduce(value) { combine($0, k.shuffle($0, .butterfly, Value($1))) }
  }
}
