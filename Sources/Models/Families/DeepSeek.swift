// DeepSeek V2 and V3 (and R1, whose architecture is V3's): arXiv:2405.04434, arXiv:2412.19437.

internal import Core
internal import Networks

extension ModelFamily {
  static let deepSeekV2 = ModelFamily(
    types: ["deepseek_v2"], ignored: [".rotary_emb.inv_freq"], experts: ExpertNames()
  ) { settings in
    settings.fill(["n_routed_experts": 64, "n_shared_experts": 2, "q_lora_rank": 1536])
    var router = settings.router(experts: "n_routed_experts", scores: .softmax)
    router.scale = settings.number("routed_scaling_factor", default: 1)
    settings.requires("norm_topk_prob", false)
    _ = settings.choice("scoring_func", [("softmax", true)])
    let isGrouped = settings.choice("topk_method", [("greedy", false), ("group_limited_greedy", true)])
    if isGrouped { router.groups = settings.groups(router, rank: .best) }
    let bias = settings.flag("mlp_bias", default: false)
    return settings.deepSeek(router, interleaved: true, feedForwardBias: bias, firstDense: 0)
  }

  static let deepSeekV3: ModelFamily = {
    var family = ModelFamily(
      types: ["deepseek_v3"], ignored: [".rotary_emb.inv_freq"], experts: ExpertNames(), read: readVersion3)
    // Layers behind the last predict the token after the next.
    family.isExtra = { model, name in
      let parts = name.split(separator: ".")
      return name.hasPrefix("model.layers.") && Int(parts[2]).map { $0 >= (model as! Decoder).layers.count } ?? false
    }
    return family
  }()

  private static func readVersion3(_ settings: inout ModelSettings) -> any LanguageModel {
    settings.fill([
      "n_routed_experts": 256, "n_shared_experts": 1, "q_lora_rank": 1536,
      "num_experts_per_tok": 8, "n_group": 8, "topk_group": 4,
    ])
    var router = settings.router(experts: "n_routed_experts", scores: .sigmoid)
    router.hasCorrection = true
    router.normalizes = settings.flag("norm_topk_prob", default: true)
    router.scale = settings.number("routed_scaling_factor", default: 2.5)
    _ = settings.choice("scoring_func", [("sigmoid", true)])
    _ = settings.choice("topk_method", [("noaux_tc", true)])
    router.groups = settings.groups(router, rank: .bestTwo)
    let interleaved = settings.flag("rope_interleave", default: true)
    return settings.deepSeek(router, interleaved: interleaved, feedForwardBias: false, firstDense: 3)
  }
}

extension ModelSettings {
  /// What both versions have in common.
  ///
  /// - Parameter firstDense: how many layers have no experts, where the file does not say.
  fileprivate mutating func deepSeek(
    _ router: Router, interleaved: Bool, feedForwardBias: Bool, firstDense: Int
  ) -> Decoder {
    if let step = object["moe_layer_freq"], step != 1 {
      report("'moe_layer_freq' is \(step.json), but only 1 is supported.")
    }
    var attention = LatentAttention(
      heads: size("num_attention_heads"),
      queryLatent: object["q_lora_rank"] == .null ? nil : size("q_lora_rank"),
      latent: size("kv_lora_rank", default: 512), plain: size("qk_nope_head_dim", default: 128),
      rotated: size("qk_rope_head_dim", default: 64), value: size("v_head_dim", default: 128))
    attention.bias = flag("attention_bias", default: false)
    var rotary = rotary(size: attention.rotated)
    rotary.interleaved = interleaved
    attention.scale *= attentionScale(rotary)

    var block = gatedFeedForward()
    block.bias = feedForwardBias
    let inner = size("moe_intermediate_size")
    var mixture = MixtureOfExperts(router: router, inner: inner, gate: .activation(block.activation))
    var shared = block
    shared.inner = inner * size("n_shared_experts")
    mixture.shared = shared
    let dense = object["first_k_dense_replace"] == nil ? firstDense : count("first_k_dense_replace")
    return decoder { index in
      Decoder.Layer(attention: attention, feedForward: index < dense ? block : mixture, rotary: rotary)
    }
  }

  /// YaRN as DeepSeek has it scales scores, too: by the square of its factor for `mscale_all_dim`.
  private func attentionScale(_ rotary: Decoder.Rotary) -> Double {
    let parameters = object["rope_parameters"]?.object ?? object["rope_scaling"]?.object
    guard case .yarn(let yarn) = rotary.scaling, let all = parameters?["mscale_all_dim"]?.double, all != 0 else {
      return 1
    }
    let factor = RotaryScaling.YaRN.attentionFactor(yarn.factor, scale: all)
    return factor * factor
  }

  fileprivate mutating func groups(_ router: Router, rank: Router.Groups.Rank) -> Router.Groups {
    let (count, chosen) = (size("n_group"), size("topk_group"))
    let each = router.experts / count
    if router.experts % count != 0 || chosen > count || chosen * each < router.chosen || rank == .bestTwo && each < 2 {
      report(
        "\(router.experts) experts in 'n_group' = \(count) groups, with 'topk_group' = \(chosen) of them to choose "
          + "\(router.chosen) experts from, cannot be.")
      return Router.Groups(count: 1, chosen: 1, rank: .best)
    }
    return Router.Groups(count: count, chosen: chosen, rank: rank)
  }
}
