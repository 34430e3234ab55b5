// How much is drafted: as many tokens as make the engine faster, by what steps cost and how often drafts were accepted of late.

internal import Models

/// Drafts for the texts of an engine. Not for concurrent use.
final class Speculation {
  typealias ID = InferenceEngine.ID

  private let drafter: any Drafter
  /// The most tokens that are drafted of a text at once.
  private let most: Int
  private var cost = StepCost()
  private var acceptances: [ID: Acceptance] = [:]
  private let initial: SIMD8<Double>
  /// Of the step that is being computed.
  private var prospects: [ID: Prospect] = [:]

  /// - Parameter initial: how often drafts of each sort are thought to be accepted, as long as nothing is known.
  init(_ drafter: any Drafter, most: Int, initial: SIMD8<Double>) {
    (self.drafter, self.most, self.initial) = (drafter, most, initial)
  }

  /// Before the first text.
  func warm() throws { try drafter.warm() }

  func begin(_ id: ID, _ request: GenerationRequest) {
    drafter.begin(id, request)
    acceptances[id] = Acceptance(initial)
  }

  func end(_ id: ID) {
    drafter.end(id)
    acceptances[id] = nil
  }

  /// Puts drafts into a step, as many as pay.
  ///
  /// - Parameter sampler: of a text, a copy.
  func extend(_ step: inout EngineStep, _ scheduler: inout Scheduler, sampler: (ID) -> Sampler?) throws {
    prospects = [:]
    for part in step.parts where part.isWriting { prospects[part.id] = drafter.prospect(of: part.id, most: most) }
    let room = scheduler.room(forDraftsIn: step)
    let drafts = prospects.map { id, prospect in
      (id, (count: min(prospect.count, room.each[id]!), rate: acceptances[id]![prospect.sort]))
    }
    let counts = cost.worthwhile(
      rows: step.count, written: step.wanted, extra: drafter.cost, drafts: Dictionary(uniqueKeysWithValues: drafts),
      room: room.all)
    scheduler.makeRoom(forDrafts: counts, in: &step)
    try drafter.draft(&step, prospects, sampler: sampler)
  }

  /// Learns from a step.
  func computed(_ step: EngineStep, _ chosen: [ID: ChosenTokens], seconds: Double) {
    // What prompts cost by the token is another matter.
    if step.parts.allSatisfy(\.isWriting) { cost.observe(rows: step.count, seconds: seconds) }
    for part in step.parts where part.isWriting {
      guard let prospect = prospects[part.id], let tokens = chosen[part.id]?.tokens else { continue }
      // A draft that was there is judged by the first token even if it was not computed.
      let drafts = part.drafted > 0 ? part.tokens.suffix(part.drafted) : prospect.tokens.prefix(1)
      if drafts.isEmpty { acceptances[part.id]!.skip(sort: prospect.sort) }
      for (draft, token) in zip(drafts, tokens) { acceptances[part.id]!.observe(draft == token, sort: prospect.sort) }
    }
    drafter.computed(step, chosen)
  }
}
