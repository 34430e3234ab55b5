// Who makes vectors, labels and scores of texts: an encoder, or a decoder that was trained for vectors.

internal import Formats
internal import Inference
internal import Models
internal import Synchronization

protocol Pooler: Sendable {
  var tasks: Set<PoolingEngine.Task> { get }
  var labels: [String] { get }
  /// How many tokens there are.
  var vocabulary: Int { get }
  /// The most tokens of a text.
  var limit: Int { get }

  /// The tokens of a text, and whether something was cut off.
  func tokenized(_ text: String) -> (TokenizedText, isCut: Bool)
  func tokenized(_ tokens: [Int32]) -> (TokenizedText, isCut: Bool)
  func pair(_ first: String, _ second: String) -> TokenizedText

  /// - Returns: what makes it stop, as far as it has not begun.
  func pool(
    _ texts: [TokenizedText], as task: PoolingEngine.Task, for asker: PoolingEngine.Asker,
    _ receive: @escaping PoolingEngine.Receiver
  ) -> @Sendable () -> Void
}

extension PoolingEngine: Pooler {
  var vocabulary: Int { texts.tokenizer.vocabularySize }
  var limit: Int { texts.limit }

  func tokenized(_ tokens: [Int32]) -> (TokenizedText, isCut: Bool) { texts.counted(tokens) }
  func pair(_ first: String, _ second: String) -> TokenizedText { texts.pair(first, second) }

  func pool(
    _ texts: [TokenizedText], as task: Task, for asker: Asker, _ receive: @escaping Receiver
  ) -> @Sendable () -> Void {
    let id = submit(texts, as: task, for: asker, receive)
    return { self.cancel(id) }
  }
}

/// The state behind the last token of a text, brought to the length 1, from the engine that writes texts.
struct LastTokenPooler: Pooler {
  let engine: InferenceEngine

  var tasks: Set<PoolingEngine.Task> { [.vector] }
  var labels: [String] { [] }
  var vocabulary: Int { engine.vocabulary }
  /// The engine wants room for a token behind it.
  var limit: Int { engine.context - 1 }

  func tokenized(_ text: String) -> (TokenizedText, isCut: Bool) { cut(engine.tokenizer.encode(text), limit) }
  func tokenized(_ tokens: [Int32]) -> (TokenizedText, isCut: Bool) { cut(tokens, limit) }

  private func cut(_ tokens: [Int32], _ limit: Int) -> (TokenizedText, isCut: Bool) {
    let room = limit - engine.tokenizer.addSpecials([], nil).tokens.count
    return (engine.tokenizer.addSpecials(Array(tokens.prefix(room)), nil), tokens.count > room)
  }

  func pair(_ first: String, _ second: String) -> TokenizedText { engine.tokenizer.encodePair(first, second) }

  func pool(
    _ texts: [TokenizedText], as task: PoolingEngine.Task, for asker: PoolingEngine.Asker,
    _ receive: @escaping PoolingEngine.Receiver
  ) -> @Sendable () -> Void {
    let run = LastTokenRun(texts, for: asker, engine, receive)
    run.begin()
    return { run.stop() }
  }
}
