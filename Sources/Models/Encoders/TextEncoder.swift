// Texts in, vectors out: what search, clustering and comparison by meaning start from.
//
//     let encoder = try TextEncoder(path: "all-MiniLM-L6-v2", backend: backend)
//     let vectors = try encoder.embed(["A cat sleeps.", "The stock market fell."])
//
// Invariant: vectors are those of sentence-transformers for the same folder, and do not depend on what else is embedded.

package import Formats
public import Networks
public import Tensors

/// Embeds texts with a model on disk.
public final class TextEncoder {
  /// Names and texts of the prompts that the model was trained with.
  public var prompts: [String: String] { recipe.prompts }
  /// What is put in front of texts if nobody says otherwise.
  package var usualPrompt: String { recipe.usualPrompt }
  package let texts: EncoderTexts
  private let recipe: EmbeddingRecipe
  private let runner: EncoderRunner
  private let backend: any Backend

  /// - Parameters:
  ///   - path: a model's folder; what is in it of modules.json and the like says how vectors are made.
  ///   - precision: the type of weights; nil: as in the file.
  ///   - pooling: instead of what the folder says.
  ///   - limit: the most tokens of a text; what is behind them is not read. nil: as the folder says.
  /// - Throws: `ModelError` if the model cannot be used.
  public init(
    path: String, precision: Precision? = nil, pooling: Pooling? = nil, limit: Int? = nil, backend: any Backend
  ) throws {
    let model = try PretrainedEncoder(path: path)
    texts = try EncoderTexts(model, limit: limit)
    var recipe = try EmbeddingRecipe(model)
    if let pooling { recipe.poolings = [pooling] }
    self.recipe = recipe
    runner = try EncoderRunner(model, task: .states, precision: WeightPrecision(precision), backend: backend)
    self.backend = backend
  }

  /// The vector of each text, in order.
  ///
  /// - Parameter prompt: put in front of each text; nil: the model's usual one, if it has one.
  public func embed(_ texts: [String], prompt: String? = nil) throws -> [[Float]] {
    let prompt = prompt ?? recipe.usualPrompt
    return try embed(texts.map { self.texts.text(prompt + $0) }, prompt: prompt)
  }

  /// The vector of each text, in order.
  ///
  /// - Parameter prompt: what the texts begin with already.
  package func embed(_ inputs: [TokenizedText], prompt: String) throws -> [[Float]] {
    if inputs.isEmpty { return [] }
    let skipped = recipe.includesPrompt ? 0 : self.texts.promptLength(prompt)
    let width = runner.encoder.width
    var rows = [[Float]](repeating: [], count: inputs.count)
    try runner.states(of: inputs) { text, states in
      // A text of nothing but the prompt keeps its last token.
      let first = min(skipped * width, states.count - width)
      let pooled = UnsafeBufferPointer(rebasing: states[first...])
      for pooling in recipe.poolings { rows[text] += pooling(pooled, width: width) }
    }
    if recipe.steps.isEmpty { return rows }
    let shape: Shape = [rows.count, rows[0].count]
    let finished = try recipe.finished(Tensor(TensorData(rows.flatMap(\.self), shape: shape)))
    let vectors = try backend.compile(Program(inputs: [], outputs: [finished])).run([])[0].floats
    let size = finished.shape[-1]
    return rows.indices.map { Array(vectors[($0 * size)..<(($0 + 1) * size)]) }
  }
}

extension WeightPrecision {
  init(_ precision: Precision?) {
    self = precision.map { $0 == .bfloat16 ? .bfloat16 : .float32 } ?? .stored
  }
}
