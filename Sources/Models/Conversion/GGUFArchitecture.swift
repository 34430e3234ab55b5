// The names of GGUF files (llama.cpp's gguf-py) next to those of Hugging Face's, an entry for each architecture. The list is
// `GGUFArchitecture.all` and nothing else.
//
// What one side means and the other does not say is in GGUFArchitecture+Settings.

internal import Core

/// An architecture in both worlds.
struct GGUFArchitecture: Sendable {
  /// `general.architecture`, and what stands in front of its settings' keys.
  let architecture: String
  /// The values of `model_type` that are this architecture there; told apart by their settings.
  let types: [String]
  /// Keys of metadata, without the architecture, and the settings of config.json that they hold.
  var settings: [Setting] = Self.coreSettings
  /// The tensors without `.weight` and `.bias`.
  var tensors: [TensorName]
  /// Settings that ggml takes for granted.
  var required: [Requirement] = []
  /// Whether the head is the token embedding where config.json does not say.
  var tiedByDefault = false
  /// What some checkpoints leave out in front of names.
  var prefix = "model."

  struct Setting: Sendable {
    enum Kind: Sendable { case size, number }

    var key: String
    var setting: String
    var kind = Kind.size
    /// Another name that config.json may have for it.
    var alias: String?
  }

  struct Requirement: Sendable {
    var setting: String
    var value: JSONValue
    /// What config.json means without it.
    var fallback: JSONValue

    init(_ setting: String, _ value: JSONValue, fallback: JSONValue? = nil) {
      self.setting = setting
      self.value = value
      self.fallback = fallback ?? value
    }
  }

  /// A tensor, with `#` for the numbers of layers and of experts.
  struct TensorName: Sendable {
    var gguf: String
    var huggingFace: String
    var form = Form.same
  }

  /// How ggml's tensor differs from Hugging Face's.
  enum Form: Sendable {
    case same
    /// The rows of query or key heads are in the order of interleaved rotation.
    case queryRows, keyRows
    /// Norms that multiply by 1 + w hold 1 + w.
    case plusOne
    case transposed
    /// One tensor holds the tensors of all experts.
    case experts
  }

  static let all: [GGUFArchitecture] = [.llama, .qwen2, .qwen3, .qwen3MoE, .gemma2, .gemma3, .gpt2]

  /// The names of a `model_type`.
  static func of(type: String) throws(ModelError) -> GGUFArchitecture {
    if let names = all.first(where: { $0.types.contains(type) }) { return names }
    throw ModelError(
      .unknownType,
      "Models of the type '\(type)' cannot be written as GGUF yet. Known are: "
        + "\(all.flatMap(\.types).joined(separator: ", ")).")
  }

  /// The names of a `general.architecture`.
  static func of(architecture: String) throws(ModelError) -> GGUFArchitecture {
    if let names = all.first(where: { $0.architecture == architecture }) { return names }
    throw ModelError(
      .unknownType,
      "GGUF files of the architecture '\(architecture)' cannot be converted yet. Known are: "
        + "\(all.map(\.architecture).joined(separator: ", ")).")
  }
}

// MARK: Names into each other

extension GGUFArchitecture {
  /// A tensor's name taken apart.
  struct Match {
    var entry: TensorName
    var numbers: [Int]
    /// `.weight` or `.bias`.
    var ending: String

    var gguf: String { Self.name(entry.gguf, [numbers.first].compactMap(\.self), ending) }

    /// - Parameter expert: which of several tensors.
    func huggingFace(expert: Int = 0) -> String {
      Self.name(entry.huggingFace, entry.form == .experts ? [numbers[0], expert] : numbers, ending)
    }

    private static func name(_ template: String, _ numbers: [Int], _ ending: String) -> String {
      var numbers = numbers[...]
      return template.map { $0 == "#" ? "\(numbers.removeFirst())" : String($0) }.joined() + ending
    }
  }

  func match(huggingFace name: String) -> Match? { match(name, \.huggingFace) }
  func match(gguf name: String) -> Match? { match(name, \.gguf) }

  private func match(_ name: String, _ side: (TensorName) -> String) -> Match? {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 1, let ending = parts.popLast() else { return nil }
    var numbers: [Int] = []
    let template = parts.map { part in
      guard let number = Int(part), String(number) == part, number >= 0 else { return String(part) }
      numbers.append(number)
      return "#"
    }.joined(separator: ".")
    guard ending == "weight" || ending == "bias" else { return nil }
    return tensors.first { side($0) == template }.map { Match(entry: $0, numbers: numbers, ending: ".\(ending)") }
  }
}

// MARK: Architectures

extension GGUFArchitecture {
  private static let coreSettings = [
    Setting(key: "vocab_size", setting: "vocab_size"),
    Setting(key: "context_length", setting: "max_position_embeddings"),
    Setting(key: "embedding_length", setting: "hidden_size"),
    Setting(key: "block_count", setting: "num_hidden_layers"),
    Setting(key: "feed_forward_length", setting: "intermediate_size"),
    Setting(key: "attention.head_count", setting: "num_attention_heads"),
    Setting(key: "attention.head_count_kv", setting: "num_key_value_heads"),
    Setting(key: "attention.key_length", setting: "head_dim"),
    Setting(key: "attention.layer_norm_rms_epsilon", setting: "rms_norm_eps", kind: .number),
  ]

  private static let window = Setting(key: "attention.sliding_window", setting: "sliding_window")

  private static func experts(count: String) -> [Setting] {
    [
      Setting(
        key: "expert_count", setting: count, alias: count == "num_experts" ? "num_local_experts" : "num_experts"),
      Setting(key: "expert_used_count", setting: "num_experts_per_tok"),
    ]
  }

  /// What every decoder since Llama has.
  private static func decoder(permuted: Bool = false, norms: Form = .same) -> [TensorName] {
    let attention = "model.layers.#.self_attn"
    return [
      TensorName(gguf: "token_embd", huggingFace: "model.embed_tokens"),
      TensorName(gguf: "output_norm", huggingFace: "model.norm", form: norms),
      TensorName(gguf: "output", huggingFace: "lm_head"),
      TensorName(gguf: "blk.#.attn_norm", huggingFace: "model.layers.#.input_layernorm", form: norms),
      TensorName(gguf: "blk.#.attn_q", huggingFace: "\(attention).q_proj", form: permuted ? .queryRows : .same),
      TensorName(gguf: "blk.#.attn_k", huggingFace: "\(attention).k_proj", form: permuted ? .keyRows : .same),
      TensorName(gguf: "blk.#.attn_v", huggingFace: "\(attention).v_proj"),
      TensorName(gguf: "blk.#.attn_output", huggingFace: "\(attention).o_proj"),
    ]
  }

  private static let headNorms = [
    TensorName(gguf: "blk.#.attn_q_norm", huggingFace: "model.layers.#.self_attn.q_norm"),
    TensorName(gguf: "blk.#.attn_k_norm", huggingFace: "model.layers.#.self_attn.k_norm"),
  ]

  private static let feedForward =
    [TensorName(gguf: "blk.#.ffn_norm", huggingFace: "model.layers.#.post_attention_layernorm")] + gatedProducts

  private static let gatedProducts = ["gate", "up", "down"].map {
    TensorName(gguf: "blk.#.ffn_\($0)", huggingFace: "model.layers.#.mlp.\($0)_proj")
  }

  /// A router and the three products of its experts, under the names that a family has for them.
  private static func experts(_ place: String, gate: String, up: String, down: String) -> [TensorName] {
    let block = "model.layers.#.\(place)"
    return [
      TensorName(gguf: "blk.#.ffn_gate_inp", huggingFace: "\(block).gate"),
      TensorName(gguf: "blk.#.ffn_gate_exps", huggingFace: "\(block).experts.#.\(gate)", form: .experts),
      TensorName(gguf: "blk.#.ffn_up_exps", huggingFace: "\(block).experts.#.\(up)", form: .experts),
      TensorName(gguf: "blk.#.ffn_down_exps", huggingFace: "\(block).experts.#.\(down)", form: .experts),
    ]
  }

  /// Gemma has norms before and after, all of which multiply by 1 + w.
  private static let sandwich =
    decoder(norms: .plusOne) + gatedProducts + [
      TensorName(
        gguf: "blk.#.post_attention_norm", huggingFace: "model.layers.#.post_attention_layernorm", form: .plusOne),
      TensorName(gguf: "blk.#.ffn_norm", huggingFace: "model.layers.#.pre_feedforward_layernorm", form: .plusOne),
      TensorName(gguf: "blk.#.post_ffw_norm", huggingFace: "model.layers.#.post_feedforward_layernorm", form: .plusOne),
    ]

  private static let silu = Requirement("hidden_act", "silu")
  private static let noBias = Requirement("attention_bias", false)
  private static let noWindow = Requirement("use_sliding_window", false)
  private static let gemma = [
    Requirement("hidden_activation", "gelu_pytorch_tanh"), noBias, Requirement("tie_word_embeddings", true),
  ]

  private static let llama = GGUFArchitecture(
    architecture: "llama", types: ["llama", "mistral", "mixtral"],
    settings: coreSettings + experts(count: "num_local_experts") + [window],
    tensors: decoder(permuted: true) + feedForward
      + experts("block_sparse_moe", gate: "w1", up: "w3", down: "w2"),
    required: [silu])

  private static let qwen2 = GGUFArchitecture(
    architecture: "qwen2", types: ["qwen2"], tensors: decoder() + feedForward,
    required: [silu, noWindow])

  private static let qwen3 = GGUFArchitecture(
    architecture: "qwen3", types: ["qwen3"], tensors: decoder() + headNorms + feedForward,
    required: [silu, noWindow, noBias])

  private static let qwen3MoE = GGUFArchitecture(
    architecture: "qwen3moe", types: ["qwen3_moe"],
    settings: coreSettings + experts(count: "num_experts") + [
      Setting(key: "expert_feed_forward_length", setting: "moe_intermediate_size")
    ],
    tensors: decoder() + headNorms + feedForward + experts("mlp", gate: "gate_proj", up: "up_proj", down: "down_proj"),
    required: [
      silu, noWindow, noBias, Requirement("norm_topk_prob", true, fallback: false),
      Requirement("decoder_sparse_step", 1), Requirement("mlp_only_layers", []),
    ])

  private static let gemma2 = GGUFArchitecture(
    architecture: "gemma2", types: ["gemma2"],
    settings: coreSettings + [
      window, Setting(key: "attn_logit_softcapping", setting: "attn_logit_softcapping", kind: .number),
      Setting(key: "final_logit_softcapping", setting: "final_logit_softcapping", kind: .number),
    ],
    tensors: sandwich, required: gemma, tiedByDefault: true)

  private static let gemma3 = GGUFArchitecture(
    architecture: "gemma3", types: ["gemma3_text"], settings: coreSettings + [window],
    tensors: sandwich
      + headNorms.map { TensorName(gguf: $0.gguf, huggingFace: $0.huggingFace, form: .plusOne) },
    required: gemma, tiedByDefault: true)

  private static let gpt2 = GGUFArchitecture(
    architecture: "gpt2", types: ["gpt2"],
    settings: [
      Setting(key: "vocab_size", setting: "vocab_size"), Setting(key: "context_length", setting: "n_positions"),
      Setting(key: "embedding_length", setting: "n_embd"), Setting(key: "block_count", setting: "n_layer"),
      Setting(key: "feed_forward_length", setting: "n_inner"), Setting(key: "attention.head_count", setting: "n_head"),
      Setting(key: "attention.layer_norm_epsilon", setting: "layer_norm_epsilon", kind: .number),
    ],
    tensors: [
      TensorName(gguf: "token_embd", huggingFace: "transformer.wte"),
      TensorName(gguf: "position_embd", huggingFace: "transformer.wpe"),
      TensorName(gguf: "output_norm", huggingFace: "transformer.ln_f"),
      TensorName(gguf: "output", huggingFace: "lm_head"),
      TensorName(gguf: "blk.#.attn_norm", huggingFace: "transformer.h.#.ln_1"),
      TensorName(gguf: "blk.#.ffn_norm", huggingFace: "transformer.h.#.ln_2"),
      TensorName(gguf: "blk.#.attn_qkv", huggingFace: "transformer.h.#.attn.c_attn", form: .transposed),
      TensorName(gguf: "blk.#.attn_output", huggingFace: "transformer.h.#.attn.c_proj", form: .transposed),
      TensorName(gguf: "blk.#.ffn_up", huggingFace: "transformer.h.#.mlp.c_fc", form: .transposed),
      TensorName(gguf: "blk.#.ffn_down", huggingFace: "transformer.h.#.mlp.c_proj", form: .transposed),
    ],
    required: [
      Requirement("activation_function", "gelu_new"), Requirement("scale_attn_by_inverse_layer_idx", false),
      Requirement("scale_attn_weights", true),
    ],
    tiedByDefault: true, prefix: "transformer.")
}
