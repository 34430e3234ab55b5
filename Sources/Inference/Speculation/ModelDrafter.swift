// Drafts from a smaller model of the same vocabulary.
//
// The small model has pools of its own that the same block tables point into: it computes the tokens of every step, so that
// its keys and values are wherever those of the large one are, beginnings that texts share included. It draws with the random
// numbers that the large model's sampler will draw with, by the same rules: where both models hold the same of a token, both
// choose the same.
//
// Invariant: in each text the small model has read what the large one has, but for the last token that it drafted itself.

internal import Core
internal import Models

/// Drafts what a smaller model would write.
final class ModelDrafter: Drafter {
  private let runner: StepRunner
  private let workspace = SamplingWorkspace()
  private let clock = MonotonicClock()
  /// The tokens before the next step that were drafted last, and accepted, and not read.
  private var unread: [ID: Int32] = [:]
  private(set) var cost = 0.0

  /// - Parameter runner: of the small model, with the limits of the large one's, and `running` tokens more.
  init(_ runner: StepRunner) { self.runner = runner }

  func warm() throws { try runner.warm() }

  func begin(_ id: ID, _ request: GenerationRequest) {}

  func prospect(of id: ID, most: Int) -> Prospect? { Prospect(count: most, sort: 0) }

  func draft(_ step: inout EngineStep, _ prospects: [ID: Prospect], sampler: (ID) -> Sampler?) throws {
    var drafts: [ID: (sampler: Sampler, tokens: [Int32])] = [:]
    var parts = step.parts
    for (index, part) in parts.enumerated() {
      parts[index].isLast = part.room > 0
      if part.room > 0, let sampler = sampler(part.id) { drafts[part.id] = (sampler, []) }
      let unread = unread.removeValue(forKey: part.id)
      guard part.isWriting, let unread else { continue }
      parts[index].tokens = [unread] + part.tokens
      parts[index].start -= 1
    }
    while !parts.isEmpty {
      let begin = clock.seconds
      var next: [EngineStep.Part] = []
      try runner.run(EngineStep(parts: parts)) { part, _, logits in
        guard var (sampler, tokens) = drafts.removeValue(forKey: part.id) else { return }
        // Where nothing can follow, nothing is drafted.
        guard let token = try? sampler.next(logits[0], in: workspace).token else { return }
        tokens.append(token)
        let isOver = sampler.ends.contains(token) || sampler.mustEnd
        drafts[part.id] = (sampler, tokens)
        guard !isOver, tokens.count < part.room else { return }
        var more = part
        (more.start, more.tokens) = (part.start + part.tokens.count, [token])
        next.append(more)
      }
      // The first run reads prompts, too, and would be necessary for the keys and values alone.
      if parts.allSatisfy({ $0.tokens.count == 1 }) {
        cost += 0.1 * ((clock.seconds - begin) / Double(parts.count) - cost)
      }
      parts = next
    }
    for index in step.parts.indices where step.parts[index].room > 0 {
      step.parts[index].append(drafted: drafts[step.parts[index].id]?.tokens ?? [])
    }
  }

  func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens]) {
    for part in step.parts where part.drafted > 0 && chosen[part.id]?.tokens.count == part.drafted + 1 {
      unread[part.id] = part.tokens.last
    }
  }

  func end(_ id: ID) { unread[id] = nil }
}
