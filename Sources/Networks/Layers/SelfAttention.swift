// Self-attention as nearly all decoders have it, with the choices in which they differ.
//
// Vaswani et al. (2017), arXiv:1706.03762; with fewer key heads: Ainslie et al. (2023), arXiv:2305.13245; with norms of
// queries and keys: Henry et al. (2020), arXiv:2010.04245; with sinks: Xiao et al. (2023), arXiv:2309.17453.

public import Tensors

/// Attention of a sequence to itself. Parameters: q_proj, k_proj, v_proj (or qkv_proj), o_proj, and q_norm, k_norm, sinks where
/// there are such.
public struct SelfAttention: SequenceMixer {
  /// Norms of each head's queries and keys, before they are rotated.
  public struct HeadNorm: Sendable {
    public var epsilon: Double
    /// The weight is stored less one, as in Gemma.
    public var plusOne: Bool

    public init(epsilon: Double, plusOne: Bool = false) {
      self.epsilon = epsilon
      self.plusOne = plusOne
    }
  }

  public var heads: Int
  public var kvHeads: Int
  public var headSize: Int
  /// Factor on scores.
  public var scale: Double
  /// Whether the maps to queries, keys and values add a bias.
  public var inputBias = false
  /// Whether the map of the result adds a bias.
  public var outputBias = false
  public var headNorm: HeadNorm?
  /// How many positions a query sees, itself included; nil: all before it.
  public var window: Int?
  /// Bounds scores to ±softcap by tanh.
  public var softcap: Double?
  /// Whether each head has a trained logit that takes weight and gives nothing.
  public var hasSinks = false
  /// Whether queries, keys and values are one map, `qkv_proj`.
  public var isFused = false
  /// Elements of the result; nil: as many as there are of x.
  public var width: Int?

  public init(heads: Int, kvHeads: Int, headSize: Int) {
    self.heads = heads
    self.kvHeads = kvHeads
    self.headSize = headSize
    scale = 1 / Double(headSize).squareRoot()
  }

  /// x [batch, positions, inputs] to [batch, positions, width].
  ///
  /// - Parameters:
  ///   - rotation: of queries and keys; nil: none.
  ///   - layer: counted from 0.
  public func callAsFunction(
    _ x: Tensor, _ weights: Weights, rotation: Rotation?, layer: Int, _ context: ModelContext, initial: InitialWeights
  ) -> Tensor {
    let perHead = [x.shape[0], x.shape[1], -1, headSize]
    var (q, k, v) = queriesKeysValues(x, weights, initial.inside)
    (q, k, v) = (q.reshaped(perHead), k.reshaped(perHead), v.reshaped(perHead))
    if let headNorm {
      let (epsilon, plusOne) = (headNorm.epsilon, headNorm.plusOne)
      q = weights["q_norm"].rmsNorm(q, epsilon: epsilon, plusOne: plusOne, axis: .none)
      k = weights["k_norm"].rmsNorm(k, epsilon: epsilon, plusOne: plusOne, axis: .none)
    }
    if let rotation { (q, k) = (rotation(q), rotation(k)) }
    let sinks =
      hasSinks ? weights.parameter("sinks", [heads], role: .vector, initializer: .zeros, axes: [.heads]) : nil
    let options = Attention(scale: scale, window: window, softcap: softcap)
    let mixed = context.attend(q, k, v, layer: layer, options: options, sinks: sinks).flattened(from: 2, through: 3)
    return weights["o_proj"].linear(
      mixed, to: width ?? x.shape[-1], bias: outputBias, initializer: initial.residual, axes: [.width, .heads])
  }

  private func queriesKeysValues(
    _ x: Tensor, _ weights: Weights, _ initializer: Initializer
  ) -> (q: Tensor, k: Tensor, v: Tensor) {
    let (queries, keys) = (heads * headSize, kvHeads * headSize)
    if isFused {
      let parts = weights["qkv_proj"].linear(
        x, to: queries + 2 * keys, bias: inputBias, initializer: initializer, axes: [.heads, .width]
      ).split([queries, keys, keys])
      return (parts[0], parts[1], parts[2])
    }
    func map(_ name: String, _ outputs: Int, _ axis: LogicalAxis) -> Tensor {
      weights[name].linear(x, to: outputs, bias: inputBias, initializer: initializer, axes: [axis, .width])
    }
    return (map("q_proj", queries, .heads), map("k_proj", keys, .kvHeads), map("v_proj", keys, .kvHeads))
  }
}
