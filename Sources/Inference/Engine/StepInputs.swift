// What a step's programs are told of its tokens: whose they are, where they stand, and where their keys and values go.

internal import Networks
internal import Tensors

/// The inputs of a program that computes steps, but for weights and caches.
struct StepLayout {
  /// int32 [rows, 1]
  let tokens: Tensor
  let paged: PagedRows

  /// - Parameter limits: `blocks` and all others.
  init(_ limits: Scheduler.Limits) {
    func each(_ name: String, _ shape: Shape) -> Tensor { .input(name, TensorType(.int32, shape)) }
    tokens = each("tokens", Shape([limits.tokens, 1], varies: true))
    let places = ["positions", "slots", "sequences"].map { each($0, Shape([limits.tokens], varies: true)) }
    let blocks = (limits.context + limits.blockSize - 1) / limits.blockSize
    paged = PagedRows(
      positions: places[0], slots: places[1], sequences: places[2],
      tables: each("tables", [limits.sequences, blocks]), blockSize: limits.blockSize, blocks: limits.blocks)
  }

  var inputs: [Tensor] { [tokens, paged.positions, paged.slots, paged.sequences, paged.tables] }
}

/// Their values.
struct StepInputs {
  /// As large as the largest.
  private let rows: [TensorData]
  private let tables: TensorData
  private let blockSize: Int

  init(_ layout: StepLayout) {
    rows = layout.inputs.dropLast().map { TensorData($0.type) }
    tables = TensorData(layout.paged.tables.type)
    blockSize = layout.paged.blockSize
  }

  /// What a step's program is given.
  func values(_ step: EngineStep) -> [TensorData] {
    func pointer(_ data: TensorData) -> UnsafeMutablePointer<Int32> { data.pointer.assumingMemoryBound(to: Int32.self) }
    let (tokens, positions, slots, sequences) = (
      pointer(rows[0]), pointer(rows[1]), pointer(rows[2]), pointer(rows[3])
    )
    let table = pointer(tables)
    var (row, first, written) = (0, 0, -1)
    for part in step.parts {
      part.forEachRow { sequence, blocks, position, token in
        if first + sequence != written {
          written = first + sequence
          for (index, block) in blocks.enumerated() { table[written * tables.shape[1] + index] = block }
        }
        tokens[row] = token
        positions[row] = Int32(position)
        slots[row] = blocks[position / blockSize] * Int32(blockSize) + Int32(position % blockSize)
        sequences[row] = Int32(written)
        row += 1
      }
      first = written + 1
    }
    return rows.map { $0.prefix(row) } + [tables]
  }
}

extension TensorData {
  /// The first rows, in place.
  func prefix(_ count: Int) -> TensorData {
    var dimensions = shape.dimensions
    dimensions[0] = count
    return TensorData(TensorType(type.element, Shape(dimensions)), pointer: pointer, owner: self)
  }

  /// Bytes of a row.
  var rowBytes: Int { type.bytes / max(1, shape[0]) }
}

extension [TensorData] {
  /// Reads a byte of each page, so that what lies in files is in memory.
  ///
  /// - Parameter scratch: whose first byte is written: reads of which nothing remains might be left out.
  func touch(scratch: TensorData) {
    let page = 4096
    var sum: UInt8 = 0
    for data in self {
      for place in stride(from: 0, to: data.type.bytes, by: page) {
        sum &+= data.pointer.load(fromByteOffset: place, as: UInt8.self)
      }
    }
    scratch.pointer.storeBytes(of: sum, as: UInt8.self)
  }

  /// In pools of blocks, copies the first positions of a block to another.
  func copyPositions(_ count: Int, from: Int32, to: Int32, blockSize: Int) {
    for pool in self {
      let bytes = pool.rowBytes
      let (source, target) = (Int(from) * blockSize * bytes, Int(to) * blockSize * bytes)
      (pool.pointer + target).copyMemory(from: pool.pointer + source, byteCount: count * bytes)
    }
  }
}

/// The logits behind a text's last tokens, as long as the step's run is received.
struct LogitRows {
  private let first: UnsafePointer<Float>
  let count: Int
  private let vocabulary: Int

  init(first: UnsafePointer<Float>, count: Int, vocabulary: Int) {
    (self.first, self.count, self.vocabulary) = (first, count, vocabulary)
  }

  subscript(row: Int) -> UnsafeBufferPointer<Float> {
    precondition((0..<count).contains(row), "row \(row) of \(count)")
    return UnsafeBufferPointer(start: first + row * vocabulary, count: vocabulary)
  }
}
