// Softmax along the last axis, and its gradient.

internal import KernelLanguage
internal import Tensors

/// `x [rows, width] -> y`, or `(y, dy) -> dx`.
struct SoftmaxKernel: KernelSource {
  let element: ElementType
  let layout: RowLayout
  let isGradient: Bool

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel(
      isGradient ? "softmaxGradient" : "softmax", target: target, threads: ThreadGroup.threads(layout.threads),
      blocks: 1
    ) {
      isGradient ? gradient($0) : forward($0)
    }
  }

  /// `y = exp(x - max) / Σ exp(x - max)`
  private func forward(_ k: KernelBuilder) {
    let x = Elements(element, k.pointer("x", to: U8.self))
    let y = Elements(element, k.pointer("y", to: U8.self))
    let rows = k.parameter("rows", U32.self)
    let tile = RowTile(k, layout)
    k.exit(when: tile.group.number .>= rows)
    let start = k.multiplyWide(tile.group.number, Value(layout.width))
    let row = tile.hold([x.advanced(start)])
    let target = y.advanced(start)

    let largest = k.variable(k.number(.float(-.infinity), element.numberClass))
    row.each { _, values, _ in
      for value in values[0] { largest.assign(k.extremum(largest, value, isMaximum: true)) }
    }
    let most = tile.group.maximum(largest)
    /// In float32 as a power of 2: that `most` is rounded in between divides all weights by the same number.
    let shift: Number? = if case .f32(let most) = most { .f32(most * Value(-log2e)) } else { nil }
    func weight(_ x: Number) -> Number {
      if case .f32(let x) = x, case .f32(let shift) = shift { return .f32(k.exp2(k.fma(x, Value(log2e), shift))) }
      return k.apply(.exp, k.subtract(x, most), element)
    }
    let total = k.apply(.reciprocal, row.sum(element.numberClass) { weight($0[0]) }, element)
    row.each { place, values, _ in
      target.advanced(place).store(k, values[0].map { k.multiply(weight($0), total) })
    }
  }

  /// `dx = y (dy - Σ y dy)`
  private func gradient(_ k: KernelBuilder) {
    let y = Elements(element, k.pointer("y", to: U8.self))
    let dy = Elements(element, k.pointer("dy", to: U8.self))
    let dx = Elements(element, k.pointer("dx", to: U8.self))
    let rows = k.parameter("rows", U32.self)
    let tile = RowTile(k, layout)
    k.exit(when: tile.group.number .>= rows)
    let start = k.multiplyWide(tile.group.number, Value(layout.width))
    let row = tile.hold([y.advanced(start), dy.advanced(start)])
    let target = dx.advanced(start)
    let sum = row.sum(element.numberClass) { k.multiply($0[0], $0[1]) }
    row.each { place, values, _ in
      target.advanced(place).store(k, zip(values[0], values[1]).map { k.multiply($0, k.subtract($1, sum)) })
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func softmax() throws { try softmax([.value(inputs[0])], isGradient: false) }
  mutating func softmaxGradient() throws { try softmax([.value(inputs[0]), .value(inputs[1])], isGradient: true) }

  private mutating func softmax(_ sources: [Operand], isGradient: Bool) throws {
    let type = inputTypes[0]
    if type.shape.count == 0 { return }
    let (rows, width) = rows(type.shape)
    let layout = RowLayout(width: width, [type.element], held: sources.count)
    try launch(
      SoftmaxKernel(element: type.element, layout: layout, isGradient: isGradient),
      grid: Extent(ThreadGroup.blocks(rows, layout.threads)), threads: ThreadGroup.threads(layout.threads),
      sources + [.value(results[0]), .count(rows)])
  }
}
