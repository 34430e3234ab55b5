// Which tensor of a GGUF file gets which type of blocks: llama-quantize's choices, under its names.
//
// Most matrices get one type; values, the way back down from feed-forward blocks and the head matter more for what they weigh,
// and get another one in mixtures (`_M`). Rows that are not whole blocks of 256 fall back to blocks of 32.

package import Core
package import Formats

/// A choice of types.
// swift-format-ignore: AlwaysUseLowerCamelCase
package enum GGUFMixture: String, CaseIterable, Sendable {
  case q4_0, q4_1, q5_0, q5_1, q8_0, q2_K, q3_K_S, q3_K_M, q4_K_S, q4_K_M, q5_K_S, q5_K_M, q6_K, iq4_NL, mxfp4

  /// The sizes of a model that choices depend on.
  package struct Model: Sendable {
    var layers: Int
    var experts: Int
    /// Query heads that share a key head.
    var sharing: Int
    var isTied: Bool

    /// From config.json, and whether the folder has a head of its own.
    package init(_ config: JSONObject, hasHead: Bool) {
      func size(_ keys: String...) -> Int? { keys.lazy.compactMap { config[$0]?.integer }.first { $0 > 0 } }
      layers = size("num_hidden_layers", "n_layer") ?? 1
      experts = size("num_local_experts", "num_experts", "n_routed_experts") ?? 0
      let heads = size("num_attention_heads", "n_head") ?? 1
      sharing = heads / (size("num_key_value_heads") ?? heads)
      isTied = !hasHead || config["tie_word_embeddings"] == true
    }
  }

  /// `general.file_type`
  package var fileType: UInt32 {
    switch self {
    case .q4_0: 2
    case .q4_1: 3
    case .q8_0: 7
    case .q5_0: 8
    case .q5_1: 9
    case .q2_K: 10
    case .q3_K_S: 11
    case .q3_K_M: 12
    case .q4_K_S: 14
    case .q4_K_M: 15
    case .q5_K_S: 16
    case .q5_K_M: 17
    case .q6_K: 18
    case .iq4_NL: 25
    case .mxfp4: 38
    }
  }

  /// The type of most matrices.
  package var type: GGUFType {
    switch self {
    case .q4_0: .q4_0
    case .q4_1: .q4_1
    case .q5_0: .q5_0
    case .q5_1: .q5_1
    case .q8_0: .q8_0
    case .q2_K: .q2_K
    case .q3_K_S, .q3_K_M: .q3_K
    case .q4_K_S, .q4_K_M: .q4_K
    case .q5_K_S, .q5_K_M: .q5_K
    case .q6_K: .q6_K
    case .iq4_NL: .iq4_NL
    case .mxfp4: .mxfp4
    }
  }

  /// The type of a tensor by its name in GGUF files; nil: it stays as it is.
  ///
  /// - Parameter columns: elements of a row.
  package func type(of name: String, rank: Int, columns: Int, in model: Model) -> GGUFType? {
    guard rank > 1, name.hasSuffix(".weight"), !Self.kept.contains(where: name.contains) else { return nil }
    let wanted = wanted(name, columns, model)
    if columns % wanted.blockElements == 0 { return wanted }
    let smaller: GGUFType =
      switch wanted {
      case .q2_K, .q3_K: .q4_0
      case .q4_K: .q5_0
      case .q5_K: .q5_1
      default: .q8_0
      }
    return columns % smaller.blockElements == 0 ? smaller : nil
  }

  /// Norms, which choose experts, and tables of positions.
  private static let kept = ["_norm", "ffn_gate_inp", "position_embd"]

  private func wanted(_ name: String, _ columns: Int, _ model: Model) -> GGUFType {
    let parts = name.split(separator: ".")
    guard parts.count > 2, parts[0] == "blk", let layer = Int(parts[1]) else {
      let isHead = name == "output.weight" || name == "token_embd.weight" && model.isTied
      if !isHead { return type }
      return type == .q8_0 || columns % type.blockElements != 0 ? .q8_0 : .q6_K
    }
    switch parts[2] {
    case "attn_v", "attn_qkv", "attn_kv_b": return values(layer, model)
    case "attn_k" where model.experts == 8: return .q8_0
    case "ffn_down", "ffn_down_exps": return down(layer, model)
    case "attn_output": return output(model)
    default: return type
    }
  }

  private func values(_ layer: Int, _ model: Model) -> GGUFType {
    if model.experts == 8 { return .q8_0 }
    switch self {
    case .q2_K: return model.sharing >= 4 ? .q4_K : .q3_K
    case .q3_K_M: return layer < 2 ? .q5_K : .q4_K
    case .q4_K_S: return layer < 4 ? .q5_K : type
    case .q4_K_M, .q5_K_M: return matters(layer, model) ? .q6_K : type
    case .iq4_NL: return model.sharing >= 4 ? .q5_K : type
    default: return type
    }
  }

  private func down(_ layer: Int, _ model: Model) -> GGUFType {
    switch self {
    case .q2_K: .q3_K
    case .q3_K_M: layer < model.layers / 16 ? .q5_K : .q4_K
    case .q4_K_S, .iq4_NL: layer < model.layers / 8 ? .q5_K : type
    case .q4_K_M, .q5_K_M: matters(layer, model) ? .q6_K : type
    default: type
    }
  }

  private func output(_ model: Model) -> GGUFType {
    switch self {
    case .q2_K, .q3_K_S, .q3_K_M, .q4_K_S, .q4_K_M, .iq4_NL:
      if model.experts == 8 { return .q5_K }
      return self == .q2_K ? .q3_K : self == .q3_K_M ? .q4_K : type
    default: return type
    }
  }

  /// The first and the last eighth of the layers, and every third of the others.
  private func matters(_ layer: Int, _ model: Model) -> Bool {
    let eighth = model.layers / 8
    return layer < eighth || layer >= 7 * model.layers / 8 || (layer - eighth) % 3 == 2
  }
}
