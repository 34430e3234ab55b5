// Llama and Qwen3 as `LlamaForCausalLM` and `Qwen3ForCausalLM` have them: our names are theirs. They differ in the norms of
// queries and keys, which Qwen3 has, and in where biases are allowed.

internal import Core
internal import Networks

extension ModelLayout {
  static let llama = ModelLayout(
    type: "llama", architecture: "LlamaForCausalLM", prefix: "model.", buffers: [".rotary_emb.inv_freq"],
    read: { settings in
      var result = readRotaryModel(&settings)
      result.qkNorm = false
      result.biases = settings.flag("attention_bias", default: false)
      if settings.flag("mlp_bias", default: false) != result.biases {
        settings.report("'attention_bias' and 'mlp_bias' differ, but only both or neither is supported.")
      }
      return result
    },
    write: { configuration in
      var result = writeRotaryModel(configuration)
      result["attention_bias"] = .bool(configuration.biases)
      result["mlp_bias"] = .bool(configuration.biases)
      return result
    },
    obstacles: { c in
      rotaryObstacles(c, of: "Llama")
        + (c.qkNorm ? ["Llama has no norms of queries and keys; set qkNorm to false."] : [])
    },
    tensors: { _, parameters in parameters.map { StoredTensor(name: $0.name, parameters: [$0]) } })

  static let qwen3 = ModelLayout(
    type: "qwen3", architecture: "Qwen3ForCausalLM", prefix: "model.",
    read: { settings in
      var result = readRotaryModel(&settings)
      result.qkNorm = true
      settings.requires("attention_bias", false)
      settings.requires("use_sliding_window", false)
      return result
    },
    write: { configuration in
      var result = writeRotaryModel(configuration)
      result["attention_bias"] = false
      result["use_sliding_window"] = false
      result["sliding_window"] = .null
      return result
    },
    obstacles: { c in
      rotaryObstacles(c, of: "Qwen3")
        + (c.qkNorm ? [] : ["Qwen3 norms queries and keys; set qkNorm to true."])
        + (c.biases ? ["Qwen3 has no biases; set biases to false."] : [])
    },
    tensors: { _, parameters in parameters.map { StoredTensor(name: $0.name, parameters: [$0]) } })

  private static func readRotaryModel(_ settings: inout ModelSettings) -> GPTConfiguration {
    var result = GPTConfiguration()
    result.vocabulary = settings.size("vocab_size")
    result.context = settings.size("max_position_embeddings")
    result.layers = settings.size("num_hidden_layers")
    result.width = settings.size("hidden_size")
    result.heads = settings.size("num_attention_heads")
    result.kvHeads = settings.size("num_key_value_heads", default: result.heads)
    result.headSize = settings.size("head_dim", default: max(1, result.width / result.heads))
    result.mlpWidth = settings.size("intermediate_size")
    result.activation = settings.choice("hidden_act", [("silu", .swiGLU)])
    result.epsilon = settings.number("rms_norm_eps", default: 1e-6)
    result.tiedHead = settings.flag("tie_word_embeddings", default: false)
    result.initialDeviation = settings.number("initializer_range", default: 0.02)
    result.rotaryBase = readRotaryBase(&settings)
    if let kinds = settings.object["layer_types"]?.array, kinds.contains(where: { $0 != "full_attention" }) {
      settings.report("'layer_types' has others than \"full_attention\", which alone is supported.")
    }
    return result
  }

  /// `rope_theta` beside the other settings as `transformers` 4 writes it, or in `rope_parameters` as 5 does.
  private static func readRotaryBase(_ settings: inout ModelSettings) -> Double {
    let scaling = settings.object["rope_scaling"]?.object ?? JSONObject()
    var parameters = ModelSettings(settings.object["rope_parameters"]?.object ?? scaling)
    for key in ["rope_type", "type"] {
      if let kind = parameters.object[key], kind != .null, kind != "default" {
        settings.report("rotary embedding of type \(kind.json) is not supported, only \"default\".")
      }
    }
    let base = parameters.number("rope_theta", default: settings.number("rope_theta", default: 10000))
    for problem in parameters.problems { settings.report(problem) }
    return base
  }

  private static func writeRotaryModel(_ configuration: GPTConfiguration) -> JSONObject {
    let rotary = JSONObject([("rope_type", "default"), ("rope_theta", .real(configuration.rotaryBase))])
    return JSONObject([
      ("vocab_size", .integer(configuration.vocabulary)),
      ("max_position_embeddings", .integer(configuration.context)),
      ("num_hidden_layers", .integer(configuration.layers)),
      ("hidden_size", .integer(configuration.width)),
      ("num_attention_heads", .integer(configuration.heads)),
      ("num_key_value_heads", .integer(configuration.kvHeads)),
      ("head_dim", .integer(configuration.headSize)),
      ("intermediate_size", .integer(configuration.mlpWidth)),
      ("hidden_act", "silu"),
      ("rms_norm_eps", .real(configuration.epsilon)),
      ("rope_theta", .real(configuration.rotaryBase)),
      ("rope_parameters", .object(rotary)),
      ("initializer_range", .real(configuration.initialDeviation)),
      ("attention_dropout", 0),
      ("tie_word_embeddings", .bool(configuration.tiedHead)),
    ])
  }

  private static func rotaryObstacles(_ c: GPTConfiguration, of model: String) -> [String] {
    [
      c.positions == .rotary ? nil : "\(model) has rotary positions; set positions to rotary.",
      c.norm == .rms ? nil : "\(model) has RMS norms; set norm to rms.",
      c.activation == .swiGLU ? nil : "\(model) has no \(c.activation.rawValue); set activation to swiGLU.",
    ].compactMap(\.self) + softcapObstacles(c, of: model)
  }
}
