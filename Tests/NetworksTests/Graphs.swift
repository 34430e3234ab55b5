// Runs small graphs on the reference interpreter, the definition of every operation.

import Tensors
import Testing

/// The values of `outputs` for values of placeholders.
func run(_ outputs: [Tensor], _ inputs: [(Tensor, TensorData)] = []) throws -> [TensorData] {
  try ReferenceBackend().compile(Program(inputs: inputs.map(\.0), outputs: outputs)).run(inputs.map(\.1))
    .map { $0.copy() }
}

/// The largest difference between elements.
func distance(_ a: [Double], _ b: [Double]) -> Double {
  precondition(a.count == b.count, "\(a.count) and \(b.count) values")
  return zip(a, b).map { abs($0 - $1) }.max() ?? 0
}

func float32(_ shape: Shape) -> TensorType { TensorType(.float32, shape) }
