import Core
import Dispatch
import Inference
import Models
import Synchronization

/// What writes the texts of a command, one after another.
protocol TextWriter {
  /// Positions of a prompt and what is written behind it.
  var context: Int { get }

  /// Continues a prompt by up to `count` tokens, or until an end is chosen.
  ///
  /// - Parameter receive: called with each token as it is chosen; false stops.
  /// - Returns: the new tokens, the end left out.
  func write(
    _ prompt: [Int32], count: Int, _ sampling: SamplingConfiguration, stream: Int,
    _ constraint: (any TokenConstraint)?, receive: (TokenChoice) -> Bool
  ) throws -> [Int32]

  /// What was drafted since this was asked last; nil: nothing is.
  func takeDrafts() -> String?
}

/// Writes token by token.
struct PlainWriter: TextWriter {
  let model: LoadedModel
  let generator: Generator

  var context: Int { model.model.context }

  func takeDrafts() -> String? { nil }

  func write(
    _ prompt: [Int32], count: Int, _ sampling: SamplingConfiguration, stream: Int,
    _ constraint: (any TokenConstraint)?, receive: (TokenChoice) -> Bool
  ) throws -> [Int32] {
    var sampler = Sampler(
      sampling, ends: model.ends, stream: stream, constraint: constraint, tokenizer: model.tokenizer)
    return try generator.generate(prompt, count: count, sampler: &sampler, receive: receive)
  }
}

/// Writes with the engine of `serve`, which drafts. A text ends where the engine's context does: as much as the model's, or less
/// where its cache holds less.
final class DraftingWriter: TextWriter {
  private let engine: InferenceEngine
  private let adapter: String?
  /// When drafts were asked for last.
  private var before = EngineStatistics()

  /// - Parameter adapter: the name of one that the engine knows.
  init(_ engine: InferenceEngine, adapter: String?) { (self.engine, self.adapter) = (engine, adapter) }

  deinit { engine.drain() }

  var context: Int { engine.context }

  func takeDrafts() -> String? {
    let after = engine.statistics
    defer { before = after }
    let (drafted, accepted) = (after.drafted - before.drafted, after.accepted - before.accepted)
    let (steps, written) = (after.writingSteps - before.writingSteps, after.written - before.written)
    let share = drafted == 0 ? "" : " (\(Numerals.fixed(100 * Double(accepted) / Double(drafted), 0)) %)"
    let each = Numerals.fixed(Double(written) / Double(max(1, steps)), 2)
    return "\(accepted) of \(drafted) drafted tokens accepted\(share), \(each) tokens a step"
  }

  func write(
    _ prompt: [Int32], count: Int, _ sampling: SamplingConfiguration, stream: Int,
    _ constraint: (any TokenConstraint)?, receive: (TokenChoice) -> Bool
  ) throws -> [Int32] {
    guard prompt.count < engine.context else {
      throw CommandError(
        "The prompt has \(prompt.count) tokens; with --speculation there is room for \(context), prompt and answer. Leave "
          + "--speculation out, or shorten the prompt.")
    }
    var request = GenerationRequest(prompt: prompt, limit: min(count, context - prompt.count))
    (request.sampling, request.stream, request.constraint, request.adapter) = (sampling, stream, constraint, adapter)
    let events = Events()
    let id = engine.submit(request) { events.add($0) }
    var (result, isStopped): ([Int32], Bool) = ([], false)
    while true {
      switch events.next() {
      case .token(let choice, _):
        if isStopped || engine.ends.contains(choice.token) || sampling.stopTokens.contains(choice.token) { continue }
        result.append(choice.token)
        if !receive(choice) {
          isStopped = true
          engine.cancel(id)
        }
      case .ended: return result
      case .failed(let message), .impossible(let message): throw CommandError(message)
      case .refused(.invalid(let message)): throw CommandError(message)
      case .refused(let refusal): throw CommandError("The engine does not take this: \(refusal).")
      case .started, .prompt, .state: continue
      }
    }
  }
}

/// What an engine's thread tells, for another thread to wait for.
private final class Events: Sendable {
  private let list = Mutex<[GenerationEvent]>([])
  private let count = DispatchSemaphore(value: 0)

  func add(_ event: GenerationEvent) {
    list.withLock { $0.append(event) }
    count.signal()
  }

  func next() -> GenerationEvent {
    count.wait()
    return list.withLock { $0.removeFirst() }
  }
}
