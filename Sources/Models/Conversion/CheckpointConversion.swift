// From a folder of Hugging Face to a GGUF file and back: names, settings, tokenizer, and one tensor after the other.
//
// Invariant: a tensor that goes there and back in types that lose nothing has the bits that it had.

internal import Core
package import Formats
internal import FoundationEssentials
internal import Networks
package import Tensors

/// Converts checkpoints between the two formats.
package enum CheckpointConversion {
  /// The values of `model_type` that can be written as GGUF and back.
  package static var knownTypes: [String] { GGUFArchitecture.all.flatMap(\.types).map(\.type) }

  /// Writes the model in `folder` as the GGUF file `path`.
  ///
  /// - Parameters:
  ///   - type: of matrices: float32, float16 or bfloat16; nil: as they are. Vectors are always float32.
  ///   - blocks: matrices that are quantised on their way.
  ///   - adapter: the path of an adapter that is added to the weights.
  /// - Throws: `ModelError` or `FormatsError`.
  package static func writeGGUF(
    from folder: String, to path: String, type: ElementType? = nil, blocks: WrittenBlocks? = nil,
    adapter: String? = nil
  ) throws {
    let source = try ConversionSource(folder: folder)
    let merging = try adapter.map { try MergedTensors(path: $0, for: PretrainedModel(path: folder)) }
    func read(_ name: String) throws -> MappedTensor {
      try merging?.merged(name, source.tensors[name]!) ?? source.tensors[name]!
    }
    let architecture = source.architecture
    let settings = try architecture.metadata(of: source.settings)
    var recipes = try architecture.recipes(of: source.tensors, source.settings, prefix: source.prefix, type: type)
    var quantised: [String: GGUFType] = [:]
    let names = source.names
    for index in recipes.indices {
      let recipe = recipes[index]
      guard let source = recipe.firstPart?.sources[0],
        let type = blocks?.type(recipe.name, names[source] ?? source, recipe.shape)
      else {
        continue
      }
      recipes[index].type = .float32
      quantised[recipe.name] = type
    }
    guard let embedding = recipes.first(where: { $0.name == "token_embd.weight" }) else {
      throw ModelError(.badWeights, "The weights in '\(folder)' lack the token embedding.")
    }
    let vocabulary = try GGUFVocabulary(folder: folder, count: embedding.shape[0], config: source.settings)
    var metadata: [(key: String, value: GGUFValue)] = [
      ("general.architecture", .string(architecture.name)), ("general.type", .string("model")),
      ("general.name", .string(modelName(folder))),
      ("general.file_type", .uint32(quantised.isEmpty ? fileType(recipes) : blocks!.fileType)),
    ]
    metadata += settings.values
    if let pooling = try source.pooling() { metadata.append(("\(architecture.name).pooling_type", .uint32(pooling))) }
    metadata += vocabulary.metadata
    var tensors = recipes.map {
      GGUFTensor(name: $0.name, type: quantised[$0.name] ?? $0.type.gguf, shape: $0.shape)
    }
    tensors += settings.tensors.map { GGUFTensor(name: $0.name, type: .f32, shape: [$0.values.count]) }
    let byName = Dictionary(uniqueKeysWithValues: recipes.map { ($0.name, $0) })
    try GGUFWriter.write(tensors, metadata: metadata, to: path) { tensor, emit in
      guard let recipe = byName[tensor.name] else {
        return try settings.tensors.first { $0.name == tensor.name }!.values.withUnsafeBytes(emit)
      }
      guard let type = quantised[recipe.name] else { return try recipe.write(read, to: emit) }
      try recipe.write(read) { floats in
        let encoded = try blocks!.encode(recipe.name, type, floats, recipe.shape.last!)
        try withExtendedLifetime(encoded) { try emit(UnsafeRawBufferPointer(encoded.bytes)) }
      }
    }
  }

  /// Writes the model of the GGUF file `path` into `folder`, which is made: config.json, safetensors and the tokenizer.
  ///
  /// - Parameters:
  ///   - type: float32, float16 or bfloat16, to which quantised weights are expanded; nil: that of the file's matrices.
  ///   - shardLimit: bytes of a safetensors file.
  /// - Throws: `ModelError` or `FormatsError`.
  package static func writeFolder(
    from path: String, to folder: String, type: ElementType? = nil, shardLimit: Int = WeightFiles.defaultShardLimit
  ) throws {
    let file = try GGUFFile(path: path)
    let architecture = try GGUFArchitecture.of(file)
    _ = try ConversionSource.checked(architecture.configInPlace(file), path)
    var config = architecture.config(of: file)
    if architecture.hasInterleavedRows, config["partial_rotary_factor"] != nil {
      throw ModelError(.unsupported, "'\(path)' rotates a part of each head, which is not converted.")
    }
    let tensors = GGUFArchitecture.tensors(of: file)
    let type = try type ?? mainType(tensors, path)
    let recipes = try architecture.recipes(of: tensors, config, type: type)
    let tokenizer = try TokenizerFolder(file)
    config["dtype"] = .string("\(type)")
    config["torch_dtype"] = config["dtype"]
    if recipes.contains(where: { $0.type == .uint8 }) {
      config["quantization_config"] = ["quant_method": "mxfp4", "modules_to_not_convert": Self.notMXFP4]
    }
    let manager = FileManager.default
    // The folder appears whole or not at all.
    let partial = "\(folder).\(ProcessInfo.processInfo.processIdentifier).partial"
    do {
      try manager.createDirectory(atPath: partial, withIntermediateDirectories: true)
    } catch {
      throw ModelError(
        .cannotWrite, "Cannot make the folder '\(folder)': check its path and permissions.", cause: error)
    }
    defer { try? manager.removeItem(atPath: partial) }
    try tokenizer.write(to: partial)
    if architecture.isEncoder { try EmbeddingRecipe.writeModules(of: file, to: partial) }
    // Encoders are written without their heads, and then without what stands in front of names.
    let prefix = architecture.isEncoder ? try EncoderFamily.of(type: architecture.types[0].type).prefix : ""
    func name(_ recipe: TensorRecipe) -> String { String(recipe.name.trimmingPrefix(prefix)) }
    let byName = Dictionary(uniqueKeysWithValues: recipes.map { (name($0), $0) })
    let written = recipes.map { SafetensorsTensor(name: name($0), type: $0.type.safetensors, shape: $0.shape) }
    try WeightFiles.write(written, metadata: ["format": "pt"], to: partial, limit: shardLimit) { tensor, emit in
      try byName[tensor.name]!.write({ tensors[$0]! }, to: emit)
    }
    try AtomicFile.write(JSONValue.object(config).json + "\n", to: partial + "/config.json")
    do {
      try manager.moveItem(atPath: partial, toPath: folder)
    } catch {
      throw ModelError(.cannotWrite, "Cannot write '\(folder)': it must not exist yet.", cause: error)
    }
  }

  // MARK: Parts

  private static let notMXFP4: JSONValue = [
    "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
  ]

  /// The folder's own name.
  private static func modelName(_ folder: String) -> String {
    folder.split(separator: "/").last { $0 != "." && $0 != ".." }.map(String.init) ?? "model"
  }

  /// `general.file_type`: what most numbers are in.
  private static func fileType(_ recipes: [TensorRecipe]) -> UInt32 {
    let counts = Dictionary(grouping: recipes, by: \.type).mapValues { $0.map(\.count).reduce(0, +) }
    switch counts.max(by: { $0.value < $1.value })?.key {
    case .float16: return 1
    case .bfloat16: return 32
    case .uint8: return 38
    default: return 0
    }
  }

  /// The type of most of a file's numbers, but for experts in MXFP4, which both formats have.
  private static func mainType(_ tensors: [String: MappedTensor], _ path: String) throws(ModelError) -> ElementType {
    let floats = tensors.values.filter { $0.form != .blocks(.mxfp4) }
    let counts = Dictionary(grouping: floats, by: \.typeName).mapValues { $0.map(\.bytes.count).reduce(0, +) }
    let most = counts.max { $0.value < $1.value }?.key
    guard case .dense(let type)? = floats.first(where: { $0.typeName == most })?.form else {
      throw ModelError(
        .unsupported, "'\(path)' is quantised; give the type to which it is to be expanded (--type bf16).")
    }
    return type == .float64 ? .float32 : type
  }
}

/// A folder that is converted.
private struct ConversionSource {
  let folder: String
  let architecture: GGUFArchitecture
  /// config.json with what is the default of its family filled in.
  let settings: JSONObject
  /// Under the names of the model, without what is not part of it.
  private(set) var tensors: [String: MappedTensor]
  /// What the folder calls the tensors.
  private(set) var names: [String: String] = [:]
  /// What names may lack in front.
  let prefix: String

  init(folder: String) throws {
    self.folder = folder
    let config = try PretrainedModel.object(folder + "/config.json")
    guard let type = config["model_type"]?.string else {
      throw ModelError(.badConfiguration, "\(folder)/config.json names no 'model_type'.")
    }
    architecture = try GGUFArchitecture.of(type: type)
    let checked = try Self.checked(config, folder + "/config.json")
    settings = checked.settings
    let stored = try StoredTensors(WeightFiles(path: folder)).unpacked(config).tensors
    tensors = [:]
    switch checked.model {
    case .decoder(let family, let model):
      prefix = family.prefix
      let isTied = !model.parameters.contains { $0.name == "lm_head.weight" }
      for (name, tensor) in stored {
        guard let own = family.name(name), !family.isExtra(model, own), own != "lm_head.weight" || !isTied else {
          continue
        }
        tensors[own] = tensor
        names[own] = name
      }
      tensors = tensors.filter { name, _ in !family.ignored.contains(where: name.hasSuffix) }
    case .encoder(let family):
      prefix = family.prefix
      let task = ModelSettings(config).encoderTask()
      guard task == .states || task == .maskedTokens else {
        throw ModelError(
          .unsupported, "The model in '\(folder)' has a head for labels; only encoders that embed are written as GGUF.")
      }
      for (name, tensor) in stored {
        let own = EncoderFamily.current(name)
        if !family.heads.contains(where: own.hasPrefix), !family.ignored.contains(where: own.hasSuffix) {
          tensors[own] = tensor
          names[own] = name
        }
      }
    }
  }

  enum Model {
    case decoder(ModelFamily, any LanguageModel)
    case encoder(EncoderFamily)
  }

  /// Settings with defaults filled in.
  ///
  /// - Throws: `ModelError` if the family cannot be of these settings.
  static func checked(_ config: JSONObject, _ source: String) throws(ModelError) -> (settings: JSONObject, model: Model)
  {
    let type = config["model_type"]?.string ?? ""
    var reader = ModelSettings(config)
    let model: Model
    if EncoderFamily.all.contains(where: { $0.type == type }) {
      let family = try EncoderFamily.of(type: type)
      _ = family.read(&reader)
      model = .encoder(family)
    } else {
      let family = try ModelFamily.of(type: type)
      model = .decoder(family, family.read(&reader))
    }
    if reader.problems.isEmpty { return (reader.object, model) }
    throw ModelError(
      .unsupported,
      "\(source) asks for what this program does not have:" + reader.problems.map { "\n  \($0)" }.joined())
  }

  /// `pooling_type` of an encoder; nil: of none.
  func pooling() throws -> UInt32? {
    guard architecture.isEncoder else { return nil }
    return try EmbeddingRecipe(PretrainedEncoder(path: folder)).ggufPooling(folder)
  }
}

/// Matrices that are quantised while they are written.
package struct WrittenBlocks {
  /// `general.file_type`
  package var fileType: UInt32
  /// What a tensor becomes, by its name in GGUF, that of its (first) source in the folder, and the shape as written; nil: it is
  /// not quantised.
  package var type: (_ name: String, _ source: String, _ shape: [Int]) -> GGUFType?
  /// The blocks of whole rows of float32, some of those of the tensor of a name.
  package var encode:
    (_ name: String, _ type: GGUFType, _ rows: UnsafeRawBufferPointer, _ columns: Int) throws -> TensorData

  package init(
    fileType: UInt32, type: @escaping (String, String, [Int]) -> GGUFType?,
    encode: @escaping (String, GGUFType, UnsafeRawBufferPointer, Int) throws -> TensorData
  ) {
    (self.fileType, self.type, self.encode) = (fileType, type, encode)
  }
}

extension ElementType {
  fileprivate var gguf: GGUFType {
    switch self {
    case .float32: .f32
    case .float16: .f16
    case .bfloat16: .bf16
    case .uint8: .mxfp4
    default: preconditionFailure("weights are not written as \(self)")
    }
  }

  fileprivate var safetensors: SafetensorsType {
    switch self {
    case .float32: .f32
    case .float16: .f16
    case .bfloat16: .bf16
    case .uint8: .u8
    default: preconditionFailure("weights are not written as \(self)")
    }
  }
}
