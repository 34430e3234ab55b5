// From a folder of Hugging Face to a GGUF file and back: names, settings, tokenizer, and each tensor in a stream.
//
// Invariant: a tensor that goes there and back in types that lose nothing has the bits that it had.

internal import Core
package import Formats
internal import FoundationEssentials
package import Tensors

/// Converts checkpoints between the two formats.
package enum CheckpointConversion {
  /// Tensors that ggml wants in float32 whatever the model is in.
  private static let alwaysFloat32 = ["ffn_gate_inp.weight", "position_embd.weight"]

  /// Writes the model in `folder` as the GGUF file `path`.
  ///
  /// - Parameters:
  ///   - type: of matrices: float32, float16 or bfloat16; nil: as they are. Vectors are always float32.
  ///   - blocks: matrices that are quantised on their way.
  /// - Throws: `ModelError` or `FormatsError`.
  package static func writeGGUF(
    from folder: String, to path: String, type: ElementType? = nil, blocks: WrittenBlocks? = nil
  ) throws {
    let config = try configuration(folder)
    guard let modelType = config["model_type"]?.string else {
      throw ModelError(.badConfiguration, "\(folder)/config.json names no 'model_type'.")
    }
    let names = try GGUFArchitecture.of(type: modelType)
    let settings = try names.settings(from: config)
    let weights = try WeightFiles(path: folder)
    let tied = config["tie_word_embeddings"]?.bool ?? names.tiedByDefault
    var recipes = try names.recipes(for: weights, settings, tied: tied, type: type)
    var quantised: [String: GGUFType] = [:]
    for index in recipes.indices {
      let recipe = recipes[index]
      guard let type = blocks?.type(recipe.name, recipe.sources[0], recipe.shape) else { continue }
      recipes[index].type = .float32
      quantised[recipe.name] = type
    }
    guard let embedding = recipes.first(where: { $0.name == "token_embd.weight" }) else {
      throw ModelError(.badWeights, "The weights in '\(folder)' lack the token embedding.")
    }
    let vocabulary = try GGUFVocabulary(folder: folder, count: embedding.shape[0], config: config)
    var metadata: [(key: String, value: GGUFValue)] = [
      ("general.architecture", .string(names.architecture)), ("general.type", .string("model")),
      ("general.name", .string(modelName(folder))),
      ("general.file_type", .uint32(quantised.isEmpty ? fileType(recipes) : blocks!.fileType)),
    ]
    metadata += settings.values
    metadata += vocabulary.metadata
    var tensors = recipes.map {
      GGUFTensor(name: $0.name, type: quantised[$0.name] ?? $0.type.gguf, shape: $0.shape)
    }
    let divisors = settings.frequencyDivisors
    if let divisors { tensors.append(GGUFTensor(name: "rope_freqs.weight", type: .f32, shape: [divisors.count])) }
    let byName = Dictionary(uniqueKeysWithValues: recipes.map { ($0.name, $0) })
    try GGUFWriter.write(tensors, metadata: metadata, to: path) { tensor, emit in
      guard let recipe = byName[tensor.name] else { return try divisors!.withUnsafeBytes(emit) }
      let mapped = recipe.sources.map { weights.mapped($0)! }
      let sources = zip(recipe.sources, mapped).map { name, mapped in
        let tensor = weights.tensor(name)!
        return RecipeSource(type: tensor.type.float!, shape: tensor.shape, bytes: mapped.bytes)
      }
      try withExtendedLifetime(mapped) {
        guard let type = quantised[recipe.name] else { return try recipe.write(sources, to: emit) }
        try recipe.write(sources) { floats in
          let encoded = try blocks!.encode(recipe.name, type, floats, recipe.shape.last!)
          try withExtendedLifetime(encoded) { try emit(UnsafeRawBufferPointer(encoded.bytes)) }
        }
      }
    }
  }

  /// Writes the model of the GGUF file `path` into `folder`, which is made: config.json, safetensors and the tokenizer.
  ///
  /// - Parameters:
  ///   - type: float32, float16 or bfloat16; nil: that of the file's matrices.
  ///   - shardLimit: bytes of a safetensors file.
  /// - Throws: `ModelError` or `FormatsError`.
  package static func writeFolder(
    from path: String, to folder: String, type: ElementType? = nil, shardLimit: Int = WeightFiles.defaultShardLimit
  ) throws {
    let file = try GGUFFile(path: path)
    guard let architecture = file.metadata["general.architecture"]?.string else {
      throw ModelError(.badConfiguration, "'\(path)' does not say of what architecture it is.")
    }
    let names = try GGUFArchitecture.of(architecture: architecture)
    var config = try names.config(from: file)
    let type = try type ?? mainType(file)
    let recipes = try names.recipes(for: file, type: type)
    let tokenizer = try TokenizerFolder(file)
    for (key, value) in tokenizer.configuration { config[key] = value }
    config["dtype"] = .string(type.huggingFaceName)
    config["torch_dtype"] = config["dtype"]
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw ModelError(
        .cannotWrite, "Cannot make the folder '\(folder)': check its path and permissions.", cause: error)
    }
    try AtomicFile.write(JSONValue.object(config).json + "\n", to: folder + "/config.json")
    try tokenizer.write(to: folder)
    let byName = Dictionary(uniqueKeysWithValues: recipes.map { ($0.recipe.name, $0) })
    let tensors = recipes.map {
      SafetensorsTensor(name: $0.recipe.name, type: type.safetensors, shape: $0.recipe.shape)
    }
    try WeightFiles.write(tensors, metadata: ["format": "pt"], to: folder, limit: shardLimit) { tensor, emit in
      let (recipe, part) = byName[tensor.name]!
      let source = file.tensor(recipe.sources[0])!
      try file.withBytes(of: source.name) { bytes in
        let size = bytes.count / part.count
        let start = part.index * size
        let own = UnsafeRawBufferPointer(rebasing: bytes[start..<start + size])
        let shape = part.isExpert ? Array(source.shape.dropFirst()) : source.shape
        try recipe.write([RecipeSource(type: source.type.float!, shape: shape, bytes: own)], to: emit)
      }
    }
  }

  // MARK: Parts

  private static func configuration(_ folder: String) throws(ModelError) -> JSONObject {
    do {
      let text = try MappedFile(path: folder + "/config.json")
      if let config = try text.withBytes({ try JSONValue(parsing: $0) }).object { return config }
    } catch {
      throw ModelError(
        .badConfiguration, "Cannot read '\(folder)/config.json'; a model's folder holds it beside the weights.",
        cause: error)
    }
    throw ModelError(.badConfiguration, "'\(folder)/config.json' is not a JSON object.")
  }

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
    default: return 0
    }
  }

  /// The type of most of a file's numbers.
  private static func mainType(_ file: GGUFFile) throws(ModelError) -> ElementType {
    let counts = Dictionary(grouping: file.tensors, by: \.type).mapValues { $0.map(\.count).reduce(0, +) }
    guard let type = counts.max(by: { $0.value < $1.value })?.key.float else {
      throw ModelError(
        .unsupported,
        "'\(file.path)' is quantised, which safetensors of Hugging Face's layouts cannot hold as it is.")
    }
    return type == .float64 ? .float32 : type
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

/// Which of the tensors that one tensor holds.
struct ExpertPart {
  var index = 0
  var count = 1
  var isExpert = false
}

extension GGUFArchitecture {
  /// The tensors of a GGUF file, made of those of safetensors, in the order of layers.
  fileprivate func recipes(
    for weights: WeightFiles, _ settings: WrittenSettings, tied: Bool, type: ElementType?
  ) throws(ModelError) -> [TensorRecipe] {
    var problems: [String] = []
    var recipes: [String: TensorRecipe] = [:]
    var experts: [String: [Int: String]] = [:]
    for name in weights.names {
      let tensor = weights.tensor(name)!
      if name == "lm_head.weight" && tied || Self.isComputed(name) { continue }
      guard let match = match(huggingFace: name) ?? match(huggingFace: prefix + name) else {
        problems.append("'\(name)' is not known.")
        continue
      }
      guard let element = tensor.type.float else {
        problems.append("'\(name)' is of the type \(tensor.type.rawValue), which is not converted.")
        continue
      }
      let rank = tensor.shape.count
      var recipe = TensorRecipe(name: match.gguf, shape: tensor.shape, sources: [name], type: .float32)
      if rank > 1, !CheckpointConversion.isAlwaysFloat32(recipe.name) {
        recipe.type = type ?? (element == .float64 ? .float32 : element)
      }
      switch match.entry.form {
      case .same: break
      case .queryRows: recipe.change = .interleavedRows(heads: settings.heads)
      case .keyRows: recipe.change = .interleavedRows(heads: settings.kvHeads)
      case .plusOne: recipe.change = .plus(1)
      case .transposed where rank == 2:
        recipe.change = .transposed
        recipe.shape = tensor.shape.reversed()
      case .transposed: break
      case .experts: experts[recipe.name, default: [:]][match.numbers[1]] = name
      }
      if !recipe.rowsFit(in: tensor.shape) {
        problems.append("'\(name)' of shape \(tensor.shape) has not the rows that the number of heads needs.")
      }
      recipes[recipe.name] = recipe
    }
    for (name, sources) in experts {
      guard sources.count == settings.experts, (0..<sources.count).allSatisfy({ sources[$0] != nil }),
        sources.values.allSatisfy({ weights.tensor($0)!.shape == recipes[name]!.shape })
      else {
        problems.append("the experts of '\(name)' are not as many as config.json says or not of one shape.")
        continue
      }
      recipes[name]!.sources = (0..<sources.count).map { sources[$0]! }
      recipes[name]!.shape.insert(sources.count, at: 0)
    }
    try Self.report(problems)
    return recipes.values.sorted { Self.order($0.name) < Self.order($1.name) }
  }

  /// The tensors of safetensors, made of those of a GGUF file.
  fileprivate func recipes(
    for file: GGUFFile, type: ElementType
  ) throws(ModelError) -> [(recipe: TensorRecipe, part: ExpertPart)] {
    func size(_ key: String) -> Int? { file.metadata["\(architecture).attention.\(key)"]?.integer }
    let heads = max(1, size("head_count") ?? 1)
    let kvHeads = max(1, size("head_count_kv") ?? heads)
    var problems: [String] = []
    var recipes: [(TensorRecipe, ExpertPart)] = []
    for tensor in file.tensors where tensor.name != "rope_freqs.weight" {
      guard let match = match(gguf: tensor.name) else {
        problems.append("'\(tensor.name)' is not known.")
        continue
      }
      guard tensor.type.float != nil else {
        problems.append("'\(tensor.name)' is of the type \(tensor.type.name), which is not converted.")
        continue
      }
      var recipe = TensorRecipe(
        name: match.huggingFace(), shape: tensor.shape, sources: [tensor.name], type: type)
      switch match.entry.form {
      case .same: break
      case .queryRows: recipe.change = .halvedRows(heads: heads)
      case .keyRows: recipe.change = .halvedRows(heads: kvHeads)
      case .plusOne: recipe.change = .plus(-1)
      case .transposed where tensor.shape.count == 2:
        recipe.change = .transposed
        recipe.shape = tensor.shape.reversed()
      case .transposed: break
      case .experts:
        let count = tensor.shape.first ?? 0
        for index in 0..<count {
          let own = TensorRecipe(
            name: match.huggingFace(expert: index), shape: Array(tensor.shape.dropFirst()), sources: [tensor.name],
            type: type)
          recipes.append((own, ExpertPart(index: index, count: count, isExpert: true)))
        }
        continue
      }
      if !recipe.rowsFit(in: tensor.shape) {
        problems.append("'\(tensor.name)' of shape \(tensor.shape) has not the rows that the number of heads needs.")
      }
      recipes.append((recipe, ExpertPart()))
    }
    try Self.report(problems)
    return recipes
  }

  private static func report(_ problems: [String]) throws(ModelError) {
    if problems.isEmpty { return }
    let shown = problems.sorted().prefix(40).map { "\n  \($0)" }.joined()
    let more = problems.count > 40 ? "\n  and \(problems.count - 40) more." : ""
    throw ModelError(.badWeights, "The tensors cannot be converted:\(shown)\(more)")
  }

  /// Tensors that files may hold and that are computed, not trained.
  private static func isComputed(_ name: String) -> Bool {
    [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"].contains(where: name.hasSuffix)
  }

  /// The embedding first, then the layers, then the rest.
  private static func order(_ name: String) -> (Int, Int, String) {
    let parts = name.split(separator: ".")
    if parts.count > 2, parts[0] == "blk", let layer = Int(parts[1]) { return (1, layer, name) }
    return (name.contains("embd") ? 0 : 2, 0, name)
  }
}

extension TensorRecipe {
  /// Whether the rows can be cut into heads of an even size.
  fileprivate func rowsFit(in shape: [Int]) -> Bool {
    switch change {
    case .interleavedRows(let heads), .halvedRows(let heads): !shape.isEmpty && shape[0] % (2 * heads) == 0
    case .none, .transposed, .plus: true
    }
  }
}

extension CheckpointConversion {
  fileprivate static func isAlwaysFloat32(_ name: String) -> Bool { alwaysFloat32.contains(where: name.hasSuffix) }
}

extension ElementType {
  fileprivate var gguf: GGUFType {
    switch self {
    case .float32: .f32
    case .float16: .f16
    case .bfloat16: .bf16
    default: preconditionFailure("weights are not written as \(self)")
    }
  }

  fileprivate var safetensors: SafetensorsType {
    switch self {
    case .float32: .f32
    case .float16: .f16
    case .bfloat16: .bf16
    default: preconditionFailure("weights are not written as \(self)")
    }
  }

  fileprivate var huggingFaceName: String { "\(self)" }
}

extension SafetensorsType {
  /// nil: no float that is converted.
  fileprivate var float: ElementType? {
    switch self {
    case .f64: .float64
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    default: nil
    }
  }
}

extension GGUFType {
  /// nil: blocks or integers.
  fileprivate var float: ElementType? {
    switch self {
    case .f64: .float64
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    default: nil
    }
  }
}
