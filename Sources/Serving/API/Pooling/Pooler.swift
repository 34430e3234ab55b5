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
    _ texts: [TokenizedText], as task: PoolingEngine.Task, _ receive: @escaping PoolingEngine.Receiver
  ) -> @Sendable () -> Void
}

extension PoolingEngine: Pooler {
  var vocabulary: Int { texts.tokenizer.vocabularySize }
  var limit: Int { texts.limit }

  func tokenized(_ tokens: [Int32]) -> (TokenizedText, isCut: Bool) { texts.counted(tokens) }
  func pair(_ first: String, _ second: String) -> TokenizedText { texts.pair(first, second) }

  func pool(
    _ texts: [TokenizedText], as task: Task, _ receive: @escaping Receiver
  ) -> @Sendable () -> Void {
    let id = submit(texts, as: task, receive)
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

  private struct State {
    var rows: [[Float]]
    var left: Int
    var isOver = false
    var ids: [InferenceEngine.ID] = []
  }

  func pool(
    _ texts: [TokenizedText], as task: PoolingEngine.Task, _ receive: @escaping PoolingEngine.Receiver
  ) -> @Sendable () -> Void {
    @Sendable func cancel(_ ids: [InferenceEngine.ID]) {
      for id in ids { engine.cancel(id) }
    }
    let state = Shared(State(rows: texts.map { _ in [] }, left: texts.count))
    let ids = texts.enumerated().map { index, text in
      var request = GenerationRequest(prompt: text.tokens, limit: 1)
      request.wantsState = true
      return engine.submit(request) { event in
        let outcome = state.value.withLock { state -> PoolingEngine.Outcome? in
          if state.isOver { return nil }
          switch event {
          case .state(let row): state.rows[index] = Self.normalized(row)
          case .refused(let refusal):
            state.isOver = true
            return .refused(refusal)
          case .failed(let message):
            state.isOver = true
            return .failed(message)
          case .ended:
            state.left -= 1
            state.isOver = state.left == 0
            if state.isOver { return .rows(state.rows) }
          case .started, .prompt, .token: break
          }
          return nil
        }
        guard let outcome else { return }
        // If one text is lost, the others are not wanted.
        if case .rows = outcome {} else { cancel(state.value.withLock { $0.ids }) }
        receive(outcome)
      }
    }
    let isOver = state.value.withLock { state in
      state.ids = ids
      return state.isOver
    }
    if isOver { cancel(ids) }
    return { cancel(ids) }
  }

  private final class Shared: Sendable {
    let value: Mutex<State>
    init(_ state: State) { value = Mutex(state) }
  }

  private static func normalized(_ row: [Float]) -> [Float] {
    let length = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return row.map { $0 / max(length, 1e-12) }
  }
}
