// What llama.cpp calls the tensors of its files (gguf-py/gguf/tensor_mapping.py) and what Hugging Face calls them.
//
// Invariant: a table for each architecture, read in both directions. `#` stands for the number of a layer. The experts of a
// layer are one tensor in llama.cpp's files, as they are one parameter of the models here; these have no single name in
// Hugging Face's files, so the parameter's is given.

/// The names of one architecture's tensors.
package struct GGUFNames: Sendable {
  /// The value of `general.architecture`.
  package let architecture: String
  private var toHuggingFace: [String: String] = [:]
  private var toGGUF: [String: String] = [:]

  init(_ architecture: String, _ tables: [KeyValuePairs<String, String>]) {
    self.architecture = architecture
    for (gguf, huggingFace) in tables.joined() {
      toHuggingFace[gguf] = huggingFace
      toGGUF[huggingFace] = gguf
    }
  }

  /// The architectures that are known, by name.
  package static let all: [String: GGUFNames] = Dictionary(
    uniqueKeysWithValues: [
      GGUFNames("llama", [Table.decoder, Table.mixtral]),
      GGUFNames("qwen2", [Table.decoder]),
      GGUFNames("qwen3", [Table.decoder, Table.headNorms]),
      GGUFNames("qwen3moe", [Table.decoder, Table.headNorms, Table.experts]),
      GGUFNames("gemma2", [Table.decoder, Table.sandwich]),
      GGUFNames("gemma3", [Table.decoder, Table.headNorms, Table.sandwich]),
      GGUFNames("phi3", [Table.decoder, Table.phi3]),
      GGUFNames("gpt2", [Table.gpt2]),
      GGUFNames("deepseek2", [Table.decoder, Table.experts, Table.deepSeek]),
      GGUFNames("gpt-oss", [Table.decoder, Table.gptOSS]),
      GGUFNames("bert", [Table.bert]),
    ].map { ($0.architecture, $0) })

  /// Hugging Face's name of a tensor; nil if the architecture has no such tensor.
  package func huggingFace(_ gguf: String) -> String? { GGUFNames.translate(gguf, toHuggingFace) }

  /// llama.cpp's name of a tensor; nil if the architecture has no such tensor.
  package func gguf(_ huggingFace: String) -> String? { GGUFNames.translate(huggingFace, toGGUF) }

  /// Tensors that hold settings rather than weights.
  package static let settingTensors: Set = [
    "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
  ]

  /// Whether Hugging Face's file holds the transpose of what llama.cpp's holds: the matrices of GPT-2's layers.
  package func isTransposed(_ huggingFace: String) -> Bool {
    architecture == "gpt2" && huggingFace.hasPrefix("transformer.h.") && huggingFace.contains(".c_")
      && huggingFace.hasSuffix(".weight")
  }

  /// The name with `#` for its number, looked up whole or without its ending.
  private static func translate(_ name: String, _ table: [String: String]) -> String? {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false)
    let place = parts.firstIndex { !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } }
    let layer = place.map { parts[$0] }
    if let place { parts[place] = "#" }
    let whole = parts.joined(separator: ".")
    let ending = parts.removeLast()
    guard let found = table[whole] ?? table[parts.joined(separator: ".")].map({ "\($0).\(ending)" }) else { return nil }
    return found.split(separator: ".").map { $0 == "#" ? layer ?? $0 : $0 }.joined(separator: ".")
  }
}

/// Names without their endings `.weight` and `.bias`, or whole.
private enum Table {
  static let decoder: KeyValuePairs = [
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "blk.#.attn_norm": "model.layers.#.input_layernorm",
    "blk.#.attn_q": "model.layers.#.self_attn.q_proj",
    "blk.#.attn_k": "model.layers.#.self_attn.k_proj",
    "blk.#.attn_v": "model.layers.#.self_attn.v_proj",
    "blk.#.attn_qkv": "model.layers.#.self_attn.qkv_proj",
    "blk.#.attn_output": "model.layers.#.self_attn.o_proj",
    "blk.#.ffn_norm": "model.layers.#.post_attention_layernorm",
    "blk.#.ffn_gate": "model.layers.#.mlp.gate_proj",
    "blk.#.ffn_up": "model.layers.#.mlp.up_proj",
    "blk.#.ffn_down": "model.layers.#.mlp.down_proj",
  ]

  static let headNorms: KeyValuePairs = [
    "blk.#.attn_q_norm": "model.layers.#.self_attn.q_norm",
    "blk.#.attn_k_norm": "model.layers.#.self_attn.k_norm",
  ]

  static let sandwich: KeyValuePairs = [
    "blk.#.post_attention_norm": "model.layers.#.post_attention_layernorm",
    "blk.#.ffn_norm": "model.layers.#.pre_feedforward_layernorm",
    "blk.#.post_ffw_norm": "model.layers.#.post_feedforward_layernorm",
  ]

  static let phi3: KeyValuePairs = ["blk.#.ffn_up": "model.layers.#.mlp.gate_up_proj"]

  static let mixtral: KeyValuePairs = [
    "blk.#.ffn_gate_inp": "model.layers.#.block_sparse_moe.gate",
    "blk.#.ffn_gate_exps": "model.layers.#.block_sparse_moe.experts.gate_proj",
    "blk.#.ffn_down_exps": "model.layers.#.block_sparse_moe.experts.down_proj",
    "blk.#.ffn_up_exps": "model.layers.#.block_sparse_moe.experts.up_proj",
  ]

  static let experts: KeyValuePairs = [
    "blk.#.ffn_gate_inp": "model.layers.#.mlp.gate",
    "blk.#.ffn_gate_exps": "model.layers.#.mlp.experts.gate_proj",
    "blk.#.ffn_up_exps": "model.layers.#.mlp.experts.up_proj",
    "blk.#.ffn_down_exps": "model.layers.#.mlp.experts.down_proj",
  ]

  static let deepSeek: KeyValuePairs = [
    "blk.#.attn_q_a": "model.layers.#.self_attn.q_a_proj",
    "blk.#.attn_q_a_norm": "model.layers.#.self_attn.q_a_layernorm",
    "blk.#.attn_q_b": "model.layers.#.self_attn.q_b_proj",
    "blk.#.attn_kv_a_mqa": "model.layers.#.self_attn.kv_a_proj_with_mqa",
    "blk.#.attn_kv_a_norm": "model.layers.#.self_attn.kv_a_layernorm",
    "blk.#.attn_kv_b": "model.layers.#.self_attn.kv_b_proj",
    "blk.#.exp_probs_b.bias": "model.layers.#.mlp.gate.e_score_correction_bias",
    "blk.#.ffn_gate_shexp": "model.layers.#.mlp.shared_experts.gate_proj",
    "blk.#.ffn_up_shexp": "model.layers.#.mlp.shared_experts.up_proj",
    "blk.#.ffn_down_shexp": "model.layers.#.mlp.shared_experts.down_proj",
  ]

  static let gptOSS: KeyValuePairs = [
    "blk.#.post_attention_norm": "model.layers.#.post_attention_layernorm",
    "blk.#.attn_sinks.weight": "model.layers.#.self_attn.sinks",
    "blk.#.ffn_gate_inp": "model.layers.#.mlp.router",
    "blk.#.ffn_gate_exps": "model.layers.#.mlp.experts.gate_proj",
    "blk.#.ffn_up_exps": "model.layers.#.mlp.experts.up_proj",
    "blk.#.ffn_down_exps": "model.layers.#.mlp.experts.down_proj",
  ]

  static let gpt2: KeyValuePairs = [
    "token_embd": "transformer.wte",
    "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f",
    "output": "lm_head",
    "blk.#.attn_norm": "transformer.h.#.ln_1",
    "blk.#.attn_qkv": "transformer.h.#.attn.c_attn",
    "blk.#.attn_output": "transformer.h.#.attn.c_proj",
    "blk.#.ffn_norm": "transformer.h.#.ln_2",
    "blk.#.ffn_up": "transformer.h.#.mlp.c_fc",
    "blk.#.ffn_down": "transformer.h.#.mlp.c_proj",
  ]

  static let bert: KeyValuePairs = [
    "token_embd": "bert.embeddings.word_embeddings",
    "position_embd": "bert.embeddings.position_embeddings",
    "token_types": "bert.embeddings.token_type_embeddings",
    "token_embd_norm": "bert.embeddings.LayerNorm",
    "blk.#.attn_q": "bert.encoder.layer.#.attention.self.query",
    "blk.#.attn_k": "bert.encoder.layer.#.attention.self.key",
    "blk.#.attn_v": "bert.encoder.layer.#.attention.self.value",
    "blk.#.attn_output": "bert.encoder.layer.#.attention.output.dense",
    "blk.#.attn_output_norm": "bert.encoder.layer.#.attention.output.LayerNorm",
    "blk.#.ffn_up": "bert.encoder.layer.#.intermediate.dense",
    "blk.#.ffn_down": "bert.encoder.layer.#.output.dense",
    "blk.#.layer_output_norm": "bert.encoder.layer.#.output.LayerNorm",
    "cls.output": "classifier",
  ]
}
