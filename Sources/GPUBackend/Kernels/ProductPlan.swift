// Which kernel computes a matrix product, with which tiles, on how many blocks: a value that depends on shapes and the chip alone.
//
// Each candidate's time is estimated in clocks: a step along the sum takes as long as the busiest of tensor cores, shared memory and
// second-level cache; a tile takes its steps and what it takes to begin and to end; tiles are done in waves, one a multiprocessor
// (or as many as fit). The least time wins. So a tile of 128 x 256 is taken where the result fills the chip with such tiles, smaller
// ones where a last wave would be almost empty, and the sum is cut into parts where there are too few tiles altogether.
//
// Invariant: where the number of rows varies from run to run, no sum is cut into parts, so that the bits of a row do not depend on
// how many others there are.

internal import KernelLanguage
internal import Tensors

/// A batched product of 16-bit floats.
struct ProductProblem: Hashable, Sendable {
  var operands: KernelBuilder.MatrixType
  var majorA: KernelBuilder.Major
  var majorB: KernelBuilder.Major
  var rows: Int
  var columns: Int
  var depth: Int
  var batch = 1
  /// Whether each matrix of the batch has an operand of its own.
  var batchA = false
  var batchB = false
  /// Elements from one row of the result to the next; nil: rows follow each other.
  var pitch: Int?
  /// Whether the number of rows, or of matrices, is another in another run.
  var varies = false
  var epilogue: TileEpilogue

  /// Elements from one row of an operand to the next, as it lies in memory.
  var strideA: Int { majorA == .k ? depth : rows }
  var strideB: Int { majorB == .k ? depth : columns }

  /// Bytes that each row of an operand begins at a multiple of.
  static func unit(stride: Int) -> Int { stride % 8 == 0 ? 16 : stride % 4 == 0 ? 8 : stride % 2 == 0 ? 4 : 2 }
}

/// How a product is computed.
struct ProductPlan: Hashable, Sendable {
  enum Kernel: Hashable, Sendable {
    case ampere(AmpereProduct)
    case hopper(HopperProduct)
    case blackwell(BlackwellProduct)
  }

  var kernel: Kernel
  /// How many parts the sum is cut into, and the steps of each.
  var parts: Int
  var stepsOfPart: Int
  /// Blocks that are started.
  var blocks: Int
  /// Estimated.
  var clocks: Double

  /// The plan that should take the least time.
  ///
  /// - Precondition: no extent is 0.
  static func best(_ problem: ProductProblem, target: PTXTarget, multiprocessors: Int) -> ProductPlan {
    let candidates: [ProductPlan]
    switch target {
    case .sm90a where hasTensorMaps(problem): candidates = hopper(problem, multiprocessors)
    case .sm100a where hasTensorMaps(problem): candidates = blackwell(problem, multiprocessors)
    default: candidates = ampere(problem, multiprocessors)
    }
    return candidates.min { $0.clocks < $1.clocks }!
  }

  /// Tensor maps need rows that begin at multiples of 16 bytes.
  private static func hasTensorMaps(_ problem: ProductProblem) -> Bool {
    problem.strideA % 8 == 0 && problem.strideB % 8 == 0
  }

  // MARK: Candidates

  private static func hopper(_ problem: ProductProblem, _ multiprocessors: Int) -> [ProductPlan] {
    var candidates: [ProductPlan] = []
    for (consumers, columns) in [(2, 256), (2, 192), (2, 128), (1, 256), (1, 128), (1, 64), (1, 32)] {
      for cluster in [1, 2] {
        // Blocks of a cluster stand above each other and share the right operand.
        if cluster == 2 && (problem.rows <= consumers * 64 || multiprocessors < 2) { continue }
        for parts in partCounts(problem, step: HopperProduct.depth) {
          var kernel = HopperProduct(
            operands: problem.operands, majorA: problem.majorA, majorB: problem.majorB, epilogue: problem.epilogue,
            columns: columns, consumers: consumers, stages: 1, cluster: cluster)
          kernel.storesTiles = (problem.pitch ?? problem.columns) % 8 == 0
          if parts.count > 1 {
            kernel.division = .parts
            kernel.epilogue = problem.sums
          }
          kernel.stages = Chips.stages(kernel.layoutA.bytes + kernel.layoutB.bytes, beside: kernel.sharedBytes)
          let step = clocksOfStep(
            rows: kernel.rows, columns: columns, depth: HopperProduct.depth, readTogether: cluster,
            products: Double(kernel.rows * columns * HopperProduct.depth) / 2048,
            sharedReads: (64 + columns) * 32 * consumers * HopperProduct.depth / 16, multiprocessors)
          let tiles =
            pieces(kernel.rows * cluster, of: problem.rows) * pieces(columns, of: problem.columns) * problem.batch
            * parts.count
          let slots = multiprocessors / cluster
          candidates.append(
            ProductPlan(
              kernel: .hopper(kernel), parts: parts.count, stepsOfPart: parts.steps,
              blocks: min(tiles, slots) * cluster,
              clocks: clocks(
                problem, tiles: tiles, slots: slots, steps: parts.steps, step: step,
                ending: Double(kernel.rows * columns) / 16, parts: parts.count)))
        }
      }
    }
    return candidates
  }

  private static func blackwell(_ problem: ProductProblem, _ multiprocessors: Int) -> [ProductPlan] {
    var candidates: [ProductPlan] = []
    for (isPair, columns) in [(true, 256), (true, 128), (false, 256), (false, 128), (false, 64)] {
      if isPair && (problem.rows <= BlackwellProduct.rows || multiprocessors < 2) { continue }
      for parts in partCounts(problem, step: BlackwellProduct.depth) {
        var kernel = BlackwellProduct(
          operands: problem.operands, majorA: problem.majorA, majorB: problem.majorB, epilogue: problem.epilogue,
          columns: columns, isPair: isPair, stages: 1)
        kernel.storesTiles = (problem.pitch ?? problem.columns) % 8 == 0
        if parts.count > 1 {
          kernel.division = .parts
          kernel.epilogue = problem.sums
        }
        kernel.stages = Chips.stages(kernel.layoutA.bytes + kernel.layoutB.bytes, beside: kernel.sharedBytes)
        let (rows, cluster) = (BlackwellProduct.rows, kernel.cluster)
        let step = clocksOfStep(
          rows: rows, columns: columns, depth: BlackwellProduct.depth, readTogether: cluster,
          products: Double(rows * columns * BlackwellProduct.depth) / 4096,
          sharedReads: (rows + columns / cluster) * 2 * BlackwellProduct.depth, multiprocessors)
        let tiles =
          pieces(rows * cluster, of: problem.rows) * pieces(columns, of: problem.columns) * problem.batch * parts.count
        let slots = multiprocessors / cluster
        candidates.append(
          ProductPlan(
            kernel: .blackwell(kernel), parts: parts.count, stepsOfPart: parts.steps,
            blocks: min(tiles, slots) * cluster,
            clocks: clocks(
              problem, tiles: tiles, slots: slots, steps: parts.steps, step: step,
              ending: Double(rows * columns) / 16, parts: parts.count)))
      }
    }
    return candidates
  }

  private static func ampere(_ problem: ProductProblem, _ multiprocessors: Int) -> [ProductPlan] {
    var candidates: [ProductPlan] = []
    for (rows, columns, warps) in [(128, 256, (2, 4)), (128, 128, (2, 4)), (128, 64, (2, 2)), (64, 64, (2, 2))] {
      let warps = WarpProduct(
        operands: problem.operands, majorA: problem.majorA, majorB: problem.majorB, rows: rows, columns: columns,
        depth: 32, warpsAlongRows: warps.0, warpsAlongColumns: warps.1)
      for parts in partCounts(problem, step: warps.depth) {
        var kernel = AmpereProduct(
          warps: warps, epilogue: parts.count > 1 ? problem.sums : problem.epilogue, stages: 4,
          unitA: ProductProblem.unit(stride: problem.strideA), unitB: ProductProblem.unit(stride: problem.strideB))
        kernel.isInParts = parts.count > 1
        let resident = min(kernel.blocks, Chips.ampereSharedBytes / (kernel.sharedBytes + 1024))
        let reads = (warps.warpRows + warps.warpColumns) * 32 * (warps.threads / 32) * warps.depth / 16
        let step = clocksOfStep(
          rows: rows, columns: columns, depth: warps.depth, readTogether: 1,
          products: Double(rows * columns * warps.depth) / 1024, sharedReads: reads, multiprocessors)
        let tiles = pieces(rows, of: problem.rows) * pieces(columns, of: problem.columns) * problem.batch * parts.count
        // Blocks on one multiprocessor share it.
        candidates.append(
          ProductPlan(
            kernel: .ampere(kernel), parts: parts.count, stepsOfPart: parts.steps, blocks: tiles / parts.count,
            clocks: clocks(
              problem, tiles: tiles, slots: multiprocessors * resident, steps: parts.steps,
              step: step * Double(min(resident, pieces(multiprocessors, of: tiles))),
              ending: Double(rows * columns) / 16, parts: parts.count)))
      }
    }
    return candidates
  }

  /// How a sum may be cut: not at all, or into parts of at least eight steps.
  private static func partCounts(_ problem: ProductProblem, step: Int) -> [(count: Int, steps: Int)] {
    let steps = pieces(step, of: problem.depth)
    if problem.varies { return [(1, steps)] }
    return [1, 2, 3, 4, 6, 8, 12, 16].compactMap { wanted in
      let ofPart = pieces(wanted, of: steps)
      let count = pieces(ofPart, of: steps)
      return wanted == 1 || (count == wanted && ofPart >= 8) ? (count, ofPart) : nil
    }
  }

  // MARK: The estimate

  private static func pieces(_ size: Int, of extent: Int) -> Int { (extent + size - 1) / size }

  /// - Parameters:
  ///   - products: clocks of the tensor cores.
  ///   - sharedReads: bytes that they read from shared memory.
  ///   - readTogether: blocks that share the right operand's way from the second-level cache.
  private static func clocksOfStep(
    rows: Int, columns: Int, depth: Int, readTogether: Int, products: Double, sharedReads: Int, _ multiprocessors: Int
  ) -> Double {
    let filled = (rows + columns) * depth * 2
    let shared = Double(sharedReads + filled) / 128
    let cacheRate = min(64, 6154 / Double(multiprocessors))
    let cache = Double((rows * 2 + columns * 2 / readTogether) * depth) / cacheRate
    return max(products, shared, cache)
  }

  private static func clocks(
    _ problem: ProductProblem, tiles count: Int, slots: Int, steps: Int, step: Double, ending: Double, parts: Int
  ) -> Double {
    // A tile's first operands come from memory; its results leave under the next tile's products, but for the last's.
    let waves = Double(pieces(slots, of: count))
    let main = waves * (Double(steps) * step + 500) + 1500 + ending
    guard parts > 1 else { return main }
    // Parts are written and read again, and a second kernel is started.
    let bytes = Double(problem.rows * problem.columns * problem.batch * parts * 8)
    return main + bytes / 2000 + 4000
  }
}

extension HopperProduct {
  /// For rows with the right operands of their groups: small tiles where groups have few rows on average, as a tile holds rows of one
  /// group.
  static func grouped(_ problem: ProductProblem) -> HopperProduct {
    let rows = problem.rows / problem.batch
    var kernel = HopperProduct(
      operands: problem.operands, majorA: problem.majorA, majorB: problem.majorB, epilogue: problem.epilogue,
      columns: problem.columns <= 64 ? 64 : rows > 64 && problem.columns > 128 ? 256 : 128,
      consumers: rows > 64 ? 2 : 1, stages: 1, cluster: 1)
    kernel.division = .groups
    // The tiles of a group reach into the next one: results are written one by one.
    kernel.storesTiles = false
    kernel.stages = Chips.stages(kernel.layoutA.bytes + kernel.layoutB.bytes, beside: kernel.sharedBytes)
    return kernel
  }
}

extension ProductProblem {
  /// What parts are written with: sums as they are.
  var sums: TileEpilogue {
    TileEpilogue(result: .float32, isEven: epilogue.isEven)
  }
}

/// What is known of the chips that a target stands for, beyond what a device says of itself.
enum Chips {
  /// Shared memory that a block can have from sm_90 on, in bytes.
  static let sharedBytesOfBlock = 227 << 10
  /// Shared memory of a multiprocessor of sm_80, in bytes.
  static let ampereSharedBytes = 164 << 10

  /// Stages of so many bytes that a block from sm_90 on has room for, where a kernel of one stage has `bytes`.
  static func stages(_ perStage: Int, beside bytes: Int) -> Int { min(8, (sharedBytesOfBlock - bytes) / perStage + 1) }
}
