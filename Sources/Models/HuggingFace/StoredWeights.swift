// Between the tensors of a file and our parameters: names, transposes, parts of one tensor, element types.
//
// Invariant: nothing is guessed. Every missing, unexpected and misshaped tensor is found before any is read, and all are
// reported at once.

internal import Networks
package import Tensors

/// A tensor as a file holds it; the bytes belong to the file.
struct StoredArray {
  /// nil: a type that no model here has.
  var element: ElementType?
  var dimensions: [Int]
  var bytes: UnsafeRawBufferPointer
}

extension ModelLayout {
  /// What fits of a file, by the stored tensors of a configuration.
  ///
  /// - Parameter tied: whether the file may hold a head that is the token embedding.
  func match(
    _ arrays: [String: StoredArray], to tensors: [StoredTensor], tied: Bool
  ) throws(ModelError) -> [(tensor: StoredTensor, array: StoredArray)] {
    var problems: [String] = []
    var unused = Set(arrays.keys)
    var result: [(StoredTensor, StoredArray)] = []
    for tensor in tensors {
      let bare = tensor.name.hasPrefix(prefix) ? String(tensor.name.dropFirst(prefix.count)) : tensor.name
      guard let name = [tensor.name, bare].first(where: { arrays[$0] != nil }), let array = arrays[name] else {
        problems.append("'\(tensor.name)' \(tensor.dimensions) is missing.")
        continue
      }
      unused.remove(name)
      if array.dimensions != tensor.dimensions {
        problems.append("'\(name)' has the shape \(array.dimensions), not \(tensor.dimensions).")
      } else if array.element?.isFloat != true {
        problems.append("'\(name)' does not hold floating-point numbers.")
      } else {
        result.append((tensor, array))
      }
    }
    for name in unused.sorted() where !(buffers.contains(where: name.hasSuffix) || tied && name == "lm_head.weight") {
      problems.append("'\(name)' is not part of a \(type) model of this configuration.")
    }
    if problems.isEmpty { return result }
    let shown = problems.prefix(40).map { "\n  \($0)" }.joined()
    let more = problems.count > 40 ? "\n  and \(problems.count - 40) more." : ""
    throw ModelError(
      .badWeights, "The tensors do not fit config.json; check that both are of the same model:\(shown)\(more)")
  }
}

extension StoredTensor {
  /// The parameters' values, float32, from a file's tensor.
  func read(_ array: StoredArray) -> [TensorData] {
    var row = 0
    return parameters.map { parameter in
      let result = TensorData(TensorType(.float32, parameter.shape))
      let target = result.pointer.assumingMemoryBound(to: Float.self)
      let rows = parameter.shape[0]
      let columns = parameter.shape.count / max(rows, 1)
      if transposed {
        array.readFloats(into: target, transposing: row..<(row + rows), of: dimensions[1], columns: columns)
      } else {
        array.readFloats(into: target, from: row * columns, count: rows * columns)
      }
      row += rows
      return result
    }
  }

  /// The file's tensor from the parameters' values, which are float32.
  package func written(_ values: [TensorData]) -> TensorData {
    if values.count == 1 && !transposed { return values[0] }
    let result = TensorData(TensorType(.float32, Shape(dimensions)))
    let target = result.pointer.assumingMemoryBound(to: Float.self)
    var row = 0
    for (parameter, value) in zip(parameters, values) {
      let source = UnsafePointer(value.pointer.assumingMemoryBound(to: Float.self))
      let rows = parameter.shape[0]
      let columns = parameter.shape.count / max(rows, 1)
      if transposed {
        transpose(source, stride: columns, into: target + row, stride: dimensions[1], rows: rows, columns: columns)
      } else {
        (target + row * columns).update(from: source, count: rows * columns)
      }
      row += rows
    }
    return result
  }
}

extension StoredArray {
  /// Elements `start ..< start + count` as float32. The file need not be aligned.
  fileprivate func readFloats(into target: UnsafeMutablePointer<Float>, from start: Int, count: Int) {
    switch element {
    case .float32:
      UnsafeMutableRawPointer(target).copyMemory(from: bytes.baseAddress! + 4 * start, byteCount: 4 * count)
    case .float64: convert(into: target, start, count, from: Double.self) { Float($0) }
    case .bfloat16: convert(into: target, start, count, from: UInt16.self) { Float(bfloat16: $0) }
    case .float16: convert(into: target, start, count, from: UInt16.self) { Float(half: $0) }
    default: preconditionFailure("only floats are read, not \(String(describing: element))")
    }
  }

  private func convert<T: BitwiseCopyable>(
    into target: UnsafeMutablePointer<Float>, _ start: Int, _ count: Int, from: T.Type, _ body: (T) -> Float
  ) {
    for i in 0..<count {
      target[i] = body(bytes.loadUnaligned(fromByteOffset: (start + i) * MemoryLayout<T>.size, as: T.self))
    }
  }

  /// Columns `range` of this matrix of `width` columns as rows of the target, [range.count, columns].
  fileprivate func readFloats(
    into target: UnsafeMutablePointer<Float>, transposing range: Range<Int>, of width: Int, columns: Int
  ) {
    let whole = UnsafeMutablePointer<Float>.allocate(capacity: max(columns * width, 1))
    defer { whole.deallocate() }
    readFloats(into: whole, from: 0, count: columns * width)
    transpose(
      UnsafePointer(whole) + range.lowerBound, stride: width, into: target, stride: columns, rows: columns,
      columns: range.count)
  }
}

extension TensorData {
  /// This, which is float32, in another float type.
  func converted(to element: ElementType) -> TensorData {
    if element == type.element { return self }
    precondition(element == .bfloat16 && type.element == .float32, "\(type) is not converted to \(element)")
    let result = TensorData(TensorType(element, shape))
    let source = pointer.assumingMemoryBound(to: Float.self)
    let target = result.pointer.assumingMemoryBound(to: UInt16.self)
    for i in 0..<count { target[i] = source[i].bfloat16 }
    return result
  }
}

/// The transpose of a matrix, by blocks that stay in the cache.
private func transpose(
  _ source: UnsafePointer<Float>, stride sourceStride: Int, into target: UnsafeMutablePointer<Float>,
  stride targetStride: Int, rows: Int, columns: Int
) {
  let block = 32
  for rowStart in Swift.stride(from: 0, to: rows, by: block) {
    for columnStart in Swift.stride(from: 0, to: columns, by: block) {
      for row in rowStart..<min(rowStart + block, rows) {
        for column in columnStart..<min(columnStart + block, columns) {
          target[column * targetStride + row] = source[row * sourceStride + column]
        }
      }
    }
  }
}
