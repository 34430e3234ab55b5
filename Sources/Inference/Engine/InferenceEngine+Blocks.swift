// Blocks of the cache for other engines and from them, so that one engine reads a prompt and another goes on from it: prefill and
// decode apart, as in Splitwise (Patel et al., 2023, arXiv:2311.18677) and DistServe (Zhong et al., 2024, arXiv:2401.09670).
//
// An engine gives blocks away while it reads, between its steps, and holds those of a text until all are given, or until others could
// not go on without the room; those that it is given stand in its prefix tree as if it had computed them, and go when there is no
// room.
//
// Invariant: a text's bits do not depend on who read its prompt: blocks move only between engines of one form.

internal import Models
internal import Synchronization

extension InferenceEngine {
  /// How many blocks of a text's beginning are here; 0 if the engine takes no more requests.
  package func known(_ text: MovedText) async -> Int { await perform { $0.known(text) } ?? 0 }

  /// Puts the contents of consecutive blocks of a text into the cache.
  ///
  /// - Parameters:
  ///   - blocks: each of the form's size.
  ///   - first: the number of the first in the text.
  /// - Returns: false: there is no room, or what stands in front of them is not here.
  package func adopt(_ blocks: [[UInt8]], from first: Int, of text: MovedText) async -> Bool {
    guard let form = blockForm, blocks.allSatisfy({ $0.count == form.bytes }),
      first >= 0, (first + blocks.count) * form.tokens <= text.tokens.count
    else { return false }
    return await perform { $0.adopt(blocks, from: first, of: text) } ?? false
  }

  /// Reads a text and hands out its full blocks from one on, as soon as they are there.
  ///
  /// - Parameters:
  ///   - request: whose `prompt` and `salt` are the text's.
  ///   - most: blocks that are handed out at a time.
  ///   - give: returns false if nobody wants more.
  /// - Returns: why there are not all of them; nil: there are, or nobody wanted more, or the task was cancelled.
  package func read(
    _ request: GenerationRequest, from first: Int, most: Int, give: ([[UInt8]]) async -> Bool
  ) async -> GenerationEvent? {
    guard let form = blockForm else { return .failed("the engine's blocks do not move") }
    let text = MovedText(tokens: request.prompt, salt: request.salt)
    var request = request
    // Reading ends with the first token.
    request.limit = 1
    let last = LastEvent()
    let id = submit(request) { event in
      switch event {
      case .refused, .failed, .ended: last.event.withLock { $0 = event }
      default: break
      }
    }
    defer {
      cancel(id)
      _ = enqueue { $0.letGo(id) }
    }
    var next = first
    while next < text.tokens.count / form.tokens && !Task.isCancelled {
      // What is copied behind the end is all that there will be.
      let end = last.event.withLock { $0 }
      let range = next..<(next + most)
      guard let blocks = await perform({ $0.blocks(range, of: text, for: id) }) else { return .refused(.stopping) }
      if blocks.isEmpty {
        if let end { return end }
        continue
      }
      next += blocks.count
      if await !give(blocks) { return nil }
    }
    return nil
  }

  private final class LastEvent: Sendable {
    let event = Mutex<GenerationEvent?>(nil)
  }

  /// Does something on the engine's thread, between two steps.
  ///
  /// - Returns: nil if the engine takes no more requests.
  private func perform<Result: Sendable>(_ work: @escaping @Sendable (EngineWorker) -> Result) async -> Result? {
    await withCheckedContinuation { continuation in
      let isTaken = enqueue { continuation.resume(returning: work($0)) }
      if !isTaken { continuation.resume(returning: nil) }
    }
  }
}
