// What engines tell, for tests to wait for.

import Inference
import Models
import Synchronization

/// What engines tell, for tests to wait for.
final class Answers: Sendable {
  struct Answer {
    var tokens: [Int32] = []
    var text = ""
    var end: GenerationEnd?
    var refusal: Refusal?
    var failure: String?
  }
  private let state: Mutex<(answers: [Answer], left: Int)>
  private let done = AsyncStream<Void>.makeStream()

  init(_ count: Int) { state = Mutex((Array(repeating: Answer(), count: count), count)) }

  func receive(_ event: GenerationEvent, _ index: Int) {
    let isLast = state.withLock { state -> Bool in
      precondition(
        state.answers[index].end == nil && state.answers[index].refusal == nil
          && state.answers[index].failure == nil, "nothing follows the end")
      switch event {
      case .started, .prompt, .state: return false
      case .token(let choice, let text):
        state.answers[index].tokens.append(choice.token)
        state.answers[index].text += text
        return false
      case .ended(let end):
        state.answers[index].end = end
        state.answers[index].text += end.text
      case .refused(let refusal): state.answers[index].refusal = refusal
      case .failed(let message), .impossible(let message): state.answers[index].failure = message
      }
      state.left -= 1
      return state.left == 0
    }
    if isLast { done.continuation.finish() }
  }

  var all: [Answer] {
    get async {
      for await _ in done.stream {}
      return state.withLock { $0.answers }
    }
  }
}

extension InferenceEngine {
  /// Asks for all at once, and waits for all.
  func answers(_ requests: [GenerationRequest]) async -> [Answers.Answer] {
    let answers = Answers(requests.count)
    for (index, request) in requests.enumerated() { submit(request) { answers.receive($0, index) } }
    return await answers.all
  }
}
