// Matrix products: shapes become extents, strides and schedules. Faster kernels for what tensor cores can do are chosen here.

internal import KernelLanguage
internal import Tensors

extension Lowering {
  /// The numbers that every product has.
  struct ProductSizes {
    var m, n, k: Int
    /// Elements (of blocks: bytes) between rows in memory, and between matrices.
    var leftRow, rightRow: Int
    var leftMatrix = 0
    var rightMatrix = 0
    var batches = 1
    var groups = 0
  }

  mutating func product(_ matmul: Matmul) throws {
    if try tensorProduct(matmul) { return }
    let (a, b, c) = (inputTypes[0].shape, inputTypes[1].shape, resultTypes[0].shape)
    var sizes = ProductSizes(
      m: c[-2], n: c[-1], k: a[matmul.transposeA ? -2 : -1], leftRow: a[-1], rightRow: b[-1],
      leftMatrix: a[-1] * a[-2], rightMatrix: b[-1] * b[-2])
    func batches(_ shape: Shape) -> Shape {
      Shape(Array(shape.dimensions.dropLast(2)), varies: shape.varies && shape.rank > 2)
    }
    var outer = batches(c)
    var strides = [batches(a), batches(b)].map { $0.strides(broadcastTo: outer) }
    if batches(b).count == 1 && batches(a).count == outer.count && !matmul.transposeA {
      // One right operand for all rows: a single product.
      sizes.m *= outer.count
      (outer, strides) = (.scalar, [[], []])
    }
    sizes.batches = outer.count
    var epilogue = ProductEpilogue(activation: matmul.activation, keepsPreActivation: matmul.keepsPreActivation)
    var more: [Operand] = []
    if matmul.bias {
      epilogue.bias = inputTypes[2].element
      more.append(.value(inputs[2]))
    }
    if matmul.residual {
      epilogue.residual = inputTypes.last!.element
      more.append(.value(inputs.last!))
    }
    if matmul.keepsPreActivation { more.append(.value(results[1])) }
    try product(
      inputTypes[0].element, transposesLeft: matmul.transposeA,
      .elements(inputTypes[1].element, transposed: matmul.transposeB), result: 0, epilogue,
      .batches(Loops(outer, strides)), sizes, left: .value(inputs[0]), right: .value(inputs[1]), more: more)
  }

  /// Products of one x with weights in blocks.
  mutating func blockProducts(_ products: [BlockMatmul]) throws {
    let x = inputTypes[0]
    var (rounded, roundedOperand) = (Operand?.none, RoundedOperand?.none)
    for (place, product) in products.enumerated() {
      if try tensorBlockProduct(product, place: place, rounded: &roundedOperand) { continue }
      let (blocks, y) = (inputTypes[1 + place].shape, resultTypes[place].shape)
      // One product for each matrix of blocks; rows of x that share one are one product.
      let matrices = blocks.dimensions.dropLast(2).reduce(1, *)
      let rows = y.dimensions.dropLast().reduce(1, *)
      let m = matrices == 0 ? 0 : rows / matrices
      let sizes = ProductSizes(
        m: m, n: y[-1], k: x.shape[-1], leftRow: x.shape[-1], rightRow: blocks[-1], leftMatrix: m * x.shape[-1],
        rightMatrix: blocks[-1] * blocks[-2], batches: matrices)
      let isRounded = !product.exact && product.format.isInteger
      if isRounded && rounded == nil { rounded = try roundedActivations(x, .value(inputs[0])) }
      let each = Shape([matrices])
      try self.product(
        isRounded ? .float32 : x.element, transposesLeft: false, .blocks(product.format, columns: x.shape[-1]),
        result: place, ProductEpilogue(), .batches(Loops(each, [[1], [1]])), sizes,
        left: isRounded ? rounded! : .value(inputs[0]), right: .value(inputs[1 + place]))
    }
  }

  mutating func groupedMatmul(_ grouped: GroupedMatmul) throws {
    if try tensorGroupedMatmul(grouped) { return }
    let (x, weights) = (inputTypes[0], inputTypes[1])
    let k = x.shape[1]
    var (left, element, right) = (
      Operand.value(inputs[0]), x.element, ProductKernel.Right.elements(x.element, transposed: grouped.transposed)
    )
    if let format = grouped.format {
      right = .blocks(format, columns: k)
      if format.isInteger && !grouped.exact {
        left = try roundedActivations(x, left)
        element = .float32
      }
    }
    let sizes = ProductSizes(
      m: x.shape[0], n: resultTypes[0].shape[1], k: k, leftRow: k, rightRow: weights.shape[2],
      rightMatrix: weights.shape[1] * weights.shape[2], groups: weights.shape[0])
    try product(
      element, transposesLeft: false, right, result: 0, ProductEpilogue(), .groupedRows, sizes, left: left,
      right: .value(inputs[1]), counts: .value(inputs[2]))
  }

  mutating func groupedOuter() throws {
    if try tensorGroupedOuter() { return }
    let (a, b) = (inputTypes[0], inputTypes[1])
    let groups = inputTypes[2].shape.count
    let sizes = ProductSizes(
      m: a.shape[1], n: b.shape[1], k: a.shape[0], leftRow: a.shape[1], rightRow: b.shape[1], batches: groups,
      groups: groups)
    try product(
      a.element, transposesLeft: true, .elements(b.element, transposed: false), result: 0, ProductEpilogue(),
      .groupedOuter, sizes, left: .value(inputs[0]), right: .value(inputs[1]), counts: .value(inputs[2]))
  }

  private mutating func product(
    _ element: ElementType, transposesLeft: Bool, _ right: ProductKernel.Right, result: Int,
    _ epilogue: ProductEpilogue, _ schedule: ProductKernel.Schedule, _ sizes: ProductSizes, left: Operand,
    right rightPlace: Operand, counts: Operand? = nil, more: [Operand] = []
  ) throws {
    if resultTypes[result].shape.count == 0 { return }
    try product(
      element, transposesLeft: transposesLeft, right, result: resultTypes[result].element, epilogue, schedule, sizes,
      left: left, right: rightPlace, counts: counts, at: .value(results[result]), more: more)
  }

  /// The plain product, wherever its operands and its result are.
  ///
  /// - Parameter more: operands of the epilogue.
  mutating func product(
    _ element: ElementType, transposesLeft: Bool, _ right: ProductKernel.Right, result: ElementType,
    _ epilogue: ProductEpilogue, _ schedule: ProductKernel.Schedule, _ sizes: ProductSizes, left: Operand,
    right rightPlace: Operand, counts: Operand? = nil, at target: Operand, more: [Operand] = []
  ) throws {
    let tile = sizes.m > 32 && sizes.n > 32 ? 64 : 32
    func tiles(_ extent: Int) -> Int { (extent + tile - 1) / tile }
    let kernel = ProductKernel(
      left: element, transposesLeft: transposesLeft, right: right, result: result,
      epilogue: epilogue, schedule: schedule, tile: tile)
    // Each group begins a tile of rows, and so do the rows behind all groups.
    let tilesM = schedule == .groupedRows ? tiles(sizes.m) + sizes.groups : tiles(sizes.m)
    let numbers = [
      sizes.m, sizes.n, sizes.k, sizes.leftRow, sizes.rightRow, tilesM, tiles(sizes.n), sizes.groups,
    ]
    try launch(
      kernel, grid: Extent(tilesM * tiles(sizes.n) * sizes.batches), threads: kernel.threads,
      [left, rightPlace] + (counts.map { [$0] } ?? []) + [target] + more + numbers.map { .count($0) }
        + [sizes.leftMatrix, sizes.rightMatrix].map { .count($0, isWide: true) })
  }
}
