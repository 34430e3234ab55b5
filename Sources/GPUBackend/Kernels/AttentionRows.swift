// Rows of attention: which query a warp works for, which keys it sees and where they lie.

internal import KernelLanguage
internal import Tensors

/// One query of one head.
struct AttentionRow {
  /// The first element of the query's and the output's head.
  let query: Value<U64>
  let head: Value<U32>
  /// What the query sees, but for segments.
  let keys: KeyRange
  /// Whether a key of a lane counts, whether the pool has it, and (written) the number of its head in memory.
  let isSeen: (_ key: Value<S32>, _ place: Value<U32>) -> (seen: Value<Predicate>, stored: Value<Predicate>)
}

/// Queries [batch, queries] with keys one behind the other.
struct BatchedRows {
  let problem: AttentionProblem
  let lengths: Pointer<S32, Global>?
  let segments: Pointer<S32, Global>?
  let batch, queries, keys: Value<U32>
  private let k: KernelBuilder

  /// Declares the parameters.
  init(_ k: KernelBuilder, _ problem: AttentionProblem, segments: Pointer<S32, Global>?) {
    (self.k, self.problem, self.segments) = (k, problem, segments)
    lengths = problem.options.lengths ? k.pointer("lengths") : nil
    batch = k.parameter("batch")
    queries = k.parameter("queries")
    keys = k.parameter("keys")
  }

  /// Of all heads.
  var count: Value<U32> { batch * queries * Value(problem.heads) }

  /// How many keys a batch entry has.
  func length(_ entry: Value<U32>) -> Value<S32> {
    let keys = keys.seen(as: S32.self)
    guard let lengths else { return keys }
    return k.maximum(k.minimum(lengths[entry], keys), 0)
  }

  /// Batch entry, head and query of number `index`, of the order [batch, heads, queries].
  func place(_ index: Value<U32>) -> (entry: Value<U32>, head: Value<U32>, query: Value<U32>) {
    let (line, query) = (index / queries, index % queries)
    let (entry, head) = k.divided(line, by: problem.heads)
    return (entry, head, query)
  }

  /// The first element of a query's head.
  func query(_ entry: Value<U32>, _ query: Value<U32>, _ head: Value<U32>) -> Value<U64> {
    k.multiplyWide((entry * queries + query) * Value(problem.heads) + head, Value(problem.size))
  }

  func row(_ index: Value<U32>) -> AttentionRow {
    let (entry, head, query) = place(index)
    let length = length(entry)
    let position = query.seen(as: S32.self) + length - queries.seen(as: S32.self)
    let range = problem.keys(k, from: position, of: length)
    let own = segments.map { $0[entry * keys + query] }
    let keyHead = k.quotient(head, problem.group)
    return AttentionRow(query: self.query(entry, query, head), head: head, keys: range) { key, place in
      let index = entry * keys + key.seen(as: U32.self)
      place.assign(index * Value(problem.keyHeads) + keyHead)
      let isSeen = k.variable(key .< range.end)
      if let segments, let own { k.when(isSeen) { isSeen.assign(segments[index] .== own) } }
      return (isSeen, isSeen)
    }
  }
}

/// Rows of sequences whose keys lie in blocks of a pool.
struct PagedRows {
  let problem: AttentionProblem
  let blockSize: Int
  let positions, sequences, tables: Pointer<S32, Global>
  let rows, sequenceCount, tableBlocks, poolBlocks: Value<U32>
  private let k: KernelBuilder

  /// Declares the parameters.
  init(_ k: KernelBuilder, _ problem: AttentionProblem, blockSize: Int) {
    (self.k, self.problem, self.blockSize) = (k, problem, blockSize)
    positions = k.pointer("positions")
    sequences = k.pointer("sequences")
    tables = k.pointer("tables")
    rows = k.parameter("rows")
    sequenceCount = k.parameter("sequenceCount")
    tableBlocks = k.parameter("tableBlocks")
    poolBlocks = k.parameter("poolBlocks")
  }

  /// Of all heads.
  var count: Value<U32> { rows * Value(problem.heads) }

  /// What a row sees, and whose keys they are.
  func keys(_ row: Value<U32>) -> (keys: KeyRange, sequence: Value<U32>) {
    let sequence = sequences[row].seen(as: U32.self)
    let capacity = (tableBlocks * Value(blockSize)).seen(as: S32.self)
    // A row of no sequence sees nothing.
    let length = k.select(sequence .< sequenceCount, capacity, 0)
    return (problem.keys(k, from: positions[row], of: length), sequence)
  }

  /// Writes the number of a sequence's position in the pool.
  ///
  /// - Returns: whether the pool has it.
  func find(_ key: Value<S32>, _ sequence: Value<U32>, _ slot: Value<U32>) -> Value<Predicate> {
    let (block, inside) = k.divided(key.seen(as: U32.self), by: blockSize)
    let number = tables[k.multiplyWide(sequence, tableBlocks) + k.convert(block, to: U64.self)].seen(as: U32.self)
    slot.assign(number * Value(blockSize) + inside)
    return number .< poolBlocks
  }

  func row(_ index: Value<U32>) -> AttentionRow {
    let (row, head) = k.divided(index, by: problem.heads)
    let (range, sequence) = keys(row)
    let keyHead = k.quotient(head, problem.group)
    return AttentionRow(
      query: k.multiplyWide(index, Value(problem.size)), head: head, keys: range
    ) { key, place in
      let isSeen = key .< range.end
      let isStored = k.predicate(false)
      k.when(isSeen) {
        let slot = k.variable(Value<U32>(0))
        isStored.assign(find(key, sequence, slot))
        place.assign(slot * Value(problem.keyHeads) + keyHead)
      }
      return (isSeen, isStored)
    }
  }
}
