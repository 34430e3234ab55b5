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

  mutating func gatedFeedForward() -> GatedFeedForward {
    GatedFeedForward(
      inner: size("intermediate_size"),
      activation: choice(
        "hidden_act", [("silu", .silu), ("gelu_pytorch_tanh", .geluTanh), ("gelu_new", .geluTanh), ("gelu", .geluErf)]))
  }

  /// Of each layer, the number of positions that a query sees; nil: all before it. From `layer_types` where it is given,
  /// else from the layer's number.
  mutating func windows(_ isLocal: (Int) -> Bool = { _ in true }) -> [Int?] {
    let count = size("num_hidden_layers")
    guard object["sliding_window"] != nil, object["sliding_window"] != .null else {
      return [Int?](repeating: nil, count: count)
    }
    let window = size("sliding_window")
    guard let kinds = object["layer_types"]?.array else { return (0..<count).map { isLocal($0) ? window : nil } }
    if kinds.count != count { report("'layer_types' has \(kinds.count) entries for \(count) layers.") }
    return (0..<count).map { index in
      switch index < kinds.count ? kinds[index].string : "full_attention" {
      case "sliding_attention": return window
      case "full_attention": return nil
      case let kind:
        report(
          "'layer_types' has \(kind ?? "what is no text"), but only sliding_attention and full_attention are known.")
        return nil
      }
    }
  }
}
