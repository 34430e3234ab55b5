// Phi-3, Phi-3.5 and Phi-4: Abdin et al. (2024), arXiv:2404.14219: one map for queries, keys and values, one for gate and up,
// and for long texts a divisor for each rotary frequency.

internal import Core
internal import Networks

extension ModelFamily {
  static let phi3 = ModelFamily(types: ["phi3"]) { settings in
    settings.fill(["original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5])
    var attention = settings.selfAttention()
    attention.isFused = true
    var feedForward = settings.gatedFeedForward()
    feedForward.isFused = true
    let rotary = settings.rotary(size: attention.headSize)
    let windows = settings.windows()
    return settings.decoder { index in
      attention.window = windows[index]
      return Decoder.Layer(attention: attention, feedForward: feedForward, rotary: rotary)
    }
  }
}
