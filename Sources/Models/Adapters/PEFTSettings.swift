// adapter_config.json: the settings of PEFT's `LoraConfig`.
//
// What is in the file of weights says which maps are adapted (`target_modules`, `layers_to_transform`); the settings say by how
// much, and what else was trained.

internal import Core
internal import Formats

/// What adapter_config.json says.
struct PEFTSettings {
  /// What this package cannot do.
  private(set) var problems: [String] = []
  private let rank: Int
  private let alpha: Double
  /// Whether the factor is alpha / sqrt(rank), not alpha / rank: Kalajdzievski (2023), arXiv:2312.03732.
  private let isStabilized: Bool
  private var ranks: [(pattern: NamePattern, value: Double)] = []
  private var alphas: [(pattern: NamePattern, value: Double)] = []

  init(_ object: JSONObject) {
    rank = object["r"]?.integer ?? 8
    alpha = object["lora_alpha"]?.double ?? 8
    isStabilized = object["use_rslora"]?.bool == true
    if object["peft_type"]?.string != "LORA" {
      problems.append("'peft_type' is \(object["peft_type"]?.json ?? "not given"); only \"LORA\" is supported.")
    }
    for key in ["r", "lora_alpha"] where object[key].map({ $0.double == nil }) ?? false {
      problems.append("'\(key)' is \(object[key]!.json), not a number.")
    }
    ranks = patterns(object, "rank_pattern")
    alphas = patterns(object, "alpha_pattern")
    let merge = "merge it into the model with peft (merge_and_unload)"
    refuse(object, "use_dora", "the length of rows is not adapted; \(merge)")
    refuse(object, "use_qalora", merge)
    refuse(object, "use_bdlora", merge)
    refuse(object, "lora_bias", "biases are not adapted; \(merge)")
    refuse(object, "modules_to_save", "whole modules are not replaced; \(merge)")
    refuse(object, "target_parameters", "only linear maps are adapted; \(merge)")
    refuse(object, "trainable_token_indices", "embeddings are not adapted; \(merge)")
    refuse(object, "layer_replication", "layers are not repeated; \(merge)")
    refuse(object, "alora_invocation_tokens", "an adapter counts for a whole text; train it for whole texts")
    if let bias = object["bias"]?.string, bias != "none" {
      problems.append("'bias' is \"\(bias)\": biases are not adapted; train with bias=\"none\", or \(merge).")
    }
    // They change the model's own weights as they begin.
    let changing = ["pissa", "olora", "corda", "loftq", "lora_ga"]
    if let start = object["init_lora_weights"]?.string, changing.contains(where: start.hasPrefix) {
      problems.append(
        "'init_lora_weights' is \"\(start)\", which has changed the model's weights: save the adapter with peft's "
          + "path_initial_model_for_weight_conversion.")
    }
  }

  private mutating func refuse(_ object: JSONObject, _ key: String, _ remedy: String) {
    switch object[key] {
    case nil, .null?, .bool(false)?: return
    case .array(let array)? where array.isEmpty: return
    case .object(let object)? where object.isEmpty: return
    case let value?: problems.append("'\(key)' is \(value.json.prefix(60)): \(remedy).")
    }
  }

  private mutating func patterns(_ object: JSONObject, _ key: String) -> [(pattern: NamePattern, value: Double)] {
    (object[key]?.object ?? JSONObject()).compactMap { source, value in
      do throws(FormatsError) {
        guard let number = value.double else {
          problems.append("'\(key)' has \(value.json.prefix(40)) for '\(source)', not a number.")
          return nil
        }
        return (try NamePattern(source), number)
      } catch {
        problems.append("'\(key)': \(error.message)")
        return nil
      }
    }
  }

  /// The rank of a module's matrices.
  func rank(of module: String) -> Int {
    ranks.first { $0.pattern.matches(endOf: module) }.flatMap { Int(exactly: $0.value) } ?? rank
  }

  /// The factor on a module's product.
  func scale(of module: String, rank: Int) -> Double {
    let alpha = alphas.first { $0.pattern.matches(endOf: module) }?.value ?? alpha
    return alpha / (isStabilized ? Double(rank).squareRoot() : Double(rank))
  }
}
