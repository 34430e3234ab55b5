// Products of few rows with weights in blocks: as fast as the weights come from memory.
//
// The weights' rows are the 16 rows of a warp's matrix product, and up to 32 rows of x its columns. The warps of a block share the
// sum: each brings segments of 16 weight rows to shared memory by cp.async, several ahead, takes codes apart in registers, and
// multiplies 32 elements at a time; sums of units are scaled in float32.
//
// Invariant: a result is the sum over its segments in the order that depends on the format and the row's length alone: segment s is
// added by warp s % warps, in rising s, and the warps' sums in rising order. The bits of a row of y depend on no other row.
//
// Lin et al., MARLIN (2024), arXiv:2408.11743, for weights that go from memory to the registers of tensor cores.

internal import KernelLanguage
internal import Tensors

/// y [m, n] = x [m, k] · wᵀ, or of each row with the weights of its group.
struct BlockProduct: KernelSource {
  enum Arithmetic: Hashable {
    /// x from `RoundedRows`, codes as they are, sums of 32 products in int32.
    case integers
    /// x and weights as floats of 16 bits.
    case floats(KernelBuilder.MatrixType)
  }

  var segments: BlockSegments
  var arithmetic: Arithmetic
  /// Rows of x in a block, in eights.
  var tiles: Int
  var result: ElementType
  /// Whether rows stand in the order of their groups, each of which has weights of its own.
  var isGrouped = false

  private static let stages = 3
  /// Rows of weights of a block.
  static let weightRows = 16

  init(
    _ format: BlockFormat, columns: Int, _ arithmetic: Arithmetic, rows: Int, result: ElementType,
    isGrouped: Bool = false
  ) {
    segments = BlockSegments(format, columns: columns)
    (self.arithmetic, self.result, self.isGrouped) = (arithmetic, result, isGrouped)
    tiles = [1, 2].first { rows <= 8 * $0 } ?? 4
  }

  /// Of x, that a block multiplies.
  var rows: Int { 8 * tiles }
  private var warps: Int { [8, 4, 2].first { segments.count >= $0 } ?? 1 }
  var threads: Int { warps * 32 }
  /// 16 bytes each, that hold a row's segment wherever it begins, and a word behind it.
  private var chunks: Int {
    segments.alignment == 16 ? segments.bytes / 16 : (segments.bytes + 16 - segments.alignment + 4 + 15) / 16
  }
  /// Bytes from row to row: an odd number of chunks, so that eight rows lie in different banks.
  private var pitch: Int { (chunks | 1) * 16 }
  private var stageBytes: Int { Self.weightRows * pitch }

  /// Operands of a launch: x, its scales and sums (integers only), blocks, their end, the list of tiles (grouped only), rows of x in a
  /// matrix, rows of weights in a matrix, y. The grid: 16s of weight rows, row tiles, matrices.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("blockProduct", target: target, threads: threads, blocks: tiles > 2 ? 1 : 2) { Build(self, $0).run() }
  }

  /// The parameters, places of this thread, and what is emitted with them.
  private struct Build {
    let source: BlockProduct
    let k: KernelBuilder
    let segments: BlockSegments
    let x: Pointer<U8, Global>
    let scales: Pointer<U32, Global>?
    let blocks: Value<U64>
    let end: Value<U64>
    let tile: GroupedTile?
    let rows: Value<U32>
    let weightRows: Value<U32>
    let y: Elements<Global>
    let lane: Value<U32>
    let warp: Value<U32>
    /// 4t for lane t of four.
    let fourth: Value<U32>

    init(_ source: BlockProduct, _ k: KernelBuilder) {
      (self.source, self.k, segments) = (source, k, source.segments)
      x = k.pointer("x", to: U8.self)
      scales = source.arithmetic == .integers ? k.pointer("scales", to: U32.self) : nil
      blocks = k.pointer("blocks", to: U8.self).address
      end = k.parameter("end", U64.self)
      tile = source.isGrouped ? GroupedTile(k.pointer("tiles", to: U32.self), k.block.y) : nil
      rows = k.parameter("rows", U32.self)
      weightRows = k.parameter("weightRows", U32.self)
      y = Elements(source.result, k.pointer("y", to: U8.self))
      lane = k.lane
      warp = k.shuffle(k.thread.x >> 5, .index, 0)
      fourth = (lane & 3) << 2
    }

    func run() {
      if let tile { k.exit(when: tile.isNone) }
      let sums = (0..<source.tiles).map { _ in (0..<4).map { _ in k.variable(Value<F32>(0)) } }
      if let tile {
        k.when(tile.hasGroup) { add(sums, matrix: tile.group, firstRow: tile.row, endRow: tile.end) }
        write(sums, firstRow: tile.row, endRow: tile.end)
      } else {
        let first = k.block.z * rows
        let firstRow = first + k.block.y * Value(source.rows)
        add(sums, matrix: k.block.z, firstRow: firstRow, endRow: first + rows)
        write(sums, firstRow: firstRow, endRow: first + rows)
      }
    }

    // MARK: Sums

    /// This warp's part of all sums.
    private func add(
      _ sums: [[Value<F32>]], matrix: Value<U32>, firstRow: Value<U32>, endRow: Value<U32>
    ) {
      let stages = BlockProduct.stages
      let memory = k.shared(U8.self, count: source.warps * stages * source.stageBytes, alignment: 128)
      let own = memory.address + warp * Value(stages * source.stageBytes)
      let firstWeight = k.block.x * Value(BlockProduct.weightRows)
      // What lies behind the last row of weights is read as that row.
      let weight = { (row: Value<U32>) -> Value<U64> in
        let place = matrix * weightRows + k.minimum(firstWeight + row, weightRows - 1)
        return blocks + k.multiplyWide(place, Value(segments.rowBytes))
      }
      let pair = [lane >> 2, (lane >> 2) + 8]
      let weights = pair.map(weight)
      let columns = xColumns(firstRow: firstRow, endRow: endRow)
      let hasRows = firstRow .< endRow

      let next = k.variable(warp)
      for stage in 0..<stages - 1 {
        k.when(next .< Value(segments.count)) { load(next, to: own + Value(stage * source.stageBytes), weights) }
        k.commitCopies()
        next += Value(source.warps)
      }
      let (used, filled) = (
        k.variable(own + Value<U32>(0)), k.variable(own + Value((stages - 1) * source.stageBytes))
      )
      let limit = own + Value(stages * source.stageBytes)
      k.loop(from: warp, to: Value(segments.count), by: Value(source.warps)) { segment in
        k.waitForCopies(pending: stages - 2)
        // All lanes' copies are there, and no lane reads the stage any more that is filled now.
        k.synchroniseWarp()
        k.when(next .< Value(segments.count)) { load(next, to: filled, weights) }
        k.commitCopies()
        next += Value(source.warps)
        let start = segments.start(segment)
        let windows = zip(pair, weights).map { row, weight -> BlockWindow in
          let shift = (k.halves(weight).low + start) & 15
          let place = used + row * Value(source.pitch)
          let header = segments.isPart ? Pointer<U32, Global>(weight + k.convert(segments.header(segment))).load() : nil
          return BlockWindow(
            k, segments, at: segments.alignment == 16 ? place : place + shift, lane: fourth, header: header)
        }
        for unit in 0..<segments.units {
          let body = { multiply(sums, windows, unit, columns, segment * Value(segments.units) + Value(unit)) }
          // A branch keeps the assembler from loading all units first, for which there are not enough registers.
          if source.tiles > 1 || source.arithmetic != .integers { k.when(hasRows, body) } else { body() }
        }
        for stage in [used, filled] {
          stage += Value(source.stageBytes)
          stage.assign(k.select(stage .== limit, own, stage))
        }
      }
    }

    /// Starts the copies of a segment of 16 rows to a stage: four lanes share rows g and g + 8.
    ///
    /// - Parameter weights: addresses of these rows.
    private func load(_ segment: Value<U32>, to stage: Value<U32>, _ weights: [Value<U64>]) {
      let start = k.convert(segments.start(segment), to: U64.self)
      let own = k.convert(fourth << 2, to: U64.self)
      for (half, weight) in weights.enumerated() {
        let first = weight + start
        let source = (segments.alignment == 16 ? first : first & Value(-16)) + own
        let target = stage + (lane >> 2) * Value(self.source.pitch) + (fourth << 2)
        for chunk in stride(from: 0, to: self.source.chunks, by: 4) {
          let copy = {
            let to = Pointer<U8, Shared>(target, offset: 8 * half * self.source.pitch + 16 * chunk)
            let place = source + Value(16 * chunk)
            if segments.alignment == 16 { return k.copyAsync(to: to, from: Pointer<U8, Global>(place)) }
            let left = k.select(place .< end, k.minimum(end - place, 16), Value(0))
            k.copyAsync(to: to, from: Pointer<U8, Global>(place), valid: k.convert(left, to: U32.self))
          }
          let rest = self.source.chunks - chunk
          if rest < 4 { k.when((lane & 3) .< Value(rest), copy) } else { copy() }
        }
      }
    }

    // MARK: x

    /// Where a lane's parts of x are.
    private struct Column {
      /// Of the row that the lane brings to products.
      let x: Value<U64>
      /// Of the two rows whose sums the lane holds.
      let scales: [Value<U64>]
    }

    /// What lies behind the last row is read as that row.
    private func xColumns(firstRow: Value<U32>, endRow: Value<U32>) -> [Column] {
      (0..<source.tiles).map { tile in
        func row(_ index: Value<U32>) -> Value<U32> { k.minimum(firstRow + Value(8 * tile) + index, endRow - 1) }
        let bytes = source.arithmetic == .integers ? segments.columns : 2 * segments.columns
        let place = k.multiplyWide(row(lane >> 2), Value(bytes)) + k.convert(fourth * 2, to: U64.self)
        let infos = (0..<2).compactMap { column in
          scales.map { $0.address + k.multiplyWide(row((fourth >> 1) + Value(column)), Value(segments.columns / 2)) }
        }
        return Column(x: x.address + place, scales: infos)
      }
    }

    // MARK: Products

    /// sums += scaled products of unit `index` of the rows, which is `unit` of the segment.
    private func multiply(
      _ sums: [[Value<F32>]], _ windows: [BlockWindow], _ unit: Int, _ columns: [Column], _ index: Value<U32>
    ) {
      switch source.arithmetic {
      case .integers: multiplyIntegers(sums, windows, unit, columns, index)
      case .floats(let type): multiplyFloats(sums, windows, unit, columns, index, type)
      }
    }

    private func multiplyIntegers(
      _ sums: [[Value<F32>]], _ windows: [BlockWindow], _ unit: Int, _ columns: [Column], _ index: Value<U32>
    ) {
      let codes = windows.map { $0.codes(unit) }
      let scales = windows.map { $0.scales(unit) }
      let parts = scales[0].scales.count
      let none = k.variable(Value<U32>(0))
      let (low, high) = (codes.map(\.low), codes.map(\.high))
      let operands = parts == 1 ? [low + high] : [low + [none, none], [none, none] + high]
      let (bytes, infoBytes) = (k.multiplyWide(index, 32), k.multiplyWide(index, 16))
      for (column, sums) in zip(columns, sums) {
        let x = Pointer<U32, Global>(column.x + bytes).load(2)
        // Scale, sums of the first and the second 16.
        let infos = column.scales.map { Pointer<U32, Global>($0 + infoBytes).load(4) }
        for (part, operand) in operands.enumerated() {
          let products = (0..<4).map { _ in k.variable(Value<S32>(0)) }
          k.multiplyAccumulate(products, operand, x, .s8)
          for place in 0..<4 {
            let (info, scale) = (infos[place % 2], scales[place / 2])
            let ofX = info.map { $0.seen(as: S32.self) }
            let total = parts == 1 ? ofX[1] + ofX[2] : ofX[1 + part]
            let product: Value<S32>
            switch scale.zero {
            case .none: product = products[place]
            case .constant(let zero): product = products[place] - total * Value(zero)
            case .value(let zero): product = products[place] - total * zero
            }
            var value = k.convert(product, to: F32.self) * scale.scales[part]
            if !scale.minimums.isEmpty { value = k.fma(k.convert(total, to: F32.self), scale.minimums[part], value) }
            k.accumulate(sums[place], k.bits(info[0], as: F32.self), value)
          }
        }
      }
    }

    private func multiplyFloats(
      _ sums: [[Value<F32>]], _ windows: [BlockWindow], _ unit: Int, _ columns: [Column], _ index: Value<U32>,
      _ type: KernelBuilder.MatrixType
    ) {
      let floats = windows.map { $0.floats(unit, as: type) }
      let scales = windows.map { $0.scales(unit) }
      let parts = scales[0].scales.count
      let bytes = k.multiplyWide(index, 64)
      let one = type == .bf16 ? 0x3F80_3F80 : 0x3C00_3C00
      for (column, sums) in zip(columns, sums) {
        let x = Pointer<U32, Global>(column.x + bytes)
        let halves = [x.load(2), x.advanced(8).load(2)]
        func products(_ a: (Int) -> [Value<U32>]) -> [[Value<F32>]] {
          let results = (0..<parts).map { _ in (0..<4).map { _ in k.variable(Value<F32>(0)) } }
          for half in 0..<2 { k.multiplyAccumulate(results[half % parts], a(half), halves[half], type) }
          return results
        }
        let weighted = products { half in
          [floats[0][2 * half], floats[1][2 * half], floats[0][2 * half + 1], floats[1][2 * half + 1]]
        }
        let hasMinimums = !scales[0].minimums.isEmpty
        let ones = k.variable(Value<U32>(one))
        let totals = hasMinimums ? products { _ in [ones, ones, ones, ones] } : []
        for part in 0..<parts {
          for place in 0..<4 {
            let scale = scales[place / 2]
            k.accumulate(sums[place], weighted[part][place], scale.scales[part])
            if hasMinimums { k.accumulate(sums[place], totals[part][place], scale.minimums[part]) }
          }
        }
      }
    }

    // MARK: Results

    /// Adds the warps' sums and writes them.
    private func write(_ sums: [[Value<F32>]], firstRow: Value<U32>, endRow: Value<U32>) {
      let perWarp = 128 * source.tiles
      let shared = k.shared(F32.self, count: source.warps * perWarp)
      // A tile's 16 rows of weights, each with 8 rows of x.
      let place = (lane >> 2) * 8 + (fourth >> 1)
      for (tile, sums) in sums.enumerated() {
        for half in 0..<2 {
          let row = shared + (warp * Value(perWarp) + place)
          row.advanced(128 * tile + 64 * half).store(Array(sums[(2 * half)..<(2 * half + 2)]))
        }
      }
      k.synchronise()
      k.loop(from: k.thread.x, to: Value(perWarp), by: Value(source.threads)) { number in
        // Neighbours in y are neighbours among the threads.
        let (weight, xRow) = (number & 15, number >> 4)
        let source = shared + ((xRow >> 3) * 128 + weight * 8 + (xRow & 7))
        let sum = k.variable(source.load())
        for warp in 1..<max(1, self.source.warps) { sum += source.advanced(warp * perWarp).load() }
        let row = firstRow + xRow
        let column = k.block.x * Value(BlockProduct.weightRows) + weight
        k.when((row .< endRow) .& (column .< weightRows)) {
          y.store(k, at: k.multiplyWide(row, weightRows) + k.convert(column, to: U64.self), .f32(sum))
        }
      }
    }
  }
}

/// Each 32 elements of a row as the nearest multiples of their largest magnitude / 127: what integer formats are multiplied with.
///
/// Codes stand as lanes of a matrix product take them: 8 bytes for each t of four, elements 4t to 4t + 3 and 16 + 4t to
/// 16 + 4t + 3. Beside each 32: the scale (float32), the sums of the codes of the first and of the second 16 (int32), 0.
struct RoundedRows: KernelSource {
  let element: ElementType

  static let threads = 128

  /// Operands of a launch: x, codes, scales, how many 32s.
  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("roundedRows", target: target, threads: Self.threads) { k in
      let x = Elements(element, k.pointer("x", to: U8.self))
      let (codes, scales) = (k.pointer("codes", to: U32.self), k.pointer("scales", to: U32.self))
      let unit = k.globalThread
      k.exit(when: unit .>= k.parameter("units", U32.self))
      let first = k.multiplyWide(unit, 32)
      let vector = 16 / element.size
      let values = stride(from: 0, to: 32, by: vector).flatMap { start in
        x.advanced(first + Value(start)).load(k, count: vector).map { k.float($0) }
      }
      var largest = k.absolute(values[0])
      for value in values.dropFirst() { largest = k.maximum(largest, k.absolute(value)) }
      let isLarge = largest .> 0x1p-100
      let scale = k.select(isLarge, largest / 127, Value(0))
      let inverse = k.select(isLarge, k.inRegister(Value<F32>(127)) / largest, Value(0))
      let numbers = values.map { k.convert(k.rounded($0 * inverse, "rni"), to: S32.self) }
      var words = stride(from: 0, to: 32, by: 4).map { start -> Value<U32> in
        let bytes = (0..<4).map { numbers[start + $0].seen(as: U32.self) }
        return k.permuteBytes(
          k.permuteBytes(bytes[0], bytes[1], 0x0040), k.permuteBytes(bytes[2], bytes[3], 0x0040), 0x5410)
      }
      words = (0..<4).flatMap { [words[$0], words[$0 + 4]] }
      let target = codes + k.multiplyWide(unit, 8)
      target.store(Array(words[..<4]))
      target.advanced(4).store(Array(words[4...]))
      func sum(_ range: Range<Int>) -> Value<U32> {
        numbers[range].dropFirst().reduce(numbers[range.lowerBound]) { $0 + $1 }.seen(as: U32.self)
      }
      (scales + k.multiplyWide(unit, 4)).store([
        k.bits(scale, as: U32.self), sum(0..<16), sum(16..<32), k.variable(Value<U32>(0)),
      ])
    }
  }
}
