// Products with weights in blocks on tensor cores: few rows at the speed of memory, many rows with weights that were made floats
// before.

internal import KernelLanguage
internal import Tensors

/// x as integer formats are multiplied with it, made once for all products of it.
struct RoundedOperand {
  let codes: Operand
  let scales: Operand
}

extension Lowering {
  /// Rows up to which weights are read in blocks: beyond, making floats of them first costs less than taking them apart for each
  /// 32 rows anew.
  private static var fewRows: Int { 64 }
  /// Bytes of weights that are made floats at a time, so that they stay in the second-level cache.
  private static var bytesOfFloats: Int { 32 << 20 }

  /// One of the products of an x with weights in blocks.
  ///
  /// - Parameters:
  ///   - place: of the product: its weights are input `place + 1`, its result is result `place`.
  ///   - rounded: x for integer formats, made here when it is wanted first.
  /// - Returns: whether there is a kernel for it.
  mutating func tensorBlockProduct(
    _ product: BlockMatmul, place: Int, rounded: inout RoundedOperand?
  ) throws -> Bool {
    let (x, blocks, y) = (inputTypes[0], inputTypes[1 + place].shape, resultTypes[place])
    guard y.element.isProductResult, y.shape.count > 0, x.shape[-1] > 0 else { return false }
    let matrices = blocks.dimensions.dropLast(2).reduce(1, *)
    let (rows, weightRows) = (y.shape.dimensions.dropLast().reduce(1, *) / matrices, y.shape[-1])
    let isInteger = product.format.isInteger && !product.exact
    if rows > Self.fewRows, let operands = x.element.matrixType {
      try launchFloats(product.format, operands, place: place, matrices: matrices, rows: rows)
      return true
    }
    guard let arithmetic = arithmetic(isInteger: isInteger), matrices <= 65_535 else { return false }
    let kernel = BlockProduct(
      product.format, columns: x.shape[-1], arithmetic, rows: rows, result: y.element)
    let operands = try operands(of: kernel, &rounded)
    try launch(
      kernel,
      grid: Extent(
        (weightRows + BlockProduct.weightRows - 1) / BlockProduct.weightRows, (rows + kernel.rows - 1) / kernel.rows,
        matrices),
      threads: kernel.threads,
      operands + blockOperands(1 + place) + [.count(rows), .count(weightRows), .value(results[place])])
    return true
  }

  /// Rows with the matrices of their groups, which are in blocks.
  ///
  /// - Returns: whether there is a kernel for it.
  mutating func tensorGroupedBlocks(_ grouped: GroupedMatmul, _ format: BlockFormat) throws -> Bool {
    let (x, y, groups) = (inputTypes[0], resultTypes[0], inputTypes[2].shape.count)
    guard y.element.isProductResult, y.shape.count > 0, x.shape[1] > 0, groups > 0,
      let arithmetic = arithmetic(isInteger: format.isInteger && !grouped.exact)
    else { return false }
    let (rows, weightRows) = (x.shape[0], y.shape[1])
    let kernel = BlockProduct(
      format, columns: x.shape[1], arithmetic, rows: rows / groups, result: y.element, isGrouped: true)
    let tiles = try groupedTiles(rows: rows, groups: groups, size: kernel.rows)
    guard tiles.capacity <= 65_535 else { return false }
    var rounded: RoundedOperand?
    let operands = try operands(of: kernel, &rounded)
    try launch(
      kernel,
      grid: Extent((weightRows + BlockProduct.weightRows - 1) / BlockProduct.weightRows, tiles.capacity),
      threads: kernel.threads,
      operands + blockOperands(1) + [tiles.list, .count(rows), .count(weightRows), .value(results[0])])
    return true
  }

  /// What few rows are multiplied in; nil: only the plain kernel does.
  private func arithmetic(isInteger: Bool) -> BlockProduct.Arithmetic? {
    isInteger && inputTypes[0].element != .float64
      ? .integers : inputTypes[0].element.matrixType.map { .floats($0) }
  }

  private mutating func operands(of kernel: BlockProduct, _ rounded: inout RoundedOperand?) throws -> [Operand] {
    guard kernel.arithmetic == .integers else { return [.value(inputs[0])] }
    let x = inputTypes[0]
    let made: RoundedOperand
    if let rounded {
      made = rounded
    } else {
      let units = x.shape.count / 32
      made = RoundedOperand(codes: scratch(x.shape.count), scales: scratch(units * 16))
      try launch(
        RoundedRows(element: x.element), grid: Extent((units + RoundedRows.threads - 1) / RoundedRows.threads),
        threads: RoundedRows.threads, [.value(inputs[0]), made.codes, made.scales, .count(units)])
      rounded = made
    }
    return [made.codes, made.scales]
  }

  /// Blocks and their end.
  private func blockOperands(_ input: Int) -> [Operand] {
    [.value(inputs[input]), .value(inputs[input], offset: inputTypes[input].bytes)]
  }

  /// Makes floats of weights, some rows at a time, and multiplies with them.
  private mutating func launchFloats(
    _ format: BlockFormat, _ operands: KernelBuilder.MatrixType, place: Int, matrices: Int, rows: Int
  ) throws {
    let (x, y) = (inputTypes[0], resultTypes[place])
    let (depth, columns) = (x.shape[-1], y.shape[-1])
    let rowBytes = format.rowBytes(columns: depth)!
    // Whole tiles at a time.
    let most = max(256, Self.bytesOfFloats / (2 * depth) / 256 * 256)
    let floats = scratch(min(most, columns) * depth * 2)
    for matrix in 0..<matrices {
      for start in stride(from: 0, to: columns, by: most) {
        let count = min(most, columns - start)
        try launch(
          DequantizeKernel(format: format, columns: depth, result: x.element), count: count * depth,
          [.value(inputs[1 + place], offset: (matrix * columns + start) * rowBytes), floats])
        let problem = ProductProblem(
          operands: operands, majorA: .k, majorB: .k, rows: rows, columns: count, depth: depth, pitch: columns,
          varies: x.shape.varies, epilogue: TileEpilogue(result: y.element, isEven: columns % 2 == 0))
        let target = (matrix * rows * columns + start) * y.element.size
        try launch(
          problem,
          ProductAddresses(
            a: .value(inputs[0], offset: matrix * rows * depth * 2), b: floats,
            result: .value(results[place], offset: target)))
      }
    }
  }
}
