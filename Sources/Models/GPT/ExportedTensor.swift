// Tensors of a file from our parameters: joined along their rows, transposed, rounded.
//
// Invariant: plain memory and no backend, since checkpoints are written beside training.

package import Networks
package import Tensors

/// A tensor of a file and what it holds of ours.
package struct ExportedTensor: Sendable, Hashable {
  package var name: String
  /// Parameters that stand one after another along the first axis.
  package var parameters: [Parameter]
  /// Whether the file holds the transpose, [inputs, outputs].
  package var transposed = false

  /// In the file.
  package var dimensions: [Int] {
    var dimensions = parameters[0].shape.dimensions
    dimensions[0] = parameters.map { $0.shape[0] }.reduce(0, +)
    return transposed ? dimensions.reversed() : dimensions
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
        transpose(source, into: target + row, stride: dimensions[1], rows: rows, columns: columns)
      } else {
        (target + row * columns).update(from: source, count: rows * columns)
      }
      row += rows
    }
    return result
  }

  /// The transpose of a matrix, by blocks that stay in the cache.
  private func transpose(
    _ source: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>, stride: Int, rows: Int, columns: Int
  ) {
    let block = 32
    for rowStart in Swift.stride(from: 0, to: rows, by: block) {
      for columnStart in Swift.stride(from: 0, to: columns, by: block) {
        for row in rowStart..<min(rowStart + block, rows) {
          for column in columnStart..<min(columnStart + block, columns) {
            target[column * stride + row] = source[row * columns + column]
          }
        }
      }
    }
  }
}

extension TensorData {
  /// This, which is float32, in the type of a file.
  func rounded(to precision: Precision) -> TensorData {
    precondition(type.element == .float32, "\(type) is not rounded to \(precision)")
    guard precision == .bfloat16 else { return self }
    let result = TensorData(TensorType(.bfloat16, shape))
    let source = pointer.assumingMemoryBound(to: Float.self)
    let target = result.pointer.assumingMemoryBound(to: UInt16.self)
    for i in 0..<count { target[i] = source[i].bfloat16 }
    return result
  }
}
