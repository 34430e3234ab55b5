// Qwen 3: Yang et al. (2025), arXiv:2505.09388: norms of each head's queries and keys, and no biases.

internal import Core
internal import Networks

extension ModelFamily {
  static let qwen3 = ModelFamily(types: ["qwen3"], gguf: "qwen3") { settings in
    var attention = settings.selfAttention()
    attention.headNorm = SelfAttention.HeadNorm(epsilon: settings.number("rms_norm_eps", default: 1e-6))
    let feedForward = settings.gatedFeedForward()
    let rotary = settings.rotary(size: attention.headSize)
    return settings.decoder { _ in Decoder.Layer(attention: attention, feedForward: feedForward, rotary: rotary) }
  }
}
