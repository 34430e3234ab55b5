// A model of DeepSeek-V3's kind that brings a layer for the token after the next: one layer and one more, random weights,
// characters as tokens.
//
// That layer is a copy of the model's and is given the embedding as it is: it computes of all tokens but the first what the
// model computes of all, and so is nearly always right.

internal import Core
internal import Formats
internal import FoundationEssentials
internal import Models
internal import Networks
package import Tensors

/// A folder with a tiny model that predicts two tokens; removed with the object.
package final class TinyPredictor: Sendable {
  package let path: String
  package static let width = 32

  /// - Parameters:
  ///   - extra: how many layers for the token after the next config.json speaks of.
  ///   - change: changes tensors.
  package init(extra: Int = 1, change: (inout [String: TensorData]) -> Void = { _ in }) throws {
    let tokenizer = CharacterTokenizer(characters: (32..<127).map { Unicode.Scalar($0) })
    let config = """
      {"model_type": "deepseek_v3", "hidden_size": 32, "intermediate_size": 28, "num_hidden_layers": 1,
       "num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": 20, "kv_lora_rank": 16, "qk_nope_head_dim": 12,
       "qk_rope_head_dim": 8, "v_head_dim": 10, "n_routed_experts": 8, "num_experts_per_tok": 3, "n_shared_experts": 1,
       "n_group": 4, "topk_group": 2, "moe_intermediate_size": 12, "first_k_dense_replace": 0, "rms_norm_eps": 1e-6,
       "routed_scaling_factor": 1.0, "max_position_embeddings": 128, "vocab_size": \(tokenizer.vocabularySize),
       "rope_theta": 10000, "num_nextn_predict_layers": \(extra)}
      """
    path = try TinyFolder.write(config, [:])
    let store = WeightStore()
    try PretrainedModel(path: path).model.declare(in: store)
    var tensors = try store.initialValues(seed: 3)
    for (name, data) in tensors where data.shape.rank > 1 {
      tensors[name] = TensorData(data.doubles.map { $0 * 8 }, shape: data.shape)
    }
    let embedding = tensors["model.embed_tokens.weight"]!
    let rows = embedding.doubles
    // Of length 1 in each element's mean, so that norms leave them as they are.
    let normed = rows.indices.map { index -> Double in
      let row = rows[(index / Self.width * Self.width)...].prefix(Self.width)
      return rows[index] / (row.map { $0 * $0 }.reduce(0, +) / Double(Self.width)).squareRoot()
    }
    tensors["model.embed_tokens.weight"] = TensorData(normed, shape: embedding.shape)
    for (name, data) in tensors where name.hasPrefix("model.layers.0.") {
      tensors["model.layers.1." + name.dropFirst("model.layers.0.".count)] = data
    }
    let ones = TensorData(Array(repeating: Float(1), count: Self.width), shape: [Self.width])
    for name in ["enorm", "hnorm", "shared_head.norm"] { tensors["model.layers.1.\(name).weight"] = ones }
    tensors["model.layers.1.eh_proj.weight"] = .firstHalf(Self.width)
    change(&tensors)
    let entries = tensors.map { name, data in
      (
        tensor: SafetensorsTensor(name: name, type: .f32, shape: data.shape.dimensions),
        bytes: UnsafeRawBufferPointer(data.bytes)
      )
    }
    try withExtendedLifetime(tensors) { try SafetensorsWriter.write(entries, to: path + "/model.safetensors") }
    try TokenizerFile.write(tokenizer, to: path + "/tokenizer.json")
  }

  deinit { TinyFolder.remove(path) }
}
