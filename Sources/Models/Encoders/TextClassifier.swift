// Texts in, labels or scores out: classification of texts, and how well documents answer a query (a cross-encoder: Nogueira
// and Cho (2019), arXiv:1901.04085).

internal import Core
package import Formats
public import Networks
public import Tensors

/// Classifies texts, or pairs of them, with a model on disk.
public final class TextClassifier {
  /// The names of the labels, in the order of what `classify` returns.
  public let labels: [String]
  package let texts: EncoderTexts
  private let runner: EncoderRunner
  private let labelActivation: LabelActivation
  private let scoreActivation: LabelActivation

  /// - Parameters:
  ///   - path: a model's folder, whose `architectures` is one for the classification of sequences.
  ///   - precision: the type of weights; nil: as in the file.
  ///   - limit: the most tokens of a text; what is behind them is not read. nil: as the folder says.
  /// - Throws: `ModelError` if the model cannot be used.
  public init(path: String, precision: Precision? = nil, limit: Int? = nil, backend: any Backend) throws {
    let model = try PretrainedEncoder(path: path)
    guard case .classification(let count) = model.task else {
      throw ModelError(
        .unsupported,
        "The model in \(path) has no head that classifies texts: its 'architectures' must be one that ends in "
          + "ForSequenceClassification.")
    }
    labels = model.labels
    texts = try EncoderTexts(model, limit: limit)
    runner = try EncoderRunner(model, task: model.task, precision: WeightPrecision(precision), backend: backend)
    switch model.settings["problem_type"]?.string {
    case "multi_label_classification": labelActivation = .sigmoid
    case "regression": labelActivation = .none
    default: labelActivation = count == 1 ? .sigmoid : .softmax
    }
    scoreActivation = try LabelActivation(scoresOf: model)
  }

  /// For each text, in order, how likely each label is: they add up to 1 unless a text may have several. The values
  /// themselves where the model was trained for regression.
  public func classify(_ texts: [String]) throws -> [[Float]] {
    try probabilities(texts.map { self.texts.text($0) })
  }

  /// The same of tokens.
  package func probabilities(_ texts: [TokenizedText]) throws -> [[Float]] {
    try runner.logits(texts).map(labelActivation.callAsFunction)
  }

  /// How well each document answers `query`, in the order of the documents; more is better.
  ///
  /// - Throws: `ModelError` if the model has more than one label.
  public func score(_ query: String, _ documents: [String]) throws -> [Float] {
    guard labels.count == 1 else {
      throw ModelError(
        .unsupported,
        "A model that ranks documents has one label, but this one has \(labels.count): \(labels.prefix(8)). "
          + "Use it to classify texts.")
    }
    return try scores(documents.map { texts.pair(query, $0) })
  }

  /// The scores of pairs of texts, by a model of one label.
  package func scores(_ pairs: [TokenizedText]) throws -> [Float] {
    try runner.logits(pairs).map { scoreActivation($0)[0] }
  }
}

/// From logits to what they mean.
enum LabelActivation: Sendable {
  case none, sigmoid, softmax

  /// What a cross-encoder's files say of its score; the sigmoid if nothing.
  init(scoresOf model: PretrainedEncoder) throws(ModelError) {
    let settings = model.settings
    let given =
      settings["sentence_transformers"]?["activation_fn"] ?? settings["sbert_ce_default_activation_function"]
    switch given?.string?.split(separator: ".").last.map(String.init) {
    case nil, "Sigmoid": self = .sigmoid
    case "Identity": self = .none
    case let name?:
      throw ModelError(
        .unsupported, "\(model.path)/config.json asks for scores by '\(name)'; known are Sigmoid and Identity.")
    }
  }

  func callAsFunction(_ logits: [Float]) -> [Float] {
    switch self {
    case .none: return logits
    case .sigmoid: return logits.map { 1 / (1 + exp(-$0)) }
    case .softmax:
      let largest = logits.max() ?? 0
      let weights = logits.map { exp($0 - largest) }
      let total = weights.reduce(0, +)
      return weights.map { $0 / total }
    }
  }
}
