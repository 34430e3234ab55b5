// A directory with a model as Hugging Face has them: config.json, model.safetensors (or its shards), tokenizer.json.
//
// Invariant: a directory is written so that a reader finds either no config.json or a whole model.

public import Core
public import Formats
internal import FoundationEssentials
public import Networks
public import Tensors

/// A model on disk.
public struct ModelDirectory: Sendable {
  public let path: String
  /// What config.json says, whole.
  public let settings: JSONObject
  public let configuration: GPTConfiguration
  package let layout: ModelLayout

  /// Reads config.json; weights are not touched.
  public init(path: String) throws(ModelError) {
    self.path = path
    let file = path + "/config.json"
    let settings: JSONObject
    do {
      let mapped = try MappedFile(path: file)
      guard case .object(let object) = try JSONValue(parsing: mapped.bytes) else {
        throw ModelError(.badConfiguration, "\(file) is not a JSON object.")
      }
      settings = object
    } catch let error as ModelError {
      throw error
    } catch {
      throw ModelError(
        .badConfiguration, "Cannot read \(file). A model's directory holds config.json and model.safetensors.",
        cause: error)
    }
    guard let type = settings["model_type"]?.string else {
      throw ModelError(
        .badConfiguration,
        "\(file) names no 'model_type'. Known are: \(ModelLayout.all.map(\.type).joined(separator: ", ")).")
    }
    self.settings = settings
    layout = try ModelLayout.of(type: type)
    var reader = ModelSettings(settings)
    configuration = layout.read(&reader)
    let problems = reader.problems + ConfigurationLoader.problems(in: configuration).map(\.description)
    if !problems.isEmpty {
      throw ModelError(
        .unsupported, "\(file) asks for what this program does not have:" + problems.map { "\n  \($0)" }.joined())
    }
  }

  /// The values of all parameters, float32, by our names.
  public func weights() throws(ModelError) -> [String: TensorData] {
    let files: WeightFiles
    do {
      files = try WeightFiles(path: path)
    } catch {
      throw ModelError(.cannotRead, "Cannot read the weights in \(path).", cause: error)
    }
    // The files stay mapped as long as `files` lives, to the end of this function.
    return try withExtendedLifetime(files) { () throws(ModelError) in
      var arrays: [String: StoredArray] = [:]
      for name in files.names {
        guard let tensor = files.tensor(name), let bytes = files.bytes(of: name) else { continue }
        arrays[name] = StoredArray(element: tensor.type.element, dimensions: tensor.shape, bytes: bytes)
      }
      let tensors = layout.tensors(configuration, GPT(configuration).parameters)
      var result: [String: TensorData] = [:]
      for (tensor, array) in try layout.match(arrays, to: tensors, tied: configuration.tiedHead) {
        for (parameter, values) in zip(tensor.parameters, tensor.read(array)) { result[parameter.name] = values }
      }
      return result
    }
  }

  /// The tokenizer that belongs to the model.
  public func tokenizer() throws(ModelError) -> any Tokenizer {
    do {
      return try TokenizerFile.read(path: path)
    } catch {
      throw ModelError(.cannotRead, "Cannot read the tokenizer of the model in \(path).", cause: error)
    }
  }

  // MARK: Writing

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
    let layout = ModelLayout.of(configuration).layout
    let settings = settings(of: configuration, layout, precision: precision, endOfText: tokenizer?.endOfText)
    let stored = layout.tensors(configuration, GPT(configuration).parameters)
    for parameter in stored.flatMap(\.parameters) {
      let values = weights[parameter.name]
      precondition(
        values?.type == TensorType(.float32, parameter.shape),
        "\(parameter.name): values of type \(values?.type.description ?? "none") for the shape \(parameter.shape)")
    }
    let byName = Dictionary(uniqueKeysWithValues: stored.map { ($0.name, $0) })
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      let config = path + "/config.json"
      if FileManager.default.fileExists(atPath: config) { try FileManager.default.removeItem(atPath: config) }
      try SafetensorsWriter.write(
        stored.map { SafetensorsTensor(name: $0.name, type: precision.stored, shape: $0.dimensions) },
        // Without this `transformers` does not open the file.
        metadata: ["format": "pt"], to: path + "/model.safetensors"
      ) { tensor, emit in
        let stored = byName[tensor.name]!
        let values = stored.written(stored.parameters.map { weights[$0.name]! }).converted(to: precision.element)
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
    of configuration: GPTConfiguration, _ layout: ModelLayout, precision: Precision, endOfText: Int32?
  ) -> JSONValue {
    let token = endOfText.map { JSONValue.integer(Int($0)) } ?? .null
    var result = JSONObject([
      ("architectures", .array([.string(layout.architecture)])), ("model_type", .string(layout.type)),
    ])
    for (key, value) in layout.write(configuration) { result[key] = value }
    (result["bos_token_id"], result["eos_token_id"]) = (token, token)
    (result["use_cache"], result["dtype"]) = (true, .string(precision.rawValue))
    return .object(result)
  }
}

extension Precision {
  fileprivate var stored: SafetensorsType {
    switch self {
    case .float32: .f32
    case .bfloat16: .bf16
    }
  }
}
