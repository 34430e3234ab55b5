// How one tensor of a checkpoint is made of tensors of another one: their elements in another order, joined, shifted, in another
// type.
//
// Invariant: a tensor goes from file to file in pieces of a few megabytes, but for quantised ones that are expanded; where
// nothing changes, its bytes are passed on as they are.

internal import Networks
internal import Tensors

/// A tensor as it is to be written.
struct TensorRecipe: Sendable {
  /// The name that it gets.
  var name: String
  /// Row-major, as written.
  var shape: [Int]
  /// The type in which it is written; bytes for MXFP4.
  var type: ElementType
  var content: Content

  enum Content: Sendable {
    /// One behind the other, and a number that is added to each element.
    case parts([Part], plus: Float = 0)
    /// Rows of blocks as ggml has them, of two tensors as gpt-oss's own files have them.
    case blocks(of: String, scales: String, TensorSlices)
    /// Of each of these in turns a row of blocks, or of scales, as gpt-oss's own files have them.
    case unpacked([String], scales: Bool)
  }

  /// Elements of tensors of one shape, of each in turns.
  struct Part: Sendable {
    var sources: [String]
    /// One of the indices of their first axis; nil: all.
    var slice: Int?
    var view: TensorView
  }

  var count: Int { shape.reduce(1, *) }

  /// nil: of blocks.
  var firstPart: Part? { if case .parts(let parts, _) = content { parts.first } else { nil } }

  /// A part that is the whole of a tensor.
  static func whole(_ source: String, _ shape: [Int]) -> [Part] {
    [Part(sources: [source], view: TensorView(shape: shape))]
  }
}

/// The elements of a tensor in some order: those at `offset` + the sum of indices times strides.
struct TensorView: Sendable {
  var offset = 0
  var shape: [Int]
  var strides: [Int]

  init(offset: Int = 0, shape: [Int], strides: [Int]) {
    (self.offset, self.shape, self.strides) = (offset, shape, strides)
  }

  /// All in their own order.
  init(shape: [Int]) {
    self.init(shape: shape, strides: Self.strides(of: shape))
  }

  static func strides(of shape: [Int]) -> [Int] {
    shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
  }

  /// Rows of heads, those of each as [first, second, columns] with the first two axes exchanged. Rotation in halves turns
  /// elements i and i + n/2 of a head of n; ggml's interleaved one turns 2i and 2i + 1.
  static func heads(_ heads: Int, _ first: Int, _ second: Int, columns: Int) -> TensorView {
    TensorView(
      shape: [heads, second, first, columns], strides: [first * second * columns, columns, second * columns, 1])
  }

  var rows: Int { shape.dropLast().reduce(1, *) }

  func isWhole(_ shape: [Int]) -> Bool {
    offset == 0 && strides == Self.strides(of: self.shape) && rows * (self.shape.last ?? 1) == shape.reduce(1, *)
  }

  /// Where a row along the last axis starts.
  func start(ofRow row: Int) -> Int {
    var (row, result) = (row, offset)
    for (size, stride) in zip(shape, strides).dropLast().reversed() {
      result += row % size * stride
      row /= size
    }
    return result
  }
}

extension TensorRecipe {
  /// Elements that are converted at a time.
  private static let piece = 1 << 18

  /// Makes the tensor, passing its bytes to `emit` in parts.
  ///
  /// - Parameter source: gives the tensors that the recipe names.
  func write(_ source: (String) throws -> MappedTensor, to emit: (UnsafeRawBufferPointer) throws -> Void) throws {
    switch content {
    case .parts(let parts, let plus):
      for part in parts {
        let tensors = try part.sources.map { name in
          let tensor = try source(name)
          return try (part.slice.map { tensor.rows($0..<($0 + 1)) } ?? tensor).expanded()
        }
        try withExtendedLifetime(tensors) { try write(part.view, tensors, plus, emit) }
      }
    case .blocks(let blocks, let scales, let rows):
      let packed = try packedMXFP4(blocks: source(blocks), scales: source(scales), rows)
      try withExtendedLifetime(packed) { try emit(UnsafeRawBufferPointer(packed.bytes)) }
    case .unpacked(let names, let scales):
      try unpackedMXFP4(try names.map(source), scales: scales, to: emit)
    }
  }

  private func write(
    _ view: TensorView, _ tensors: [MappedTensor], _ plus: Float, _ emit: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    if tensors.count == 1, tensors[0].form == .dense(type), plus == 0, view.isWhole(tensors[0].dimensions) {
      return try emit(tensors[0].bytes)
    }
    let columns = view.shape.last ?? 1
    let width = columns * tensors.count
    let step = max(1, Self.piece / max(1, width))
    var floats = [Float](repeating: 0, count: min(step, view.rows) * width)
    var output = [UInt8](repeating: 0, count: floats.count * type.size)
    for first in stride(from: 0, to: view.rows, by: step) {
      let rows = first..<min(first + step, view.rows)
      floats.withUnsafeMutableBufferPointer { floats in
        for row in rows {
          let start = view.start(ofRow: row)
          for (turn, tensor) in tensors.enumerated() {
            let target = floats.baseAddress! + (row - first) * width + turn
            tensor.read(start, by: view.strides.last ?? 1, count: columns, into: target, by: tensors.count, plus: plus)
          }
        }
      }
      let count = rows.count * width
      try output.withUnsafeMutableBytes { bytes in
        type.store(floats[..<count], to: bytes)
        try emit(UnsafeRawBufferPointer(rebasing: bytes[..<(count * type.size)]))
      }
    }
  }
}

extension MappedTensor {
  /// As floats, if it is quantised.
  fileprivate func expanded() throws -> MappedTensor {
    guard case .blocks? = form else { return self }
    let placeholder = Tensor(data(form!.type(Shape(dimensions))))
    let value = try evaluate([form!.value(of: placeholder)])[0]
    var result = self
    (result.form, result.bytes, result.owner) = (.dense(.float32), UnsafeRawBufferPointer(value.bytes), value)
    return result
  }

  /// Elements `start`, `start + step`, ... as floats, and `plus`.
  fileprivate func read(
    _ start: Int, by step: Int, count: Int, into target: UnsafeMutablePointer<Float>, by turns: Int, plus: Float
  ) {
    func all<T: BitwiseCopyable>(_: T.Type, _ value: (T) -> Float) {
      for index in 0..<count {
        let offset = (start + index * step) * MemoryLayout<T>.size
        target[index * turns] = value(bytes.loadUnaligned(fromByteOffset: offset, as: T.self)) + plus
      }
    }
    switch form {
    case .dense(.float32): all(Float.self) { $0 }
    case .dense(.float64): all(Double.self) { Float($0) }
    case .dense(.float16): all(UInt16.self) { Float(half: $0) }
    case .dense(.bfloat16): all(UInt16.self) { Float(bfloat16: $0) }
    default: preconditionFailure("only floats are converted, not \(typeName)")
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
