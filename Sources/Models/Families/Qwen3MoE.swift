// Qwen3-MoE: Yang et al. (2025), arXiv:2505.09388.

internal import Core
internal import Networks

extension ModelFamily {
  static let qwen3MoE = ModelFamily(types: ["qwen3_moe"], experts: ExpertNames()) { settings in
    settings.fill(["num_local_experts": 128, "num_experts_per_tok": 8])
    var attention = settings.selfAttention()
    attention.inputBias = settings.flag("attention_bias", default: false)
    attention.outputBias = attention.inputBias
    attention.headNorm = SelfAttention.HeadNorm(epsilon: settings.number("rms_norm_eps", default: 1e-6))
    let hasWindows = settings.flag("use_sliding_window", default: false)
    let windows = settings.windows { _ in hasWindows }

    let block = settings.gatedFeedForward()
    var router = settings.router(experts: "num_experts", "num_local_experts", scores: .softmax)
    router.normalizes = settings.flag("norm_topk_prob", default: false)
    let mixture = MixtureOfExperts(
      router: router, inner: settings.size("moe_intermediate_size", default: 768), gate: .activation(block.activation))
    let step = settings.size("decoder_sparse_step", default: 1)
    let dense = settings.layerNumbers("mlp_only_layers")

    let rotary = settings.rotary(size: attention.headSize)
    return settings.decoder { index in
      var attention = attention
      attention.window = windows[index]
      let isMixture = !dense.contains(index) && (index + 1) % step == 0
      return Decoder.Layer(attention: attention, feedForward: isMixture ? mixture : block, rotary: rotary)
    }
  }
}
