// How models stand on disk in Hugging Face's directories: config.json and the names and shapes of tensors, a layout for each
// `model_type`. The list of known types is `ModelLayout.all` and nothing else.
//
// Invariant: reading what was written gives the same configuration (but for dropout, which is no part of some layouts) and
// the same bits of every tensor; `transformers` computes the same logits from it.

internal import Core
package import Networks
internal import Tensors

/// One `model_type` of Hugging Face.
package struct ModelLayout: Sendable {
  /// As in config.json: `qwen3`.
  package let type: String
  /// The class in `transformers`: `Qwen3ForCausalLM`.
  let architecture: String
  /// What files of the bare model, without its head, leave out in front of names: `model.`.
  let prefix: String
  /// Endings of tensors that files may hold and that are computed, not trained.
  var buffers: [String] = []
  /// Reads what config.json says, collecting what this package cannot do.
  let read: @Sendable (inout ModelSettings) -> GPTConfiguration
  /// The settings of config.json, without those that all layouts share.
  let write: @Sendable (GPTConfiguration) -> JSONObject
  /// Why a configuration has no equivalent in this layout; empty if it has one. Each is a sentence with the remedy.
  let obstacles: @Sendable (GPTConfiguration) -> [String]
  /// The tensors of a model in this layout.
  package let tensors: @Sendable (GPTConfiguration, [Parameter]) -> [StoredTensor]

  /// The known types, each before those that it is a special case of; the last takes everything.
  package static let all: [ModelLayout] = [.gpt2, .llama, .qwen3, .own]

  /// The layout of a type.
  package static func of(type: String) throws(ModelError) -> ModelLayout {
    if let layout = all.first(where: { $0.type == type }) { return layout }
    throw ModelError(
      .unknownType,
      "The model type '\(type)' is not known. Known are: \(all.map(\.type).joined(separator: ", ")).")
  }

  /// The layout that means exactly what a configuration means, and where that is none of Hugging Face's, why not.
  package static func of(_ configuration: GPTConfiguration) -> (layout: ModelLayout, notice: String?) {
    let candidates = all.dropLast().map { (layout: $0, obstacles: $0.obstacles(configuration)) }
    if let fitting = candidates.first(where: { $0.obstacles.isEmpty }) { return (fitting.layout, nil) }
    let nearest = candidates.min { $0.obstacles.count < $1.obstacles.count }!
    return (
      .own,
      "No layout of Hugging Face means what this model means, so only tachornis will read it. The nearest is "
        + "'\(nearest.layout.type)', but: " + nearest.obstacles.joined(separator: " ")
    )
  }
}

/// A tensor of a file and what it holds of ours.
package struct StoredTensor: Sendable, Hashable {
  package var name: String
  /// Parameters that stand one after another along the first axis.
  package var parameters: [Parameter]
  /// Whether the file holds the transpose, [inputs, outputs].
  package var transposed = false

  /// In the file.
  package var dimensions: [Int] {
    var dimensions = parameters[0].shape.dimensions
    dimensions[0] = parameters.map { $0.shape[0] }.reduce(0, +)
    return transposed ? dimensions.reversed() : dimensions
  }
}

extension GPTConfiguration {
  /// The `model_type` in which a model of this configuration is written: Hugging Face's where one means the same, else
  /// "tachornis".
  public var exportType: String { ModelLayout.of(self).layout.type }
}
