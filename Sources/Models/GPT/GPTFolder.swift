// A GPT that we trained, on disk as Hugging Face has models: config.json, model.safetensors, tokenizer.json.
//
// config.json says twice what the model is: in the words of its layout, for others, and under "tachornis" as the
// configuration itself, of which no layout has all the words (dropout, for one).
//
// Invariant: reading what was written gives the same configuration and the same bits of every parameter. A folder is written
// so that a reader finds either no config.json or a whole model.

internal import Core
public import Formats
internal import FoundationEssentials
public import Networks
public import Tensors

/// Reads and writes models that can be trained on.
public enum GPTFolder {
  static let key = "tachornis"

  /// The configuration and the values of all parameters, float32, by our names.
  ///
  /// - Throws: `ModelError`, also for models of others, which have no configuration of ours.
  public static func read(
    _ path: String
  ) throws(ModelError) -> (configuration: GPTConfiguration, weights: [String: TensorData]) {
    let pretrained = try PretrainedModel(path: path)
    let configuration = try configuration(in: pretrained.settings, of: path + "/config.json")
    return (configuration, try weights(in: path, of: configuration))
  }

  /// The values of all parameters, float32, by our names.
  ///
  /// - Parameter configuration: of the model in the folder.
  package static func weights(
    in path: String, of configuration: GPTConfiguration
  ) throws(ModelError) -> [String: TensorData] {
    let stored: StoredTensors
    do {
      stored = StoredTensors(try WeightFiles(path: path))
    } catch {
      throw ModelError(.cannotRead, "Cannot read the weights in \(path).", cause: error)
    }
    let family = try ModelFamily.of(type: configuration.exportType)
    let bound = try WeightBinding(family, GPT(configuration), to: stored, precision: .float32)
    // Copies: training writes into them, and the file stays as it is.
    return Dictionary(uniqueKeysWithValues: zip(bound.store.parameters, bound.values).map { ($0.name, $1.copy()) })
  }

  static func configuration(in settings: JSONObject, of file: String) throws(ModelError) -> GPTConfiguration {
    guard let ours = settings[key] else {
      throw ModelError(
        .badConfiguration, "\(file) has no '\(key)': the model was not trained by this program, and cannot be resumed.")
    }
    do throws(ConfigurationError) {
      return try ConfigurationLoader.load(text: ours.json, name: "'\(key)' in \(file)")
    } catch {
      throw ModelError(.badConfiguration, error.message)
    }
  }

  /// Writes config.json, model.safetensors and tokenizer.json into a folder, which is made if need be.
  ///
  /// - Parameters:
  ///   - weights: the values of all parameters, float32, by our names.
  ///   - precision: the element type in the file.
  ///   - tokenizer: nil: no tokenizer.json is written.
  public static func write(
    _ configuration: GPTConfiguration, weights: [String: TensorData], to path: String,
    precision: Precision = .float32, tokenizer: (any Tokenizer)? = nil
  ) throws(ModelError) {
    let layout = ExportLayout.of(configuration).layout
    let settings = settings(of: configuration, layout, precision: precision, endOfText: tokenizer?.endOfText)
    let exported = layout.tensors(GPT(configuration).parameters)
    for parameter in exported.flatMap(\.parameters) {
      let values = weights[parameter.name]
      precondition(
        values?.type == TensorType(.float32, parameter.shape),
        "\(parameter.name): values of type \(values?.type.description ?? "none") for the shape \(parameter.shape)")
    }
    let byName = Dictionary(uniqueKeysWithValues: exported.map { ($0.name, $0) })
    let type: SafetensorsType = precision == .bfloat16 ? .bf16 : .f32
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      let config = path + "/config.json"
      if FileManager.default.fileExists(atPath: config) { try FileManager.default.removeItem(atPath: config) }
      try SafetensorsWriter.write(
        exported.map { SafetensorsTensor(name: $0.name, type: type, shape: $0.dimensions) },
        // Without this `transformers` does not open the file.
        metadata: ["format": "pt"], to: path + "/model.safetensors"
      ) { tensor, emit in
        let exported = byName[tensor.name]!
        let values = exported.written(exported.parameters.map { weights[$0.name]! }).rounded(to: precision)
        try withExtendedLifetime(values) { try emit(UnsafeRawBufferPointer(values.bytes)) }
      }
      if let tokenizer {
        try TokenizerFile.write(tokenizer, to: path + "/tokenizer.json")
        try TokenizerFile.writeConfiguration(tokenizer, to: path + "/tokenizer_config.json")
      }
      try AtomicFile.write(settings.indentedJSON, to: config)
    } catch {
      throw ModelError(.cannotWrite, "Cannot write the model to \(path).", cause: error)
    }
  }

  private static func settings(
    of configuration: GPTConfiguration, _ layout: ExportLayout, precision: Precision, endOfText: Int32?
  ) -> JSONValue {
    let token = endOfText.map { JSONValue.integer(Int($0)) } ?? .null
    var result = JSONObject([
      ("architectures", .array([.string(layout.architecture)])), ("model_type", .string(layout.type)),
    ])
    for (key, value) in layout.settings(configuration) { result[key] = value }
    (result["bos_token_id"], result["eos_token_id"]) = (token, token)
    (result["use_cache"], result["dtype"]) = (true, .string(precision.rawValue))
    result[key] = ConfigurationLoader.json(configuration)
    return .object(result)
  }
}
