// Llama 2, 3, 3.1 and 3.2: Touvron et al. (2023), arXiv:2307.09288; Grattafiori et al. (2024), arXiv:2407.21783.

internal import Networks

extension ModelFamily {
  static let llama = ModelFamily(types: ["llama"], ignored: [".rotary_emb.inv_freq"]) { settings in
    var attention = settings.selfAttention()
    attention.inputBias = settings.flag("attention_bias", default: false)
    attention.outputBias = attention.inputBias
    var feedForward = settings.gatedFeedForward()
    feedForward.bias = settings.flag("mlp_bias", default: false)
    let rotary = settings.rotary(size: attention.headSize)
    return settings.decoder { _ in Decoder.Layer(attention: attention, feedForward: feedForward, rotary: rotary) }
  }
}
