// The metadata of one GGUF file as values of config.json.

internal import Core
internal import Formats

/// Metadata of a file, seen from its architecture.
struct GGUFMetadata {
  let file: GGUFFile
  let architecture: String

  /// A number, text, truth value or list of them; nil if the key is missing.
  subscript(key: String) -> JSONValue? { file.metadata["\(architecture).\(key)"].flatMap { GGUFMetadata.json($0) } }

  func array(_ key: String) -> [JSONValue]? { self[key]?.array }

  func has(_ tensor: String) -> Bool { file.tensor(tensor) != nil }

  func hasSuffix(_ suffix: String) -> Bool { file.tensors.contains { $0.name.hasSuffix(suffix) } }

  /// A list of equal numbers, as files have them with one for each layer, is that number.
  private static func json(_ value: GGUFValue) -> JSONValue? {
    switch value {
    case .bool(let flag): return .bool(flag)
    case .string(let text): return .string(text)
    // The shortest text of a float32: 1e-5 rather than 9.999999747378752e-06.
    case .float32(let number): return .number(JSONNumber(number))
    case .float64(let number): return .number(JSONNumber(number))
    case .array(let list):
      let values: [JSONValue]? =
        switch list.kind {
        case .bool: (try? list.integers())?.map { .bool($0 != 0) }
        case .float32, .float64: (try? list.doubles())?.map { .real($0) }
        case .string, .array: nil
        default: (try? list.integers())?.map { .integer($0) }
        }
      guard let values, let first = values.first else { return nil }
      return first.bool == nil && values.allSatisfy { $0 == first } ? first : .array(values)
    default: return value.integer.map { .integer($0) }
    }
  }

  /// `rope_parameters` of config.json; nil: the file says nothing.
  ///
  /// - Parameter headSize: elements of a head.
  func rotary(headSize: Int) -> JSONObject? {
    var result = JSONObject([("rope_type", "default")])
    if let base = self["rope.freq_base"] { result["rope_theta"] = base }
    if let rotated = self["rope.dimension_count"]?.integer, rotated < headSize, architecture != "deepseek2" {
      result["partial_rotary_factor"] = .real((Double(rotated) + 0.5) / Double(headSize))
    }
    if let factor = self["rope.scaling.factor"] { result["factor"] = factor }
    if let original = self["rope.scaling.original_context_length"] {
      result["original_max_position_embeddings"] = original
    }
    if let short = divisors("rope_factors_short.weight"), let long = divisors("rope_factors_long.weight") {
      result["rope_type"] = "longrope"
      (result["short_factor"], result["long_factor"]) = (.array(short), .array(long))
      if let factor = self["rope.scaling.attn_factor"] { result["attention_factor"] = factor }
    } else if let divisors = divisors("rope_freqs.weight") {
      // Llama 3's scaling, already turned into a divisor for each pair.
      result["rope_type"] = "longrope"
      (result["short_factor"], result["long_factor"]) = (.array(divisors), .array(divisors))
      result["attention_factor"] = 1
    } else {
      scale(&result)
    }
    return result
  }

  private func scale(_ result: inout JSONObject) {
    switch self["rope.scaling.type"]?.string {
    case nil where result["factor"] != nil, "linear": result["rope_type"] = "linear"
    case nil, "none": break
    case "yarn":
      result["rope_type"] = "yarn"
      for (key, name) in [
        ("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow"), ("yarn_attn_factor", "attention_factor"),
      ] {
        if let value = self["rope.scaling." + key] { result[name] = value }
      }
      if architecture == "deepseek2", let multiplier = self["rope.scaling.yarn_log_multiplier"]?.double {
        // Written as a tenth of it; the models have the same value for both.
        (result["mscale"], result["mscale_all_dim"]) = (.real(multiplier * 10), .real(multiplier * 10))
      }
      if architecture == "gpt-oss" { result["truncate"] = false }
    case let kind?: result["rope_type"] = .string(kind)
    }
  }

  /// The values of a float32 tensor.
  private func divisors(_ tensor: String) -> [JSONValue]? {
    guard file.tensor(tensor)?.type == .f32 else { return nil }
    return file.withBytes(of: tensor) { bytes in
      stride(from: 0, to: bytes.count, by: 4).map {
        let pattern = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
        return .number(JSONNumber(Float(bitPattern: pattern)))
      }
    }
  }
}
