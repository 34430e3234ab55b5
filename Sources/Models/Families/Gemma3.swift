// Gemma 3: Gemma Team (2025), arXiv:2503.19786: of six layers five with windows, which have a rotary base of their own, and
// norms of queries and keys. Of checkpoints that also see images, the text part is read.

internal import Core
internal import Networks

extension ModelFamily {
  static let gemma3 = ModelFamily(
    types: ["gemma3_text", "gemma3"],
    renamed: [
      ("language_model.lm_head.", "lm_head."), ("language_model.", ""), ("model.language_model.", "model."),
      ("vision_tower.", nil), ("model.vision_tower.", nil), ("multi_modal_projector.", nil),
      ("model.multi_modal_projector.", nil),
    ]
  ) { settings in
    if settings.object["model_type"] == "gemma3" {
      settings.descend(to: "text_config", shared: ["dtype", "torch_dtype"])
    }
    settings.fill([
      "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
      "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131_072,
      "sliding_window": 4096, "sliding_window_pattern": 6,
    ])
    // `attn_logit_softcapping` may stand in files, but the model has none.
    var attention = settings.gemmaAttention()
    attention.headNorm = SelfAttention.HeadNorm(
      epsilon: settings.number("rms_norm_eps", default: 1e-6), plusOne: settings.normPlusOne)
    let feedForward = settings.gatedFeedForward(activation: "hidden_activation")
    let pattern = settings.size("sliding_window_pattern")
    let isLocal: (Int) -> Bool = { ($0 + 1) % pattern != 0 }
    let (local, windows) = (settings.localLayers(isLocal), settings.windows(isLocal))
    let rotary = settings.rotary(size: attention.headSize, kind: "full_attention", base: 1_000_000)
    let localRotary = settings.localRotary(size: attention.headSize)
    return settings.gemma { index in
      attention.window = windows[index]
      return Decoder.Layer(
        attention: attention, feedForward: feedForward, rotary: local[index] ? localRotary : rotary)
    }
  }
}

extension ModelSettings {
  /// The rotary embedding of the layers with windows, which `rope_scaling` does not concern.
  fileprivate mutating func localRotary(size: Int) -> Decoder.Rotary {
    if object["rope_parameters"]?["sliding_attention"]?.object != nil {
      return rotary(size: size, kind: "sliding_attention")
    }
    return Decoder.Rotary(size: size, base: number("rope_local_base_freq", default: 10_000))
  }
}
