// Llama and Qwen3 as `LlamaForCausalLM` and `Qwen3ForCausalLM` have them: our names are theirs. They differ in the norms of
// queries and keys, which Qwen3 has, and in where biases are allowed.

internal import Core
internal import Networks

extension ExportLayout {
  static let llama = ExportLayout(
    type: "llama", architecture: "LlamaForCausalLM",
    settings: { configuration in
      var result = rotarySettings(configuration)
      result["attention_bias"] = .bool(configuration.biases)
      result["mlp_bias"] = .bool(configuration.biases)
      return result
    },
    obstacles: { c in
      rotaryObstacles(c, of: "Llama")
        + (c.qkNorm ? ["Llama has no norms of queries and keys; set qkNorm to false."] : [])
    },
    tensors: underOurNames)

  static let qwen3 = ExportLayout(
    type: "qwen3", architecture: "Qwen3ForCausalLM",
    settings: { configuration in
      var result = rotarySettings(configuration)
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
    tensors: underOurNames)

  private static func rotarySettings(_ configuration: GPTConfiguration) -> JSONObject {
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
