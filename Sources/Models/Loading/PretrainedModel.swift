// A model that somebody trained and put on disk: a folder as Hugging Face has them, or a GGUF file.
//
// Invariant: opening reads config.json or the metadata and the headers of the weights; the weights themselves are mapped, and their pages are
// read as they are needed.

public import Core
public import Formats
internal import FoundationEssentials
internal import Networks
internal import Tensors

/// A model on disk, ready to be run.
public struct PretrainedModel: Sendable {
  public let path: String
  /// What config.json says, whole, or would say if there were one.
  public let settings: JSONObject
  package let family: ModelFamily
  /// nil: a folder.
  private let gguf: GGUFFile?
  public let model: any LanguageModel
  /// The tokens that end a text, from generation_config.json or else config.json.
  public let endTokens: Set<Int32>

  /// Reads config.json, or the metadata of a GGUF file; weights are not touched.
  ///
  /// - Parameter path: a folder with config.json, or a GGUF file.
  public init(path: String) throws(ModelError) {
    self.path = path
    let source: String
    var ends: JSONValue?
    if path.namesGGUF {
      let file = try PretrainedModel.opened(path)
      (gguf, source) = (file, path)
      settings = try GGUFArchitecture.of(file).configInPlace(file)
      ends = settings["eos_token_id"]
    } else {
      (gguf, source) = (nil, path + "/config.json")
      settings = try PretrainedModel.object(source)
      ends = settings["eos_token_id"]
      if FileManager.default.fileExists(atPath: path + "/generation_config.json") {
        ends = try PretrainedModel.object(path + "/generation_config.json")["eos_token_id"] ?? ends
      }
    }
    guard let type = settings["model_type"]?.string else {
      throw ModelError(
        .badConfiguration,
        "\(source) names no 'model_type'. Known are: \(ModelFamily.knownTypes.joined(separator: ", ")).")
    }
    family = try ModelFamily.of(type: type)
    var reader = ModelSettings(settings)
    model = family.read(&reader)
    if !reader.problems.isEmpty {
      throw ModelError(
        .unsupported,
        "\(source) asks for what this program does not have:" + reader.problems.map { "\n  \($0)" }.joined())
    }
    endTokens = Set((ends?.array ?? [ends].compactMap(\.self)).compactMap { $0.integer.flatMap(Int32.init(exactly:)) })
  }

  static func opened(_ path: String) throws(ModelError) -> GGUFFile {
    do {
      return try GGUFFile(path: path)
    } catch {
      throw ModelError(.cannotRead, "Cannot read the model \(path).", cause: error)
    }
  }

  /// The weights as inputs of programs, mapped where they can be used in place.
  package func weights(_ precision: WeightPrecision = .stored) throws(ModelError) -> WeightBinding {
    try WeightBinding(family, model, to: stored(), precision: precision)
  }

  /// The tensors of its files.
  func stored() throws(ModelError) -> StoredTensors {
    if let gguf { return try StoredTensors(gguf) }
    return try StoredTensors(folder: path, settings)
  }

  /// The value of `model_type`.
  var type: String { settings["model_type"]?.string ?? "" }

  /// How a GGUF file holds the weights; nil: they are in a folder.
  var architecture: GGUFArchitecture? {
    // It was found when the file was opened.
    gguf.flatMap { try? GGUFArchitecture.of($0) }
  }

  /// The tokenizer that belongs to the model.
  public func tokenizer() throws(ModelError) -> any Tokenizer {
    do {
      return try TokenizerFile.read(path: path)
    } catch {
      throw ModelError(.cannotRead, "Cannot read the tokenizer of the model in \(path).", cause: error)
    }
  }

  /// How the model wants its conversations written.
  public func chatTemplate() throws(ModelError) -> ChatTemplate {
    do {
      if let gguf { return try ChatTemplate(gguf) }
      return try ChatTemplate(directory: path)
    } catch {
      throw ModelError(
        .cannotRead, "The model in \(path) cannot be talked with without a template (chat --template FILE).",
        cause: error)
    }
  }

  static func object(_ file: String) throws(ModelError) -> JSONObject {
    do {
      let mapped = try MappedFile(path: file)
      if case .object(let object) = try mapped.withBytes({ try JSONValue(parsing: $0) }) { return object }
    } catch {
      throw ModelError(
        .badConfiguration, "Cannot read \(file). A model's folder holds config.json and model.safetensors.",
        cause: error)
    }
    throw ModelError(.badConfiguration, "\(file) is not a JSON object.")
  }
}
