// The types in which a model may compute, by the names that people write in configurations.

public import Tensors

/// In which type products are computed. Sums, masters of weights and optimizer states are float32 in any case.
public enum Precision: String, Hashable, Sendable, Codable, CaseIterable {
  case float32
  case bfloat16

  public var element: ElementType {
    switch self {
    case .float32: .float32
    case .bfloat16: .bfloat16
    }
  }
}
