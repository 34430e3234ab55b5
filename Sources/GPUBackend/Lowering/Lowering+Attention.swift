// Attention: which kernels compute it.

internal import KernelLanguage
internal import Tensors

extension Lowering {
  mutating func attention(_ attention: Attention) throws {
    let problem = AttentionProblem(attention, inputTypes)
    let sizes = AttentionSizes(inputTypes)
    let rows = sizes.batch * sizes.queries * problem.heads
    guard rows > 0 else { return }
    let operands = attentionInputs(attention), rowOperands = rowOperands(attention, sizes)
    if SplitAttention.takes(problem), attention.scales || (attention.lengths && sizes.queries <= 16) {
      let kernel = SplitAttention(problem: problem)
      try split(
        kernel, rowsTogether: min(sizes.queries, kernel.mostRows), rows: sizes.batch * sizes.queries, keys: sizes.keys,
        operands, rowOperands)
    } else if kernels.device.target == .sm90a && HopperAttention.takes(problem) && sizes.keys > 0 {
      let kernel = HopperAttention(problem)
      let tiles = (sizes.queries + kernel.rows - 1) / kernel.rows * sizes.batch * problem.heads
      func queries(_ value: Program.Value, rows: Int? = nil) -> Operand {
        problem.map(
          value, kernel.queryLayout, heads: problem.heads, positions: sizes.queries, batch: sizes.batch, rows: rows)
      }
      let keys = inputs[1...2].map {
        problem.map($0, kernel.keyLayout, heads: problem.keyHeads, positions: sizes.keys, batch: sizes.batch)
      }
      // A warpgroup writes 64 rows.
      let maps = [queries(inputs[0])] + keys + [queries(results[0], rows: 64)]
      try launch(
        kernel, grid: Extent(min(tiles, kernels.device.multiprocessors)), threads: kernel.threads,
        maps + operands.dropFirst(3) + rowOperands
          + [.count(kernel.section(keys: sizes.keys)), .value(results[1])])
    } else if AmpereAttention.takes(problem) {
      let kernel = AmpereAttention(problem, queries: sizes.queries)
      let tiles = (sizes.queries + kernel.rows - 1) / kernel.rows
      try launch(
        kernel, grid: Extent(tiles * sizes.batch * problem.heads), threads: AmpereAttention.warps * 32,
        operands + rowOperands + resultOperands)
    } else {
      try launch(
        GeneralAttention(problem: problem), grid: Extent((rows + GeneralAttention.warps - 1) / GeneralAttention.warps),
        threads: GeneralAttention.warps * 32, operands + rowOperands + resultOperands)
    }
  }

  /// - Parameters:
  ///   - rows: without heads.
  ///   - keys: that a row sees at most.
  private mutating func split(
    _ kernel: SplitAttention, rowsTogether: Int, rows: Int, keys: Int, _ operands: [Operand], _ rowOperands: [Operand]
  ) throws {
    var kernel = kernel
    kernel.rows = rowsTogether
    let blocks = (rows + rowsTogether - 1) / rowsTogether * kernel.problem.keyHeads * kernel.chunks
    let stretches = SplitAttention.stretches(keys: keys)
    let threads = SplitAttention.warps * 32
    // Where there are blocks enough without, stretches of a row stay in one.
    kernel.isParallel = rowsTogether == 1 && stretches > 2 && blocks < 4 * kernels.device.multiprocessors
    guard kernel.isParallel else {
      return try launch(kernel, grid: Extent(blocks), threads: threads, operands + rowOperands + resultOperands)
    }
    let bytes = SplitParts.bytes(kernel, parts: blocks * stretches)
    let parts = [scratch(bytes.sums), scratch(bytes.ends), .count(stretches)]
    try launch(kernel, grid: Extent(blocks * stretches), threads: threads, operands + rowOperands + parts)
    let sinks = kernel.problem.options.sinks ? [operands[3]] : []
    try launch(
      SplitAttentionSum(kernel: kernel), grid: Extent(blocks), threads: threads,
      sinks + rowOperands + resultOperands + parts)
  }

  private var resultOperands: [Operand] { results.map { .value($0) } }

  mutating func attentionGradient(_ attention: Attention) throws {
    let problem = AttentionProblem(attention, inputTypes)
    let sizes = AttentionSizes(inputTypes)
    let queryRows = sizes.batch * sizes.queries * problem.heads, keyRows = sizes.batch * sizes.keys * problem.keyHeads
    let (o, logSumExps, dO) = (inputs[inputs.count - 3], inputs[inputs.count - 2], inputs[inputs.count - 1])
    let means = scratch(max(1, queryRows) * (problem.element == .float64 ? 8 : 4))
    let isHopper =
      kernels.device.target == .sm90a && HopperAttentionGradient.takes(problem) && queryRows > 0 && keyRows > 0

    let warps = GeneralAttentionGradient.warps
    func general(_ part: GeneralAttentionGradient.Part, rows: Int, _ operands: [Operand]) throws {
      guard rows > 0 else { return }
      try launch(
        GeneralAttentionGradient(problem: problem, part: part), grid: Extent((rows + warps - 1) / warps),
        threads: warps * 32, operands)
    }
    if !isHopper || attention.sinks {
      try general(.means, rows: queryRows, sizes.operands + [.value(o), .value(dO), means])
    }
    let operands =
      attentionInputs(attention) + rowOperands(attention, sizes) + [.value(dO), .value(logSumExps), means]
    let (dQ, dK, dV) = (Operand.value(results[0]), Operand.value(results[1]), Operand.value(results[2]))
    if isHopper {
      try hopperGradient(problem, sizes, o: o, logSumExps: logSumExps, dO: dO)
    } else if AmpereAttention.takes(problem) {
      func tiled(_ part: AmpereAttentionGradient.Part, positions: Int, heads: Int, _ results: [Operand]) throws {
        let kernel = AmpereAttentionGradient(problem: problem, part: part)
        let blocks = (positions + AmpereAttentionGradient.rows - 1) / AmpereAttentionGradient.rows * sizes.batch * heads
        guard blocks > 0 else { return }
        try launch(kernel, grid: Extent(blocks), threads: kernel.threads, operands + results)
      }
      try tiled(.queries, positions: sizes.queries, heads: problem.heads, [dQ])
      try tiled(.keys, positions: sizes.keys, heads: problem.keyHeads, [dK, dV])
    } else {
      try general(.queries, rows: queryRows, operands + [dQ])
      try general(.keys, rows: keyRows, operands + [dK, dV])
    }
    if let sinks = attention.sinksIndex {
      let operands: [Operand] = [
        .value(inputs[sinks]), .count(sizes.batch), .count(sizes.queries), .value(logSumExps), means,
        .value(results[3]),
      ]
      // A block a head.
      try general(.sinks, rows: problem.heads * warps, operands)
    }
  }

  /// dq, dk and dv.
  private mutating func hopperGradient(
    _ problem: AttentionProblem, _ sizes: AttentionSizes, o: Program.Value, logSumExps: Program.Value,
    dO: Program.Value
  ) throws {
    let padded = AttentionStatistics.padded(sizes.queries)
    let lines = sizes.batch * problem.heads * padded
    let statistics = [scratch(lines * 8), .count(padded)]
    try launch(
      AttentionStatistics(problem: problem),
      grid: Extent((lines + AttentionStatistics.warps - 1) / AttentionStatistics.warps),
      threads: AttentionStatistics.warps * 32,
      sizes.operands + [.value(o), .value(dO), .value(logSumExps)] + statistics)
    let segments: [Operand] = problem.options.segmentsIndex.map { [.value(inputs[$0])] } ?? []
    for part in [HopperAttentionGradient.Part.queries, .keys] {
      let kernel = HopperAttentionGradient(problem: problem, part: part)
      let (own, others) = (kernel.ownLayout, kernel.tileLayout)
      func queries(_ value: Program.Value, _ layout: TileLayout, rows: Int? = nil) -> Operand {
        problem.map(value, layout, heads: problem.heads, positions: sizes.queries, batch: sizes.batch, rows: rows)
      }
      func keys(_ value: Program.Value, _ layout: TileLayout, rows: Int? = nil) -> Operand {
        problem.map(value, layout, heads: problem.keyHeads, positions: sizes.keys, batch: sizes.batch, rows: rows)
      }
      let isQueries = part == .queries
      let maps =
        isQueries
        ? [
          queries(inputs[0], own), queries(dO, own), keys(inputs[1], others), keys(inputs[2], others),
          queries(results[0], own, rows: 64),
        ]
        : [
          keys(inputs[1], own), keys(inputs[2], own), queries(inputs[0], others), queries(dO, others),
          keys(results[1], own, rows: 64), keys(results[2], own, rows: 64),
        ]
      let positions = isQueries ? sizes.queries : sizes.keys
      let lines = sizes.batch * (isQueries ? problem.heads : problem.keyHeads)
      let tiles = (positions + HopperAttentionGradient.rows - 1) / HopperAttentionGradient.rows
      try launch(
        kernel, grid: Extent(tiles * lines), threads: HopperAttentionGradient.threads,
        maps + segments + sizes.operands + statistics)
    }
  }

  mutating func pagedAttention(_ paged: PagedAttention) throws {
    let problem = AttentionProblem(paged, inputTypes)
    let (rows, tables) = (inputTypes[0].shape[0], inputTypes[5].shape)
    guard rows > 0 else { return }
    var operands: [Operand] = (0..<3).map { .value(inputs[$0]) }
    if let sinks = paged.sinksIndex { operands.append(.value(inputs[sinks])) }
    if let scales = paged.scalesIndex { operands += [.value(inputs[scales]), .value(inputs[scales + 1])] }
    let rowOperands: [Operand] =
      (3..<6).map { .value(inputs[$0]) }
      + [rows, tables[0], tables[1], inputTypes[1].shape[0] / paged.blockSize].map { .count($0) }
    if SplitAttention.takes(problem) {
      let kernel = SplitAttention(problem: problem, blockSize: paged.blockSize)
      // Most rows are of prompts if there are more than sequences.
      try split(
        kernel, rowsTogether: rows >= 2 * tables[0] ? min(rows, kernel.mostRows) : 1, rows: rows,
        keys: tables[1] * paged.blockSize, operands, rowOperands)
    } else {
      try launch(
        GeneralAttention(problem: problem, blockSize: paged.blockSize),
        grid: Extent((rows * problem.heads + GeneralAttention.warps - 1) / GeneralAttention.warps),
        threads: GeneralAttention.warps * 32, operands + rowOperands + resultOperands)
    }
  }

  /// Inputs in the order of `AttentionInputs`.
  private func attentionInputs(_ attention: Attention) -> [Operand] {
    var operands: [Operand] = (0..<3).map { .value(inputs[$0]) }
    if let segments = attention.segmentsIndex { operands.append(.value(inputs[segments])) }
    if let sinks = attention.sinksIndex { operands.append(.value(inputs[sinks])) }
    if let scales = attention.scalesIndex { operands += [.value(inputs[scales]), .value(inputs[scales + 1])] }
    return operands
  }

  /// What `BatchedRows` declares.
  private func rowOperands(_ attention: Attention, _ sizes: AttentionSizes) -> [Operand] {
    (attention.lengthsIndex.map { [.value(inputs[$0])] } ?? []) + sizes.operands
  }
}

extension AttentionProblem {
  /// The map of [batch, positions, heads, size]: coordinates are element, head, position, batch entry.
  ///
  /// - Parameter rows: of a box; nil: all of the layout.
  fileprivate func map(
    _ value: Program.Value, _ layout: TileLayout, heads: Int, positions: Int, batch: Int, rows: Int? = nil
  ) -> Operand {
    let strides = [size, heads * size, positions * heads * size].map { $0 * layout.element.size }
    return .tensorMap(
      TensorMap(
        layout.element, address: 0, dimensions: [size, heads, positions, batch], strides: strides,
        box: [layout.panelColumns, 1, rows ?? layout.rows, 1], swizzle: layout.swizzle), at: .value(value))
  }
}

/// Extents that may change from run to run.
private struct AttentionSizes {
  let batch, queries, keys: Int

  /// - Parameter inputs: q [batch, queries, ..] and k [batch, keys, ..].
  init(_ inputs: [TensorType]) {
    (batch, queries, keys) = (inputs[0].shape[0], inputs[0].shape[1], inputs[1].shape[1])
  }

  var operands: [Operand] { [batch, queries, keys].map { .count($0) } }
}
