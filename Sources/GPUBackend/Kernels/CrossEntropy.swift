// Linear layer and cross-entropy in one: the scores of some rows at a time are made, become losses and slopes, and are multiplied
// on; all scores together are never held.
//
//   logits = cap(x · wᵀ);  loss = log Σ exp logits - logits[target];  dlogits = dloss (softmax(logits) - onehot(target)) cap'
//
// Invariant: chunks of rows follow each other, and the weight's gradient adds them in order; a row whose target is outside of the
// vocabulary has no loss and no slope.

internal import KernelLanguage
internal import Tensors

/// Losses and slopes of rows of scores.
struct CrossEntropyRows: KernelSource {
  /// Of the scores: float32 or float64.
  let scores: ElementType
  let layout: RowLayout
  let softcap: Double?
  let hasLoss: Bool
  /// The slopes' type; nil: they are not wanted.
  let slopes: ElementType?

  /// Operands of a launch: scores, targets, the loss (if wanted), dloss and slopes (if wanted), rows.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("crossEntropyRows", target: target, threads: ThreadGroup.threads(layout.threads)) { k in
      let scores = Elements(self.scores, k.pointer("scores", to: U8.self))
      let targets = k.pointer("targets", to: S32.self)
      let loss = hasLoss ? k.pointer("loss", to: F32.self) : nil
      let dloss = slopes.map { _ in k.pointer("dloss", to: F32.self) }
      let gradient = slopes.map { Elements($0, k.pointer("slopes", to: U8.self)) }
      let rows = k.parameter("rows", U32.self)
      let tile = RowTile(k, layout)
      let number = tile.group.number
      k.exit(when: number .>= rows)
      let start = k.multiplyWide(number, Value(layout.width))
      let row = tile.hold([scores.advanced(start)])
      let target = targets[number].seen(as: U32.self)
      let isTarget = target .< Value(layout.width)
      let numberClass = self.scores.numberClass

      // The largest so far, and the sum of exponentials less it.
      let largest = k.variable(k.number(.float(self.scores == .float64 ? -0x1p1000 : -0x1p126), numberClass))
      let total = k.variable(k.number(.integer(0), numberClass))
      row.each { _, values, _ in
        let logits = values[0].map { capped(k, $0).value }
        let most = logits.reduce(largest) { k.extremum($0, $1, isMaximum: true) }
        var sum = k.multiply(total, exponential(k, largest, less: most))
        for logit in logits { sum = k.add(sum, exponential(k, logit, less: most)) }
        total.assign(sum)
        largest.assign(most)
      }
      let both = tile.group.combine([largest, total]) { a, b in
        let most = k.extremum(a[0], b[0], isMaximum: true)
        return [
          most,
          k.add(
            k.multiply(a[1], exponential(k, a[0], less: most)), k.multiply(b[1], exponential(k, b[0], less: most))),
        ]
      }
      let logOfSum = k.add(both[0], k.apply(.log, both[1], self.scores))
      if let loss {
        k.when(tile.group.lane .== 0) {
          let own = k.variable(Value<F32>(0))
          k.when(isTarget) {
            let logit = capped(k, scores.load(k, at: start + k.convert(target, to: U64.self))).value
            own.assign(k.float(k.subtract(logOfSum, logit)))
          }
          loss[number] = own
        }
      }
      guard let gradient, let dloss else { return }
      let factor = k.converted(.f32(k.select(isTarget, dloss[number], Value(0))), to: numberClass)
      let target0 = gradient.advanced(start)
      row.each { place, values, _ in
        let slopes = values[0].enumerated().map { index, score -> Number in
          let (logit, slope) = capped(k, score)
          let probability = exponential(k, logit, less: logOfSum)
          let one = k.number(.integer(1), numberClass)
          let isOwn = place + Value(index) .== target
          let difference = k.select(isOwn, k.subtract(probability, one), probability)
          let own = k.multiply(k.multiply(factor, difference), slope ?? one)
          // Without a target a score that is no number counts for nothing either.
          return k.select(isTarget, own, k.number(.integer(0), numberClass))
        }
        target0.advanced(place).store(k, slopes)
      }
    }
  }

  private func exponential(_ k: KernelBuilder, _ x: Number, less most: Number) -> Number {
    k.apply(.exp, k.subtract(x, most), scores)
  }

  /// `softcap · tanh(x / softcap)`, and its derivative; x itself if there is no cap.
  private func capped(_ k: KernelBuilder, _ x: Number) -> (value: Number, slope: Number?) {
    guard let softcap, softcap > 0 else { return (x, nil) }
    func constant(_ number: Double) -> Number { k.number(.float(number), scores.numberClass) }
    let t = k.apply(.tanh, k.multiply(x, constant(1 / softcap)), scores)
    return (
      k.multiply(t, constant(softcap)), k.multiplyAdd(k.multiply(t, constant(-1)), t, constant(1))
    )
  }
}

// MARK: - Lowering

extension Lowering {
  /// Bytes of scores that are held at once, for each multiprocessor.
  private static var bytesOfScores: Int { 4 << 20 }

  mutating func crossEntropy(_ options: LinearCrossEntropy) throws {
    let (x, weight) = (inputTypes[0], inputTypes[1])
    let (rows, width, vocabulary) = (x.shape[0], x.shape[1], weight.shape[0])
    let type = x.element
    let scoreType: ElementType = type == .float64 ? .float64 : .float32
    // Slopes of float16 would be too small for it.
    let slopeType = type == .bfloat16 ? type : scoreType
    let bytes = Self.bytesOfScores * kernels.device.multiprocessors
    let most = max(64, bytes / max(1, vocabulary * scoreType.size) / 64 * 64)
    let chunk = min(rows, most)
    let scores = scratch(chunk * vocabulary * scoreType.size)
    let slopes = options.gradient ? scratch(chunk * vocabulary * slopeType.size) : nil
    let gradients = options.gradient ? Array(results.suffix(2)) : []
    // Chunks are added up in more than 16 bits.
    let sumsType = options.weightGradientType.matrixType == nil ? options.weightGradientType : scoreType
    let isWhole = rows <= most
    let sums: Operand? =
      isWhole || !options.gradient
      ? nil
      : sumsType == options.weightGradientType ? .value(gradients[1]) : scratch(vocabulary * width * sumsType.size)

    for start in stride(from: 0, to: max(1, rows), by: max(1, most)) {
      let count = min(most, rows - start)
      let own = Operand.value(inputs[0], offset: start * width * type.size)
      try product(
        Matrix(own, type), Matrix(.value(inputs[1]), type, isTransposed: true), m: count, n: vocabulary, k: width,
        Matrix(scores, scoreType), residual: nil)
      if count > 0 {
        let kernel = CrossEntropyRows(
          scores: scoreType,
          layout: RowLayout(width: vocabulary, [scoreType] + (options.gradient ? [slopeType] : []), held: 1),
          softcap: options.softcap, hasLoss: options.loss, slopes: options.gradient ? slopeType : nil)
        var operands: [Operand] = [scores, .value(inputs[2], offset: start * 4)]
        if options.loss { operands.append(.value(results[0], offset: start * 4)) }
        if let slopes { operands += [.value(inputs[3], offset: start * 4), slopes] }
        try launch(
          kernel, grid: Extent(ThreadGroup.blocks(count, kernel.layout.threads)),
          threads: ThreadGroup.threads(kernel.layout.threads), operands + [.count(count)])
      }
      guard let slopes else { continue }
      try product(
        Matrix(slopes, slopeType), Matrix(.value(inputs[1]), type), m: count, n: width, k: vocabulary,
        Matrix(.value(gradients[0], offset: start * width * type.size), type), residual: nil)
      let isLast = start + count == rows
      let target =
        isLast
        ? Matrix(.value(gradients[1]), options.weightGradientType) : Matrix(sums!, sumsType)
      try product(
        Matrix(slopes, slopeType, isTransposed: true), Matrix(own, type), m: vocabulary, n: width, k: count, target,
        residual: start > 0 ? Matrix(sums!, sumsType) : nil)
    }
  }

  /// A matrix somewhere in memory.
  private struct Matrix {
    let place: Operand
    let type: ElementType
    let isTransposed: Bool

    init(_ place: Operand, _ type: ElementType, isTransposed: Bool = false) {
      (self.place, self.type, self.isTransposed) = (place, type, isTransposed)
    }
  }

  /// result [m, n] = residual + a · b, on tensor cores if they can.
  private mutating func product(
    _ a: Matrix, _ b: Matrix, m: Int, n: Int, k: Int, _ result: Matrix, residual: Matrix?
  ) throws {
    if m == 0 || n == 0 { return }
    if let operands = a.type.matrixType, b.type == a.type, result.type.isProductResult, k > 0 {
      let problem = ProductProblem(
        operands: operands, majorA: a.isTransposed ? .mn : .k, majorB: b.isTransposed ? .k : .mn, rows: m, columns: n,
        depth: k, varies: inputTypes[0].shape.varies,
        epilogue: TileEpilogue(result: result.type, residual: residual?.type, isEven: n % 2 == 0))
      return try launch(
        problem, ProductAddresses(a: a.place, b: b.place, result: result.place, residual: residual?.place))
    }
    let sizes = ProductSizes(m: m, n: n, k: k, leftRow: a.isTransposed ? m : k, rightRow: b.isTransposed ? k : n)
    try product(
      a.type, transposesLeft: a.isTransposed, .elements(b.type, transposed: b.isTransposed), result: result.type,
      ProductEpilogue(residual: residual?.type), .batches(Loops(.scalar, [[], []])), sizes, left: a.place,
      right: b.place, at: result.place, more: residual.map { [$0.place] } ?? [])
  }
}
