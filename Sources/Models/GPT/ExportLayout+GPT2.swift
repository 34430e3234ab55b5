// GPT-2 as `GPT2LMHeadModel` has it. Its Conv1D layers hold the transposes of our matrices, queries, keys and values in one
// tensor, and its names differ; all else is the same model.

internal import Core
internal import Networks
internal import Tensors

extension ExportLayout {
  static let gpt2 = ExportLayout(
    type: "gpt2", architecture: "GPT2LMHeadModel",
    settings: { configuration in
      JSONObject([
        ("vocab_size", .integer(configuration.vocabulary)),
        ("n_positions", .integer(configuration.context)),
        ("n_embd", .integer(configuration.width)),
        ("n_layer", .integer(configuration.layers)),
        ("n_head", .integer(configuration.heads)),
        ("n_inner", .integer(configuration.mlpWidth)),
        ("activation_function", .string(configuration.activation == .geluErf ? "gelu" : "gelu_new")),
        ("layer_norm_epsilon", .real(configuration.epsilon)),
        ("resid_pdrop", .real(configuration.dropout)),
        ("embd_pdrop", .real(configuration.dropout)),
        ("attn_pdrop", 0),
        ("initializer_range", .real(configuration.initialDeviation)),
        ("tie_word_embeddings", .bool(configuration.tiedHead)),
      ])
    },
    obstacles: { c in
      [
        c.positions == .learned ? nil : "GPT-2 has learned positions; set positions to learned.",
        c.norm == .layer ? nil : "GPT-2 has layer norms; set norm to layer.",
        c.activation == .geluTanh || c.activation == .geluErf
          ? nil : "GPT-2 has no \(c.activation.rawValue); set activation to geluTanh.",
        c.biases ? nil : "GPT-2 has biases; set biases to true.",
        c.qkNorm ? "GPT-2 has no norms of queries and keys; set qkNorm to false." : nil,
        c.kvHeads == c.heads ? nil : "GPT-2 has as many key heads as query heads; set kvHeads to \(c.heads).",
        c.heads * c.headSize == c.width
          ? nil : "GPT-2's heads fill its width; heads times headSize is \(c.heads * c.headSize), not \(c.width).",
      ].compactMap(\.self) + softcapObstacles(c, of: "GPT-2")
    },
    tensors: { parameters in
      // Queries, keys and values come in this order, in the model as in the file.
      var result: [ExportedTensor] = []
      for parameter in parameters {
        let (name, isConvolution) = gpt2Name(parameter.name)
        if result.last?.name == name {
          result[result.count - 1].parameters.append(parameter)
        } else if let place = result.firstIndex(where: { $0.name == name }) {
          result[place].parameters.append(parameter)
        } else {
          result.append(
            ExportedTensor(
              name: name, parameters: [parameter], transposed: isConvolution && parameter.shape.rank == 2))
        }
      }
      return result
    })

  /// The name in `GPT2LMHeadModel` of a parameter of ours, and whether it belongs to a Conv1D.
  private static func gpt2Name(_ name: String) -> (name: String, isConvolution: Bool) {
    let parts = name.split(separator: ".").map(String.init)
    switch (parts[0], parts[1]) {
    case ("lm_head", _): return (name, false)
    case (_, "embed_tokens"): return ("transformer.wte.weight", false)
    case (_, "embed_positions"): return ("transformer.wpe.weight", false)
    case (_, "norm"): return ("transformer.ln_f.\(parts[2])", false)
    default: break
    }
    // model.layers.N.<part>[.<map>].<weight or bias>
    let places = [
      "input_layernorm": "ln_1", "post_attention_layernorm": "ln_2", "q_proj": "attn.c_attn", "k_proj": "attn.c_attn",
      "v_proj": "attn.c_attn", "o_proj": "attn.c_proj", "up_proj": "mlp.c_fc", "down_proj": "mlp.c_proj",
    ]
    let part = parts[parts.count - 2]
    guard parts[1] == "layers", let place = places[part] else { preconditionFailure("GPT-2 has no \(name)") }
    return ("transformer.h.\(parts[2]).\(place).\(parts.last!)", !place.hasPrefix("ln"))
  }
}
