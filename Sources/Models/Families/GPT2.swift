// GPT-2: Radford et al. (2019). Its files hold the transposes of our matrices (they were made for Conv1D), and queries, keys and
// values in one tensor; its names are those of `ExportLayout.gpt2`.

internal import Core
internal import Networks
internal import Tensors

extension ModelFamily {
  static let gpt2: ModelFamily = {
    var family = ModelFamily(
      types: ["gpt2"], prefix: "transformer.", ignored: [".attn.bias", ".attn.masked_bias"], read: read)
    family.sources = { _, parameters in
      var result: [String: ParameterSource] = [:]
      for tensor in ExportLayout.gpt2.tensors(parameters) {
        var row = 0
        let count = tensor.parameters.map { $0.shape[0] }.reduce(0, +)
        for parameter in tensor.parameters {
          let rows = row..<(row + parameter.shape[0])
          row = rows.upperBound
          let isWhole = tensor.parameters.count == 1 && !tensor.transposed
          result[parameter.name] =
            isWhole ? .tensor(tensor.name) : .rows(rows, of: tensor.name, count: count, transposed: tensor.transposed)
        }
      }
      return result
    }
    return family
  }()

  private static func read(_ settings: inout ModelSettings) -> any LanguageModel {
    var result = GPTConfiguration.gpt2(
      layers: settings.size("n_layer"), width: settings.size("n_embd"), heads: settings.size("n_head"),
      context: settings.size("n_positions"), vocabulary: settings.size("vocab_size"))
    if result.width % result.heads != 0 {
      settings.report("'n_embd' is \(result.width), which 'n_head', \(result.heads), does not divide.")
    }
    result.mlpWidth = settings.size("n_inner", default: 4 * result.width)
    result.activation = settings.choice(
      "activation_function",
      [("gelu_new", .geluTanh), ("gelu_pytorch_tanh", .geluTanh), ("gelu", .geluErf)])
    result.epsilon = settings.number("layer_norm_epsilon", default: 1e-5)
    result.tiedHead = settings.flag("tie_word_embeddings", default: true)
    result.dropout = settings.number("resid_pdrop", default: 0.1)
    result.initialDeviation = settings.number("initializer_range", default: 0.02)
    settings.requires("scale_attn_weights", true)
    settings.requires("scale_attn_by_inverse_layer_idx", false)
    settings.requires("add_cross_attention", false)
    return GPT(result)
  }
}
