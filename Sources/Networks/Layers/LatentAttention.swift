// Multi-head latent attention: keys and values of all heads are maps of one small vector a position, the latent, and only it
// (with a rotated part that all heads share) is kept in the cache. DeepSeek-V2 (2024), arXiv:2405.04434.
//
// Whole sequences are attended to with the keys and values of each head. From a cache, the map to keys is applied to the query
// instead and the map from values to the result, so that attention is that of many heads to one key head:
//
//   q · (K c) = (Kᵀ q) · c        Σ w (V c) = V (Σ w c)
//
// Invariant: both ways are the same function.

public import Tensors

/// Attention of a sequence to itself through latents. Parameters: q_proj (or q_a_proj, q_a_layernorm, q_b_proj),
/// kv_a_proj_with_mqa, kv_a_layernorm, kv_b_proj, o_proj.
public struct LatentAttention: SequenceMixer {
  public var heads: Int
  /// Elements of the vector that queries are maps of; nil: of the hidden state itself.
  public var queryLatent: Int?
  /// Elements of the vector that keys and values are maps of.
  public var latent: Int
  /// Elements of a head's query and key that are not rotated, and of those that are.
  public var plain: Int
  public var rotated: Int
  /// Elements of a head's value.
  public var value: Int
  /// Factor on scores.
  public var scale: Double
  /// Whether the maps to latents and of the result add biases.
  public var bias = false
  /// Added to variances in the norms of latents.
  public var epsilon = 1e-6

  public init(heads: Int, queryLatent: Int?, latent: Int, plain: Int, rotated: Int, value: Int) {
    self.heads = heads
    self.queryLatent = queryLatent
    self.latent = latent
    self.plain = plain
    self.rotated = rotated
    self.value = value
    scale = 1 / Double(plain + rotated).squareRoot()
  }

  /// x [batch, positions, width] to the same shape.
  public func callAsFunction(
    _ x: Tensor, _ weights: Weights, rotation: Rotation?, layer: Int, _ context: ModelContext, initial: InitialWeights
  ) -> Tensor {
    func rotate(_ x: Tensor) -> Tensor { rotation.map { $0(x) } ?? x }
    let (batch, positions) = (x.shape[0], x.shape[1])
    let q = queries(x, weights, initial.inside).reshaped(batch, positions, heads, plain + rotated)
      .split([plain, rotated])
    let compressed = weights["kv_a_proj_with_mqa"].linear(
      x, to: latent + rotated, bias: bias, initializer: initial.inside, axes: [.none, .width]
    ).reshaped(batch, positions, 1, latent + rotated).split([latent, rotated])
    let kept = weights["kv_a_layernorm"].rmsNorm(compressed[0], epsilon: epsilon, axis: .none)
    let keyValue = weights["kv_b_proj"].linear(
      latent, heads * (plain + value), initializer: initial.inside, axes: [.heads, .none])
    let (turnedQuery, turnedKey) = (rotate(q[1]), rotate(compressed[1]))

    let mixed: Tensor
    if context.capacity == nil {
      mixed = expanded(q[0], turnedQuery, kept, turnedKey, keyValue, layer, context)
    } else {
      mixed = absorbed(q[0], turnedQuery, .concatenate([kept, turnedKey], axis: -1), keyValue, layer, context)
    }
    return weights["o_proj"].linear(
      mixed.flattened(from: 2, through: 3), to: x.shape[-1], bias: bias, initializer: initial.residual,
      axes: [.width, .heads])
  }

  /// [batch, positions, heads · (plain + rotated)]
  private func queries(_ x: Tensor, _ weights: Weights, _ initializer: Initializer) -> Tensor {
    func map(_ x: Tensor, _ name: String) -> Tensor {
      weights[name].linear(
        x, to: heads * (plain + rotated), initializer: initializer, axes: [.heads, .none])
    }
    guard let queryLatent else { return map(x, "q_proj") }
    let compressed = weights["q_a_proj"].linear(
      x, to: queryLatent, bias: bias, initializer: initializer, axes: [.none, .width])
    return map(weights["q_a_layernorm"].rmsNorm(compressed, epsilon: epsilon, axis: .none), "q_b_proj")
  }

  /// With keys and values of each head, filled up with zeros to one size.
  private func expanded(
    _ q: Tensor, _ turnedQuery: Tensor, _ kept: Tensor, _ turnedKey: Tensor, _ keyValue: Tensor, _ layer: Int,
    _ context: ModelContext
  ) -> Tensor {
    let (batch, positions) = (q.shape[0], q.shape[1])
    let size = max(plain + rotated, value)
    func filled(_ x: Tensor) -> Tensor { x.padded(last: size - x.shape[-1]) }
    let parts = kept.linear(keyValue).reshaped(batch, positions, heads, plain + value).split([plain, value])
    let turned = turnedKey.broadcast(to: [batch, positions, heads, rotated])
    return context.attend(
      filled(.concatenate([q, turnedQuery], axis: -1)), filled(.concatenate([parts[0], turned], axis: -1)),
      filled(parts[1]), layer: layer, options: Attention(scale: scale)
    ).sliced(0..<value, axis: -1)
  }

  /// With the latents as keys and values of all heads. The two maps of a head stand in one matrix [plain + value, latent]: the
  /// query is filled up with zeros to meet it whole, which costs less than to copy a half of it.
  private func absorbed(
    _ q: Tensor, _ turnedQuery: Tensor, _ keys: Tensor, _ keyValue: Tensor, _ layer: Int, _ context: ModelContext
  ) -> Tensor {
    let maps = keyValue.reshaped(heads, plain + value, latent)
    /// x [batch, positions, heads, inputs] with a matrix for each head.
    func perHead(_ x: Tensor, transposed: Bool) -> Tensor {
      x.expanded(at: 3).narrowed(to: maps).matmul(maps, transposeB: transposed, type: x.element)
        .flattened(from: 3, through: 4)
    }
    let inLatents = perHead(q.padded(last: value), transposed: false)
    let mixed = context.attend(
      .concatenate([inLatents, turnedQuery], axis: -1), keys, nil, layer: layer, options: Attention(scale: scale))
    return perHead(mixed.sliced(0..<latent, axis: -1), transposed: true).sliced(plain..<(plain + value), axis: -1)
  }
}

extension Tensor {
  /// With `count` zeros behind the last axis.
  fileprivate func padded(last count: Int) -> Tensor {
    padded(Array(repeating: Padding(), count: rank - 1) + [Padding(after: count)])
  }
}
