// Mistral 7B, Nemo, Small: Jiang et al. (2023), arXiv:2310.06825: Llama with attention within a window.

internal import Core
internal import Networks

extension ModelFamily {
  static let mistral = ModelFamily(types: ["mistral"]) { settings in
    settings.fill(["sliding_window": 4096, "num_key_value_heads": 8])
    var attention = settings.selfAttention()
    // In all layers or in none: `transformers` does not look at `layer_types` here.
    attention.window = settings.object["sliding_window"] == .null ? nil : settings.size("sliding_window")
    let feedForward = settings.gatedFeedForward()
    let rotary = settings.rotary(size: attention.headSize)
    return settings.decoder { _ in Decoder.Layer(attention: attention, feedForward: feedForward, rotary: rotary) }
  }
}
