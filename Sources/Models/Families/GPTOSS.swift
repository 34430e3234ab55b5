// gpt-oss: OpenAI (2025), arXiv:2508.10925.

internal import Core
internal import Networks

extension ModelFamily {
  static let gptOSS = ModelFamily(
    types: ["gpt_oss"], experts: ExpertNames(layout: .interleaved)
  ) { settings in
    settings.fill([
      "num_local_experts": 128, "num_experts_per_tok": 4, "sliding_window": 128,
      "head_dim": 64, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
    ])
    if settings.object["rope_parameters"] == nil && settings.object["rope_scaling"] == nil {
      settings.report("'rope_scaling' is missing.")
    }
    var attention = settings.selfAttention()
    attention.hasSinks = true
    attention.inputBias = settings.flag("attention_bias", default: true)
    attention.outputBias = attention.inputBias
    let windows = settings.windows { $0 % 2 == 0 }
    let rotary = settings.rotary(size: attention.headSize, base: 150_000)

    var router = settings.router(experts: "num_local_experts", scores: .softmaxOfChosen)
    router.hasBias = true
    var mixture = MixtureOfExperts(
      router: router, inner: settings.size("intermediate_size"),
      gate: .clamped(
        alpha: settings.number("swiglu_alpha", default: 1.702), limit: settings.number("swiglu_limit", default: 7)))
    mixture.routerName = "router"
    mixture.bias = true
    return settings.decoder { index in
      var attention = attention
      attention.window = windows[index]
      return Decoder.Layer(attention: attention, feedForward: mixture, rotary: rotary)
    }
  }
}
