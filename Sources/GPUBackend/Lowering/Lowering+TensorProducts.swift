// Products of 16-bit floats on tensor cores.

internal import KernelLanguage
internal import Tensors

extension ElementType {
  /// What tensor cores multiply with float32 sums.
  var matrixType: KernelBuilder.MatrixType? {
    switch self {
    case .bfloat16: .bf16
    case .float16: .f16
    default: nil
    }
  }

  /// What the kernels of products write.
  var isProductResult: Bool { self == .float32 || matrixType != nil }
}

extension Lowering {
  private var target: PTXTarget { kernels.device.target }

  /// A product on tensor cores.
  ///
  /// - Returns: whether there is a kernel for it.
  mutating func tensorProduct(_ matmul: Matmul) throws -> Bool {
    guard let problem = problem(matmul) else { return false }
    var next = 2
    var addresses = ProductAddresses(a: .value(inputs[0]), b: .value(inputs[1]), result: .value(results[0]))
    if matmul.bias {
      addresses.bias = .value(inputs[next])
      next += 1
    }
    if matmul.residual { addresses.residual = .value(inputs[next]) }
    if matmul.keepsPreActivation { addresses.preActivation = .value(results[1]) }
    try launch(problem, addresses)
    return true
  }

  /// The product's sizes, if tensor cores can compute it and its batch is one of matrices that each operand has for itself, or
  /// one for all.
  private func problem(_ matmul: Matmul) -> ProductProblem? {
    let (a, b, result) = (inputTypes[0], inputTypes[1], resultTypes[0])
    guard let operands = a.element.matrixType, result.element.isProductResult, result.shape.count > 0 else {
      return nil
    }
    let batch = result.shape.dimensions.dropLast(2).reduce(1, *)
    let (ownA, ownB) = (a.shape.dimensions.dropLast(2).reduce(1, *), b.shape.dimensions.dropLast(2).reduce(1, *))
    let depth = a.shape[matmul.transposeA ? -2 : -1]
    guard depth > 0, [1, batch].contains(ownA), [1, batch].contains(ownB) else { return nil }
    let epilogue = TileEpilogue(
      result: result.element, bias: matmul.bias ? inputTypes[2].element : nil, activation: matmul.activation,
      preActivation: matmul.keepsPreActivation ? result.element : nil,
      residual: matmul.residual ? inputTypes[matmul.bias ? 3 : 2].element : nil, isEven: result.shape[-1] % 2 == 0)
    var problem = ProductProblem(
      operands: operands, majorA: matmul.transposeA ? .mn : .k, majorB: matmul.transposeB ? .k : .mn,
      rows: result.shape[-2], columns: result.shape[-1], depth: depth, batch: batch, batchA: ownA > 1,
      batchB: ownB > 1, varies: result.shape.varies, epilogue: epilogue)
    // Rows of all matrices are rows of one where they meet the same right operand.
    if ownB == 1 && !matmul.transposeA && ownA == batch {
      (problem.rows, problem.batch, problem.batchA) = (problem.rows * batch, 1, false)
    }
    return problem
  }

  /// A product by the kernel that should be the fastest for it.
  mutating func launch(_ problem: ProductProblem, _ addresses: ProductAddresses) throws {
    let plan = ProductPlan.best(problem, target: target, multiprocessors: kernels.device.multiprocessors)
    let isInParts = plan.parts > 1
    var own = addresses
    if isInParts {
      let bytes = plan.parts * problem.batch * problem.rows * problem.columns * 4
      own = ProductAddresses(a: addresses.a, b: addresses.b, result: scratch(bytes))
    }
    let parts = isInParts ? plan.parts : 1
    let counts: [Operand] = isInParts ? [.count(plan.parts), .count(plan.stepsOfPart)] : []
    let sizes = isInParts ? problem.sizes(pitch: problem.columns) : problem.sizes
    switch plan.kernel {
    case .ampere(let kernel):
      try launch(
        kernel, grid: Extent(plan.blocks, parts), threads: kernel.warps.threads,
        [own.a, own.b] + sizes + (isInParts ? [.count(plan.stepsOfPart)] : []) + own.ofEpilogue)
    case .hopper(let kernel):
      try launch(
        kernel, grid: Extent(plan.blocks), threads: kernel.threads, cluster: kernel.cluster,
        maps(problem, own, kernel.layoutA, kernel.layoutB, kernel.layoutResult) + sizes + counts + own.ofEpilogue)
    case .blackwell(let kernel):
      try launch(
        kernel, grid: Extent(plan.blocks), threads: BlackwellProduct.threads, cluster: kernel.cluster,
        maps(problem, own, kernel.layoutA, kernel.layoutB, kernel.layoutResult) + sizes + counts + own.ofEpilogue)
    }
    guard isInParts else { return }
    let finish = ProductParts(epilogue: problem.epilogue)
    let rows = problem.rows * problem.batch
    try launch(
      finish, grid: Extent(finish.blocks(rows: rows, columns: problem.columns)), threads: ProductParts.threads,
      [
        own.result, .count(plan.parts), .count(rows), .count(problem.columns),
        .count(problem.pitch ?? problem.columns),
      ] + addresses.ofEpilogue)
  }

  /// Of the operands and, where it leaves by tensor copies, of the result.
  private func maps(
    _ problem: ProductProblem, _ addresses: ProductAddresses, _ layoutA: TileLayout, _ layoutB: TileLayout,
    _ layoutResult: TileLayout?
  ) -> [Operand] {
    let operands: [Operand] = [
      .tensorMap(problem.map(layoutA, problem.majorA, problem.rows, problem.batchA), at: addresses.a),
      .tensorMap(problem.map(layoutB, problem.majorB, problem.columns, problem.batchB), at: addresses.b),
    ]
    return operands + (layoutResult.map { [.tensorMap(problem.mapOfResult($0), at: addresses.result)] } ?? [])
  }

  // MARK: Groups

  /// Rows with the matrices of their groups on tensor cores.
  ///
  /// - Returns: whether there is a kernel for it.
  mutating func tensorGroupedMatmul(_ grouped: GroupedMatmul) throws -> Bool {
    if let format = grouped.format { return try tensorGroupedBlocks(grouped, format) }
    let (x, result) = (inputTypes[0], resultTypes[0])
    guard let operands = x.element.matrixType, result.element.isProductResult,
      result.shape.count > 0, x.shape[1] > 0, inputTypes[2].shape.count > 0
    else { return false }
    let (rows, columns, depth) = (x.shape[0], result.shape[1], x.shape[1])
    let groups = inputTypes[2].shape.count
    let epilogue = TileEpilogue(result: result.element, isEven: columns % 2 == 0)
    if target == .sm90a && depth % 8 == 0 && (grouped.transposed || columns % 8 == 0) {
      var problem = ProductProblem(
        operands: operands, majorA: .k, majorB: grouped.transposed ? .k : .mn, rows: rows, columns: columns,
        depth: depth, batch: groups, batchB: true, epilogue: epilogue)
      let kernel = HopperProduct.grouped(problem)
      let tiles = try groupedTiles(rows: rows, groups: groups, size: kernel.rows)
      let all = tiles.capacity * ((columns + kernel.columns - 1) / kernel.columns)
      let addresses = ProductAddresses(a: .value(inputs[0]), b: .value(inputs[1]), result: .value(results[0]))
      let maps = maps(problem, addresses, kernel.layoutA, kernel.layoutB, nil)
      // Rows of all groups are those of one matrix.
      (problem.batch, problem.batchB) = (1, false)
      try launch(
        kernel, grid: Extent(min(all, kernels.device.multiprocessors)), threads: kernel.threads, cluster: 1,
        maps + problem.sizes + [tiles.list, .count(tiles.capacity)] + addresses.ofEpilogue)
      return true
    }
    // Small tiles where groups have few rows on average: a tile holds rows of one group.
    let warps = WarpProduct.small(
      operands, .k, grouped.transposed ? .k : .mn, rows: rows / groups, columns: columns)
    let tiles = try groupedTiles(rows: rows, groups: groups, size: warps.rows)
    let kernel = GroupedProduct(
      warps: warps, epilogue: epilogue, unitA: ProductProblem.unit(stride: depth),
      unitB: ProductProblem.unit(stride: grouped.transposed ? depth : columns))
    try launch(
      kernel, grid: Extent((columns + warps.columns - 1) / warps.columns, tiles.capacity), threads: warps.threads,
      [.value(inputs[0]), .value(inputs[1]), tiles.list, .count(columns), .count(depth), .value(results[0])])
    return true
  }

  /// Sums of outer products by group on tensor cores.
  ///
  /// - Returns: whether there is a kernel for it.
  mutating func tensorGroupedOuter() throws -> Bool {
    let (a, b, result) = (inputTypes[0], inputTypes[1], resultTypes[0])
    guard let operands = a.element.matrixType, b.element == a.element, result.element.isProductResult,
      result.shape.count > 0
    else { return false }
    let (groups, rows, columns) = (result.shape[0], result.shape[1], result.shape[2])
    guard groups <= 65_535 else { return false }
    let warps = WarpProduct.small(operands, .mn, .mn, rows: rows, columns: columns)
    let tiles = try groupedTiles(rows: a.shape[0], groups: groups, size: 128)
    let kernel = GroupedOuterProduct(
      warps: warps, epilogue: TileEpilogue(result: result.element, isEven: columns % 2 == 0),
      unitA: ProductProblem.unit(stride: rows), unitB: ProductProblem.unit(stride: columns))
    try launch(
      kernel,
      grid: Extent(
        (columns + warps.columns - 1) / warps.columns, (rows + warps.rows - 1) / warps.rows, groups),
      threads: warps.threads,
      [.value(inputs[0]), .value(inputs[1]), tiles.ends, .count(rows), .count(columns), .value(results[0])])
    return true
  }

  /// Cuts rows into tiles by group.
  mutating func groupedTiles(
    rows: Int, groups: Int, size: Int
  ) throws -> (list: Operand, ends: Operand, capacity: Int) {
    let capacity = GroupedTiles.capacity(rows: rows, groups: groups, size: size)
    let (list, ends) = (scratch(capacity * GroupedTiles.tileBytes), scratch(groups * 4))
    try launch(
      GroupedTiles(size: size), grid: Extent(1), threads: GroupedTiles.threads,
      [.value(inputs[2]), list, ends, .count(groups), .count(rows), .count(capacity)])
    return (list, ends, capacity)
  }

  // MARK: Launches

  /// Clusters of blocks along x.
  mutating func launch(
    _ source: some KernelSource, grid: Extent, threads: Int, cluster: Int, _ operands: [Operand]
  ) throws {
    let kernel = try kernels.load(source)
    let configuration = LaunchConfiguration(
      grid: grid, block: Extent(threads), cluster: Extent(cluster), dynamicSharedBytes: kernel.sharedBytes)
    append(.launch(kernel, configuration, operands))
  }
}

extension WarpProduct {
  /// Tiles of 128 x 128, or of 64 x 64 where the result's matrices are small.
  static func small(
    _ operands: KernelBuilder.MatrixType, _ majorA: KernelBuilder.Major, _ majorB: KernelBuilder.Major, rows: Int,
    columns: Int
  ) -> WarpProduct {
    let size = rows > 64 && columns > 64 ? 128 : 64
    return WarpProduct(
      operands: operands, majorA: majorA, majorB: majorB, rows: size, columns: size, depth: 32, warpsAlongRows: 2,
      warpsAlongColumns: size / 32)
  }
}

/// Where a product's operands and results are.
struct ProductAddresses {
  var a: Operand
  var b: Operand
  var result: Operand
  var bias: Operand?
  var preActivation: Operand?
  var residual: Operand?

  /// In the order of `TileEpilogue.parameters`.
  var ofEpilogue: [Operand] { [result] + [bias, preActivation, residual].compactMap { $0 } }
}

extension ProductProblem {
  /// In the order of `ProductShape`.
  var sizes: [Operand] {
    sizes(pitch: pitch ?? columns)
  }

  /// With rows of the result so many elements apart.
  func sizes(pitch: Int) -> [Operand] {
    [rows, columns, depth, batch, batchA ? 1 : 0, batchB ? 1 : 0, pitch].map { Operand.count($0) }
  }

  /// Of an operand.
  ///
  /// - Parameter extent: rows of the left operand, columns of the right one.
  func map(_ layout: TileLayout, _ major: KernelBuilder.Major, _ extent: Int, _ isBatched: Bool) -> TensorMap {
    let (rows, columns) = major == .k ? (extent, depth) : (depth, extent)
    return layout.map(
      0, matrices: isBatched ? batch : 1, matrixStride: rows * columns, rows: rows, columns: columns, stride: columns)
  }

  func mapOfResult(_ layout: TileLayout) -> TensorMap {
    let pitch = pitch ?? columns
    return layout.map(0, matrices: batch, matrixStride: rows * pitch, rows: rows, columns: columns, stride: pitch)
  }
}
