// Adapters as files hold them: a folder of PEFT (huggingface/peft, `LoraConfig`), or a GGUF file of llama.cpp
// (convert_lora_to_gguf.py).
//
// Invariant: what this package cannot do with an adapter is refused by name, all of it at once: an adapter of which a part is
// left out answers wrongly without a sign.

internal import Core
internal import Formats
internal import FoundationEssentials
internal import Networks
internal import Tensors

/// The matrices in a file.
struct AdapterFile {
  /// What is added to one tensor of a checkpoint.
  struct Module {
    /// [rank, inputs]
    var down: MappedTensor
    /// [outputs, rank]
    var up: MappedTensor
    /// Factor on their product.
    var scale: Double
  }

  let path: String
  /// By the names of tensors in folders of Hugging Face: `model.layers.0.self_attn.q_proj.weight`.
  private(set) var modules: [String: Module] = [:]
  /// The architecture, of a GGUF file: rows of queries and keys may stand in another order there.
  private(set) var architecture: GGUFArchitecture?
  private(set) var problems: [String] = []

  /// - Parameter path: a folder with adapter_config.json, or a GGUF file.
  init(path: String) throws(ModelError) {
    self.path = path
    if path.lowercased().hasSuffix(".gguf") {
      try readGGUF()
    } else {
      try readFolder()
    }
    if modules.isEmpty && problems.isEmpty { problems.append("It holds no matrices.") }
  }

  /// Takes two matrices if they fit each other.
  ///
  /// - Parameter scale: of their rank.
  private mutating func add(
    _ name: String, _ down: MappedTensor?, _ up: MappedTensor?, scale: (Int) -> Double
  ) {
    guard let down, let up else { return problems.append("'\(name)' has only one of its two matrices.") }
    for tensor in [down, up] where !tensor.isFloats {
      return problems.append("'\(name)' is of the type \(tensor.typeName), which is not computed with.")
    }
    guard down.dimensions.count == 2, up.dimensions.count == 2, down.dimensions[0] == up.dimensions[1],
      down.dimensions[0] > 0
    else {
      return problems.append("'\(name)' has matrices \(down.dimensions) and \(up.dimensions) of no common rank.")
    }
    modules[name] = Module(down: down, up: up, scale: scale(down.dimensions[0]))
  }

  // MARK: PEFT

  private static let prefix = "base_model.model."
  private static let (downEnding, upEnding) = (".lora_A.weight", ".lora_B.weight")

  private mutating func readFolder() throws(ModelError) {
    let (config, weights) = (path + "/adapter_config.json", path + "/adapter_model.safetensors")
    let manager = FileManager.default
    guard manager.fileExists(atPath: config) else {
      throw ModelError(
        .cannotRead,
        "There is no adapter at '\(path)': one is a folder of PEFT, with adapter_config.json and "
          + "adapter_model.safetensors, or a .gguf file.")
    }
    guard manager.fileExists(atPath: weights) else {
      throw ModelError(
        .cannotRead,
        "'\(path)' holds no adapter_model.safetensors. Load it with peft and save it again with safe_serialization=True."
      )
    }
    let settings = PEFTSettings(try PretrainedModel.object(config))
    problems = settings.problems
    let tensors: [String: MappedTensor]
    do {
      tensors = StoredTensors(try WeightFiles(path: weights)).tensors
    } catch {
      throw ModelError(.cannotRead, "Cannot read the adapter '\(weights)'.", cause: error)
    }
    for name in tensors.keys.sorted() {
      if name.hasSuffix(Self.downEnding) || name.hasSuffix(Self.upEnding) { continue }
      problems.append("'\(name)' is not supported: only the matrices of linear maps are (lora_A and lora_B).")
    }
    func modules(_ ending: String) -> [String] {
      tensors.keys.filter { $0.hasSuffix(ending) }.map { String($0.dropLast(ending.utf8.count)) }
    }
    for full in Set(modules(Self.downEnding) + modules(Self.upEnding)).sorted() {
      let name = full.hasPrefix(Self.prefix) ? String(full.dropFirst(Self.prefix.utf8.count)) : full
      let down = tensors[full + Self.downEnding]
      let rank = settings.rank(of: name)
      if let found = down?.dimensions.first, found != rank {
        problems.append("'\(name)' is of rank \(found), but adapter_config.json says \(rank).")
      }
      add(name + ".weight", down, tensors[full + Self.upEnding]) { settings.scale(of: name, rank: $0) }
    }
  }

  // MARK: GGUF

  private mutating func readGGUF() throws(ModelError) {
    let file = try PretrainedModel.opened(path)
    guard file.metadata["general.type"]?.string == "adapter" else {
      throw ModelError(
        .cannotRead, "'\(path)' is no adapter but a \(file.metadata["general.type"]?.string ?? "model").")
    }
    let architecture = try GGUFArchitecture.of(file)
    self.architecture = architecture
    if let type = file.metadata["adapter.type"]?.string, type != "lora" {
      problems.append("It is an adapter of the type '\(type)'; only 'lora' is supported.")
    }
    let alpha = file.metadata["adapter.lora.alpha"]?.double ?? 0
    let tensors = GGUFArchitecture.tensors(of: file)
    var weights: Set<String> = []
    for name in tensors.keys.sorted() {
      if name.hasSuffix(".lora_a") || name.hasSuffix(".lora_b") {
        weights.insert(String(name.dropLast(7)))
      } else {
        problems.append("'\(name)' is not supported: only the matrices of linear maps are (lora_a and lora_b).")
      }
    }
    for weight in weights.sorted() {
      guard let match = architecture.match(gguf: weight) else {
        problems.append("'\(weight)' is not known.")
        continue
      }
      // llama.cpp takes no alpha to mean no factor.
      add(match.file() + match.ending.huggingFace, tensors[weight + ".lora_a"], tensors[weight + ".lora_b"]) { rank in
        alpha == 0 ? 1 : alpha / Double(rank)
      }
    }
  }
}

extension MappedTensor {
  /// Whether it can be read as floats.
  fileprivate var isFloats: Bool {
    switch form {
    case .dense(let element)?: element.isFloat
    case .blocks?, .orderedBlocks?: true
    case nil: false
    }
  }
}
