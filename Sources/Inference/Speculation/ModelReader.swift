// Drafts from a smaller model of the same vocabulary: it computes the tokens of every step.
//
// Invariant: in each text the small model has read what the large one has, but for the last token that it drafted itself.

internal import Models
internal import Tensors

/// Reads texts with a smaller model.
final class ModelReader: DraftReader {
  private let runner: StepRunner
  private let blockSize: Int
  /// The tokens before the next step that were drafted last, and accepted, and not read.
  private var unread: [ID: Int32] = [:]

  /// - Parameter runner: of the small model, with the limits of the large one's, and `running` tokens more.
  init(_ runner: StepRunner, blockSize: Int) { (self.runner, self.blockSize) = (runner, blockSize) }

  let lag = 0

  func warm() throws { try runner.warm() }

  func begin(_ id: ID) {}

  func read(_ step: EngineStep, receive: (Int, Int, UnsafeBufferPointer<Float>) throws -> Void) throws {
    var parts = step.parts
    for (index, part) in parts.enumerated() {
      (parts[index].isLast, parts[index].branches) = (part.room > 0, [])
      let unread = unread.removeValue(forKey: part.id)
      guard part.isWriting, let unread else { continue }
      parts[index].tokens = [unread] + part.tokens
      parts[index].start -= 1
    }
    let wanted = parts.indices.filter { parts[$0].isLast }
    try runner.run(EngineStep(parts: parts)) { _, row, logits in try receive(wanted[row], row, logits[0]) }
  }

  func follow(
    _ paths: [DraftPath], in step: EngineStep, receive: (Int, UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    let parts = paths.map { $0.last(in: step, lag: lag) }
    try runner.run(EngineStep(parts: parts)) { _, row, logits in try receive(row, logits[0]) }
  }

  func copyPositions(_ count: Int, from: Int32, to: Int32) {
    runner.pools.copyPositions(count, from: from, to: to, blockSize: blockSize)
  }

  func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens], features: TensorData?) {
    for part in step.parts where part.isWriting {
      guard let new = chosen[part.id] else { continue }
      let drafts = part.drafts(new.branch)
      if !drafts.isEmpty, new.tokens.count == drafts.count + 1 { unread[part.id] = drafts.last }
    }
  }

  func end(_ id: ID) { unread[id] = nil }
}
