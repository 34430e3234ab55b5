// Qwen 3: Yang et al. (2025), arXiv:2505.09388: norms of each head's queries and keys, and no biases.

internal import Core
internal import Networks

extension ModelFamily {
  static let qwen3 = ModelFamily(types: ["qwen3"]) { settings in
    settings.fill(["head_dim": 128])
    var attention = settings.selfAttention()
    attention.inputBias = settings.flag("attention_bias", default: false)
    attention.outputBias = attention.inputBias
    attention.headNorm = SelfAttention.HeadNorm(epsilon: settings.number("rms_norm_eps", default: 1e-6))
    let feedForward = settings.gatedFeedForward()
    let rotary = settings.rotary(size: attention.headSize)
    let windows = settings.qwenWindows()
    return settings.decoder { index in
      attention.window = windows[index]
      return Decoder.Layer(attention: attention, feedForward: feedForward, rotary: rotary)
    }
  }
}
