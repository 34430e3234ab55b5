// Normalisation along the last axis: by the root of the mean square, or by mean and variance.
//
// Zhang and Sennrich, Root mean square layer normalization (2019), arXiv:1910.07467; Ba, Kiros and Hinton, Layer normalization
// (2016), arXiv:1607.06450.

internal import KernelLanguage
internal import Tensors

/// `(x [rows, width], weight?, bias?) -> y, mean [rows]?, rstd [rows]`
struct NormKernel: KernelSource {
  let norm: Norm
  /// Whether the mean is taken away.
  let isLayer: Bool
  let element: ElementType
  /// Of weight and bias.
  let vector: ElementType
  let layout: RowLayout

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel(isLayer ? "layerNorm" : "rmsNorm", target: target, threads: ThreadGroup.threads(layout.threads), blocks: 1) {
      build($0)
    }
  }

  private func build(_ k: KernelBuilder) {
    let numberClass = element.numberClass
    let x = Elements(element, k.pointer("x", to: U8.self))
    let weight = norm.weight ? Elements(vector, k.pointer("weight", to: U8.self)) : nil
    let bias = norm.bias ? Elements(vector, k.pointer("bias", to: U8.self)) : nil
    let y = Elements(element, k.pointer("y", to: U8.self))
    let means = isLayer ? Elements(numberClass.element, k.pointer("means", to: U8.self)) : nil
    let rstds = Elements(numberClass.element, k.pointer("rstds", to: U8.self))
    let rows = k.parameter("rows", U32.self)

    let tile = RowTile(k, layout)
    let number = tile.group.number
    k.exit(when: number .>= rows)
    let start = k.multiplyWide(number, Value(layout.width))
    let row = tile.hold([x.advanced(start)])
    let target = y.advanced(start)
    let scale = k.number(.float(1 / Double(layout.width)), numberClass)

    let mean = isLayer ? k.multiply(row.sum(numberClass) { $0[0] }, scale) : nil
    func centred(_ x: Number) -> Number { mean.map { k.subtract(x, $0) } ?? x }
    let squares = row.sum(numberClass) { values in
      let value = centred(values[0])
      return k.multiply(value, value)
    }
    let variance = k.multiplyAdd(squares, scale, k.number(.float(norm.epsilon), numberClass))
    let rstd = k.apply(.reciprocalSquareRoot, variance, numberClass.element)
    row.each { place, values, _ in
      var result = values[0].map { k.multiply(centred($0), rstd) }
      if let weight { result = zip(result, load(k, weight, place)).map { k.multiply($0, $1) } }
      if let bias { result = zip(result, load(k, bias, place)).map { k.add($0, $1) } }
      target.advanced(place).store(k, result)
    }
    k.when(tile.group.lane .== 0) {
      if let means, let mean { means.store(k, at: number, mean) }
      rstds.store(k, at: number, rstd)
    }
  }

  private func load(_ k: KernelBuilder, _ vector: Elements<Global>, _ place: Value<U32>) -> [Number] {
    vector.advanced(place).load(k, count: layout.vector).map { k.converted($0, to: element.numberClass) }
  }
}

/// `(x, weight?, mean?, rstd, dy) -> dx, dweight [groups, width]?, dbias [groups, width]?`: each group of threads goes through
/// `chunk` rows and adds up what they give to the vectors.
struct NormGradientKernel: KernelSource {
  let norm: Norm
  let isLayer: Bool
  let element: ElementType
  let vector: ElementType
  let layout: RowLayout

  func kernel(for target: PTXTarget) -> Kernel {
    let name = isLayer ? "layerNormGradient" : "rmsNormGradient"
    return Kernel(name, target: target, threads: ThreadGroup.threads(layout.threads), blocks: 1) { build($0) }
  }

  private func build(_ k: KernelBuilder) {
    let numberClass = element.numberClass
    let x = Elements(element, k.pointer("x", to: U8.self))
    let weight = norm.weight ? Elements(vector, k.pointer("weight", to: U8.self)) : nil
    let means = isLayer ? Elements(numberClass.element, k.pointer("means", to: U8.self)) : nil
    let rstds = Elements(numberClass.element, k.pointer("rstds", to: U8.self))
    let dy = Elements(element, k.pointer("dy", to: U8.self))
    let dx = Elements(element, k.pointer("dx", to: U8.self))
    let sums = (norm.weight ? ["dweight"] : []) + (norm.bias ? ["dbias"] : [])
    let partials = sums.map { Elements(numberClass.element, k.pointer($0, to: U8.self)) }
    let rows = k.parameter("rows", U32.self)
    let chunk = k.parameter("chunk", U32.self)

    let tile = RowTile(k, layout)
    let first = tile.group.number * chunk
    k.exit(when: first .>= rows)
    let own = k.multiplyWide(tile.group.number, Value(layout.width))
    let columns = ColumnSums(k, tile, partials.map { $0.advanced(own) }, numberClass)
    let scale = k.number(.float(1 / Double(layout.width)), numberClass)

    k.loop(from: first, to: k.minimum(first + chunk, rows)) { number in
      let start = k.multiplyWide(number, Value(layout.width))
      let row = tile.hold([x.advanced(start), dy.advanced(start)])
      let target = dx.advanced(start)
      let rstd = rstds.load(k, at: number)
      let mean = means?.load(k, at: number)
      /// (x - mean) rstd, which for the root of the mean square has no mean.
      func normalised(_ x: Number) -> Number { k.multiply(mean.map { k.subtract(x, $0) } ?? x, rstd) }
      /// dy · weight
      func flows(_ dy: [Number], _ place: Value<U32>) -> [Number] {
        guard let weight else { return dy }
        let loaded = weight.advanced(place).load(k, count: layout.vector)
        return zip(dy, loaded).map { k.multiply($0, k.converted($1, to: numberClass)) }
      }
      let sumG = k.variable(k.number(.integer(0), numberClass))
      let sumGH = k.variable(k.number(.integer(0), numberClass))
      row.each { place, values, piece in
        let g = flows(values[1], place)
        for lane in 0..<layout.vector {
          let h = normalised(values[0][lane])
          if isLayer { sumG.assign(k.add(sumG, g[lane])) }
          sumGH.assign(k.multiplyAdd(g[lane], h, sumGH))
        }
        let h = values[0].map(normalised)
        let given = (norm.weight ? [zip(values[1], h).map { k.multiply($0, $1) }] : []) + (norm.bias ? [values[1]] : [])
        columns.add(place, given, piece: piece)
      }
      let meanG = isLayer ? k.multiply(tile.group.sum(sumG), scale) : nil
      let meanGH = k.multiply(tile.group.sum(sumGH), scale)
      row.each { place, values, _ in
        let g = flows(values[1], place)
        let result = (0..<layout.vector).map { lane -> Number in
          let centred = meanG.map { k.subtract(g[lane], $0) } ?? g[lane]
          return k.multiply(k.subtract(centred, k.multiply(normalised(values[0][lane]), meanGH)), rstd)
        }
        target.advanced(place).store(k, result)
      }
    }
    columns.store()
  }
}

/// Sums over rows for each column of a thread: in registers where the row is, else in the memory where they are wanted.
private struct ColumnSums {
  private let k: KernelBuilder
  private let tile: RowTile
  private let targets: [Elements<Global>]
  /// By target, by piece.
  private let held: [[[Number]]]

  init(_ k: KernelBuilder, _ tile: RowTile, _ targets: [Elements<Global>], _ numberClass: NumberClass) {
    (self.k, self.tile, self.targets) = (k, tile, targets)
    let layout = tile.layout
    let zero = k.number(.integer(0), numberClass)
    guard layout.isHeld else {
      held = []
      forEachPlace { place in
        for target in targets {
          target.advanced(place).store(k, Array(repeating: zero, count: layout.vector))
        }
      }
      return
    }
    held = targets.map { _ in
      (0..<layout.groups).map { _ in (0..<layout.vector).map { _ in k.variable(zero) } }
    }
  }

  private func forEachPlace(_ body: (Value<U32>) -> Void) {
    let layout = tile.layout
    k.loop(
      from: tile.group.lane * Value(layout.vector), to: Value(layout.width), by: Value(layout.threads * layout.vector),
      body)
  }

  /// - Parameter values: by target.
  func add(_ place: Value<U32>, _ values: [[Number]], piece: Int?) {
    for (index, values) in values.enumerated() {
      if let piece {
        for (sum, value) in zip(held[index][piece], values) { sum.assign(k.add(sum, value)) }
      } else {
        let target = targets[index].advanced(place)
        let before = target.load(k, count: tile.layout.vector)
        target.store(k, zip(before, values).map { k.add($0, $1) })
      }
    }
  }

  func store() {
    let layout = tile.layout
    for (target, pieces) in zip(targets, held) {
      for (number, piece) in pieces.enumerated() {
        let place = tile.group.lane * Value(layout.vector) + Value(number * layout.threads * layout.vector)
        k.when(place .< Value(layout.width)) { target.advanced(place).store(k, piece) }
      }
    }
  }
}

// MARK: - Lowering

extension Lowering {
  mutating func rmsNorm(_ norm: Norm) throws { try norms(norm, isLayer: false) }
  mutating func layerNorm(_ norm: Norm) throws { try norms(norm, isLayer: true) }
  mutating func rmsNormGradient(_ norm: Norm) throws { try normGradients(norm, isLayer: false) }
  mutating func layerNormGradient(_ norm: Norm) throws { try normGradients(norm, isLayer: true) }

  private mutating func norms(_ norm: Norm, isLayer: Bool) throws {
    let type = inputTypes[0]
    let (rows, width) = rows(type.shape)
    if rows == 0 { return }
    let vector = inputs.count > 1 ? inputTypes[1].element : type.element
    let layout = RowLayout(width: width, [type.element, vector], held: 1)
    try launch(
      NormKernel(norm: norm, isLayer: isLayer, element: type.element, vector: vector, layout: layout),
      grid: Extent(ThreadGroup.blocks(rows, layout.threads)), threads: ThreadGroup.threads(layout.threads),
      inputs.map { .value($0) } + results.map { .value($0) } + [.count(rows)])
  }

  private mutating func normGradients(_ norm: Norm, isLayer: Bool) throws {
    let type = inputTypes[0]
    let (rows, width) = rows(type.shape)
    if rows == 0 || width == 0 {
      for result in results.indices { try fillWithZeros(result: result) }
      return
    }
    let vector = norm.weight ? inputTypes[1].element : type.element
    let partial = type.element.numberClass.element
    let layout = RowLayout(width: width, [type.element, vector, partial], held: 4)
    // As many groups as fill a large chip.
    let chunk = (rows + 511) / 512
    let groups = (rows + chunk - 1) / chunk
    let partials = results.dropFirst().map { _ in scratch(groups * width * partial.size) }
    let kernel = NormGradientKernel(
      norm: norm, isLayer: isLayer, element: type.element, vector: vector, layout: layout)
    try launch(
      kernel, grid: Extent(ThreadGroup.blocks(groups, layout.threads)), threads: ThreadGroup.threads(layout.threads),
      inputs.map { .value($0) } + [.value(results[0])] + partials + [.count(rows), .count(chunk)])
    for (place, partials) in partials.enumerated() {
      try reduce(
        .sum, TensorType(partial, [groups, width]), axes: [0], from: partials, to: .value(results[1 + place]),
        resultTypes[1 + place].element)
    }
  }
}
