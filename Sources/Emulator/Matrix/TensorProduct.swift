// One `tcgen05.mma`: where its operands lie, in one block or in the two of a pair, and what it computes when it lands.
//
// With .cta_group::2 each block holds half of the rows of A and half of the columns of B in its own shared memory, at the same
// addresses. Accumulators, row m and column n of D, with h = N / 2, q = N / 4:
//   1 block, M = 128; pair, M = 256   lane m mod 128,              column n
//   1 block, M = 64                   lane m mod 16 + 32 (m / 16), column n       (+ 16, if D begins at lane 16)
//   pair, M = 128                     lane m mod 64 + 64 (n / h),  column n mod h (the same for .ws, M = 64, in one block)
//   .ws, M = 32                       lane m + 32 (n / q),         column n mod q
// A in tensor memory has its rows in the same lanes, 32 bytes in 8 columns. Scales have a byte each: row m in lane m mod 32 of each
// quarter of the lanes, column m / 32.
//
// PTX ISA 9.0, "Data Path Layout Organization", "Block Scaling"; the placements are those of CuTe's tmem_frg.

internal import KernelLanguage

/// The operands of one product, all known at its issue.
struct TensorProduct {
  /// A matrix in shared or in tensor memory.
  enum Operand {
    case shared(SharedMatrix)
    case tensor(lane: Int, column: Int)
  }

  /// Scales of blocks along K: columns of A's and B's, and how many there are along K.
  struct Scales {
    var a: Int
    var b: Int
    var count: Int
  }

  var kind: TensorKind
  var descriptor: TensorInstructionDescriptor
  var isWeightStationary: Bool
  /// One block, or the even and the odd one of a pair.
  var blocks: [ThreadBlock]
  var d: (lane: Int, column: Int)
  var a: Operand
  var b: SharedMatrix
  var scales: Scales?
  /// Whether D is added to, and by which power of two it is divided before.
  var accumulates: Bool
  var shift = 0
  /// Lanes that are not written, block after block.
  var disabled: [UInt32] = []

  private var m: Int { descriptor.m }
  private var n: Int { descriptor.n }
  /// Rows and columns of one block.
  private var rows: Int { m / blocks.count }
  private var columns: Int { n / blocks.count }

  // MARK: Places

  /// How the accumulators are spread over the lanes: parts of N side by side.
  private var parts: Int {
    switch (isWeightStationary, blocks.count, m) {
    case (true, _, 32): 4
    case (true, _, 64), (false, 2, 128): 2
    default: 1
    }
  }

  /// Whether only half of the lanes are used.
  private var isHalf: Bool { !isWeightStationary && blocks.count == 1 && m == 64 }

  /// The block, lane and column of an accumulator.
  @inline(__always)
  private func place(_ row: Int, _ column: Int) -> (block: Int, lane: Int, column: Int) {
    let width = n / parts
    let inBlock = row % rows
    let lane = isHalf ? d.lane + inBlock % 16 + inBlock / 16 * 32 : inBlock + column / width * (128 / parts)
    return (row / rows, lane, d.column + column % width)
  }

  /// What D is, in each block.
  var accumulators: [TensorRectangle] {
    let columns = d.column..<d.column + n / parts
    guard isHalf else { return [TensorRectangle(lanes: 0..<128, columns: columns)] }
    return (0..<4).map { TensorRectangle(lanes: 32 * $0 + d.lane..<32 * $0 + d.lane + 16, columns: columns) }
  }

  /// What is read of tensor memory beside D, in each block.
  var sources: [TensorRectangle] {
    var sources: [TensorRectangle] = []
    if case .tensor(let lane, let column) = a {
      let columns = column..<column + SharedMatrix.depthBytes / 4
      sources +=
        isHalf
        ? (0..<4).map { TensorRectangle(lanes: 32 * $0 + lane..<32 * $0 + lane + 16, columns: columns) }
        : [TensorRectangle(lanes: 0..<128, columns: columns)]
    }
    if let scales {
      sources.append(TensorRectangle(lanes: 0..<128, columns: scales.a..<scales.a + (rows + 31) / 32))
      sources.append(TensorRectangle(lanes: 0..<128, columns: scales.b..<scales.b + (n / parts + 31) / 32))
    }
    return sources
  }

  /// What orders products without waiting: those of one accumulator and shape.
  var pipeline: TensorOperation.Pipeline {
    .product("\(blocks.count) \(d.lane) \(d.column) \(m)x\(n) \(isWeightStationary)")
  }

  /// How elements of 4 and 6 bits lie in shared memory.
  private func packing(_ element: MatrixElement) -> SharedMatrix.Packing {
    !kind.isDenseFour && [.e2m1, .e2m3, .e3m2].contains(element) ? .padded : .dense
  }

  /// Stretches of shared memory that are read, with the block that they are in: 16 bytes, less where the rest is padding.
  func reads() -> [(place: MemoryPlace, count: Int)] {
    func stretches(_ matrix: SharedMatrix, _ element: MatrixElement, _ lines: Int) -> [(place: MemoryPlace, count: Int)]
    {
      let packing = packing(element)
      let count = packing == .dense ? 16 : element == .e2m1 ? 8 : 12
      let chunks = matrix.chunks(element, lines: lines, depth: kind.depth, packing: packing)
      return blocks.flatMap { block in chunks.map { (.shared(block, $0), count) } }
    }
    var all = stretches(b, descriptor.b, columns)
    if case .shared(let matrix) = a { all += stretches(matrix, descriptor.a, rows) }
    return all
  }

  // MARK: The product

  /// Computes it, at a time when all operands must be there.
  func land() throws(EmulatorError) {
    var left = MatrixOperand(
      descriptor.a, lines: m, depth: kind.depth, order: .depthTogether, isNegated: descriptor.negatesA)
    var right = MatrixOperand(
      descriptor.b, lines: n, depth: kind.depth, order: .linesTogether, isNegated: descriptor.negatesB)
    for (index, block) in blocks.enumerated() {
      switch a {
      case .shared(let matrix): read(matrix, &left, descriptor.a, rows, first: index * rows, block)
      case .tensor(_, let column): try readA(&left, column, first: index * rows, block.tensor.memory)
      }
      read(b, &right, descriptor.b, columns, first: index * columns, block)
    }
    if let scales { try scale(&left, &right, scales) }
    var sums = [UInt32](repeating: 0, count: m * n)
    if accumulates {
      for row in 0..<m {
        for column in 0..<n {
          let place = place(row, column)
          let word = try blocks[place.block].tensor.memory.load(place.lane, place.column)
          sums[row * n + column] = shift == 0 ? word : shifted(word)
        }
      }
    }
    MatrixProduct(
      element: (descriptor.a, descriptor.b), accumulator: descriptor.accumulator, saturates: descriptor.saturates,
      chip: .blackwell
    ).accumulate(left, right, into: &sums)
    for row in 0..<m {
      for column in 0..<n {
        let place = place(row, column)
        if !disabled.isEmpty {
          let lane = place.block * 128 + place.lane
          if disabled[lane / 32] >> UInt32(lane % 32) & 1 == 1 { continue }
        }
        blocks[place.block].tensor.memory.store(sums[row * n + column], place.lane, place.column)
      }
    }
  }

  private func shifted(_ word: UInt32) -> UInt32 {
    let factor = Double(sign: .plus, exponent: -shift, significand: 1)
    return descriptor.accumulator == .f32
      ? Float(Double(Float(bitPattern: word)) * factor).bitPattern
      : NarrowFloat.float16.encode(Double(NarrowFloat.float16.decode(word & 0xFFFF)) * factor)
  }

  private func read(
    _ matrix: SharedMatrix, _ operand: inout MatrixOperand, _ element: MatrixElement, _ lines: Int, first: Int,
    _ block: ThreadBlock
  ) {
    let packing = packing(element)
    matrix.read(
      &operand, element, lines: lines, first: first, packing: packing,
      chunks: matrix.chunks(element, lines: lines, depth: kind.depth, packing: packing), memory: block.shared)
  }

  private func readA(
    _ operand: inout MatrixOperand, _ column: Int, first: Int, _ memory: TensorMemory
  ) throws(EmulatorError) {
    let bits = descriptor.a.bits
    let perWord = 32 / bits
    for row in 0..<rows {
      let lane = isHalf ? d.lane + row % 16 + row / 16 * 32 : row
      for word in 0..<kind.depth / perWord {
        let value = try memory.load(lane, column + word)
        if parts == 2, try memory.load(lane + 64, column + word) != value {
          throw EmulatorError(
            .tensorMemory,
            "A in tensor memory differs between lanes \(lane) and \(lane + 64), column \(column + word): with M = 128 of a pair both "
              + "halves of the lanes hold the same rows")
        }
        for i in 0..<perWord {
          let code = bits == 32 ? value : (value >> UInt32(i * bits)) & (1 << UInt32(bits) - 1)
          operand.set(first + row, word * perWord + i, code)
        }
      }
    }
  }

  // MARK: Scales

  private func scale(
    _ left: inout MatrixOperand, _ right: inout MatrixOperand, _ scales: Scales
  ) throws(EmulatorError) {
    let length = kind.depth / scales.count
    for row in 0..<m {
      let memory = blocks[row / rows].tensor.memory
      let inBlock = row % rows
      for index in 0..<scales.count {
        let byte = descriptor.aScale + index
        let code = try code(memory, scales.a + inBlock / 32, inBlock % 32, byte, quarters: 0..<4, "A")
        apply(code, &left, row, index * length..<(index + 1) * length)
      }
    }
    let width = n / parts
    for column in 0..<n {
      let part = column / width
      let quarters = part * (4 / parts)..<(part + 1) * (4 / parts)
      for index in 0..<scales.count {
        let byte = descriptor.bScale + index
        let inPart = column % width
        var codes: [UInt8] = []
        for block in blocks {
          codes.append(
            try code(block.tensor.memory, scales.b + inPart / 32, inPart % 32, byte, quarters: quarters, "B"))
        }
        guard codes.allSatisfy({ $0 == codes[0] }) else {
          throw EmulatorError(
            .tensorMemory,
            "the scale of column \(column) of B differs between the blocks of the pair: both hold all of B's scales")
        }
        apply(codes[0], &right, column, index * length..<(index + 1) * length)
      }
    }
  }

  /// One scale, which each of some quarters of the lanes holds a copy of.
  private func code(
    _ memory: TensorMemory, _ column: Int, _ lane: Int, _ byte: Int, quarters: Range<Int>, _ name: String
  ) throws(EmulatorError) -> UInt8 {
    var found: UInt8?
    for quarter in quarters {
      let word = try memory.load(quarter * 32 + lane, column)
      let code = UInt8(truncatingIfNeeded: word >> UInt32(8 * byte))
      guard found ?? code == code else {
        throw EmulatorError(
          .tensorMemory,
          "a scale of \(name) in lane \(lane), column \(column) differs between the quarters of the lanes: copy scales to all of them, "
            + "with tcgen05.cp.32x128b.warpx4")
      }
      found = code
    }
    return found!
  }

  private func apply(_ code: UInt8, _ operand: inout MatrixOperand, _ line: Int, _ depth: Range<Int>) {
    let value =
      descriptor.scalesArePowers ? PowerOfTwo.decode(code) : Double(NarrowFloat.e4m3.decode(UInt32(code & 0x7F)))
    let exponent = value.isFinite && value != 0 ? max(Int(value.exponent), descriptor.scalesArePowers ? -127 : -6) : 0
    for k in depth { operand.scale(line, k, by: value, exponent: exponent) }
  }
}
