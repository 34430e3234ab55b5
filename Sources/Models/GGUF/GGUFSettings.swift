// The settings of a GGUF file's metadata under the names of config.json, so that one piece of code reads both.
//
// Invariant: a table of keys for each architecture; what is no plain key (rotary embedding, what
// llama.cpp knows of an architecture without writing it down) stands below it. Facts: gguf-py/gguf/constants.py and
// src/models of llama.cpp.

package import Core
package import Formats

/// The settings of one architecture.
package struct GGUFSettings: Sendable {
  let architecture: String
  /// `model_type` of config.json.
  let type: String
  /// Keys of the metadata without the architecture in front, and those of config.json.
  let keys: [(gguf: String, huggingFace: String)]
  /// What config.json says of all models of this architecture.
  let constants: KeyValuePairs<String, JSONValue>

  private init(
    _ architecture: String, type: String? = nil, _ tables: [KeyValuePairs<String, String>],
    constants: KeyValuePairs<String, JSONValue> = [:]
  ) {
    self.architecture = architecture
    self.type = type ?? architecture
    keys = tables.joined().map { ($0.key, $0.value) }
    self.constants = constants
  }

  /// By what stands in `general.architecture`. Llama's name also stands for Mistral and Mixtral.
  static let all: [GGUFSettings] = [
    GGUFSettings("llama", [Keys.decoder]),
    GGUFSettings(
      "llama", type: "mixtral", [Keys.decoder, ["expert_count": "num_local_experts"], Keys.experts],
      constants: ["sliding_window": nil]),
    GGUFSettings("qwen2", [Keys.decoder], constants: ["use_sliding_window": false]),
    GGUFSettings("qwen3", [Keys.decoder], constants: ["use_sliding_window": false]),
    GGUFSettings(
      "qwen3moe", type: "qwen3_moe", [Keys.decoder, Keys.qwenExperts, Keys.experts],
      constants: ["use_sliding_window": false, "norm_topk_prob": true]),
    GGUFSettings("gemma2", [Keys.decoder, Keys.window, Keys.softcaps], constants: ["norm_plus_one": false]),
    GGUFSettings(
      "gemma3", type: "gemma3_text", [Keys.decoder, Keys.window, Keys.softcaps], constants: ["norm_plus_one": false]),
    GGUFSettings("phi3", [Keys.decoder, Keys.window]),
    GGUFSettings("gpt2", [Keys.gpt2]),
    GGUFSettings("deepseek2", type: "deepseek_v3", [Keys.decoder, Keys.experts, Keys.deepSeek]),
    GGUFSettings(
      "gpt-oss", type: "gpt_oss", [Keys.decoder, Keys.window, ["expert_count": "num_local_experts"], Keys.experts]),
    GGUFSettings("bert", [Keys.bert]),
  ]

  /// config.json as it would be for a file.
  ///
  /// - Throws: `ModelError` if the architecture is not known.
  package static func settings(of file: GGUFFile) throws(ModelError) -> JSONObject {
    guard let architecture = file.metadata["general.architecture"]?.string else {
      throw ModelError(.badConfiguration, "'\(file.path)' does not say its architecture (general.architecture).")
    }
    let candidates = all.filter { $0.architecture == architecture }
    let hasExperts = (file.metadata["\(architecture).expert_count"]?.integer ?? 0) > 0
    guard let found = hasExperts ? candidates.last : candidates.first else {
      let known = Set(all.map(\.architecture)).sorted().joined(separator: ", ")
      throw ModelError(
        .unknownType,
        "The architecture '\(architecture)' of '\(file.path)' is not known. Known are: \(known). To add it, see the "
          + "documentation, \"Adding a model\".")
    }
    return found.read(file)
  }

  private func read(_ file: GGUFFile) -> JSONObject {
    let metadata = GGUFMetadata(file: file, architecture: architecture)
    var result = JSONObject([("model_type", .string(type))])
    for (key, value) in constants { result[key] = value }
    for (key, name) in keys {
      if let value = metadata[key] { result[name] = value }
    }
    if let rows = file.tensor("token_embd.weight")?.shape.first { result["vocab_size"] = .integer(rows) }
    result["tie_word_embeddings"] = .bool(file.tensor("output.weight") == nil)
    func token(_ name: String) -> JSONValue? {
      file.metadata["tokenizer.ggml.\(name)_token_id"]?.integer.map { .integer($0) }
    }
    if let begin = token("bos") { result["bos_token_id"] = begin }
    // The ends of a text, of a turn and of a message.
    let ends = ["eos", "eot", "eom"].compactMap(token)
    if !ends.isEmpty { result["eos_token_id"] = .array(ends) }
    if file.tensor("token_embd.weight") != nil, result["hidden_size"] != nil { complete(&result, metadata) }
    return result
  }

  /// What is no plain key.
  private func complete(_ result: inout JSONObject, _ metadata: GGUFMetadata) {
    let (heads, width) = (result["num_attention_heads"]?.integer ?? 1, result["hidden_size"]?.integer ?? 1)
    if let rope = metadata.rotary(headSize: result["head_dim"]?.integer ?? width / max(1, heads)) {
      result["rope_parameters"] = .object(rope)
    }
    switch architecture {
    case "llama":
      // Rows of queries and keys stand so that neighbours are rotated.
      result["rope_interleaved"] = true
      result["attention_bias"] = .bool(metadata.has("blk.0.attn_q.bias"))
      result["mlp_bias"] = .bool(metadata.has("blk.0.ffn_gate.bias"))
    case "qwen3": result["attention_bias"] = .bool(metadata.has("blk.0.attn_q.bias"))
    case "gemma2", "gemma3":
      // The largest model of each divides by the width of a head's share, the others by the size of a head.
      let largest = architecture == "gemma2" ? 46 : 62
      let isLargest = result["num_hidden_layers"]?.integer == largest
      result["query_pre_attn_scalar"] = isLargest ? .integer(width / max(1, heads)) : result["head_dim"]
      if architecture == "gemma3" { completeGemma3(&result, metadata) }
    case "phi3":
      if result["sliding_window"]?.integer == 0 { result["sliding_window"] = .null }
      if let original = metadata["rope.scaling.original_context_length"] {
        result["original_max_position_embeddings"] = original
      }
    case "gpt-oss": result["intermediate_size"] = metadata["expert_feed_forward_length"] ?? result["intermediate_size"]
    case "deepseek2": completeDeepSeek(&result, metadata)
    default: break
    }
  }

  private func completeGemma3(_ result: inout JSONObject, _ metadata: GGUFMetadata) {
    if let flags = metadata.array("attention.sliding_window_pattern")?.compactMap(\.bool), !flags.isEmpty {
      result["layer_types"] = .array(flags.map { $0 ? "sliding_attention" : "full_attention" })
    } else if let pattern = metadata["attention.sliding_window_pattern"], pattern.integer != nil {
      result["sliding_window_pattern"] = pattern
    }
    if result["sliding_window"] == nil { result["sliding_window"] = .null }
    let full = result["rope_parameters"] ?? .object(JSONObject([("rope_theta", 1_000_000)]))
    let base = metadata["rope.freq_base_swa"] ?? 10_000
    let local = JSONObject([("rope_type", "default"), ("rope_theta", base)])
    result["rope_parameters"] = .object(
      JSONObject([("full_attention", full), ("sliding_attention", .object(local))]))
  }

  private func completeDeepSeek(_ result: inout JSONObject, _ metadata: GGUFMetadata) {
    let rotated = result["qk_rope_head_dim"]?.integer ?? 0
    let size = metadata["attention.key_length_mla"] ?? metadata["attention.key_length"]
    if let size = size?.integer { result["qk_nope_head_dim"] = .integer(size - rotated) }
    if let size = metadata["attention.value_length_mla"] ?? metadata["attention.value_length"] {
      result["v_head_dim"] = size
    }
    result["head_dim"] = .integer(rotated)
    result["num_key_value_heads"] = result["num_attention_heads"]
    // 1: softmax, 2: sigmoid. The older models have no bias on scores, by which they are told apart where nothing is said.
    let isSigmoid = metadata["expert_gating_func"]?.integer == 2 || metadata.hasSuffix("exp_probs_b.bias")
    result["scoring_func"] = isSigmoid ? "sigmoid" : "softmax"
    result["topk_method"] = isSigmoid ? "noaux_tc" : result["n_group"] == nil ? "greedy" : "group_limited_greedy"
    if !isSigmoid { result["model_type"] = "deepseek_v2" }
    if result["norm_topk_prob"] == nil { result["norm_topk_prob"] = false }
    if result["q_lora_rank"] == nil { result["q_lora_rank"] = .null }
  }
}

private enum Keys {
  static let decoder: KeyValuePairs = [
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim",
  ]
  static let window: KeyValuePairs = ["attention.sliding_window": "sliding_window"]
  static let softcaps: KeyValuePairs = [
    "attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping",
  ]
  static let experts: KeyValuePairs = ["expert_used_count": "num_experts_per_tok"]
  static let qwenExperts: KeyValuePairs = [
    "expert_count": "num_experts", "expert_feed_forward_length": "moe_intermediate_size",
  ]
  static let deepSeek: KeyValuePairs = [
    "expert_count": "n_routed_experts",
    "expert_shared_count": "n_shared_experts",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_group_count": "n_group",
    "expert_group_used_count": "topk_group",
    "expert_weights_scale": "routed_scaling_factor",
    "expert_weights_norm": "norm_topk_prob",
    "leading_dense_block_count": "first_k_dense_replace",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "rope.dimension_count": "qk_rope_head_dim",
  ]
  static let gpt2: KeyValuePairs = [
    "context_length": "n_positions",
    "embedding_length": "n_embd",
    "block_count": "n_layer",
    "feed_forward_length": "n_inner",
    "attention.head_count": "n_head",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
  ]
  static let bert: KeyValuePairs = [
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_epsilon": "layer_norm_eps",
  ]
}
