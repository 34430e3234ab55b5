// The place of the first largest element along an axis.

internal import KernelLanguage
internal import Tensors

struct ArgMaxKernel: KernelSource {
  let element: ElementType
  /// Threads of a result.
  let size: Int
  let inner: Int

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("argMax", target: target, threads: ThreadGroup.threads(size)) { build($0) }
  }

  private func build(_ k: KernelBuilder) {
    let x = Elements(element, k.pointer("x", to: U8.self))
    let y = k.pointer("y", to: S32.self)
    let count = k.parameter("count", U32.self)
    let extent = k.parameter("extent", U32.self)
    let group = ThreadGroup(k, size: size)
    k.exit(when: group.number .>= count)
    let (outer, place) = k.divided(group.number, by: inner)
    let start = k.multiplyWide(outer, extent) * Value(inner) + k.convert(place, to: U64.self)
    let from = x.advanced(start)

    // Keys as signed numbers, so that they travel between lanes like any other.
    let key = k.variable(Value<S64>(Int(Int64.min)))
    let index = k.variable(Value<S32>(Int(Int32.max)))
    k.loop(from: group.lane, to: extent, by: Value(size)) { step in
      let value = from.load(k, at: k.multiplyWide(step, Value(inner)))
      let own = k.signedKey(value)
      let isBetter = (own .> key) .| (index .== Value(Int(Int32.max)))
      key.assign(k.select(isBetter, own, key))
      index.assign(k.select(isBetter, step.seen(as: S32.self), index))
    }
    let best = group.combine([.s64(key), .s32(index)]) { a, b in
      let (keyA, keyB, indexA, indexB) = (a[0].int64, b[0].int64, a[1].int32, b[1].int32)
      // A thread without an element has the least key and the largest index.
      let isBetter = (keyB .> keyA) .| ((keyB .== keyA) .& (indexB .< indexA))
      return [k.select(isBetter, b[0], a[0]), k.select(isBetter, b[1], a[1])]
    }
    k.when(group.lane .== 0) { y[group.number] = best[1].int32 }
  }
}

extension KernelBuilder {
  /// A number that is larger where the element comes later in rising order: NaN is the largest, -0 and 0 are equal.
  func signedKey(_ number: Number) -> Value<S64> {
    switch number {
    case .s32(let value): return convert(value, to: S64.self)
    case .s64(let value): return value
    case .f32(let value):
      let bits = bits(value + 0, as: S32.self)
      let ordered = bits ^ ((bits >> 31) & Value(Int(Int32.max)))
      return convert(select(isNaN(value), Value(Int(Int32.max)), ordered), to: S64.self)
    case .f64(let value):
      let bits = bits(value + 0, as: S64.self)
      let ordered = bits ^ ((bits >> 63) & Value(Int(Int64.max)))
      return select(isNaN(value), Value(Int(Int64.max)), ordered)
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func argMax(_ axis: Int) throws {
    let type = inputTypes[0]
    let (outer, extent, inner) = sizes(type.shape, around: axis)
    let count = outer * inner
    if count == 0 { return }
    let size = extent <= 1024 ? 32 : 256
    try launch(
      ArgMaxKernel(element: type.element, size: size, inner: inner), grid: Extent(ThreadGroup.blocks(count, size)),
      threads: ThreadGroup.threads(size),
      [.value(inputs[0]), .value(results[0]), .count(count), .count(extent)])
  }
}
