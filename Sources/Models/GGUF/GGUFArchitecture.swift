// An architecture of GGUF files (llama.cpp's gguf-py and converter) and its families of Hugging Face: what tensors and settings
// are called on both sides, and how they differ. Loading a GGUF file, writing one and turning one into a folder all follow from
// this description; GGUFArchitecture+All.swift holds one for each architecture.

internal import Core
internal import Formats

/// An architecture in both worlds.
package struct GGUFArchitecture: Sendable {
  /// `general.architecture`, and what stands in front of its settings' keys.
  package let name: String
  /// The values of `model_type` that are this architecture there, with their class in `transformers`; a file is of the first
  /// that `read` does not change.
  let types: [(type: String, model: String)]
  let settings: [Setting]
  let tensors: [TensorRule]
  /// Settings of config.json that all files of the architecture share.
  var constants: [Constant] = []
  /// Whether the rotary embedding is that of decoders: `rope_theta` and `rope_scaling`, or `rope_parameters`.
  var isRotary = true
  /// Where files do not say it, every so many layers one sees everything, the last of them; the others have windows.
  var windowPattern: Int?
  /// Adds to config.json what is no plain setting.
  var read: @Sendable (inout JSONObject, GGUFMetadata) -> Void = { _, _ in }
  /// Adds to metadata what is no plain setting.
  var write: @Sendable (JSONObject, inout WrittenMetadata) -> Void = { _, _ in }

  /// Whether a model reads texts in both directions.
  var isEncoder: Bool { EncoderFamily.all.contains { $0.type == types[0].type } }

  /// Whether rows of queries and keys stand so that neighbours are rotated.
  var hasInterleavedRows: Bool { tensors.contains { if case .queryRows = $0.form { true } else { false } } }

  /// The architecture of a `model_type`.
  static func of(type: String) throws(ModelError) -> GGUFArchitecture {
    if let found = all.first(where: { $0.types.contains { $0.type == type } }) { return found }
    throw ModelError(
      .unknownType,
      "GGUF files have no architecture for models of the type '\(type)' that is known here. Known are: "
        + "\(all.flatMap(\.types).map(\.type).joined(separator: ", ")).")
  }

  /// The architecture of a file.
  static func of(_ file: GGUFFile) throws(ModelError) -> GGUFArchitecture {
    guard let name = file.metadata["general.architecture"]?.string else {
      throw ModelError(.badConfiguration, "'\(file.path)' does not say its architecture (general.architecture).")
    }
    if let found = all.first(where: { $0.name == name }) { return found }
    throw ModelError(
      .unknownType,
      "The architecture '\(name)' of '\(file.path)' is not known. Known are: "
        + "\(all.map(\.name).joined(separator: ", ")). To add it, see the documentation, \"Adding a model\".")
  }
}

extension GGUFArchitecture {
  /// A key of the metadata, without the architecture in front, and the setting of config.json that it holds.
  struct Setting: Sendable {
    enum Kind: Sendable { case size, number, flag }

    var key: String
    var name: String
    var kind: Kind
    /// What config.json means where it does not say, if that is not what GGUF means.
    var fallback: JSONValue?
    /// Another name that config.json may have for it.
    var alias: String?

    static func size(_ key: String, _ name: String, or alias: String? = nil) -> Setting {
      Setting(key: key, name: name, kind: .size, alias: alias)
    }
    static func flag(_ key: String, _ name: String) -> Setting { Setting(key: key, name: name, kind: .flag) }
    static func number(_ key: String, _ name: String, default fallback: JSONValue? = nil) -> Setting {
      Setting(key: key, name: name, kind: .number, fallback: fallback)
    }
  }

  /// A setting that GGUF files of the architecture cannot hold, because it is always the same.
  struct Constant: Sendable {
    var name: String
    var value: JSONValue
    /// What config.json means without it.
    var fallback: JSONValue

    init(_ name: String, _ value: JSONValue, default fallback: JSONValue? = nil) {
      self.name = name
      self.value = value
      self.fallback = fallback ?? value
    }
  }

  /// A tensor, with `#` for the numbers of layers and experts, without the endings.
  struct TensorRule: Sendable {
    var gguf: String
    /// The parameter of the model.
    var name: String
    var form = Form.same
    /// How both names end; what stands there is the same parameter's ending.
    var endings: [(huggingFace: String, gguf: String)] = [(".weight", ".weight"), (".bias", ".bias")]

    init(_ gguf: String, _ name: String, _ form: Form = .same) {
      (self.gguf, self.name, self.form) = (gguf, name, form)
      if case .fused = form { endings = [("", ".weight"), ("_bias", ".bias"), ("_blocks", ".weight")] }
    }

    /// With one ending only.
    init(_ gguf: String, ending: String, _ name: String) {
      self.init(gguf, name)
      endings = [("", ending)]
    }

    /// What the parameter is called in Hugging Face's files, if not by its own name.
    var file: String {
      switch form {
      case .experts(let file), .fused(let file, _, _): file
      default: name
      }
    }
  }

  /// How the tensor of a GGUF file differs from Hugging Face's.
  enum Form: Sendable {
    case same
    /// As Hugging Face has it, in older GGUF files only.
    case older
    /// The rows of query or key heads are in the order of interleaved rotation.
    case queryRows, keyRows
    /// Norms that multiply by 1 + w hold 1 + w.
    case plusOne
    case transposed
    /// One tensor holds those of all experts.
    case experts(each: String)
    /// Of all experts, every `of`-th column of a tensor, transposed; biases and blocks of MXFP4 not.
    case fused(in: String, Int, of: Int)
    /// For each head the rows of one map that make keys, transposed, and those that make values.
    case latentKeys, latentValues
  }
}

// MARK: Names into each other

extension GGUFArchitecture {
  /// A tensor's name taken apart.
  struct Match {
    var rule: TensorRule
    var ending: (huggingFace: String, gguf: String)
    /// Of the layer and of the expert.
    var numbers: [Int]

    var gguf: String { Self.filled(rule.gguf, numbers) + ending.gguf }

    /// The parameter of the model.
    var parameter: String {
      let own =
        switch rule.form {
        case .experts, .fused: ending.gguf
        default: ending.huggingFace
        }
      return Self.filled(rule.name, numbers) + own
    }

    /// Without the ending.
    func file(expert: Int = 0) -> String { Self.filled(rule.file, numbers + [expert]) }

    private static func filled(_ template: String, _ numbers: [Int]) -> String {
      var numbers = numbers[...]
      return template.map { $0 == "#" ? "\(numbers.removeFirst())" : String($0) }.joined()
    }
  }

  /// nil: the architecture has no such tensor.
  func match(gguf name: String) -> Match? {
    let (template, numbers) = Self.template(name)
    return matches(template, numbers) { $0.gguf + $1.gguf }.first
  }

  /// All tensors of GGUF files that hold something of one.
  func matches(huggingFace name: String) -> [Match] {
    let (template, numbers) = Self.template(name)
    return matches(template, numbers) { $0.file + $1.huggingFace }
  }

  private func matches(
    _ template: String, _ numbers: [Int], _ side: (TensorRule, (huggingFace: String, gguf: String)) -> String
  ) -> [Match] {
    tensors.flatMap { rule in
      rule.endings.filter { side(rule, $0) == template }.map { Match(rule: rule, ending: $0, numbers: numbers) }
    }
  }

  /// The name with `#` for its numbers.
  private static func template(_ name: String) -> (String, [Int]) {
    var numbers: [Int] = []
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map { part in
      guard let number = Int(part), String(number) == part, number >= 0 else { return String(part) }
      numbers.append(number)
      return "#"
    }
    return (parts.joined(separator: "."), numbers)
  }
}
