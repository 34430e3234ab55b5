// Gemma 2: Gemma Team (2024), arXiv:2408.00118: norms before and after each block, whose weights are stored less one, windows
// in every other layer, scores and logits bounded by tanh.

internal import Core
internal import Networks
internal import Tensors

extension ModelFamily {
  static let gemma2 = ModelFamily(types: ["gemma2"]) { settings in
    settings.fill([
      "head_dim": 256, "num_key_value_heads": 4, "sliding_window": 4096, "attn_logit_softcapping": 50,
      "final_logit_softcapping": 30,
    ])
    var attention = settings.gemmaAttention()
    attention.softcap = settings.optionalNumber("attn_logit_softcapping")
    let feedForward = settings.gatedFeedForward(activation: "hidden_activation")
    let rotary = settings.rotary(size: attention.headSize)
    let windows = settings.windows { $0 % 2 == 0 }
    return settings.gemma { index in
      attention.window = windows[index]
      return Decoder.Layer(attention: attention, feedForward: feedForward, rotary: rotary)
    }
  }
}

extension ModelSettings {
  /// What the attention of all layers of Gemma's models has in common.
  mutating func gemmaAttention() -> SelfAttention {
    fill(["query_pre_attn_scalar": 256, "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": true])
    requires("use_bidirectional_attention", false)
    var result = selfAttention()
    let scalar = number("query_pre_attn_scalar", default: 256)
    if scalar <= 0 { report("'query_pre_attn_scalar' must be positive, not \(scalar).") }
    result.scale = 1 / scalar.squareRoot()
    result.inputBias = flag("attention_bias", default: false)
    result.outputBias = result.inputBias
    return result
  }

  /// Whether norms' weights are stored less one; llama.cpp's files have them as they are.
  var normPlusOne: Bool { object["norm_plus_one"]?.bool ?? true }

  /// A decoder with what Gemma's models have around their layers.
  mutating func gemma(_ layer: (Int) -> Decoder.Layer) -> Decoder {
    var result = decoder(layer)
    result.norm = .rms(plusOne: normPlusOne)
    result.sandwichNorms = true
    // The factor was rounded to the weights' type when the models were trained.
    let scale = Double(result.width).squareRoot()
    result.embeddingScale = dtype == "bfloat16" ? Double(Float(bfloat16: Float(scale).bfloat16)) : scale
    result.logitSoftcap = optionalNumber("final_logit_softcapping")
    return result
  }
}
