public import Tensors

/// A random graph of operations that are continuous and stay small, so that backends and passes can be compared closely
/// however deep it is: a miniature of what models record.
public struct RandomGraph {
  public let inputs: [Tensor]
  public let data: [TensorData]
  public private(set) var outputs: [Tensor] = []

  private var pool: [Tensor]
  private let width: Int
  private let varies: Bool
  private let weights: [Tensor]
  private let vectors: [Tensor]

  /// - Parameters:
  ///   - operations: about how many.
  ///   - rows: the leading dimension of what flows through; with `varies` it is the largest one.
  ///   - gradients: whether gradients of a loss are among the outputs.
  public init(
    _ random: inout RandomCase, element: ElementType = .float32, operations: Int = 25, rows: Int = 7, width: Int = 12,
    varies: Bool = false, gradients withGradients: Bool = true
  ) {
    let shape = Shape([rows, width], varies: varies)
    let x = (0..<2).map { Tensor.input("x\($0)", TensorType(element, shape)) }
    let weights = (0..<2).map { Tensor.input("w\($0)", TensorType(element, [width, width])) }
    let vectors = (0..<2).map { Tensor.input("v\($0)", TensorType(element, [width])) }
    inputs = x + weights + vectors
    data = inputs.map { random.data(element, Shape($0.shape.dimensions), .within(-0.5...0.5)) }
    pool = x
    self.weights = weights
    self.vectors = vectors
    self.width = width
    self.varies = varies

    var kept: [Tensor] = []
    for _ in 0..<operations {
      let next = grow(&random)
      pool.append(next)
      if pool.count > 6 { pool.remove(at: random.integer(0...2)) }
      if random.integer(0...9) == 0 { kept.append(next) }
    }
    let last = pool[pool.count - 1]
    let loss = (last * last).sum([-1]).sum() + pool.map { $0.sum() * 0.1 }.reduce(.zeros([], element), +)
    let found = withGradients ? Tensors.gradients(of: loss, with: weights + vectors) : []
    outputs = [last, loss] + kept + found
  }

  private mutating func grow(_ random: inout RandomCase) -> Tensor {
    let (a, b) = (random.choice(pool), random.choice(pool))
    let (w, v) = (random.choice(weights), random.choice(vectors))
    let n = a.shape[0]
    switch random.integer(0...(varies ? 15 : 19)) {
    case 0: return a.activation(random.choice(Activation.allCases.filter { $0 != .reluSquared }))
    case 1: return random.bool() ? a.tanh() : a.sigmoid()
    case 2: return (a + b) * 0.5
    case 3: return (a * b).tanh()
    case 4: return a.linear(w, bias: v)
    case 5: return a.linear(w, bias: v).gelu(tanh: true).matmul(w).tanh() + b
    case 6: return a.matmul(w) * 0.5 + b * 0.5
    case 7: return a.rmsNorm(v + 1, epsilon: 0.1) * 0.5
    case 8: return a.layerNorm(v + 1, bias: v, epsilon: 0.1) * 0.5
    case 9: return a.softmax() - b
    case 10: return Tensor.concatenate([a, b], axis: 1).sliced(3..<(3 + width), axis: 1)
    case 11:
      let parts = a.split([5, width - 5], axis: 1)
      return Tensor.concatenate([parts[1].sine(), parts[0]], axis: 1)
    case 12: return a - a.mean([-1], keeps: true).broadcast(to: a.shape)
    case 13: return (a .> 0).select(a, -a * 0.3)
    case 14: return a.cast(.float32).squared().cast(a.element) * 0.3 - v
    case 15: return a.reshaped(n, 2, width / 2).cumulativeSum(1).reshaped(n, width) * 0.4
    case 16: return a.transposed().matmul(b).transposed().linear(a).transposed().reshaped(n, width).tanh()
    case 17: return a.sum([0], keeps: true).tanh() + b * 0.5
    case 18: return a.permuted(1, 0).reshaped(width, n).cumulativeSum(1, reverse: true).transposed() * 0.2
    default:
      let heads = [a, b, a].map { $0.reshaped(1, n, 2, width / 2) }
      return Tensor.attention(heads[0], heads[1], heads[2], Attention(scale: 0.5)).reshaped(n, width)
    }
  }

  /// The program of the graph.
  public func program(_ options: Program.Options = Program.Options()) -> Program {
    Program(inputs: inputs, outputs: outputs, options: options)
  }
}
