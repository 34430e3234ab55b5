// Running sums along an axis.

internal import KernelLanguage
internal import Tensors

/// Lines that lie side by side: a thread for each.
struct ScanColumnsKernel: FlatKernel {
  let element: ElementType
  let isReverse: Bool
  let isExclusive: Bool
  let inner: Int

  let name = "scanColumns"
  let isWide = true

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let x = Elements(element, k.pointer("x", to: U8.self))
    let y = Elements(element, k.pointer("y", to: U8.self))
    let extent = k.parameter("extent", type)
    return { line in
      let (outer, place) = k.divided(line, by: inner)
      let start = outer * extent * Value(inner) + place
      let sum = k.variable(k.number(.integer(0), element.numberClass))
      k.loop(extent) { step in
        let position = isReverse ? extent - 1 - step : step
        let here = k.multiplyAdd(position, Value(inner), start)
        let next = k.add(sum, x.load(k, at: here))
        y.store(k, at: here, k.wrapped(isExclusive ? sum : next, element))
        sum.assign(next)
      }
    }
  }
}

/// Lines whose elements are neighbours: a warp for each, 32 elements at a time.
struct ScanRowsKernel: KernelSource {
  let element: ElementType
  let isReverse: Bool
  let isExclusive: Bool

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("scanRows", target: target, threads: ThreadGroup.threads(32)) { build($0) }
  }

  private func build(_ k: KernelBuilder) {
    let x = Elements(element, k.pointer("x", to: U8.self))
    let y = Elements(element, k.pointer("y", to: U8.self))
    let rows = k.parameter("rows", U32.self)
    let extent = k.parameter("extent", U32.self)
    let group = ThreadGroup(k, size: 32)
    k.exit(when: group.number .>= rows)
    let start = k.multiplyWide(group.number, extent)
    let (from, to) = (x.advanced(start), y.advanced(start))
    let zero = k.number(.integer(0), element.numberClass)
    let before = k.variable(zero)
    k.loop(from: 0, to: extent, by: 32) { chunk in
      let step = chunk + group.lane
      let position = isReverse ? extent - 1 - step : step
      let own = k.variable(zero)
      k.when(step .< extent) { own.assign(from.load(k, at: position)) }
      // After the round for distance d each lane has the sum of 2d lanes up to its own.
      var sum: Number = own
      for distance in [1, 2, 4, 8, 16] {
        let other = k.shuffle(sum, .up, Value(distance))
        sum = k.select(group.lane .>= Value(distance), k.add(other, sum), sum)
      }
      let total = k.add(before, sum)
      let previous = k.shuffle(total, .up, 1)
      let result = isExclusive ? k.select(group.lane .== 0, before, previous) : total
      k.when(step .< extent) { to.store(k, at: position, k.wrapped(result, element)) }
      before.assign(k.shuffle(total, .index, 31))
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func cumulativeSum(_ axis: Int, _ reverse: Bool, _ exclusive: Bool) throws {
    let type = inputTypes[0]
    let (outer, extent, inner) = sizes(type.shape, around: axis)
    if type.shape.count == 0 { return }
    if inner == 1 {
      let kernel = ScanRowsKernel(element: type.element, isReverse: reverse, isExclusive: exclusive)
      try launch(
        kernel, grid: Extent(ThreadGroup.blocks(outer, 32)), threads: ThreadGroup.threads(32),
        [.value(inputs[0]), .value(results[0]), .count(outer), .count(extent)])
    } else {
      let kernel = ScanColumnsKernel(
        element: type.element, isReverse: reverse, isExclusive: exclusive, inner: inner)
      try launch(
        kernel, count: outer * inner, [.value(inputs[0]), .value(results[0]), .count(extent, isWide: true)])
    }
  }
}
