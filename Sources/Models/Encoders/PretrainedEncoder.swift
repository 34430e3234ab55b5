// An encoder that somebody trained and put on disk: a folder as Hugging Face has them, or a GGUF file.
//
// Invariant: opening reads config.json or the metadata; the weights are mapped. Heads that a file holds and nobody asks for are not read.

public import Core
public import Formats
internal import FoundationEssentials
internal import Networks
internal import Tensors

/// An encoder on disk, ready to be run.
public struct PretrainedEncoder: Sendable {
  public let path: String
  /// What config.json says, whole, or would say if there were one.
  public let settings: JSONObject
  public let encoder: any Encoder
  /// What the checkpoint was trained for, by its `architectures`.
  public let task: EncoderTask
  /// The names of labels by their number.
  public let labels: [String]
  private let family: EncoderFamily
  /// nil: a folder.
  let gguf: GGUFFile?

  /// Reads config.json, or the metadata of a GGUF file; weights are not touched.
  ///
  /// - Parameter path: a folder with config.json, or a GGUF file.
  /// - Throws: `ModelError` if it is no encoder that is known, or asks for what this program does not have.
  public init(path: String) throws(ModelError) {
    self.path = path
    gguf = path.namesGGUF ? try PretrainedModel.opened(path) : nil
    let source = gguf == nil ? path + "/config.json" : path
    if let gguf {
      settings = try GGUFArchitecture.of(gguf).configInPlace(gguf)
    } else {
      settings = try PretrainedModel.object(source)
    }
    family = try EncoderFamily.of(type: settings["model_type"]?.string ?? "")
    var reader = ModelSettings(settings)
    encoder = family.read(&reader)
    task = reader.encoderTask()
    labels = reader.labels()
    if !reader.problems.isEmpty {
      throw ModelError(
        .unsupported,
        "\(source) asks for what this program does not have:"
          + reader.problems.map { "\n  \($0)" }.joined())
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

  /// A JSON file of the model's folder that need not be there.
  func part(_ name: String) throws(ModelError) -> JSONObject? {
    has(name) ? try PretrainedModel.object("\(path)/\(name)") : nil
  }

  /// Whether the model's folder holds a file.
  func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/\(name)") }

  private func stored() throws(ModelError) -> StoredTensors {
    if let gguf { return try StoredTensors(gguf) }
    let files: WeightFiles
    do {
      files = try WeightFiles(path: path)
    } catch {
      throw ModelError(.cannotRead, "Cannot read the weights in \(path).", cause: error)
    }
    return try StoredTensors(files).unpacked(settings)
  }

  /// The weights that `task` needs, as inputs of programs, mapped where they can be used in place. Asked for in bfloat16,
  /// hidden states are bfloat16 too: half the bytes between products, and attention in pairs.
  package func weights(
    for task: EncoderTask, _ precision: WeightPrecision = .stored
  ) throws(ModelError) -> WeightBinding {
    let described = WeightStore()
    encoder.declare(task, in: described)
    let needed = Set(described.parameters.map(\.name))
    var tensors: [String: MappedTensor] = [:]
    for (name, tensor) in try stored().tensors {
      let name = EncoderFamily.current(name)
      let isOther = !needed.contains(name) && !needed.contains(family.prefix + name)
      if isOther, family.heads.contains(where: name.hasPrefix) { continue }
      tensors[name] = tensor
    }
    return try WeightBinding(
      (family.prefix, family.ignored, family.type), [:], to: tensors, precision: precision,
      activations: precision == .bfloat16 ? .bfloat16 : .float32
    ) { encoder.declare(task, in: $0) }
  }
}
