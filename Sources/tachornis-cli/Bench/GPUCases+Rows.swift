// What is bound by memory: norms, softmax, the optimizer; and the loss, which is a product that never writes its result.

internal import Tensors

extension GPUCase {
  static func rows(_ scale: Scale) -> [GPUCase] {
    let (shapes, losses, slots): ([[Int]], [[Int]], [[Int]])
    switch scale {
    case .small: (shapes, losses, slots) = ([[16, 384]], [[32, 64, 200]], [[2, 16, 40]])
    case .medium:
      (shapes, slots) = ([[300, 8192], [500, 1600]], [[3, 100, 333]])
      // How a loss is cut into parts, and so which kernels it takes, depends on the whole shape.
      losses = [[256, 768, 5003], [8192, 768, 50_304], [8192, 2048, 32_768]]
    case .full:
      shapes = [[16_384, 8192], [32_768, 1600]]
      losses = [[8192, 768, 50_304], [8192, 2048, 32_768]]
      slots = [[48, 2048, 2048]]
    }
    return shapes.flatMap { shape in
      [
        pass("rms_norm", shape) { x, inputs in x.rmsNorm(inputs.uniform([shape[1]], .bfloat16)) },
        pass("layer_norm", shape) { x, inputs in
          x.layerNorm(inputs.uniform([shape[1]], .bfloat16), bias: inputs.uniform([shape[1]], .bfloat16))
        },
        pass("softmax", shape) { x, _ in x.softmax() },
      ]
    } + losses.map(loss) + slots.map(optimizer)
  }

  /// Reads rows once and writes as many.
  private static func pass(
    _ name: String, _ shape: [Int], _ body: @escaping @Sendable (Tensor, inout GPUInputs) -> Tensor
  ) -> GPUCase {
    GPUCase(
      name: name, element: .bfloat16, shape: shape, variant: "forward", bytes: 4 * Double(shape[0] * shape[1]),
      goal: Goal(bandwidth: 0.9), row: "norms and softmax",
      work: .graph { inputs in GPUGraph(outputs: [body(inputs.uniform(shape, .bfloat16), &inputs)]) })
  }

  /// Rows, width, vocabulary: the loss and both gradients, three products.
  private static func loss(_ shape: [Int]) -> GPUCase {
    let (rows, width, vocabulary) = (shape[0], shape[1], shape[2])
    return GPUCase(
      name: "linear_cross_entropy", element: .bfloat16, shape: shape, variant: "forward+backward",
      operations: 6 * Double(rows) * Double(width) * Double(vocabulary),
      bytes: 4 * Double(rows * width) + 4 * Double(vocabulary * width), goal: Goal(ratio: 1),
      row: "linear + cross-entropy",
      work: .graph { inputs in
        let x = inputs.uniform([rows, width], .bfloat16)
        // As small as those of a model are, so that the softmax is not all in one place.
        let weight = inputs.made((inputs.drawn([vocabulary, width], .float32) * 0.02).cast(.bfloat16))
        let all = Tensor.iota([rows], .int32) * Tensor.full(Int64(7919), .scalar, .int32)
        let targets = inputs.made(all % Tensor.full(Int64(vocabulary), .scalar, .int32))
        let loss = x.linearCrossEntropy(weight, targets: targets).sum()
        return GPUGraph(outputs: [loss] + gradients(of: loss, with: [x, weight]))
      })
  }

  /// Tensors, and the shape of each.
  private static func optimizer(_ shape: [Int]) -> GPUCase {
    let parameters = Double(shape.reduce(1, *))
    return GPUCase(
      name: "adamw", element: .float32, shape: shape, variant: "step", bytes: 28 * parameters,
      goal: Goal(bandwidth: 0.9), row: "AdamW",
      work: .graph { inputs in
        let size = Array(shape.dropFirst())
        let slots = (0..<shape[0]).map { _ in
          Tensor.AdamWSlot(
            value: inputs.uniform(size, .float32), gradient: inputs.uniform(size, .float32),
            mean: inputs.uniform(size, .float32), square: inputs.made(inputs.drawn(size, .float32).absolute()),
            weightDecay: 0.1)
        }
        let (rate, step) = (inputs.made(Tensor(1e-4)), inputs.made(Tensor(10)))
        let (scale, apply) = (inputs.made(Tensor(1)), inputs.made(Tensor.full(Int64(1), .scalar, .bool)))
        let updates = Tensor.adamW(
          slots, rate: rate, gradientScale: scale, step: step, apply: apply, beta1: 0.9, beta2: 0.95, epsilon: 1e-8)
        var graph = GPUGraph(outputs: [])
        for (slot, update) in zip(slots, updates) {
          for (old, new) in [(slot.value, update.value), (slot.mean, update.mean), (slot.square, update.square)] {
            graph.donating[graph.outputs.count] = old
            graph.outputs.append(new)
          }
        }
        return graph
      })
  }
}
