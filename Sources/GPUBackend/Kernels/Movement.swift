// Copies between places with strides: what `broadcast`, `permute`, `slice`, `pad`, `concatenate` and `split` are made of.

internal import KernelLanguage
internal import Tensors

/// Elements from one place to another, each with strides of its own.
struct CopyKernel: FlatKernel {
  /// Of the source and of the target, in pieces.
  let loops: Loops
  /// Bytes moved at once.
  let piece: Int
  let isWide: Bool

  let name = "copy"

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let source = Pieces(size: piece, pointer: k.pointer("source"))
    let target = Pieces(size: piece, pointer: k.pointer("target"))
    return { item in
      let offsets = loops.offsets(k, item)
      target.move(offsets[1], from: source, at: offsets[0])
    }
  }
}

/// 0, 1, 2, ... along an axis.
struct IotaKernel: FlatKernel {
  let type: ElementType
  /// Of the axis; 0: nothing lies before it, so that its extent is not needed.
  let extent: Int
  let inner: Int
  let isWide: Bool

  let name = "iota"

  func body<I: IntegerType>(_ k: KernelBuilder, _ type: I.Type) -> (Value<I>) -> Void {
    let result = Elements(self.type, k.pointer("result", to: U8.self))
    return { item in
      let line = k.quotient(item, inner)
      let place = extent == 0 ? line : k.divided(line, by: extent).remainder
      let number = Number.s64(k.convert(place, to: S64.self))
      result.store(k, at: item, k.cast(number, from: .int64, to: self.type))
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func iota(_ axis: Int) throws {
    let type = resultTypes[0]
    let (outer, extent, inner) = sizes(type.shape, around: axis)
    if type.shape.count == 0 { return }
    let kernel = IotaKernel(
      type: type.element, extent: axis == 0 || outer == 1 ? 0 : extent, inner: inner,
      isWide: type.shape.count >= 1 << 31)
    try launch(kernel, count: type.shape.count, [.value(results[0])])
  }

  /// The result, dense, from the input read with `strides` (in elements of the input) from `offset` on.
  mutating func copy(strides: [Int], offset: Int = 0) throws {
    try strided(
      input: 0, result: 0, resultTypes[0].shape, from: strides, at: offset, to: resultTypes[0].shape.strides, at: 0)
  }

  /// Copies the elements of a shape between two places, each with its strides and offset in elements.
  private mutating func strided(
    input: Int, result: Int, _ shape: Shape, from: [Int], at fromOffset: Int, to: [Int], at toOffset: Int
  ) throws {
    if shape.count == 0 { return }
    let size = inputTypes[input].element.size
    let loops = Loops(shape, [from, to])
    var vector = loops.vector(16 / size)
    // What is repeated is not moved in groups.
    if loops.strides.contains(where: { $0.last == 0 }) { vector = 1 }
    while fromOffset % vector != 0 || toOffset % vector != 0 || shape.count % vector != 0 { vector /= 2 }
    var grouped = loops.grouped(by: vector)
    if vector > 1 { grouped = grouped.divided(by: vector) }
    let extent = max(inputTypes[input].shape.count, resultTypes[result].shape.count)
    let kernel = CopyKernel(loops: grouped, piece: vector * size, isWide: extent >= 1 << 31)
    try launch(
      kernel, count: shape.count / vector,
      [.value(inputs[input], offset: fromOffset * size), .value(results[result], offset: toOffset * size)])
  }

  mutating func slice(_ slices: [Slice]) throws {
    let strides = inputTypes[0].shape.strides
    let offset = zip(slices, strides).reduce(0) { $0 + $1.0.start * $1.1 }
    try copy(strides: zip(slices, strides).map { $0.step * $1 }, offset: offset)
  }

  mutating func pad(_ paddings: [Padding]) throws {
    try fillWithZeros(result: 0)
    let strides = resultTypes[0].shape.strides
    try strided(
      input: 0, result: 0, inputTypes[0].shape, from: inputTypes[0].shape.strides, at: 0,
      to: zip(paddings, strides).map { ($0.between + 1) * $1 },
      at: zip(paddings, strides).reduce(0) { $0 + $1.0.before * $1.1 })
  }

  mutating func fillWithZeros(result: Int) throws {
    let type = resultTypes[result]
    if type.shape.count == 0 { return }
    let kernel = ElementwiseKernel(
      Fusion(single: .constant(.fill(.integer(0), type)), inputs: [], result: type), inputs: [], result: type)
    try launch(
      kernel, grid: Extent(kernel.blocks(type.shape.count)), threads: ElementwiseKernel.threads,
      [.value(results[result]), .count(type.shape.count, isWide: kernel.isWide)])
  }

  mutating func concatenate(_ axis: Int) throws {
    let strides = resultTypes[0].shape.strides
    var start = 0
    for place in inputs.indices {
      let part = inputTypes[place].shape
      try strided(
        input: place, result: 0, part, from: part.strides, at: 0, to: strides, at: start * strides[axis])
      start += part[axis]
    }
  }

  mutating func split(_ axis: Int) throws {
    let strides = inputTypes[0].shape.strides
    var start = 0
    for place in results.indices {
      let part = resultTypes[place].shape
      try strided(
        input: 0, result: place, part, from: strides, at: start * strides[axis], to: part.strides, at: 0)
      start += part[axis]
    }
  }
}
