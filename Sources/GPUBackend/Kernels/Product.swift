// Matrix products of any type and shape: tiles in shared memory, 16 results a thread.
//
// The plain way, which is right for everything; what tensor cores can do has kernels of its own.

internal import KernelLanguage
internal import Tensors

/// What is done to a product while it is written: `residual + activation(a · b + bias)`.
struct ProductEpilogue: Hashable, Sendable {
  var bias: ElementType?
  var activation: Activation?
  var residual: ElementType?
  var keepsPreActivation = false
}

/// `a [m, k] · b [k, n]` for each of many pairs of matrices.
struct ProductKernel: KernelSource {
  /// How the right operand is stored.
  enum Right: Hashable {
    case elements(ElementType, transposed: Bool)
    /// Rows of the transposed matrix, of so many columns.
    case blocks(BlockFormat, columns: Int)
  }

  /// Which matrices belong together.
  enum Schedule: Hashable {
    /// Batch number i: the matrices that the loops say, and result number i.
    case batches(Loops)
    /// Rows of a stand in the order of their groups; each group has a right operand.
    case groupedRows
    /// As above, but a is transposed, and each group has a result: the sums go over its rows.
    case groupedOuter
  }

  let left: ElementType
  let transposesLeft: Bool
  let right: Right
  let result: ElementType
  let epilogue: ProductEpilogue
  let schedule: Schedule
  /// Rows and columns of a tile.
  let tile: Int

  /// Of the sums, of a tile.
  static let depth = 16
  /// Rows and columns of a thread.
  private static let cell = 4

  var threads: Int { (tile / Self.cell) * (tile / Self.cell) }

  private var accumulator: NumberClass {
    if case .blocks = right { return .f32 }
    return left.numberClass
  }

  func kernel(for target: PTXTarget) -> Kernel {
    Kernel("product", target: target, threads: threads, blocks: 1) { Build(self, $0).run() }
  }

  /// A block's part of the work.
  private struct Part {
    /// In elements; of the right operand in bytes if it is in blocks.
    let left, right, result: Value<U64>
    /// First row and column of the tile, and where rows end.
    let row, column, rows: Value<U32>
    /// Terms of a sum.
    let depth: Value<U32>
  }

  /// The parameters, and what is emitted with them.
  private struct Build {
    let kernel: ProductKernel
    let k: KernelBuilder
    let left: Elements<Global>
    let right: Pointer<U8, Global>
    let counts: Pointer<S32, Global>?
    let result: Elements<Global>
    let bias: Elements<Global>?
    let residual: Elements<Global>?
    let preActivation: Elements<Global>?
    let m, n, depth, leftRow, rightRow, tilesM, tilesN, groups: Value<U32>
    let leftMatrix, rightMatrix: Value<U64>

    init(_ kernel: ProductKernel, _ k: KernelBuilder) {
      (self.kernel, self.k) = (kernel, k)
      left = Elements(kernel.left, k.pointer("left", to: U8.self))
      right = k.pointer("right", to: U8.self)
      if case .batches = kernel.schedule { counts = nil } else { counts = k.pointer("counts", to: S32.self) }
      result = Elements(kernel.result, k.pointer("result", to: U8.self))
      bias = kernel.epilogue.bias.map { Elements($0, k.pointer("bias", to: U8.self)) }
      residual = kernel.epilogue.residual.map { Elements($0, k.pointer("residual", to: U8.self)) }
      preActivation =
        kernel.epilogue.keepsPreActivation
        ? Elements(kernel.result, k.pointer("preActivation", to: U8.self)) : nil
      func number(_ name: String) -> Value<U32> { k.parameter(name, U32.self) }
      (m, n, depth) = (number("m"), number("n"), number("k"))
      (leftRow, rightRow) = (number("leftRow"), number("rightRow"))
      (tilesM, tilesN, groups) = (number("tilesM"), number("tilesN"), number("groups"))
      leftMatrix = k.parameter("leftMatrix", U64.self)
      rightMatrix = k.parameter("rightMatrix", U64.self)
    }

    func run() {
      let part = self.part()
      let (tile, threads, depth) = (kernel.tile, kernel.threads, ProductKernel.depth)
      let element = kernel.accumulator.element
      // Padding keeps what is written side by side in different banks.
      let pitch = tile + 4
      func room() -> Elements<Shared> { Elements(element, k.shared(U8.self, count: depth * pitch * element.size)) }
      let (leftTile, rightTile) = (room(), room())
      let perRow = tile / ProductKernel.cell
      let (threadRow, threadColumn) = k.divided(k.thread.x, by: perRow)
      let zero = k.number(.integer(0), kernel.accumulator)
      let sums = (0..<ProductKernel.cell).map { _ in (0..<ProductKernel.cell).map { _ in k.variable(zero) } }

      k.loop(from: 0, to: part.depth, by: Value(depth)) { first in
        for step in 0..<(tile * depth / threads) {
          let item = k.thread.x + Value(step * threads)
          copy(item, to: leftTile, pitch, alongDepth: !kernel.transposesLeft) { place, term in
            loadLeft(part, part.row + place, first + term)
          }
          copy(item, to: rightTile, pitch, alongDepth: kernel.right.isAlongDepth) { place, term in
            loadRight(part, part.column + place, first + term)
          }
        }
        k.synchronise()
        for term in 0..<depth {
          func cells(_ tile: Elements<Shared>, _ place: Value<U32>) -> [Number] {
            let start = tile.advanced(place * Value(ProductKernel.cell) + Value(term * pitch))
            return element.size == 8
              ? start.load(k, count: 2) + start.advanced(Value<U32>(2)).load(k, count: 2) : start.load(k, count: 4)
          }
          let (a, b) = (cells(leftTile, threadRow), cells(rightTile, threadColumn))
          for i in 0..<ProductKernel.cell {
            for j in 0..<ProductKernel.cell { sums[i][j].assign(k.multiplyAdd(a[i], b[j], sums[i][j])) }
          }
        }
        k.synchronise()
      }
      for i in 0..<ProductKernel.cell {
        for j in 0..<ProductKernel.cell {
          let row = part.row + threadRow * Value(ProductKernel.cell) + Value(i)
          let column = part.column + threadColumn * Value(ProductKernel.cell) + Value(j)
          k.when((row .< part.rows) .& (column .< n)) {
            let place = part.result + k.multiplyWide(row, n) + k.convert(column, to: U64.self)
            write(sums[i][j], at: place, column: column)
          }
        }
      }
    }

    /// Brings an element to shared memory: `tile[term][place]`.
    ///
    /// - Parameter alongDepth: whether neighbours in memory are terms of one sum.
    private func copy(
      _ item: Value<U32>, to tile: Elements<Shared>, _ pitch: Int, alongDepth: Bool,
      _ load: (Value<U32>, Value<U32>) -> Number
    ) {
      let (slow, fast) = k.divided(item, by: alongDepth ? ProductKernel.depth : kernel.tile)
      let (place, term) = alongDepth ? (slow, fast) : (fast, slow)
      tile.store(k, at: k.multiplyAdd(term, Value(pitch), place), load(place, term))
    }

    /// The element, or 0 outside of the matrix.
    private func guarded(_ isInside: Value<Predicate>, _ load: () -> Number) -> Number {
      let value = k.variable(k.number(.integer(0), kernel.accumulator))
      k.when(isInside) { value.assign(k.converted(load(), to: kernel.accumulator)) }
      return value
    }

    private func loadLeft(_ part: Part, _ row: Value<U32>, _ term: Value<U32>) -> Number {
      guarded((row .< part.rows) .& (term .< part.depth)) {
        let (line, place) = kernel.transposesLeft ? (term, row) : (row, term)
        return left.load(k, at: part.left + k.multiplyWide(line, leftRow) + k.convert(place, to: U64.self))
      }
    }

    private func loadRight(_ part: Part, _ column: Value<U32>, _ term: Value<U32>) -> Number {
      guarded((column .< n) .& (term .< part.depth)) {
        switch kernel.right {
        case .elements(let element, let transposed):
          let (line, place) = transposed ? (column, term) : (term, column)
          let here = part.right + k.multiplyWide(line, rightRow) + k.convert(place, to: U64.self)
          return Elements(element, right).load(k, at: here)
        case .blocks(let format, let columns):
          let row = right + (part.right + k.multiplyWide(column, rightRow))
          return .f32(BlockReader(k: k, format: format, columns: columns).element(term, of: row))
        }
      }
    }

    private func write(_ sum: Number, at place: Value<U64>, column: Value<U32>) {
      let type = kernel.result
      var value = k.cast(sum, from: kernel.accumulator.element, to: type)
      func operand(_ elements: Elements<Global>, _ place: Value<U64>) -> Number {
        k.converted(elements.load(k, at: place), to: type.numberClass)
      }
      if let bias { value = k.add(value, operand(bias, k.convert(column, to: U64.self))) }
      preActivation?.store(k, at: place, value)
      if let activation = kernel.epilogue.activation { value = k.apply(activation.unary, value, type) }
      if let residual { value = k.add(value, operand(residual, place)) }
      result.store(k, at: place, value)
    }

    // MARK: Schedules

    private func part() -> Part {
      let (rest, tileN) = (k.block.x / tilesN, k.block.x % tilesN)
      let column = tileN * Value(kernel.tile)
      switch kernel.schedule {
      case .batches(let loops):
        let (batch, tileM) = (rest / tilesM, rest % tilesM)
        let matrices = loops.offsets(k, batch)
        let size = k.multiplyWide(m, n)
        return Part(
          left: k.convert(matrices[0], to: U64.self) * leftMatrix,
          right: k.convert(matrices[1], to: U64.self) * rightMatrix, result: k.convert(batch, to: U64.self) * size,
          row: tileM * Value(kernel.tile), column: column, rows: m, depth: depth)
      case .groupedOuter:
        let (group, tileM) = (rest / tilesM, rest % tilesM)
        let (start, count) = (k.variable(Value<U32>(0)), k.variable(Value<U32>(0)))
        forEachGroup { number, first, length in
          let isOwn = number .== group
          start.assign(k.select(isOwn, first, start))
          count.assign(k.select(isOwn, length, count))
        }
        return Part(
          left: k.multiplyWide(start, leftRow), right: k.multiplyWide(start, rightRow),
          result: k.convert(group, to: U64.self) * k.multiplyWide(m, n), row: tileM * Value(kernel.tile),
          column: column, rows: m, depth: count)
      case .groupedRows: return groupedRows(tile: rest, column: column)
      }
    }

    /// Tile number `tile` of the rows, where each group begins a new one; after all groups come the rows that have none, whose
    /// sums have no terms.
    private func groupedRows(tile: Value<U32>, column: Value<U32>) -> Part {
      let before = k.variable(Value<U32>(0))
      let (row, rows, group) = (
        k.variable(Value<U32>(0)), k.variable(Value<U32>(0)), k.variable(Value<U32>(0))
      )
      forEachGroup { number, first, length in
        let tiles = (length + Value(kernel.tile - 1)) / Value(kernel.tile)
        let isHere = (tile .>= before) .& (tile .< before + tiles)
        row.assign(k.select(isHere, first + (tile - before) * Value(kernel.tile), row))
        rows.assign(k.select(isHere, first + length, rows))
        group.assign(k.select(isHere, number, group))
        before += tiles
      }
      k.exit(when: rows .== 0)
      let zero = k.convert(Value<U32>(0) + k.inRegister(0), to: U64.self)
      return Part(
        left: zero, right: k.convert(group, to: U64.self) * rightMatrix, result: zero, row: row, column: column,
        rows: rows, depth: k.select(group .< groups, depth, Value(0)))
    }

    /// Calls `body` for each group, and as group number `groups` for the rows behind all of them.
    private func forEachGroup(_ body: (_ number: Value<U32>, _ first: Value<U32>, _ length: Value<U32>) -> Void) {
      // Rows are m of a grouped product, and the depth of a grouped outer product.
      let all = kernel.schedule == .groupedRows ? m : depth
      let first = k.variable(Value<U32>(0))
      k.loop(groups) { number in
        let count = k.maximum(counts![number], Value(0)).seen(as: U32.self)
        let length = k.minimum(count, all - first)
        body(number, first, length)
        first += length
      }
      body(groups, first, all - first)
    }
  }
}

extension ProductKernel.Right {
  /// Whether neighbours in memory are terms of one sum.
  fileprivate var isAlongDepth: Bool {
    switch self {
    case .elements(_, let transposed): transposed
    case .blocks: true
    }
  }
}
