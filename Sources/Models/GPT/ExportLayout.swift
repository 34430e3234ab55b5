// The layouts of Hugging Face in which the models that we train are written, so that `transformers` computes the same logits
// from them; and our own for those that none of them has words for (squared ReLU, soft-caps, ...). The list is
// `ExportLayout.all` and nothing else.

internal import Core
package import Networks
package import Tensors

/// How a `GPT` stands on disk.
package struct ExportLayout: Sendable {
  /// `model_type` in config.json: `qwen3`.
  package let type: String
  /// The class in `transformers`: `Qwen3ForCausalLM`.
  let architecture: String
  /// What config.json says for `transformers`, without what all layouts share.
  let settings: @Sendable (GPTConfiguration) -> JSONObject
  /// Why a configuration has no equivalent in this layout; empty if it has one. Each is a sentence with the remedy.
  let obstacles: @Sendable (GPTConfiguration) -> [String]
  /// The tensors of a file that holds the parameters.
  package let tensors: @Sendable ([Parameter]) -> [ExportedTensor]

  /// Each layout before those that it is a special case of; the last takes everything.
  package static let all: [ExportLayout] = [.gpt2, .llama, .qwen3, .own]

  /// Only this package reads it.
  private static let own = ExportLayout(
    type: "tachornis", architecture: "TachornisForCausalLM", settings: { _ in JSONObject() }, obstacles: { _ in [] },
    tensors: underOurNames)

  /// The layout that means exactly what a configuration means, and where that is none of Hugging Face's, why not.
  package static func of(_ configuration: GPTConfiguration) -> (layout: ExportLayout, notice: String?) {
    let candidates = all.dropLast().map { (layout: $0, obstacles: $0.obstacles(configuration)) }
    if let fitting = candidates.first(where: { $0.obstacles.isEmpty }) { return (fitting.layout, nil) }
    let nearest = candidates.min { $0.obstacles.count < $1.obstacles.count }!
    return (
      .own,
      "No layout of Hugging Face means what this model means, so only tachornis will read it. The nearest is "
        + "'\(nearest.layout.type)', but: " + nearest.obstacles.joined(separator: " ")
    )
  }

  static func underOurNames(_ parameters: [Parameter]) -> [ExportedTensor] {
    parameters.map { ExportedTensor(name: $0.name, parameters: [$0]) }
  }

  /// The obstacles that all layouts share.
  static func softcapObstacles(_ configuration: GPTConfiguration, of model: String) -> [String] {
    [("attentionSoftcap", configuration.attentionSoftcap), ("logitSoftcap", configuration.logitSoftcap)]
      .compactMap { key, cap in cap.map { "\(model) has no soft-caps; \(key) is \($0), leave it out." } }
  }
}

extension GPTConfiguration {
  /// The `model_type` in which a model of this configuration is written: Hugging Face's where one means the same, else
  /// "tachornis".
  public var exportType: String { ExportLayout.of(self).layout.type }
}
