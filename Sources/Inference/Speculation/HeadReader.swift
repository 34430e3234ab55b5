// Drafts from a head on the model's own states: at each position it is given what the model made of it and the token behind.
//
// What the model made of the last positions is kept until the token behind them is there. A draft's state is the head's own;
// when the model has computed the position, the head computes it again from what the model made of it.
//
// Invariant: in each text the head has read every position before that of the last token, but for those at which the text
// went into a beginning that others had computed: there it has read what stood behind it in another text. So drafts may be a
// little worse, and texts are the same.

internal import Models
internal import Tensors

/// Reads texts with a head.
final class HeadReader: DraftReader {
  /// Positions that the model has computed and the head has not read.
  private struct Pending {
    var start: Int
    /// The tokens behind them, as far as they are known: one less than there are positions.
    var tokens: ArraySlice<Int32>
    /// What was read of the model, position by position.
    var features: [UInt8]
  }

  private let runner: HeadRunner
  private let limits: Scheduler.Limits
  private var texts: Set<ID> = []
  private var pending: [ID: Pending] = [:]
  /// The states that drafts of the last run came from, by row.
  private var states: [[UInt8]] = []
  /// Logits of all the model's tokens, where the head knows some of them.
  private var spread: [Float] = []

  /// - Parameters:
  ///   - limits: of the model that it drafts for.
  ///   - vocabulary: of the model.
  init(_ runner: HeadRunner, _ limits: Scheduler.Limits, vocabulary: Int) {
    (self.runner, self.limits) = (runner, limits)
    if runner.head.tokens != nil { spread = Array(repeating: -.infinity, count: vocabulary) }
  }

  let lag = 1

  func warm() { runner.warm() }

  func begin(_ id: ID) { texts.insert(id) }

  func end(_ id: ID) {
    texts.remove(id)
    pending[id] = nil
  }

  func read(_ step: EngineStep, receive: (Int, Int, UnsafeBufferPointer<Float>) throws -> Void) throws {
    var waiting: [(index: Int, part: EngineStep.Part, features: [UInt8])] = []
    for (index, part) in step.parts.enumerated() {
      // Of a text that gave up its place, what was kept is of no use.
      guard let old = pending.removeValue(forKey: part.id), old.start + old.tokens.count + 1 == part.start else {
        continue
      }
      var part = part
      (part.start, part.tokens, part.branches) = (old.start, old.tokens + part.tokens.prefix(1), [])
      part.isLast = part.room > 0
      waiting.append((index, part, old.features))
    }
    states = []
    // All fit into a run, but for texts that were read some steps ago.
    while !waiting.isEmpty {
      var rows = 0
      let now = Array(
        waiting.prefix { item in
          rows += item.part.tokens.count
          return rows <= limits.tokens
        })
      waiting.removeFirst(now.count)
      let features = now.flatMap(\.features)
      try runner.run(EngineStep(parts: now.map(\.part)), from: .features(features)) { part, state, logits in
        states.append(Array(state))
        try withSpread(logits) { try receive(now[part].index, states.count - 1, $0) }
      }
    }
  }

  func follow(
    _ paths: [DraftPath], in step: EngineStep, receive: (Int, UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    // The state is that of the position before the draft's.
    let parts = paths.map { $0.last(in: step, lag: lag) }
    let given = paths.flatMap { states[$0.row] }
    states = []
    try runner.run(EngineStep(parts: parts), from: .states(given)) { path, state, logits in
      states.append(Array(state))
      try withSpread(logits) { try receive(path, $0) }
    }
  }

  /// Logits of all tokens of the model.
  private func withSpread(
    _ logits: UnsafeBufferPointer<Float>, _ body: (UnsafeBufferPointer<Float>) throws -> Void
  ) rethrows {
    guard let tokens = runner.head.tokens else { return try body(logits) }
    for (token, logit) in zip(tokens, logits) { spread[Int(token)] = logit }
    try spread.withUnsafeBufferPointer(body)
  }

  func copyPositions(_ count: Int, from: Int32, to: Int32) {
    runner.pools.copyPositions(count, from: from, to: to, blockSize: limits.blockSize)
  }

  func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens], features: TensorData?) {
    guard let features else { return }
    let bytes = features.rowBytes
    var row = 0
    for part in step.parts {
      defer { row += part.rows }
      guard texts.contains(part.id) else { continue }
      var (first, tokens) = (row, part.tokens.dropFirst())
      if part.isWriting {
        guard let new = chosen[part.id] else { continue }
        (first, tokens) = (row + part.firstRow(new.branch), new.tokens.dropLast())
      }
      let kept = UnsafeRawBufferPointer(start: features.pointer + first * bytes, count: (tokens.count + 1) * bytes)
      pending[part.id] = Pending(start: part.start, tokens: tokens, features: Array(kept))
    }
  }
}
