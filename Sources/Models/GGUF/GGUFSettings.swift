// The settings of a model as config.json has them and as the metadata of a GGUF file has them, each made of the other.
//
// Invariant: what GGUF has no words for is refused, not dropped, if it changes what the model computes.

package import Core
package import Formats

extension GGUFArchitecture {
  /// The config.json of a file's model, as `transformers` would read it.
  package func config(of file: GGUFFile) -> JSONObject {
    let metadata = GGUFMetadata(file: file, architecture: name)
    var config = JSONObject([("architectures", .null), ("model_type", .string(types[0].type))])
    for constant in constants { config[constant.name] = constant.value }
    for setting in settings {
      if let value = metadata[setting.key] { config[setting.name] = value }
    }
    // Files have 0 or nothing for none.
    if settings.contains(where: { $0.name == "sliding_window" }), config["sliding_window"]?.integer ?? 0 == 0 {
      config["sliding_window"] = .null
    }
    if let rows = metadata.rows("token_embd.weight") { config["vocab_size"] = .integer(rows) }
    if !isEncoder { config["tie_word_embeddings"] = .bool(!metadata.has("output.weight")) }
    for (name, keys) in [("bos", ["bos"]), ("eos", ["eos", "eot", "eom"]), ("pad", ["padding"])] {
      let tokens = keys.compactMap { file.metadata["tokenizer.ggml.\($0)_token_id"]?.integer }.map(JSONValue.integer)
      config["\(name)_token_id"] = tokens.count < 2 ? tokens.first : .array(tokens)
    }
    if let windowPattern { config["layer_types"] = layerTypes(metadata, config, windowPattern) }
    if isRotary { readRotation(metadata, into: &config) }
    read(&config, metadata)
    let type = config["model_type"]
    config["architectures"] = types.first { .string($0.type) == type }.map { [.string($0.model)] }
    return config
  }

  /// The same for weights that are used as they are in the file: its order of rotated rows, its norms.
  package func configInPlace(_ file: GGUFFile) -> JSONObject {
    var config = config(of: file)
    if hasInterleavedRows { config["rope_interleaved"] = true }
    if tensors.contains(where: { if case .plusOne = $0.form { true } else { false } }) {
      config["norm_plus_one"] = false
    }
    return config
  }

  private func layerTypes(_ metadata: GGUFMetadata, _ config: JSONObject, _ pattern: Int) -> JSONValue {
    let given = metadata["attention.sliding_window_pattern"]
    let count = max(0, min(config["num_hidden_layers"]?.integer ?? 0, 1 << 16))
    let every = max(1, given?.integer ?? pattern)
    let local = given?.array?.map { $0.bool == true } ?? (0..<count).map { ($0 + 1) % every != 0 }
    return .array(local.map { $0 ? "sliding_attention" : "full_attention" })
  }

  /// Metadata that say what a config.json says.
  ///
  /// - Parameter config: with what is the default of its family filled in.
  /// - Throws: `ModelError` that lists what cannot be said.
  func metadata(of config: JSONObject) throws(ModelError) -> WrittenMetadata {
    var result = WrittenMetadata(architecture: name)
    for constant in constants {
      let value = config[constant.name].flatMap { $0 == .null ? nil : $0 } ?? constant.fallback
      if value != constant.value && value.double.map({ $0 != constant.value.double }) ?? true {
        result.problems.append(
          "'\(constant.name)' is \(value.json), but GGUF files of this kind always mean \(constant.value.json).")
      }
    }
    for setting in settings {
      let given = config[setting.name] ?? setting.alias.flatMap { config[$0] }
      guard let value = given ?? setting.fallback, value != .null else { continue }
      switch setting.kind {
      case .size:
        if let size = value.integer.flatMap(UInt32.init(exactly:)) { result.add(setting.key, .uint32(size)) }
      case .number:
        if let number = value.double { result.add(setting.key, .float32(Float(number))) }
      case .flag:
        if let flag = value.bool { result.add(setting.key, .bool(flag)) }
      }
    }
    if let windowPattern { addLayerTypes(config, windowPattern, &result) }
    if isRotary { writeRotation(config, to: &result) }
    write(config, &result)
    if result.problems.isEmpty { return result }
    throw ModelError(
      .unsupported,
      "A GGUF file cannot hold this model as config.json describes it:" + result.problems.map { "\n  \($0)" }.joined())
  }

  private func addLayerTypes(_ config: JSONObject, _ pattern: Int, _ result: inout WrittenMetadata) {
    let every = config["sliding_window_pattern"]?.integer ?? pattern
    var settings = ModelSettings(config)
    let local = settings.localLayers { ($0 + 1) % max(1, every) != 0 }
    if local == local.indices.map({ ($0 + 1) % pattern != 0 }) { return }
    result.add("attention.sliding_window_pattern", .array(GGUFArray(flags: local)))
  }
}
