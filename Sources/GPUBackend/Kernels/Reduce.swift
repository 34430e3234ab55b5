// Reductions over any axes.
//
// Where neighbours belong to one result, a group of threads goes along them; where neighbours belong to different results, each
// thread has a result and goes down. A long way is cut into chunks, whose results a second launch reduces. The cut depends on
// shapes alone.

internal import KernelLanguage
internal import Tensors

struct ReduceKernel: KernelSource {
  enum Way: Hashable {
    /// So many threads for each result.
    case along(threads: Int)
    /// 32 threads beside each other, 8 behind each other, with as many results each as they read at once.
    case down
  }

  let reduction: Reduction
  let way: Way
  let input: ElementType
  let result: ElementType
  /// What is summed in.
  let accumulator: NumberClass
  /// Over results, and over what becomes one. Where several elements are read at once, in groups of so many.
  let outer: Loops
  let reduced: Loops
  /// Elements that are read at once.
  let vector: Int

  static let rowsOfBlock = 8

  func kernel(for target: PTXTarget) -> Kernel {
    let threads =
      switch way {
      case .along(let size): ThreadGroup.threads(size)
      case .down: 32 * Self.rowsOfBlock
      }
    return Kernel("reduce_\(reduction)", target: target, threads: threads, blocks: 4) { build($0) }
  }

  /// Results are `[chunks, count]`; each is of `chunk` at most of `length` in all. Going along, both are counted in groups of
  /// elements that are read at once; going down, the results are.
  private func build(_ k: KernelBuilder) {
    let x = Elements(input, k.pointer("x", to: U8.self))
    let y = Elements(result, k.pointer("y", to: U8.self))
    let count = k.parameter("count", U32.self)
    let length = k.parameter("length", U32.self)
    let chunk = k.parameter("chunk", U32.self)

    let first = k.block.y * chunk
    let end = k.minimum(first + chunk, length)
    /// One sum for each of the elements that are read at once.
    func walk(_ number: Value<U32>, from start: Value<U32>, by step: Value<U32>) -> [Number] {
      let base = x.advanced(outer.offsets(k, k.convert(number, to: U64.self))[0])
      let sums = (0..<vector).map { _ in k.variable(identity(k)) }
      k.loop(from: start, to: end, by: step) { place in
        let here = base.advanced(reduced.offsets(k, k.convert(place, to: U64.self))[0])
        for (sum, value) in zip(sums, here.load(k, count: vector)) { sum.assign(combine(k, sum, element(k, value))) }
      }
      return sums
    }
    let row = k.multiplyWide(k.block.y, count)

    switch way {
    case .along(let size):
      let group = ThreadGroup(k, size: size)
      k.exit(when: group.number .>= count)
      let sums = walk(group.number, from: first + group.lane, by: Value(size))
      let sum = sums.dropFirst().reduce(sums[0]) { combine(k, $0, $1) }
      let total = group.combine(sum) { combine(k, $0, $1) }
      k.when(group.lane .== 0) {
        let place = row + k.convert(group.number, to: U64.self)
        y.store(k, at: place, k.cast(total, from: accumulator.element, to: result))
      }
    case .down:
      let (column, line) = (k.thread.x & 31, k.thread.x >> 5)
      let number = k.multiplyAdd(k.block.x, 32, column)
      // Those beyond the end do what the last one does.
      let sums = walk(k.minimum(number, count - 1), from: first + line, by: Value(Self.rowsOfBlock))
      let room = k.shared(U8.self, count: 8 * 32 * Self.rowsOfBlock * vector)
      let places = Elements(accumulator.element, room)
      // Side by side, each of a thread's sums in a part of its own.
      func place(_ lane: Int, _ line: Int) -> Value<U32> { Value(32 * (lane * Self.rowsOfBlock + line)) }
      for (lane, sum) in sums.enumerated() { places.store(k, at: k.thread.x + place(lane, 0), sum) }
      k.synchronise()
      k.when((line .== 0) .& (number .< count)) {
        let totals = sums.enumerated().map { lane, sum in
          (1..<Self.rowsOfBlock).reduce(sum) { combine(k, $0, places.load(k, at: column + place(lane, $1))) }
        }
        let there = (row + k.convert(number, to: U64.self)) * Value(vector)
        for (lane, total) in totals.enumerated() {
          y.store(k, at: there + Value(lane), k.cast(total, from: accumulator.element, to: result))
        }
      }
    }
  }

  private func element(_ k: KernelBuilder, _ x: Number) -> Number {
    let value = k.converted(x, to: accumulator)
    return reduction == .sumOfSquares ? k.multiply(value, value) : value
  }

  private func combine(_ k: KernelBuilder, _ a: Number, _ b: Number) -> Number {
    switch reduction {
    case .sum, .sumOfSquares: k.add(a, b)
    case .product: k.multiply(a, b)
    case .maximum, .any: k.extremum(a, b, isMaximum: true)
    case .minimum, .all: k.extremum(a, b, isMaximum: false)
    }
  }

  private func identity(_ k: KernelBuilder) -> Number {
    let isFloat = accumulator == .f32 || accumulator == .f64
    switch reduction {
    case .sum, .sumOfSquares, .any: return k.number(.integer(0), accumulator)
    case .product, .all: return k.number(.integer(1), accumulator)
    case .maximum: return k.number(isFloat ? .float(-.infinity) : .integer(input.lowest), accumulator)
    case .minimum: return k.number(isFloat ? .float(.infinity) : .integer(input.highest), accumulator)
    }
  }
}

extension ElementType {
  /// What sums of this type are kept in while they become `result`.
  func accumulator(for result: ElementType) -> NumberClass {
    if isFloat { return numberClass }
    return result.isFloat || result == .int64 ? .s64 : numberClass
  }

  /// The least integer that the type holds.
  fileprivate var lowest: Int64 {
    switch self {
    case .int8: Int64(Int8.min)
    case .int32: Int64(Int32.min)
    case .int64: .min
    default: 0
    }
  }

  fileprivate var highest: Int64 {
    switch self {
    case .int8: Int64(Int8.max)
    case .uint8: Int64(UInt8.max)
    case .int32: Int64(Int32.max)
    case .bool: 1
    default: .max
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func reduce(_ reduction: Reduction, _ axes: [Int]) throws {
    try reduce(
      reduction, inputTypes[0], axes: axes, from: .value(inputs[0]), to: .value(results[0]), resultTypes[0].element)
  }

  /// Reduces axes of what is at one place to another.
  mutating func reduce(
    _ reduction: Reduction, _ type: TensorType, axes: [Int], from input: Operand, to result: Operand,
    _ resultType: ElementType
  ) throws {
    let shape = type.shape
    let kept = shape.dimensions.indices.filter { !axes.contains($0) }
    func part(_ axes: [Int]) -> (shape: Shape, loops: Loops) {
      let part = Shape(axes.map { shape[$0] }, varies: shape.varies && axes.first == 0)
      return (part, Loops(part, [axes.map { shape.strides[$0] }]))
    }
    let (outer, reduced) = (part(kept), part(axes))
    let (count, length) = (outer.shape.count, reduced.shape.count)
    if count == 0 { return }
    // Whether neighbours belong to different results.
    let goesDown = outer.loops.rank > 0 && outer.loops.strides[0].last == 1 && count > 1
    let (across, along) = goesDown ? (reduced, outer) : (outer, reduced)
    let vector = along.loops.vector(16 / type.element.size, of: along.shape.count, besides: across.loops)
    let (groups, steps) = goesDown ? (count / vector, length) : (count, length / vector)

    let threads = steps <= 256 ? 32 : 256
    let blocks = goesDown ? (groups + 31) / 32 : ThreadGroup.blocks(groups, threads)
    // As many chunks as fill a large chip, each long enough to be worth a launch.
    let shortest = goesDown ? 256 : 1024
    let chunks = max(1, min((steps + shortest - 1) / shortest, 512 / blocks))
    let chunk = (steps + chunks - 1) / chunks

    let accumulator = type.element.accumulator(for: resultType)
    func kernel(_ result: ElementType) -> ReduceKernel {
      ReduceKernel(
        reduction: reduction, way: goesDown ? .down : .along(threads: threads), input: type.element, result: result,
        accumulator: accumulator, outer: goesDown ? outer.loops.grouped(by: vector) : outer.loops,
        reduced: goesDown ? reduced.loops : reduced.loops.grouped(by: vector), vector: vector)
    }
    let sizes: [Operand] = [.count(groups), .count(steps), .count(chunk)]
    let grid = Extent(blocks, chunks)
    let blockThreads = goesDown ? 32 * ReduceKernel.rowsOfBlock : ThreadGroup.threads(threads)
    if chunks == 1 {
      return try launch(kernel(resultType), grid: grid, threads: blockThreads, [input, result] + sizes)
    }
    let partial = accumulator.element
    let partials = scratch(chunks * count * partial.size)
    try launch(kernel(partial), grid: grid, threads: blockThreads, [input, partials] + sizes)
    try reduce(
      reduction == .sumOfSquares ? .sum : reduction, TensorType(partial, [chunks, count]), axes: [0], from: partials,
      to: result, resultType)
  }
}
