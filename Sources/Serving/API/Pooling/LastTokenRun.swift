// The states behind the texts of one request, from the engine that writes texts.
//
// Only as many texts as run at a time are under way: the next are asked for when one has ended. So a request of many texts neither
// fills the queue nor keeps others out of it.
//
// Invariant: its receiver is told once; if one text is lost, the others are not wanted.

internal import Formats
internal import Inference
internal import Synchronization

final class LastTokenRun: Sendable {
  private struct State {
    var rows: [[Float]]
    /// Texts that are not asked for yet, the next last.
    var rest: [Int]
    /// By text, those that are under way, once their numbers are known.
    var ids: [Int: InferenceEngine.ID] = [:]
    var running = 0
    var isOver = false
  }

  private let texts: [TokenizedText]
  private let asker: PoolingEngine.Asker
  private let engine: InferenceEngine
  private let receiver: PoolingEngine.Receiver
  private let state: Mutex<State>

  init(
    _ texts: [TokenizedText], for asker: PoolingEngine.Asker, _ engine: InferenceEngine,
    _ receiver: @escaping PoolingEngine.Receiver
  ) {
    (self.texts, self.asker, self.engine, self.receiver) = (texts, asker, engine, receiver)
    state = Mutex(State(rows: texts.map { _ in [] }, rest: texts.indices.reversed()))
  }

  func begin() {
    for _ in 0..<min(engine.mostRunning, texts.count) { submitNext() }
  }

  func stop() {
    let ids = state.withLock { state in
      state.isOver = true
      return state.ids.values
    }
    for id in ids { engine.cancel(id) }
  }

  private func submitNext() {
    let next = state.withLock { state -> Int? in
      guard !state.isOver, state.running < engine.mostRunning, let next = state.rest.popLast() else { return nil }
      state.running += 1
      return next
    }
    guard let index = next else { return }
    var request = GenerationRequest(prompt: texts[index].tokens, limit: 1)
    request.wantsState = true
    (request.tenant, request.priority) = (asker.tenant, asker.priority)
    let id = engine.submit(request) { [self] in receive($0, index) }
    let isOver = state.withLock { state in
      state.ids[index] = id
      return state.isOver
    }
    if isOver { engine.cancel(id) }
  }

  private func receive(_ event: GenerationEvent, _ index: Int) {
    var isNextDue = false
    let outcome = state.withLock { state -> PoolingEngine.Outcome? in
      if state.isOver { return nil }
      switch event {
      case .started, .prompt, .token: return nil
      case .state(let row):
        state.rows[index] = Self.normalized(row)
        return nil
      case .ended:
        state.running -= 1
        state.ids[index] = nil
        isNextDue = true
        state.isOver = state.running == 0 && state.rest.isEmpty
        return state.isOver ? .rows(state.rows) : nil
      case .refused(.queueFull) where state.running > 1:
        // It has its turn when one of the others has ended.
        state.running -= 1
        state.rest.append(index)
        return nil
      case .refused(let refusal):
        state.isOver = true
        return .refused(refusal)
      case .failed(let message), .impossible(let message):
        state.isOver = true
        return .failed(message)
      }
    }
    if let outcome {
      if case .rows = outcome {} else { stop() }
      receiver(outcome)
    } else if isNextDue {
      // Two for one, as long as fewer are under way than may be: the queue was full, and need not be any more.
      for _ in 0..<2 { submitNext() }
    }
  }

  /// Brought to the length 1.
  private static func normalized(_ row: [Float]) -> [Float] {
    let length = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return row.map { $0 / max(length, 1e-12) }
  }
}
