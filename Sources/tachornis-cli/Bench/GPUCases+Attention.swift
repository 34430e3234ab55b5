// Attention: of whole sequences, forward and backward, and of one new token of each of many sequences to a paged cache.
//
// The shapes are those of the benchmark that comes with FlashAttention: 16,384 tokens in all, 2,048 elements of queries a token.

internal import Core
internal import Tensors

extension GPUCase {
  static func attentions(_ scale: Scale) -> [GPUCase] {
    let shapes: [[Int]]
    switch scale {
    case .small: shapes = [64, 128].map { [1, 128, 2, $0] }
    case .medium:
      shapes = [64, 128].flatMap { [[2, 1024, 2048 / $0, $0], [1, 700, 2048 / $0, $0], [2, 384, 4, $0]] }
    case .full:
      shapes = [64, 128].flatMap { size in
        [1024, 2048, 4096, 8192, 16_384].map { [16_384 / $0, $0, 2048 / size, size] }
      }
    }
    return [false, true].flatMap { backward in
      shapes.flatMap { shape in [false, true].map { attention(shape, causal: $0, backward: backward) } }
    }
  }

  /// Operations of the backward pass are those of its five products, two and a half times those of the two of the forward pass.
  private static func attention(_ shape: [Int], causal: Bool, backward: Bool) -> GPUCase {
    let (batch, length, heads, size) = (shape[0], shape[1], shape[2], shape[3])
    let pairs = Double(batch * heads) * Double(length) * Double(length) / (causal ? 2 : 1)
    let elements = Double(shape.reduce(1, *))
    let isPeak = !backward && !causal && size == 128 && length == 16_384
    return GPUCase(
      name: "attention", element: .bfloat16, shape: shape,
      variant: (causal ? "causal" : "full") + (backward ? " backward" : " forward"),
      operations: 4 * pairs * Double(size) * (backward ? 2.5 : 1), bytes: 2 * elements * (backward ? 8 : 4),
      goal: Goal(ratio: 1, rate: isPeak ? 600e12 : nil),
      row: backward ? "attention backward" : "attention forward",
      work: .graph { inputs in
        let attention = Attention(scale: 1 / Double(size).squareRoot(), causal: causal)
        let (q, k, v) = (
          inputs.uniform(shape, .bfloat16), inputs.uniform(shape, .bfloat16), inputs.uniform(shape, .bfloat16)
        )
        if !backward { return GPUGraph(outputs: [Tensor.attention(q, k, v, attention)]) }
        // The forward pass belongs to what is prepared.
        let done = Tensor.recordAll(.attention(attention), [q, k, v].map(inputs.value))
        let rest = [inputs.made(done[0]), inputs.made(done[1]), inputs.uniform(shape, .bfloat16)]
        return GPUGraph(outputs: Array(Tensor.recordAll(.attentionGradient(attention), [q, k, v] + rest)[..<3]))
      })
  }

  /// Sequences, keys of each: 32 heads of 128 elements, of which four share the keys and values of one.
  static func decodings(_ scale: Scale) -> [GPUCase] {
    let shapes: [[Int]]
    switch scale {
    case .small: shapes = [[2, 200]]
    case .medium: shapes = [[1, 5000], [7, 1000], [33, 333], [8, 8192]]
    case .full:
      shapes = [1, 8, 32, 128].flatMap { sequences in [1024, 8192, 65_536].map { [sequences, $0] } }
    }
    return shapes.map(decoding)
  }

  private static func decoding(_ shape: [Int]) -> GPUCase {
    let (sequences, keys) = (shape[0], shape[1])
    let (heads, keyHeads, size, blockSize) = (32, 8, 128, 64)
    let rows = Double(sequences * keys)
    return GPUCase(
      name: "decode", element: .bfloat16, shape: shape, variant: "\(heads)/\(keyHeads) heads of \(size)",
      operations: 4 * rows * Double(heads * size), bytes: 4 * rows * Double(keyHeads * size),
      goal: Goal(bandwidth: 0.85), row: "decode attention",
      work: .graph { inputs in
        let blocks = (keys + blockSize - 1) / blockSize
        let slots = sequences * blocks * blockSize
        let q = inputs.uniform([sequences, heads, size], .bfloat16)
        let k = inputs.uniform([slots, keyHeads, size], .bfloat16)
        let v = inputs.uniform([slots, keyHeads, size], .bfloat16)
        let positions = inputs.made(Tensor.full(Int64(keys - 1), [sequences], .int32))
        let owners = inputs.made(Tensor.iota([sequences], .int32))
        // Blocks of a sequence lie anywhere.
        let table = permutation(sequences * blocks)
        let tables = inputs.made(Tensor(table, shape: [sequences, blocks]))
        return GPUGraph(outputs: [
          Tensor.pagedAttention(
            q, k, v, Attention(scale: 1 / Double(size).squareRoot()), blockSize: blockSize, positions: positions,
            sequences: owners, tables: tables)
        ])
      })
  }

  /// 0 ..< count in a random order.
  private static func permutation(_ count: Int) -> [Int32] {
    var random = RandomSequence(seed: 1)
    return (0..<Int32(count)).shuffled(using: &random)
  }
}
