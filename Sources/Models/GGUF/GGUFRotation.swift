// The rotary embedding of a model as config.json has it and as the metadata of a GGUF file has it, each made of the other.
//
// What divides frequencies stands in tensors of GGUF files: `rope_freqs` for Llama 3's scaling, `rope_factors_short` and
// `rope_factors_long` for that of Phi-3.

internal import Core
internal import Formats
internal import Networks

extension GGUFArchitecture {
  /// Whether only a part of queries and keys is rotated, which has settings of its own.
  private var isLatent: Bool { settings.contains { $0.name == "qk_rope_head_dim" } }

  /// Elements of a head.
  private func headSize(_ config: JSONObject) -> Int {
    let share = (config["hidden_size"]?.integer ?? 1) / max(1, config["num_attention_heads"]?.integer ?? 1)
    return config["head_dim"]?.integer ?? share
  }

  /// Sets `rope_theta`, `partial_rotary_factor` and `rope_scaling`.
  func readRotation(_ metadata: GGUFMetadata, into config: inout JSONObject) {
    let size = headSize(config)
    let base = metadata["rope.freq_base"] ?? .float(10_000)
    config["rope_theta"] = base
    if !isLatent, let rotated = metadata["rope.dimension_count"]?.integer, rotated < size {
      // Rounded down to whole elements where it is read.
      config["partial_rotary_factor"] = .real((Double(rotated) + 0.5) / Double(size))
    }
    var scaling = JSONObject()
    let context = metadata["rope.scaling.original_context_length"] ?? config["max_position_embeddings"]
    if let short = metadata.floats("rope_factors_short.weight"), let long = metadata.floats("rope_factors_long.weight")
    {
      scaling = Self.longRope(short, long)
      let factor = metadata["rope.scaling.attn_factor"]?.double
      let whole = config["max_position_embeddings"]?.double ?? 1
      let usual = RotaryScaling.longRopeAttentionFactor(
        whole / max(1, context?.double ?? 1), context: context?.integer ?? 1)
      if let factor, abs(factor - usual) > 1e-5 { scaling["attention_factor"] = .real(factor) }
    } else if let divisors = metadata.floats("rope_freqs.weight") {
      if let known = Llama3Scaling(matching: divisors, base: base.double ?? 10_000, headSize: size) {
        scaling = known.parameters
      } else {
        scaling = Self.longRope(divisors, divisors)
        (scaling["attention_factor"], scaling["original_max_position_embeddings"]) = (.float(1), context)
      }
    } else {
      let factor = metadata["rope.scaling.factor"]
      switch metadata["rope.scaling.type"]?.string {
      case nil where factor != nil, "linear":
        scaling = JSONObject([("rope_type", "linear"), ("factor", factor ?? .float(1))])
      case nil, "none": break
      case "yarn": scaling = yarn(metadata, context)
      case let kind?: scaling["rope_type"] = .string(kind)
      }
    }
    if !scaling.isEmpty { config["rope_scaling"] = .object(scaling) }
  }

  private static func longRope(_ short: [Float], _ long: [Float]) -> JSONObject {
    func list(_ values: [Float]) -> JSONValue { .array(values.map(JSONValue.float)) }
    return JSONObject([("rope_type", "longrope"), ("short_factor", list(short)), ("long_factor", list(long))])
  }

  private func yarn(_ metadata: GGUFMetadata, _ context: JSONValue?) -> JSONObject {
    var scaling = JSONObject([("rope_type", "yarn"), ("factor", metadata["rope.scaling.factor"] ?? .float(1))])
    scaling["original_max_position_embeddings"] = context
    for (key, name) in Self.yarnKeys { scaling[name] = metadata["rope.scaling." + key] }
    if isLatent, let multiplier = metadata["rope.scaling.yarn_log_multiplier"]?.double {
      // Written as a tenth of it; the models have the same value for both.
      let scale = JSONValue.float(Float(multiplier * 10))
      (scaling["mscale"], scaling["mscale_all_dim"]) = (scale, scale)
    }
    if !truncates { scaling["truncate"] = false }
    return scaling
  }

  private static let yarnKeys = [
    ("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow"), ("yarn_attn_factor", "attention_factor"),
  ]
  /// Whether the bounds of YaRN are rounded to whole pairs, which files do not say.
  private var truncates: Bool { name != "gpt-oss" }

  // MARK: To GGUF

  /// The base where config.json does not say; 10000 in all other families.
  private static let bases: [String: Double] = [
    "mixtral": 1e6, "gpt_oss": 150_000, "gemma3": 1e6, "gemma3_text": 1e6,
  ]

  /// Adds what `rope_parameters`, or `rope_theta` and `rope_scaling`, say.
  func writeRotation(_ config: JSONObject, to result: inout WrittenMetadata) {
    var parameters = config["rope_parameters"]?.object ?? config["rope_scaling"]?.object ?? JSONObject()
    if let all = parameters["full_attention"]?.object { parameters = all }
    let size = headSize(config)
    let part = (parameters["partial_rotary_factor"] ?? config["partial_rotary_factor"])?.double ?? 1
    if part != 1 && hasInterleavedRows {
      result.problems.append("'partial_rotary_factor' is \(part), but GGUF files of this kind rotate whole heads.")
    }
    if !isLatent { result.add("rope.dimension_count", .uint32(UInt32(max(0, min(1, part)) * Double(size)))) }
    let usual = Self.bases[config["model_type"]?.string ?? ""] ?? 10_000
    let base = (parameters["rope_theta"] ?? config["rope_theta"])?.double ?? usual
    result.add("rope.freq_base", .float32(Float(base)))
    var kind = (parameters["rope_type"] ?? parameters["type"])?.string ?? "default"
    // Old files of Phi-3 say "su" or "yarn".
    if parameters["short_factor"] != nil { kind = "longrope" }
    let context = (parameters["original_max_position_embeddings"] ?? config["original_max_position_embeddings"])?
      .integer
    if name == "phi3" || kind == "yarn", let context = context ?? config["max_position_embeddings"]?.integer {
      result.add("rope.scaling.original_context_length", .uint32(UInt32(clamping: context)))
    }
    switch kind {
    case "default": break
    case "linear", "yarn":
      result.add("rope.scaling.type", .string(kind))
      result.add("rope.scaling.factor", .float32(Float(parameters["factor"]?.double ?? 1)))
      if kind == "yarn" { writeYaRN(parameters, to: &result) }
    case "llama3":
      if let scaling = Llama3Scaling(parameters) {
        result.tensors.append(("rope_freqs.weight", scaling.divisors(base: base, headSize: size)))
      } else {
        result.problems.append("the rotary embedding of type llama3 lacks one of its numbers.")
      }
    case "longrope":
      writeLongRope(parameters, context, config, to: &result)
    default: result.problems.append("GGUF files have no rotary embedding of the type '\(kind)'.")
    }
  }

  private func writeYaRN(_ parameters: JSONObject, to result: inout WrittenMetadata) {
    for (key, name) in Self.yarnKeys {
      if let value = parameters[name]?.double { result.add("rope.scaling." + key, .float32(Float(value))) }
    }
    let (scale, all) = (parameters["mscale"]?.double ?? 0, parameters["mscale_all_dim"]?.double ?? 0)
    if scale != all || scale != 0 && !isLatent {
      result.problems.append(
        "'mscale' is \(scale) and 'mscale_all_dim' is \(all), "
          + (isLatent ? "but GGUF files have one number for both." : "for which GGUF files of this kind have no place.")
      )
    }
    if isLatent && scale != 0 { result.add("rope.scaling.yarn_log_multiplier", .float32(Float(0.1 * scale))) }
    if parameters["truncate"]?.bool ?? true != truncates {
      result.problems.append("'truncate' is \(!truncates), but GGUF files of this kind always mean \(truncates).")
    }
  }

  private func writeLongRope(
    _ parameters: JSONObject, _ context: Int?, _ config: JSONObject, to result: inout WrittenMetadata
  ) {
    guard name == "phi3" else {
      result.problems.append("GGUF files of this kind have no rotary embedding of the type 'longrope'.")
      return
    }
    for (key, name) in [("short_factor", "rope_factors_short"), ("long_factor", "rope_factors_long")] {
      let values = parameters[key]?.array?.compactMap { $0.double.map { Float($0) } } ?? []
      result.tensors.append((name + ".weight", values))
    }
    let whole = config["max_position_embeddings"]?.integer ?? 1
    let original = context ?? whole
    let factor = parameters["factor"]?.double ?? Double(whole) / Double(max(1, original))
    let usual = RotaryScaling.longRopeAttentionFactor(factor, context: original)
    result.add("rope.scaling.attn_factor", .float32(Float(parameters["attention_factor"]?.double ?? usual)))
  }
}
