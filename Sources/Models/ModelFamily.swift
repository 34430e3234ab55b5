// The architectures that this package knows, each a value that says how it is recognised, read and stored. The list of
// families is `ModelFamily.all` and nothing else.

internal import Core
internal import Networks
internal import Tensors

/// One architecture.
package struct ModelFamily: Sendable {
  /// The values of `model_type` in config.json that mean this family.
  package let types: [String]
  /// What files of the bare model, without its head, leave out in front of names.
  var prefix = "model."
  /// Beginnings of names in files and what the model has instead; nil: not part of the model. The first that fits counts.
  var renamed: [(file: String, model: String?)] = []
  /// Endings of tensors that files may hold and that are computed, not trained.
  var ignored: [String] = []
  /// From config.json, collecting what this package cannot do.
  let read: @Sendable (inout ModelSettings) -> any LanguageModel
  /// Where a file holds those parameters that it does not hold as tensors of their own names.
  var sources: @Sendable (any LanguageModel, [Parameter]) -> [String: ParameterSource] = { _, _ in [:] }

  /// Tensors in files that are for another purpose than to predict the next token.
  var isExtra: @Sendable (any LanguageModel, String) -> Bool = { _, _ in false }

  init(
    types: [String], prefix: String = "model.", renamed: [(file: String, model: String?)] = [],
    ignored: [String] = [],
    read: @escaping @Sendable (inout ModelSettings) -> any LanguageModel
  ) {
    self.types = types
    self.prefix = prefix
    self.renamed = renamed
    self.ignored = ignored
    self.read = read
  }

  /// A file's name of a tensor as the model has it; nil: it is not part of the model.
  func name(_ file: String) -> String? {
    guard let rule = renamed.first(where: { file.hasPrefix($0.file) }) else { return file }
    return rule.model.map { $0 + file.dropFirst(rule.file.count) }
  }

  /// The known families.
  package static let all: [ModelFamily] = [
    .gpt2, .llama, .mistral, .qwen2, .qwen3, .gemma2, .gemma3, .phi3,
    .mixtral, .qwen3MoE, .deepSeekV2, .deepSeekV3, .gptOSS, .tachornis,
  ]

  /// All values of `model_type` that are known.
  package static var knownTypes: [String] { all.flatMap(\.types) }

  /// The family of a `model_type`.
  package static func of(type: String) throws(ModelError) -> ModelFamily {
    if let family = all.first(where: { $0.types.contains(type) }) { return family }
    if EncoderFamily.all.contains(where: { $0.type == type }) {
      throw ModelError(
        .unknownType,
        "Models of the type '\(type)' write no text. Use `tachornis embed`, `classify` or `rerank` with this one.")
    }
    throw ModelError(
      .unknownType,
      "The model type '\(type)' is not known. Known are: \(knownTypes.joined(separator: ", ")). To add it, see the "
        + "documentation, \"Adding a model\".")
  }
}

/// Where a file holds the values of a parameter.
enum ParameterSource: Hashable, Sendable {
  /// A tensor of the parameter's shape.
  case tensor(String)
  /// Rows of a tensor of `count` rows, which is stored as its transpose or not.
  case rows(Range<Int>, of: String, count: Int, transposed: Bool)
  /// One tensor for each index of the parameter's first axis.
  case stacked([String])
  /// A part of a tensor.
  case slices(TensorSlices)
  /// Some rows of matrices in MXFP4 as gpt-oss has them: `_blocks` and `_scales`.
  case mxfp4(String, rows: TensorSlices)
  /// The first whose tensors are in the file.
  indirect case either([ParameterSource])

  /// The tensors that are read.
  var names: [String] {
    switch self {
    case .tensor(let name), .rows(_, let name, _, _): [name]
    case .stacked(let names): names
    case .slices(let slices): [slices.name]
    case .mxfp4(let name, _): [name + "_blocks", name + "_scales"]
    case .either(let sources): sources.flatMap(\.names)
    }
  }
}

/// Every `step`-th slice in `range` of one axis of a tensor.
struct TensorSlices: Hashable, Sendable {
  var name: String
  /// Of the whole tensor.
  var shape: [Int]
  var axis: Int
  var range: Range<Int>
  var step = 1
  /// Whether the last two axes are exchanged afterwards.
  var transposed = false
}
