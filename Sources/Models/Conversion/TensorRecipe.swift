// How one tensor of a checkpoint is made out of tensors of another one: joined, its rows in another order, transposed, shifted,
// in another type.
//
// Invariant: a tensor goes from file to file in pieces of a few megabytes; where nothing changes, its bytes are passed on as
// they are.

internal import Formats
internal import Tensors

/// A tensor as it is to be written.
struct TensorRecipe: Sendable {
  /// The name that it gets.
  var name: String
  /// Row-major, as written.
  var shape: [Int]
  /// The tensors that stand one after another in it, along the first axis or as elements of a new one.
  var sources: [String]
  var change = Change.none
  /// The type in which it is written.
  var type: ElementType

  enum Change: Sendable, Equatable {
    case none
    /// The rows of each of `heads` in the order that interleaved rotation wants, from that of halves, or back.
    case interleavedRows(heads: Int)
    case halvedRows(heads: Int)
    /// A matrix whose source has its rows as columns.
    case transposed
    /// A number added to each element.
    case plus(Float)
  }

  var count: Int { shape.reduce(1, *) }
}

/// A tensor of the checkpoint that is read.
struct RecipeSource {
  var type: ElementType
  var shape: [Int]
  var bytes: UnsafeRawBufferPointer

  var count: Int { shape.reduce(1, *) }
}

extension TensorRecipe {
  /// Elements that are converted at a time.
  private static let piece = 1 << 18

  /// Makes the tensor, passing its bytes to `emit` in parts.
  func write(_ sources: [RecipeSource], to emit: (UnsafeRawBufferPointer) throws -> Void) throws {
    for source in sources {
      if source.type == type, change == .none {
        try emit(source.bytes)
      } else {
        try convert(source, emit)
      }
    }
  }

  private func convert(_ source: RecipeSource, _ emit: (UnsafeRawBufferPointer) throws -> Void) throws {
    let columns = max(1, change == .transposed ? source.shape[0] : source.shape.dropFirst().reduce(1, *))
    let rows = source.count / columns
    let step = max(1, Self.piece / columns)
    var floats = [Float](repeating: 0, count: min(step, rows) * columns)
    var output = [UInt8](repeating: 0, count: floats.count * type.size)
    for start in stride(from: 0, to: rows, by: step) {
      let part = start..<min(start + step, rows)
      for row in part {
        let target = (row - part.lowerBound) * columns
        if change == .transposed {
          source.read(from: row, by: rows, into: &floats[target..<target + columns])
        } else {
          source.read(from: sourceRow(row, of: rows) * columns, by: 1, into: &floats[target..<target + columns])
        }
      }
      let count = part.count * columns
      if case .plus(let number) = change { for index in 0..<count { floats[index] += number } }
      try output.withUnsafeMutableBytes { bytes in
        type.store(floats[..<count], to: bytes)
        try emit(UnsafeRawBufferPointer(rebasing: bytes[..<(count * type.size)]))
      }
    }
  }

  /// Where a row of the result stands in its source. Rotation in halves turns elements i and i + n/2 of a head of n; ggml's
  /// interleaved one turns 2i and 2i + 1.
  private func sourceRow(_ row: Int, of rows: Int) -> Int {
    switch change {
    case .none, .transposed, .plus: return row
    case .interleavedRows(let heads):
      let size = rows / heads
      let (head, element) = row.quotientAndRemainder(dividingBy: size)
      return head * size + element % 2 * (size / 2) + element / 2
    case .halvedRows(let heads):
      let size = rows / heads
      let (head, element) = row.quotientAndRemainder(dividingBy: size)
      return head * size + element % (size / 2) * 2 + element / (size / 2)
    }
  }
}

extension RecipeSource {
  /// Elements `start`, `start + step`, ... as floats.
  fileprivate func read(from start: Int, by step: Int, into target: inout ArraySlice<Float>) {
    func all<T: BitwiseCopyable>(_: T.Type, _ value: (T) -> Float) {
      target.withUnsafeMutableBufferPointer { target in
        for index in target.indices {
          let offset = (start + index * step) * MemoryLayout<T>.size
          target[index] = value(bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
      }
    }
    switch type {
    case .float32: all(Float.self) { $0 }
    case .float64: all(Double.self) { Float($0) }
    case .float16: all(UInt16.self) { Float(half: $0) }
    case .bfloat16: all(UInt16.self) { Float(bfloat16: $0) }
    default: preconditionFailure("only floats are converted, not \(type)")
    }
  }
}

extension ElementType {
  /// Writes floats in this type.
  fileprivate func store(_ floats: ArraySlice<Float>, to bytes: UnsafeMutableRawBufferPointer) {
    floats.withUnsafeBufferPointer { floats in
      switch self {
      case .float32: bytes.copyMemory(from: UnsafeRawBufferPointer(floats))
      case .float16:
        for index in floats.indices {
          bytes.storeBytes(of: floats[index].half, toByteOffset: 2 * index, as: UInt16.self)
        }
      case .bfloat16:
        for index in floats.indices {
          bytes.storeBytes(of: floats[index].bfloat16, toByteOffset: 2 * index, as: UInt16.self)
        }
      default: preconditionFailure("weights are not written as \(self)")
      }
    }
  }
}
