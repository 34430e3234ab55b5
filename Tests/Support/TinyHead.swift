// An EAGLE head for `TinyModel`, of random weights.

internal import Core
package import Tensors

/// A folder with a head; removed with the object.
package final class TinyHead: Sendable {
  package let path: String

  /// - Parameters:
  ///   - vocabulary: of the model, whose width is 32.
  ///   - known: how many of the model's tokens a head of the third kind knows; nil: it is of the first kind.
  ///   - settings: members of config.json.
  ///   - change: changes tensors.
  package init(
    vocabulary: Int, known: Int? = nil, round: Int = 0, settings: String = "",
    change: (inout [String: TensorData]) -> Void = { _ in }
  ) throws {
    var random = RandomCase("head", round)
    func matrix(_ rows: Int, _ columns: Int) -> TensorData {
      random.data(.float32, [rows, columns], .within(-0.4...0.4))
    }
    func norm(_ count: Int) -> TensorData { random.data(.float32, [count], .within(0.5...1.5)) }
    let layer = known == nil ? "layers.0" : "midlayer"
    let joined = known == nil ? 32 : 64
    var tensors = [
      "fc.weight": matrix(32, known == nil ? 64 : 96),
      "\(layer).self_attn.q_proj.weight": matrix(32, joined), "\(layer).self_attn.k_proj.weight": matrix(16, joined),
      "\(layer).self_attn.v_proj.weight": matrix(16, joined), "\(layer).self_attn.o_proj.weight": matrix(32, 32),
      "\(layer).mlp.gate_proj.weight": matrix(48, 32), "\(layer).mlp.up_proj.weight": matrix(48, 32),
      "\(layer).mlp.down_proj.weight": matrix(32, 48), "\(layer).post_attention_layernorm.weight": norm(32),
    ]
    if let known {
      tensors["\(layer).hidden_norm.weight"] = norm(32)
      tensors["\(layer).input_layernorm.weight"] = norm(32)
      tensors["norm.weight"] = norm(32)
      tensors["lm_head.weight"] = matrix(known, 32)
      // Every other token from the end on.
      let tokens = (0..<known).map { Int64(vocabulary - 2 * (known - $0) + 1) }
      tensors["d2t"] = TensorData(tokens.enumerated().map { $1 - Int64($0) }, shape: [known])
    } else {
      tensors["fc.bias"] = norm(32)
    }
    change(&tensors)
    let config = """
      {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1,
       "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48, "hidden_act": "silu",
       "rms_norm_eps": 1e-6, "rope_theta": 10000, "max_position_embeddings": 256, "vocab_size": \(vocabulary)\(settings)}
      """
    path = try TinyFolder.write(config, tensors)
  }

  deinit { TinyFolder.remove(path) }
}
