// Mixtral: Jiang et al. (2024), arXiv:2401.04088.

internal import Core
internal import Networks

extension ModelFamily {
  static let mixtral = ModelFamily(
    types: ["mixtral"], ignored: [".rotary_emb.inv_freq"],
    experts: ExpertNames(gate: "w1", up: "w3", down: "w2", block: "block_sparse_moe")
  ) { settings in
    settings.fill([
      "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
      "rms_norm_eps": 1e-5,
    ])
    let attention = settings.selfAttention()
    let block = settings.gatedFeedForward()
    var router = settings.router(experts: "num_local_experts", scores: .softmax)
    router.normalizes = true
    let mixture = MixtureOfExperts(router: router, inner: block.inner, gate: .activation(block.activation))
    let rotary = settings.rotary(size: attention.headSize, base: 1e6)
    let windows = settings.windows()
    return settings.decoder { index in
      var attention = attention
      attention.window = windows[index]
      var layer = Decoder.Layer(attention: attention, feedForward: mixture, rotary: rotary)
      layer.feedForwardName = "block_sparse_moe"
      return layer
    }
  }
}
