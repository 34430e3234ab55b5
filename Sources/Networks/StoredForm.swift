// How a parameter stands in memory when a model is run straight from a file.

public import Tensors

/// The form of a stored weight.
public enum StoredForm: Hashable, Sendable {
  /// Elements of one float type.
  case dense(ElementType)

  /// The type of the placeholder of a parameter of `shape`.
  public func type(_ shape: Shape) -> TensorType {
    switch self {
    case .dense(let element): TensorType(element, shape)
    }
  }

  /// The type of the elements that the model computes with.
  package var element: ElementType {
    switch self {
    case .dense(let element): element
    }
  }

  /// What the model computes with, from the placeholder.
  package func value(of placeholder: Tensor) -> Tensor {
    switch self {
    case .dense: placeholder
    }
  }
}
