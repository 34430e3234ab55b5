// Plain passes over memory, which say what the memory gives, and matrix products.

internal import Tensors

extension GPUCase {
  /// Copying and reading: the roofs of all that is bound by memory.
  static func bandwidths(_ scale: Scale) -> [GPUCase] {
    let count =
      switch scale {
      case .small: 1 << 14
      case .medium: 1 << 22
      case .full: 1 << 30
      }
    // Rows for the sum: each is one block's work.
    let shape = [count >> 12, 1 << 12]
    func pass(_ variant: String, bytes: Double, _ body: @escaping @Sendable (Tensor) -> Tensor) -> GPUCase {
      GPUCase(
        name: "memory", element: .bfloat16, shape: shape, variant: variant, bytes: bytes, goal: Goal(),
        row: "memory, measured",
        work: .graph { inputs in GPUGraph(outputs: [body(inputs.uniform(shape, .bfloat16))]) })
    }
    return [
      // The least that is more than moving: a copy alone would be left out of a program.
      pass("copy", bytes: 4 * Double(count)) { -$0 },
      pass("read", bytes: 2 * Double(count)) { $0.sum([1], type: .float32) },
    ]
  }

  /// `a [m, k] · b [n, k]ᵀ`, as a layer multiplies.
  static func products(_ scale: Scale) -> [GPUCase] {
    let plain: [[Int]]
    let other: [[Int]]
    switch scale {
    case .small: (plain, other) = ([[256, 256, 128]], [[128, 256, 64]])
    case .medium:
      // The last have several of the largest tiles for each multiprocessor.
      plain = [[1024, 1536, 2048], [1000, 776, 520], [4096, 4096, 1024]]
      other = [[1024, 768, 512], [520, 776, 1000], [4096, 4096, 512]]
    case .full:
      plain = [4096, 6144, 8192, 16_384].map { [$0, $0, $0] }
      other = [[8192, 8192, 8192]]
    }
    return plain.map { product(.bfloat16, $0, "plain") } + other.map { product(.float16, $0, "plain") }
      + other.map { product(.bfloat16, $0, "bias+gelu") } + other.map { product(.bfloat16, $0, "residual") }
  }

  private static func product(_ element: ElementType, _ shape: [Int], _ variant: String) -> GPUCase {
    let (m, n, k) = (shape[0], shape[1], shape[2])
    let elements = Double(m * k) + Double(n * k) + Double(m * n) * (variant == "residual" ? 2 : 1)
    return GPUCase(
      name: "matmul", element: element, shape: shape, variant: variant,
      operations: 2 * Double(m) * Double(n) * Double(k), bytes: 2 * elements, goal: Goal(ratio: 1.02),
      row: variant == "plain" && element == .bfloat16 ? "BF16 product" : "product, other types and epilogues",
      work: .graph { inputs in
        let product = inputs.uniform([m, k], element).matmul(weight: inputs.uniform([n, k], element))
        switch variant {
        case "bias+gelu": return GPUGraph(outputs: [(product + inputs.uniform([n], element)).gelu(tanh: true)])
        case "residual": return GPUGraph(outputs: [inputs.uniform([m, n], element) + product])
        default: return GPUGraph(outputs: [product])
        }
      })
  }
}
