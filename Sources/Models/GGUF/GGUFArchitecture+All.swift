// The architectures of GGUF files that are known. The list is `GGUFArchitecture.all` and nothing else.
//
// Facts: gguf-py/gguf/{constants,tensor_mapping}.py, conversion and src/models of llama.cpp.

internal import Core
internal import Formats

extension GGUFArchitecture {
  package static let all = [
    llama, qwen2, qwen3, qwen3MoE, gemma2, gemma3, phi3, deepSeek2, gptOSS, gpt2, bert, modernBERT,
  ]

  // MARK: Common parts

  /// Sizes under the names that most families have for them.
  private static let sizes: [Setting] = [
    .size("vocab_size", "vocab_size"), .size("context_length", "max_position_embeddings"),
    .size("embedding_length", "hidden_size"), .size("block_count", "num_hidden_layers"),
    .size("feed_forward_length", "intermediate_size"), .size("attention.head_count", "num_attention_heads"),
  ]
  private static let latentDecoder =
    sizes + [.number("attention.layer_norm_rms_epsilon", "rms_norm_eps", default: 1e-6)]
  private static let decoder =
    latentDecoder + [
      .size("attention.head_count_kv", "num_key_value_heads"), .size("attention.key_length", "head_dim"),
      .size("attention.value_length", "head_dim"),
    ]
  private static let window = Setting.size("attention.sliding_window", "sliding_window")
  private static let logitCap = Setting.number("final_logit_softcapping", "final_logit_softcapping")
  private static let expertSize = Setting.size("expert_feed_forward_length", "moe_intermediate_size")

  private static func experts(_ count: String) -> [Setting] {
    [.size("expert_count", count, or: "num_local_experts"), .size("expert_used_count", "num_experts_per_tok")]
  }

  /// What every decoder has around its blocks.
  private static func frame(norms: Form = .same) -> [TensorRule] {
    [
      TensorRule("token_embd", "model.embed_tokens"), TensorRule("output_norm", "model.norm", norms),
      TensorRule("output", "lm_head"), TensorRule("blk.#.attn_norm", "model.layers.#.input_layernorm", norms),
      TensorRule("blk.#.attn_output", "model.layers.#.self_attn.o_proj"),
    ]
  }

  private static func attention(_ queries: Form = .same, _ keys: Form = .same) -> [TensorRule] {
    let maps = [("q", queries), ("k", keys), ("v", .same)]
    return maps.map { TensorRule("blk.#.attn_\($0.0)", "model.layers.#.self_attn.\($0.0)_proj", $0.1) }
  }

  private static func headNorms(_ form: Form = .same) -> [TensorRule] {
    ["q_norm", "k_norm"].map { TensorRule("blk.#.attn_\($0)", "model.layers.#.self_attn.\($0)", form) }
  }

  private static let feedForwardNorm = TensorRule("blk.#.ffn_norm", "model.layers.#.post_attention_layernorm")

  /// - Parameter kind: behind the names of a GGUF file.
  private static func gated(_ place: String = "mlp", kind: String = "") -> [TensorRule] {
    ["gate", "up", "down"].map { TensorRule("blk.#.ffn_\($0)\(kind)", "model.layers.#.\(place).\($0)_proj") }
  }

  /// A router and the maps of its experts.
  private static func mixture(
    _ place: String = "mlp", gate: String = "gate_proj", up: String = "up_proj", down: String = "down_proj"
  ) -> [TensorRule] {
    let block = "model.layers.#.\(place)"
    return [TensorRule("blk.#.ffn_gate_inp", block + ".gate")]
      + [("gate", gate), ("up", up), ("down", down)].map { map, file in
        TensorRule(
          "blk.#.ffn_\(map)_exps", "\(block).experts.\(map)_proj", .experts(each: "\(block).experts.#.\(file)"))
      }
  }

  private static let silu = Constant("hidden_act", "silu")
  private static let noBias = Constant("attention_bias", false)
  private static let noWindow = Constant("use_sliding_window", false)

  // MARK: Llama and what was made of it

  private static let llama = GGUFArchitecture(
    name: "llama",
    types: [("llama", "LlamaForCausalLM"), ("mistral", "MistralForCausalLM"), ("mixtral", "MixtralForCausalLM")],
    settings: decoder + experts("num_local_experts") + [window],
    tensors: frame() + attention(.queryRows, .keyRows) + [feedForwardNorm] + gated()
      + mixture("block_sparse_moe", gate: "w1", up: "w3", down: "w2"),
    constants: [silu],
    read: { config, metadata in
      if config["num_local_experts"]?.integer ?? 0 > 0 {
        config["model_type"] = "mixtral"
      } else {
        if config["sliding_window"] != .null { config["model_type"] = "mistral" }
        config["attention_bias"] = .bool(metadata.has("blk.0.attn_q.bias"))
        config["mlp_bias"] = .bool(metadata.has("blk.0.ffn_gate.bias"))
      }
    })

  private static let qwen2 = GGUFArchitecture(
    name: "qwen2", types: [("qwen2", "Qwen2ForCausalLM")], settings: decoder,
    tensors: frame() + attention() + [feedForwardNorm] + gated(), constants: [silu, noWindow])

  private static let qwen3 = GGUFArchitecture(
    name: "qwen3", types: [("qwen3", "Qwen3ForCausalLM")], settings: decoder,
    tensors: frame() + attention() + headNorms() + [feedForwardNorm] + gated(), constants: [silu, noWindow, noBias])

  private static let qwen3MoE = GGUFArchitecture(
    name: "qwen3moe", types: [("qwen3_moe", "Qwen3MoeForCausalLM")],
    settings: decoder + experts("num_experts") + [expertSize],
    tensors: frame() + attention() + headNorms() + [feedForwardNorm] + mixture(),
    constants: [
      silu, noWindow, noBias, Constant("norm_topk_prob", true, default: false), Constant("decoder_sparse_step", 1),
      Constant("mlp_only_layers", []),
    ])

  private static let phi3 = GGUFArchitecture(
    name: "phi3", types: [("phi3", "Phi3ForCausalLM")], settings: decoder + [window],
    tensors: frame() + [
      TensorRule("blk.#.attn_qkv", "model.layers.#.self_attn.qkv_proj"), feedForwardNorm,
      TensorRule("blk.#.ffn_up", "model.layers.#.mlp.gate_up_proj"),
      TensorRule("blk.#.ffn_down", "model.layers.#.mlp.down_proj"),
    ],
    constants: [silu],
    read: { config, metadata in
      config["original_max_position_embeddings"] =
        metadata["rope.scaling.original_context_length"] ?? config["max_position_embeddings"]
    },
    write: { config, metadata in
      // 0 tells Phi-4 from older files, for which llama.cpp takes a window for granted.
      if metadata.size("attention.sliding_window") == nil { metadata.add("attention.sliding_window", .uint32(0)) }
    })

  // MARK: Gemma

  /// Norms before and after each block.
  private static let sandwich =
    frame(norms: .plusOne) + attention() + gated() + [
      TensorRule("blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm", .plusOne),
      TensorRule("blk.#.ffn_norm", "model.layers.#.pre_feedforward_layernorm", .plusOne),
      TensorRule("blk.#.post_ffw_norm", "model.layers.#.post_feedforward_layernorm", .plusOne),
    ]
  private static let gemmaConstants = [
    Constant("hidden_activation", "gelu_pytorch_tanh"), noBias, Constant("tie_word_embeddings", true),
  ]

  /// ggml divides queries by the root of the head's size, but in the largest model by that of the width over the heads.
  private static func queryScalar(_ config: JSONObject, largest: Int) -> JSONValue {
    let (width, heads) = (config["hidden_size"]?.integer ?? 1, config["num_attention_heads"]?.integer ?? 1)
    let share = JSONValue.integer(width / max(1, heads))
    return config["num_hidden_layers"]?.integer == largest ? share : config["head_dim"] ?? share
  }

  private static func checkQueryScalar(_ config: JSONObject, largest: Int, _ metadata: inout WrittenMetadata) {
    let expected = queryScalar(config, largest: largest)
    if let scalar = config["query_pre_attn_scalar"], scalar.double != expected.double {
      metadata.problems.append(
        "'query_pre_attn_scalar' is \(scalar.json), but GGUF files of this shape always mean \(expected.json).")
    }
  }

  private static let gemma2 = GGUFArchitecture(
    name: "gemma2", types: [("gemma2", "Gemma2ForCausalLM")],
    settings: decoder + [window, .number("attn_logit_softcapping", "attn_logit_softcapping"), logitCap],
    tensors: sandwich, constants: gemmaConstants, windowPattern: 2,
    read: { config, _ in config["query_pre_attn_scalar"] = queryScalar(config, largest: 46) },
    write: { checkQueryScalar($0, largest: 46, &$1) })

  private static let gemma3 = GGUFArchitecture(
    name: "gemma3", types: [("gemma3_text", "Gemma3ForCausalLM"), ("gemma3", "Gemma3ForCausalLM")],
    settings: decoder + [window, logitCap], tensors: sandwich + headNorms(.plusOne), constants: gemmaConstants,
    windowPattern: 6,
    read: { config, metadata in
      config["query_pre_attn_scalar"] = queryScalar(config, largest: 62)
      config["rope_local_base_freq"] = metadata["rope.freq_base_swa"] ?? .float(10_000)
      if metadata["rope.freq_base"] == nil { config["rope_theta"] = .float(1_000_000) }
    },
    write: { config, metadata in
      checkQueryScalar(config, largest: 62, &metadata)
      let local = config["rope_parameters"]?["sliding_attention"]?["rope_theta"] ?? config["rope_local_base_freq"]
      metadata.add("rope.freq_base_swa", .float32(Float(local?.double ?? 10_000)))
    })

  // MARK: Mixtures of another kind

  private static let deepSeek2 = GGUFArchitecture(
    name: "deepseek2", types: [("deepseek_v2", "DeepseekV2ForCausalLM"), ("deepseek_v3", "DeepseekV3ForCausalLM")],
    settings: latentDecoder + experts("n_routed_experts") + [
      expertSize, .size("expert_shared_count", "n_shared_experts"), .size("expert_group_count", "n_group"),
      .size("expert_group_used_count", "topk_group"), .number("expert_weights_scale", "routed_scaling_factor"),
      .flag("expert_weights_norm", "norm_topk_prob"), .size("leading_dense_block_count", "first_k_dense_replace"),
      .size("attention.q_lora_rank", "q_lora_rank"), .size("attention.kv_lora_rank", "kv_lora_rank"),
      .size("rope.dimension_count", "qk_rope_head_dim"), .size("attention.value_length_mla", "v_head_dim"),
    ],
    tensors: frame() + attention() + [
      TensorRule("blk.#.attn_q_a", "model.layers.#.self_attn.q_a_proj"),
      TensorRule("blk.#.attn_q_a_norm", "model.layers.#.self_attn.q_a_layernorm"),
      TensorRule("blk.#.attn_q_b", "model.layers.#.self_attn.q_b_proj"),
      TensorRule("blk.#.attn_kv_a_mqa", "model.layers.#.self_attn.kv_a_proj_with_mqa"),
      TensorRule("blk.#.attn_kv_a_norm", "model.layers.#.self_attn.kv_a_layernorm"),
      TensorRule("blk.#.attn_k_b", "model.layers.#.self_attn.kv_b_proj", .latentKeys),
      TensorRule("blk.#.attn_v_b", "model.layers.#.self_attn.kv_b_proj", .latentValues),
      TensorRule("blk.#.attn_kv_b", "model.layers.#.self_attn.kv_b_proj", .older), feedForwardNorm,
      TensorRule("blk.#.exp_probs_b", ending: ".bias", "model.layers.#.mlp.gate.e_score_correction_bias"),
    ] + gated() + gated("mlp.shared_experts", kind: "_shexp") + mixture(),
    constants: [
      silu, noBias, Constant("mlp_bias", false), Constant("moe_layer_freq", 1), Constant("rope_interleave", true),
    ],
    read: { config, metadata in
      let rotated = config["qk_rope_head_dim"]?.integer ?? 0
      // Files with unsplit maps say the sizes of heads under the names of others.
      let size = metadata["attention.key_length_mla"] ?? metadata["attention.key_length"]
      config["qk_nope_head_dim"] = size?.integer.map { .integer($0 &- rotated) }
      if config["v_head_dim"] == nil { config["v_head_dim"] = metadata["attention.value_length"] }
      config["head_dim"] = .integer(rotated)
      config["num_key_value_heads"] = config["num_attention_heads"]
      config["q_lora_rank"] = config["q_lora_rank"] ?? .null
      config["norm_topk_prob"] = config["norm_topk_prob"] ?? false
      // 2: sigmoid. Only these routers have a bias, by which they are told apart where nothing is said.
      if metadata["expert_gating_func"]?.integer == 2 || metadata.hasSuffix("exp_probs_b.bias") {
        config["model_type"] = "deepseek_v3"
        (config["scoring_func"], config["topk_method"]) = ("sigmoid", "noaux_tc")
      } else {
        config["scoring_func"] = "softmax"
        config["topk_method"] = config["n_group"] == nil ? "greedy" : "group_limited_greedy"
      }
    },
    write: { config, metadata in
      // The versions mean different things without these.
      for name in ["norm_topk_prob", "routed_scaling_factor", "first_k_dense_replace"] where config[name] == nil {
        metadata.problems.append("'\(name)' is missing.")
      }
      let isSigmoid = config["model_type"] == "deepseek_v3"
      metadata.add("expert_gating_func", .uint32(isSigmoid ? 2 : 1))
      // What stands in caches is one key head of latents and a rotated part.
      let latent = metadata.size("attention.kv_lora_rank") ?? 0
      let rotated = metadata.size("rope.dimension_count") ?? 0
      let plain = config["qk_nope_head_dim"]?.integer ?? 0
      metadata.add("attention.head_count_kv", .uint32(1))
      metadata.add("attention.key_length", .uint32(UInt32(clamping: latent + rotated)))
      metadata.add("attention.value_length", .uint32(UInt32(clamping: latent)))
      metadata.add("attention.key_length_mla", .uint32(UInt32(clamping: plain + rotated)))
    })

  private static let gptOSS = GGUFArchitecture(
    name: "gpt-oss", types: [("gpt_oss", "GptOssForCausalLM")],
    settings: decoder + experts("num_local_experts") + [
      window, .size("expert_feed_forward_length", "intermediate_size"),
    ],
    tensors: frame() + attention() + [
      TensorRule("blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm"),
      TensorRule("blk.#.attn_sinks", ending: ".weight", "model.layers.#.self_attn.sinks"),
      TensorRule("blk.#.ffn_gate_inp", "model.layers.#.mlp.router"),
    ]
      + [("gate", "gate_up", 0, 2), ("up", "gate_up", 1, 2), ("down", "down", 0, 1)].map { map, file, first, step in
        let experts = "model.layers.#.mlp.experts"
        return TensorRule(
          "blk.#.ffn_\(map)_exps", "\(experts).\(map)_proj", .fused(in: "\(experts).\(file)_proj", first, of: step))
      },
    constants: [
      silu, Constant("attention_bias", true), Constant("swiglu_alpha", 1.702), Constant("swiglu_limit", .float(7)),
      Constant("tie_word_embeddings", false),
    ],
    windowPattern: 2,
    // Its family takes no file for whole that says nothing of the rotary embedding.
    read: { config, _ in config["rope_scaling"] = config["rope_scaling"] ?? ["rope_type": "default"] })

  private static let gpt2 = GGUFArchitecture(
    name: "gpt2", types: [("gpt2", "GPT2LMHeadModel")],
    settings: [
      .size("vocab_size", "vocab_size"), .size("context_length", "n_positions"), .size("embedding_length", "n_embd"),
      .size("block_count", "n_layer"), .size("feed_forward_length", "n_inner"), .size("attention.head_count", "n_head"),
      .number("attention.layer_norm_epsilon", "layer_norm_epsilon", default: 1e-5),
    ],
    tensors: [
      TensorRule("token_embd", "transformer.wte"), TensorRule("position_embd", "transformer.wpe"),
      TensorRule("output_norm", "transformer.ln_f"), TensorRule("output", "lm_head"),
      TensorRule("blk.#.attn_norm", "transformer.h.#.ln_1"), TensorRule("blk.#.ffn_norm", "transformer.h.#.ln_2"),
      TensorRule("blk.#.attn_qkv", "transformer.h.#.attn.c_attn", .transposed),
      TensorRule("blk.#.attn_output", "transformer.h.#.attn.c_proj", .transposed),
      TensorRule("blk.#.ffn_up", "transformer.h.#.mlp.c_fc", .transposed),
      TensorRule("blk.#.ffn_down", "transformer.h.#.mlp.c_proj", .transposed),
    ],
    constants: [
      Constant("activation_function", "gelu_new"), Constant("scale_attn_by_inverse_layer_idx", false),
      Constant("scale_attn_weights", true),
    ],
    isRotary: false,
    write: { config, metadata in
      guard metadata.size("feed_forward_length") == nil, let width = metadata.size("embedding_length") else { return }
      metadata.add("feed_forward_length", .uint32(UInt32(clamping: 4 * width)))
    })

  // MARK: Encoders

  private static let bert = GGUFArchitecture(
    name: "bert", types: [("bert", "BertModel")],
    settings: sizes + [.number("attention.layer_norm_epsilon", "layer_norm_eps", default: 1e-12)],
    tensors: [
      TensorRule("token_embd", "bert.embeddings.word_embeddings"),
      TensorRule("position_embd", "bert.embeddings.position_embeddings"),
      TensorRule("token_types", "bert.embeddings.token_type_embeddings"),
      TensorRule("token_embd_norm", "bert.embeddings.LayerNorm"),
    ]
      + [
        ("attn_q", "attention.self.query"), ("attn_k", "attention.self.key"), ("attn_v", "attention.self.value"),
        ("attn_output", "attention.output.dense"), ("attn_output_norm", "attention.output.LayerNorm"),
        ("ffn_up", "intermediate.dense"), ("ffn_down", "output.dense"), ("layer_output_norm", "output.LayerNorm"),
      ].map { TensorRule("blk.#." + $0, "bert.encoder.layer.#." + $1) },
    constants: [Constant("hidden_act", "gelu"), Constant("position_embedding_type", "absolute")],
    isRotary: false,
    read: { config, metadata in
      config["type_vocab_size"] = metadata.rows("token_types.weight").map { .integer($0) }
    },
    write: { config, metadata in
      metadata.add("attention.causal", .bool(false))
      let types = UInt32(clamping: config["type_vocab_size"]?.integer ?? 2)
      metadata.values.append(("tokenizer.ggml.token_type_count", .uint32(types)))
    })

  private static let modernBERT = GGUFArchitecture(
    name: "modern-bert", types: [("modernbert", "ModernBertModel")],
    settings: sizes + [
      .number("attention.layer_norm_epsilon", "norm_eps", default: 1e-5),
      .size("attention.sliding_window", "local_attention"),
      .size("attention.sliding_window_pattern", "global_attn_every_n_layers"),
    ],
    tensors: [
      TensorRule("token_embd", "model.embeddings.tok_embeddings"),
      TensorRule("token_embd_norm", "model.embeddings.norm"), TensorRule("output_norm", "model.final_norm"),
    ]
      + [
        ("attn_norm", "attn_norm"), ("attn_qkv", "attn.Wqkv"), ("attn_output", "attn.Wo"), ("ffn_norm", "mlp_norm"),
        ("ffn_up", "mlp.Wi"), ("ffn_down", "mlp.Wo"),
      ].map { TensorRule("blk.#." + $0, "model.layers.#." + $1) },
    constants: [
      Constant("hidden_activation", "gelu"), Constant("norm_bias", false), noBias, Constant("mlp_bias", false),
    ],
    isRotary: false,
    read: { config, metadata in
      config["global_rope_theta"] = metadata["rope.freq_base"]
      config["local_rope_theta"] = metadata["rope.freq_base_swa"] ?? metadata["rope.freq_base"]
    },
    write: { config, metadata in
      metadata.add("attention.causal", .bool(false))
      let rotary = config["rope_parameters"]
      let base = rotary?["full_attention"]?["rope_theta"] ?? config["global_rope_theta"]
      let local = rotary?["sliding_attention"]?["rope_theta"] ?? config["local_rope_theta"]
      metadata.add("rope.freq_base", .float32(Float(base?.double ?? 160_000)))
      metadata.add("rope.freq_base_swa", .float32(Float(local?.double ?? 10_000)))
      let count = metadata.size("block_count") ?? 0
      let every = metadata.size("attention.sliding_window_pattern") ?? 3
      let usual = (0..<count).map { JSONValue.string($0 % every == 0 ? "full_attention" : "sliding_attention") }
      if let kinds = config["layer_types"]?.array, kinds != usual {
        metadata.problems.append("'layer_types' is not every \(every)th layer from the first, as GGUF files mean it.")
      }
    })
}
