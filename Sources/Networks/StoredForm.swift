// How a parameter stands in memory when a model is run straight from a file.

public import Tensors

/// The form of a stored weight.
public enum StoredForm: Hashable, Sendable {
  /// Elements of one float type.
  case dense(ElementType)
  /// Quantised along rows; the model computes with float32, and passes turn that into products with the blocks themselves.
  case blocks(BlockFormat)
  /// The same with columns in another order: column k of the blocks is column `order[k]` of the matrix. Products gather
  /// activations by it.
  case orderedBlocks(BlockFormat, order: [Int32])

  /// The type of the placeholder of a parameter of `shape`.
  ///
  /// - Precondition: rows are whole blocks.
  public func type(_ shape: Shape) -> TensorType {
    switch self {
    case .dense(let element): TensorType(element, shape)
    case .blocks(let format), .orderedBlocks(let format, _):
      TensorType(.uint8, Shape(shape.dimensions.dropLast() + [format.rowBytes(columns: shape[-1])!]))
    }
  }

  /// The type of the elements that the model computes with.
  package var element: ElementType {
    switch self {
    case .dense(let element): element
    case .blocks, .orderedBlocks: .float32
    }
  }

  /// Whether the parameter is quantised.
  package var isBlocks: Bool { if case .dense = self { false } else { true } }

  /// What the model computes with, from the placeholder.
  package func value(of placeholder: Tensor) -> Tensor {
    switch self {
    case .dense: return placeholder
    case .blocks(let format): return placeholder.dequantized(format)
    case .orderedBlocks(let format, let order):
      var places = order
      for (place, column) in order.enumerated() { places[Int(column)] = Int32(place) }
      return placeholder.dequantized(format).gathered(Tensor(places), axis: -1)
    }
  }
}
