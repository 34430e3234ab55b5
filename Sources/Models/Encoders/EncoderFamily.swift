// The encoders that this package knows, each a value that says how it is recognised, read and stored. The list is
// `EncoderFamily.all` and nothing else.

internal import Core

/// One architecture of encoders.
package struct EncoderFamily: Sendable {
  /// The value of `model_type` in config.json.
  package let type: String
  /// What files of the bare model, without a head, leave out in front of names.
  let prefix: String
  /// Beginnings of tensors that belong to heads: files may hold heads that are not asked for.
  let heads: [String]
  /// Endings of tensors that files may hold and that are computed, not trained.
  var ignored: [String] = []
  /// From config.json, collecting what this package cannot do.
  let read: @Sendable (inout ModelSettings) -> any Encoder

  /// The known families.
  package static let all: [EncoderFamily] = [.bert, .modernBERT]

  /// The family of a `model_type`.
  package static func of(type: String) throws(ModelError) -> EncoderFamily {
    if let family = all.first(where: { $0.type == type }) { return family }
    throw ModelError(
      .unknownType,
      "The model type '\(type)' is no encoder that is known. Known are: \(all.map(\.type).joined(separator: ", ")).")
  }

  /// Old names of the parameters of norms as they are called today.
  static func current(_ name: String) -> String {
    if name.hasSuffix("LayerNorm.gamma") { return String(name.dropLast(5)) + "weight" }
    if name.hasSuffix("LayerNorm.beta") { return String(name.dropLast(4)) + "bias" }
    return name
  }
}

extension ModelSettings {
  /// What `architectures` says that the checkpoint is for.
  func encoderTask() -> EncoderTask {
    let name = object["architectures"]?.array?.first?.string ?? ""
    if name.hasSuffix("ForSequenceClassification") { return .classification(labels: labels().count) }
    if name.hasSuffix("ForTokenClassification") { return .tokenClassification(labels: labels().count) }
    if name.hasSuffix("ForMaskedLM") || name.hasSuffix("ForPreTraining") { return .maskedTokens }
    return .states
  }

  /// The names of labels by their number; two if the file says nothing, as `transformers` has it.
  func labels() -> [String] {
    let given = object["id2label"]?.object
    let count = given?.count ?? object["num_labels"]?.integer ?? 2
    return (0..<max(1, min(count, 1 << 16))).map { given?["\($0)"]?.string ?? "LABEL_\($0)" }
  }
}
