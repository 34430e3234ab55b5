// The settings of a model as config.json has them and as the metadata of a GGUF file has them, each made out of the other.
//
// Invariant: what one side cannot say is refused, not dropped, if it changes what the model computes.

internal import Core
internal import Formats

/// A model's settings in ggml's words.
struct WrittenSettings {
  var values: [(key: String, value: GGUFValue)] = []
  /// `rope_freqs.weight`: what rotary frequencies are divided by.
  var frequencyDivisors: [Float]?
  /// Rows of query and key heads.
  var heads = 1
  var kvHeads = 1
  /// In each layer that has any; nil: the file does not say.
  var experts: Int?
}

extension GGUFArchitecture {
  /// Metadata that says what a config.json says.
  func settings(from config: JSONObject) throws(ModelError) -> WrittenSettings {
    var problems: [String] = []
    for required in required {
      let value = config[required.setting].flatMap { $0 == .null ? nil : $0 } ?? required.fallback
      if value != required.value {
        problems.append(
          "'\(required.setting)' is \(value.json), but GGUF files of this kind always mean \(required.value.json).")
      }
    }
    var result = WrittenSettings()
    func add(_ key: String, _ value: GGUFValue) { result.values.append(("\(architecture).\(key)", value)) }
    for setting in settings {
      guard let value = config[setting.setting] ?? setting.alias.flatMap({ config[$0] }), value != .null else {
        continue
      }
      switch setting.kind {
      case .size:
        if let integer = value.integer, let size = UInt32(exactly: integer) {
          add(setting.key, .uint32(size))
          if setting.key == "attention.key_length" { add("attention.value_length", .uint32(size)) }
        } else {
          problems.append("'\(setting.setting)' must be a size, not \(value.json).")
        }
      case .number:
        if let number = value.double {
          add(setting.key, .float32(Float(number)))
        } else {
          problems.append("'\(setting.setting)' must be a number, not \(value.json).")
        }
      }
    }
    func size(_ key: String) -> Int? { result.values.first { $0.key == "\(architecture).\(key)" }?.value.integer }
    result.heads = size("attention.head_count") ?? 1
    result.kvHeads = size("attention.head_count_kv") ?? result.heads
    result.experts = size("expert_count")
    let width = size("embedding_length") ?? 0
    let headSize = size("attention.key_length") ?? width / max(1, result.heads)
    guard Self.possibleSizes.contains(width), Self.possibleSizes.contains(headSize),
      Self.possibleSizes.contains(result.heads), Self.possibleSizes.contains(result.kvHeads)
    else {
      throw ModelError(
        .badConfiguration, "config.json does not say how wide the model is and how many heads it has, or it is absurd.")
    }
    if architecture == "gpt2" {
      if size("feed_forward_length") == nil { add("feed_forward_length", .uint32(UInt32(4 * width))) }
    } else {
      addRotation(config, headSize: headSize, &result, &problems)
    }
    if architecture.hasPrefix("gemma") {
      let expected = Self.gemmaQueryScalar(layers: size("block_count"), headSize, width: width, heads: result.heads)
      if let scalar = config["query_pre_attn_scalar"]?.double, scalar != Double(expected) {
        problems.append("'query_pre_attn_scalar' is \(scalar), but GGUF files of this shape always mean \(expected).")
      }
    }
    if problems.isEmpty { return result }
    throw ModelError(
      .unsupported,
      "A GGUF file cannot hold this model as config.json describes it:" + problems.map { "\n  \($0)" }.joined())
  }

  /// Of widths, heads and their sizes.
  static let possibleSizes = 1...1 << 24

  /// ggml divides queries of Gemma by the root of the head's size, but in the two models of 27B by that of width / heads.
  private static func gemmaQueryScalar(layers: Int?, _ headSize: Int, width: Int, heads: Int) -> Int {
    layers == 46 || layers == 62 ? width / heads : headSize
  }

  private func addRotation(
    _ config: JSONObject, headSize: Int, _ result: inout WrittenSettings, _ problems: inout [String]
  ) {
    func add(_ key: String, _ value: GGUFValue) { result.values.append(("\(architecture).rope.\(key)", value)) }
    var parameters = config["rope_parameters"]?.object ?? config["rope_scaling"]?.object ?? JSONObject()
    let local = parameters["sliding_attention"]?["rope_theta"] ?? config["rope_local_base_freq"]
    if let all = parameters["full_attention"]?.object { parameters = all }
    if let part = (parameters["partial_rotary_factor"] ?? config["partial_rotary_factor"])?.double, part != 1 {
      problems.append("'partial_rotary_factor' is \(part), but GGUF files of this kind always rotate whole heads.")
    }
    add("dimension_count", .uint32(UInt32(headSize)))
    let base = (parameters["rope_theta"] ?? config["rope_theta"])?.double
    if let base { add("freq_base", .float32(Float(base))) }
    if let local = local?.double {
      if architecture == "gemma3" { add("freq_base_swa", .float32(Float(local))) }
    }
    func number(_ name: String, _ key: String) {
      if let value = parameters[name]?.double { add("scaling.\(key)", .float32(Float(value))) }
    }
    let kind = (parameters["rope_type"] ?? parameters["type"])?.string
    switch kind {
    case nil, "default": break
    case "linear":
      add("scaling.type", .string("linear"))
      number("factor", "factor")
    case "yarn":
      add("scaling.type", .string("yarn"))
      number("factor", "factor")
      number("attention_factor", "yarn_attn_factor")
      number("beta_fast", "yarn_beta_fast")
      number("beta_slow", "yarn_beta_slow")
      let original = parameters["original_max_position_embeddings"] ?? config["max_position_embeddings"]
      if let original = original?.integer {
        add("scaling.original_context_length", .uint32(UInt32(clamping: original)))
      }
      for key in ["mscale", "mscale_all_dim"] where parameters[key] != nil {
        problems.append("'\(key)' of the rotary embedding has no place in GGUF files of this kind.")
      }
    case "llama3":
      guard let scaling = Llama3Scaling(parameters) else {
        problems.append("the rotary embedding of type llama3 lacks one of its numbers.")
        return
      }
      result.frequencyDivisors = scaling.divisors(base: base ?? 10_000, headSize: headSize)
    case let kind?: problems.append("rotary embeddings of type '\(kind)' cannot be written as GGUF yet.")
    }
  }
}

extension GGUFArchitecture {
  /// The config.json that says what a file's metadata says.
  func config(from file: GGUFFile) throws -> JSONObject {
    func value(_ key: String) -> GGUFValue? { file.metadata["\(architecture).\(key)"] }
    var config = JSONObject()
    let type = modelType(file)
    config["architectures"] = [.string(Self.className(type))]
    config["model_type"] = .string(type)
    for setting in settings {
      guard let value = value(setting.key) else { continue }
      guard let number = value.double else {
        throw ModelError(
          .unsupported, "'\(architecture).\(setting.key)' of '\(file.path)' is no number (it may differ by layer).")
      }
      config[setting.setting] =
        switch setting.kind {
        case .size: value.integer.map { .integer($0) } ?? .float(number)
        case .number: .float(number)
        }
    }
    guard let embedding = file.tensor("token_embd.weight"), embedding.shape.count == 2,
      let heads = value("attention.head_count")?.integer, Self.possibleSizes.contains(heads)
    else {
      throw ModelError(
        .badConfiguration,
        "'\(file.path)' does not say how many heads the model has, or has no token embedding; it is no whole model.")
    }
    let width = embedding.shape[1]
    let headSize = value("attention.key_length")?.integer ?? width / heads
    guard Self.possibleSizes.contains(headSize), Self.possibleSizes.contains(kvHeads(file) ?? heads) else {
      throw ModelError(.badConfiguration, "'\(file.path)' says absurd things of the model's heads.")
    }
    config["vocab_size"] = .integer(embedding.shape[0])
    let tied = file.tensor("output.weight") == nil
    config["tie_word_embeddings"] = .bool(tied)
    for required in required { config[required.setting] = required.value }
    if architecture == "gpt2" { return config }
    if config["num_key_value_heads"] == nil { config["num_key_value_heads"] = .integer(heads) }
    if type == "llama" {
      config["attention_bias"] = .bool(file.tensor("blk.0.attn_q.bias") != nil)
      config["mlp_bias"] = .bool(file.tensor("blk.0.ffn_gate.bias") != nil)
    }
    if architecture.hasPrefix("gemma") {
      config["head_dim"] = .integer(headSize)
      config["query_pre_attn_scalar"] = .integer(
        Self.gemmaQueryScalar(layers: value("block_count")?.integer, headSize, width: width, heads: heads))
    }
    if architecture == "gemma3" {
      config["rope_local_base_freq"] = .float(value("rope.freq_base_swa")?.double ?? 10_000)
      config["sliding_window_pattern"] = 6
    }
    try addRotation(file, headSize: headSize, to: &config)
    return config
  }

  private func kvHeads(_ file: GGUFFile) -> Int? {
    file.metadata["\(architecture).attention.head_count_kv"]?.integer
  }

  /// Which of the architecture's types a file is.
  private func modelType(_ file: GGUFFile) -> String {
    guard architecture == "llama" else { return types[0] }
    if (file.metadata["llama.expert_count"]?.integer ?? 0) > 0 { return "mixtral" }
    return (file.metadata["llama.attention.sliding_window"]?.integer ?? 0) > 0 ? "mistral" : "llama"
  }

  private static func className(_ type: String) -> String {
    let names = [
      "llama": "Llama", "mistral": "Mistral", "mixtral": "Mixtral", "qwen2": "Qwen2", "qwen3": "Qwen3",
      "qwen3_moe": "Qwen3Moe", "gemma2": "Gemma2", "gemma3_text": "Gemma3",
    ]
    return names[type].map { $0 + "ForCausalLM" } ?? "GPT2LMHeadModel"
  }

  private func addRotation(_ file: GGUFFile, headSize: Int, to config: inout JSONObject) throws(ModelError) {
    func value(_ key: String) -> GGUFValue? { file.metadata["\(architecture).rope.\(key)"] }
    func number(_ key: String) -> JSONValue? { value(key)?.double.map { .float($0) } }
    if let rotated = value("dimension_count")?.integer, rotated != headSize {
      throw ModelError(
        .unsupported, "'\(file.path)' rotates \(rotated) of a head's \(headSize) elements, which is not converted yet.")
    }
    let base = value("freq_base")?.double ?? 10_000
    config["rope_theta"] = .float(base)
    var scaling = JSONObject()
    switch value("scaling.type")?.string {
    case nil, "none": break
    case "linear":
      scaling["rope_type"] = "linear"
      scaling["factor"] = number("scaling.factor") ?? 1
    case "yarn":
      scaling["rope_type"] = "yarn"
      scaling["factor"] = number("scaling.factor") ?? 1
      scaling["attention_factor"] = number("scaling.yarn_attn_factor")
      scaling["beta_fast"] = number("scaling.yarn_beta_fast")
      scaling["beta_slow"] = number("scaling.yarn_beta_slow")
      scaling["original_max_position_embeddings"] =
        value("scaling.original_context_length")?.integer.map { .integer($0) } ?? config["max_position_embeddings"]
    case let kind?:
      throw ModelError(
        .unsupported, "'\(file.path)' has a rotary scaling of type '\(kind)', which is not converted yet.")
    }
    if let divisors = file.withBytes(of: "rope_freqs.weight", { Array($0) }) {
      guard file.tensor("rope_freqs.weight")!.type == .f32,
        let found = Llama3Scaling(matching: divisors, base: base, headSize: headSize)
      else {
        throw ModelError(
          .unsupported, "'\(file.path)' divides rotary frequencies by numbers that are not those of Llama 3.")
      }
      scaling = found.parameters
    }
    if !scaling.isEmpty { config["rope_scaling"] = .object(scaling) }
  }
}

extension JSONValue {
  /// The decimal that a float32 in a file was meant to be: 1e-05, not 9.999999747378752e-06. With a point, since
  /// `transformers` takes no integer for a float.
  fileprivate static func float(_ number: Double) -> JSONValue {
    (try? JSONValue(parsing: Float(number).description)) ?? .null
  }
}
