// The transpose of `gather`: updates are sorted by index, and what belongs to one entry is added up in the order of the updates.

internal import KernelLanguage
internal import Tensors

/// `(updates [outer, count, inner], indices [count], keys [1, width]) -> result [outer, entries, inner]`, where an index occurs.
///
/// A block for each update in the order of the keys; the first of an entry adds up all of it.
struct SegmentSumKernel: KernelSource {
  let keys: SortKeys
  let updates: ElementType
  let result: ElementType
  let entries: Int

  static let threads = 128

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("segmentSum", target: target, threads: Self.threads) { build($0) }
  }

  private func build(_ k: KernelBuilder) {
    let x = Elements(updates, k.pointer("updates", to: U8.self))
    let indices = Elements(keys.element, k.pointer("indices", to: U8.self))
    let sorted = keys.memory(k, "keys")
    let y = Elements(result, k.pointer("result", to: U8.self))
    let count = k.parameter("count", U32.self)
    let inner = k.parameter("inner", U32.self)
    let outer = k.block.y

    func place(_ position: Value<U32>) -> Value<U32> { keys.place(k, sorted.load(position)) }
    func index(_ place: Value<U32>) -> Value<S64> { k.index(indices.load(k, at: place)) }
    let position = k.block.x
    let own = index(place(position))
    k.exit(when: .!own.isIn(entries))
    let isFirst = k.variable(Value<U32>(1))
    k.when(position .> 0) {
      isFirst.assign(k.select(index(place(position - 1)) .== own, Value(0), Value(1)))
    }
    k.exit(when: isFirst .== 0)

    let from = k.multiplyWide(outer, count)
    let to = (k.multiplyWide(outer, Value(entries)) + own.seen(as: U64.self)) * k.convert(inner, to: U64.self)
    k.loop(from: k.thread.x, to: inner, by: Value(Self.threads)) { column in
      let column = k.convert(column, to: U64.self)
      let sum = k.variable(k.number(.integer(0), accumulator))
      let next = k.variable(position)
      k.loop { loop in
        loop.leave(when: next .>= count)
        let update = place(next)
        loop.leave(when: index(update) .!= own)
        let row = (from + k.convert(update, to: U64.self)) * k.convert(inner, to: U64.self)
        sum.assign(k.add(sum, k.converted(x.load(k, at: row + column), to: accumulator)))
        next += 1
      }
      y.store(k, at: to + column, k.cast(sum, from: accumulator.element, to: result))
    }
  }

  private var accumulator: NumberClass { updates.accumulator(for: result) }
}

// MARK: - Lowering

extension Lowering {
  mutating func scatterAdd(_ axis: Int, _ entries: Int) throws {
    let (updates, indices, result) = (inputTypes[0], inputTypes[1], resultTypes[0])
    try fillWithZeros(result: 0)
    if updates.shape.count == 0 || result.shape.count == 0 { return }
    let count = indices.shape.count
    let outer = updates.shape.dimensions[..<axis].reduce(1, *)
    let inner = updates.shape.dimensions[(axis + indices.shape.rank)...].reduce(1, *)
    let keys = SortKeys(element: indices.element, descending: false)
    let sorted = try sortedKeys(keys, .value(inputs[1]), rows: 1, width: count, keeping: count)
    try launch(
      SegmentSumKernel(keys: keys, updates: updates.element, result: result.element, entries: entries),
      grid: Extent(count, outer), threads: SegmentSumKernel.threads,
      [.value(inputs[0]), .value(inputs[1])] + operands(keys, sorted)
        + [.value(results[0]), .count(count), .count(inner)])
  }
}
