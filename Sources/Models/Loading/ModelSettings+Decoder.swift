// The settings of config.json that decoders share, under the names that `transformers` has given them.

internal import Core
internal import Networks
internal import Tensors

extension ModelSettings {
  /// A decoder with the layers that `layer` makes of their numbers.
  mutating func decoder(_ layer: (Int) -> Decoder.Layer) -> Decoder {
    let count = size("num_hidden_layers")
    var result = Decoder(
      vocabulary: size("vocab_size"), context: size("max_position_embeddings"), width: size("hidden_size"),
      layers: (0..<count).map(layer))
    result.epsilon = number("rms_norm_eps", default: 1e-6)
    result.tiedHead = flag("tie_word_embeddings", default: false)
    result.initialDeviation = number("initializer_range", default: 0.02)
    return result
  }

  /// The type of the weights, as the file names it.
  var dtype: String? { (object["dtype"] ?? object["torch_dtype"])?.string }

  /// Heads and their sizes.
  mutating func selfAttention() -> SelfAttention {
    let heads = size("num_attention_heads")
    let kvHeads = size("num_key_value_heads", default: heads)
    if heads % kvHeads != 0 {
      report("'num_attention_heads' is \(heads), not a multiple of 'num_key_value_heads', \(kvHeads).")
    }
    let width = size("hidden_size")
    return SelfAttention(
      heads: heads, kvHeads: kvHeads, headSize: size("head_dim", default: max(1, width / heads)))
  }

  /// - Parameter key: of the activation.
  mutating func gatedFeedForward(activation key: String = "hidden_act") -> GatedFeedForward {
    GatedFeedForward(
      inner: size("intermediate_size"),
      activation: choice(
        key, [("silu", .silu), ("gelu_pytorch_tanh", .geluTanh), ("gelu_new", .geluTanh), ("gelu", .geluErf)]))
  }

  /// Of each layer, the number of positions that a query sees; nil: all before it.
  ///
  /// - Parameter isLocal: which layers have windows, where `layer_types` does not say.
  mutating func windows(_ isLocal: (Int) -> Bool = { _ in true }) -> [Int?] {
    let local = localLayers(isLocal)
    guard object["sliding_window"] != nil, object["sliding_window"] != .null else { return local.map { _ in nil } }
    let window = size("sliding_window")
    return local.map { $0 ? window : nil }
  }

  /// Which layers are `sliding_attention`: by `layer_types` where it is given, else by their numbers.
  mutating func localLayers(_ isLocal: (Int) -> Bool) -> [Bool] {
    let count = size("num_hidden_layers")
    guard let kinds = object["layer_types"]?.array else { return (0..<count).map(isLocal) }
    if kinds.count != count { report("'layer_types' has \(kinds.count) entries for \(count) layers.") }
    for kind in kinds where kind != "sliding_attention" && kind != "full_attention" {
      report("'layer_types' has \(kind.json), but only \"sliding_attention\" and \"full_attention\" are known.")
    }
    return (0..<count).map { $0 < kinds.count && kinds[$0] == "sliding_attention" }
  }
}
