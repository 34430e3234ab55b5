import Support
import Tensors

extension Differentiable {
  static let composites: [Differentiable] = products + norms + attentions + crossEntropies

  private static let products: [Differentiable] = [
    Differentiable("matmul", [[2, 3], [3, 4]]) { $0[0].matmul($0[1]) },
    Differentiable("matmul of a transposed left", [[3, 2], [3, 4]]) { $0[0].matmul($0[1], transposeA: true) },
    Differentiable("matmul of a transposed right", [[2, 3], [4, 3]]) { $0[0].matmul($0[1], transposeB: true) },
    Differentiable("matmul of both transposed", [[3, 2], [4, 3]]) {
      $0[0].matmul($0[1], transposeA: true, transposeB: true)
    },
    Differentiable("batched matmul", [[2, 1, 2, 3], [3, 3, 2]]) { $0[0].matmul($0[1]) },
    Differentiable("linear", [[2, 2, 3], [4, 3], [4]]) { $0[0].linear($0[1], bias: $0[2]) },
    Differentiable("grouped matmul", [[5, 3], [3, 2, 3]]) { $0[0].groupedMatmul($0[1], counts: groups) },
    Differentiable("grouped matmul of a left matrix", [[5, 3], [3, 3, 2]]) {
      $0[0].groupedMatmul($0[1], counts: groups, transposed: false)
    },
    Differentiable("grouped outer products", [[5, 3], [5, 2]]) { $0[0].groupedOuter($0[1], counts: groups) },
    Differentiable("two layers", [[2, 3], [4, 3], [2, 4]], .within(-0.5...0.5)) {
      $0[0].linear($0[1]).gelu(tanh: true).linear($0[2])
    },
  ]

  /// Of five rows, the last is in no group.
  private static var groups: Tensor { Tensor([1, 0, 3] as [Int32]) }

  private static let norms: [Differentiable] = [
    Differentiable("softmax", [[2, 4]], .within(-1...1)) { $0[0].softmax() },
    Differentiable("log softmax", [[2, 4]], .within(-1...1)) { $0[0].logSoftmax() },
    Differentiable("rms norm", [[3, 4]]) { $0[0].rmsNorm(epsilon: 0.5) },
    Differentiable("rms norm with weight", [[3, 4], [4]]) { $0[0].rmsNorm($0[1], epsilon: 0.5) },
    Differentiable("layer norm", [[3, 4]]) { $0[0].layerNorm(epsilon: 0.5) },
    Differentiable("layer norm with weight", [[3, 4], [4]]) { $0[0].layerNorm($0[1], epsilon: 0.5) },
    Differentiable("layer norm with weight and bias", [[3, 4], [4], [4]]) {
      $0[0].layerNorm($0[1], bias: $0[2], epsilon: 0.5)
    },
    Differentiable("rotary", [[1, 2, 2, 4]]) { rotate($0[0], interleaved: false) },
    Differentiable("rotary of neighbours", [[1, 2, 2, 4]]) { rotate($0[0], interleaved: true) },
  ]

  private static func rotate(_ x: Tensor, interleaved: Bool) -> Tensor {
    let angles = Tensor([0.1, 0.7, -0.4, 2], shape: [2, 2])
    return x.rotary(cosines: angles.cosine(), sines: angles.sine(), interleaved: interleaved).squared()
  }

  private static let attentions: [Differentiable] = [
    attention("causal attention", Attention(scale: 0.7)),
    attention("full attention", Attention(scale: 0.7, causal: false)),
    attention("attention in a window with a soft-cap", Attention(scale: 0.7, window: 2, softcap: 1.5)),
    attention("attention to both sides", Attention(scale: 0.7, causal: false, window: 1)),
    attention("attention to fewer keys than queries", Attention(scale: 0.7), keys: 2),
    attention("attention of packed sequences", Attention(scale: 0.7), segments: [0, 0, 1]),
    attention("attention with sinks", Attention(scale: 0.7, softcap: 2), sinks: true),
    attention("attention with sinks of packed sequences", Attention(scale: 0.7), segments: [0, 1, 1], sinks: true),
  ]

  /// Two query heads that share one key head. Sinks are float32, and multiples of 1/16 so that steps from them are exact.
  private static func attention(
    _ name: String, _ options: Attention, keys: Int = 3, segments: [Int32]? = nil, sinks: Bool = false
  ) -> Differentiable {
    Differentiable(
      name,
      { random in
        [
          random.data(.float64, [1, 3, 2, 2], .within(-1...1)),
          random.data(.float64, [1, keys, 1, 2], .within(-1...1)),
          random.data(.float64, [1, keys, 1, 2], .within(-1...1)),
        ] + (sinks ? [random.data(.float32, [2], .distinct)] : [])
      },
      { x in
        Tensor.attention(
          x[0], x[1], x[2], options, segments: segments.map { Tensor($0, shape: [1, 3]) }, sinks: sinks ? x[3] : nil)
      })
  }

  private static let crossEntropies: [Differentiable] = [
    Differentiable("linear cross-entropy", [[4, 3], [5, 3]], .within(-1...1)) {
      $0[0].linearCrossEntropy($0[1], targets: Tensor([1, 4, -1, 0] as [Int32]))
    },
    Differentiable("linear cross-entropy with a soft-cap", [[4, 3], [5, 3]], .within(-1...1)) {
      $0[0].linearCrossEntropy($0[1], targets: Tensor([1, 4, -1, 0] as [Int32]), softcap: 1.5)
    },
  ]
}
