// Products of one token with weights of four bits: reading the weights is all.
//
// The shapes are those of a model of 70 billion parameters: 80 layers of width 8,192, 64 heads of 128 of which eight share keys
// and values, and 28,672 elements between the two halves of the feed-forward part.

internal import Tensors

extension GPUCase {
  static func weightProducts(_ scale: Scale) -> [GPUCase] {
    let (shapes, layers): ([[Int]], [[Int]])
    switch scale {
    case .small: (shapes, layers) = ([[1, 128, 256]], [[128, 256]])
    case .medium: (shapes, layers) = ([[1, 1024, 8192], [1, 520, 28_672], [3, 520, 1152]], [[8192, 28_672]])
    case .full:
      shapes = [[10_240, 8192], [8192, 8192], [57_344, 8192], [8192, 28_672]].map { [1] + $0 }
      layers = [[8192, 28_672]]
    }
    return shapes.map(weightProduct) + layers.map(layer)
  }

  private static let format = BlockFormat.int4(group: 128)

  private static func weightBytes(_ rows: Int, _ columns: Int) -> Double {
    Double(rows * format.rowBytes(columns: columns)!)
  }

  private static func weightProduct(_ shape: [Int]) -> GPUCase {
    let (m, n, k) = (shape[0], shape[1], shape[2])
    return GPUCase(
      name: "int4", element: .bfloat16, shape: shape, variant: "group 128",
      operations: 2 * Double(m) * Double(n) * Double(k), bytes: weightBytes(n, k) + 2 * Double(m * (n + k)),
      goal: Goal(bandwidth: 0.85), row: "int4-weight product, one token",
      work: .graph { inputs in
        let x = inputs.uniform([m, k], .bfloat16)
        return GPUGraph(outputs: [x.linear(inputs.weights(n, k))])
      })
  }

  /// All that reads weights in a layer; of the attention between its products only the shape is left.
  private static func layer(_ shape: [Int]) -> GPUCase {
    let (width, inner) = (shape[0], shape[1])
    // Queries, keys and values: of 64 heads, eight times two more.
    let joined = width + width / 4
    let matrices = [(joined, width), (width, width), (2 * inner, width), (width, inner)]
    return GPUCase(
      name: "int4-layer", element: .bfloat16, shape: shape, variant: "group 128",
      operations: matrices.reduce(0) { $0 + 2 * Double($1.0) * Double($1.1) },
      bytes: matrices.reduce(0) { $0 + weightBytes($1.0, $1.1) }, runsPerToken: 80,
      goal: Goal(bandwidth: 0.85, milliseconds: 10), row: "int4-weight layer, one token (80 layers: a 70B model)",
      work: .graph { inputs in
        let x = inputs.uniform([1, width], .bfloat16)
        let scales = (0..<2).map { _ in inputs.uniform([width], .bfloat16) }
        let weights = matrices.map { inputs.weights($0.0, $0.1) }
        let attended = x.rmsNorm(scales[0]).linear(weights[0]).sliced(0..<width, axis: 1)
        let y = x + attended.linear(weights[1])
        let halves = y.rmsNorm(scales[1]).linear(weights[2]).split([inner, inner])
        return GPUGraph(outputs: [y + (halves[0].silu() * halves[1]).linear(weights[3])])
      })
  }
}

extension GPUInputs {
  /// Weights `[rows, columns]` in four bits with a scale for each 128 of a row.
  fileprivate mutating func weights(_ rows: Int, _ columns: Int) -> Tensor {
    let groups = columns / 128
    // See block_formats.h: 2^-6 as a float32, whose low bits hold the code of 0: 8.
    let header = withUnsafeBytes(of: (Float(0.015625).bitPattern | 8).littleEndian) { Array($0) }
    let headers = Tensor(TensorData(header.map(Double.init), shape: [1, 1, 4], element: .uint8))
      .broadcast(to: [rows, groups, 4])
    let codes = integers([rows, groups, 64], below: 256, .uint8)
    let blocks = made(Tensor.concatenate([headers, codes], axis: 2).reshaped(rows, groups * 68))
    return blocks.dequantized(.int4(group: 128), .bfloat16)
  }
}
