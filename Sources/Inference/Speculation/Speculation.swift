// How much is drafted: as many tokens as make the engine faster, by what steps cost and how often drafts were accepted of late.

internal import Models
internal import Tensors

/// Drafts for the texts of an engine. Not for concurrent use.
final class Speculation {
  typealias ID = InferenceEngine.ID

  private let drafter: any Drafter
  /// The most tokens that are drafted of a text at once, on a way, and the most ways on.
  private let most: (tokens: Int, ways: Int)
  private var cost = StepCost()
  private var acceptances: [ID: Acceptance] = [:]
  private let initial: SIMD8<Double>
  /// Of the step that is being computed.
  private var prospects: [ID: Prospect] = [:]

  /// - Parameter initial: how often drafts of each sort are thought to be accepted, as long as nothing is known.
  init(_ drafter: any Drafter, most: (tokens: Int, ways: Int), initial: SIMD8<Double>) {
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
    for part in step.parts where part.isWriting {
      prospects[part.id] = drafter.prospect(of: part.id, most: most.tokens, ways: most.ways)
    }
    let room = scheduler.room(forDraftsIn: step)
    let drafts = prospects.map { id, prospect in
      let acceptance = acceptances[id]!, counts = prospect.counts.map { min($0, room.each[id]!) }
      let others = (0..<(counts.count - 1)).map { acceptance[Acceptance.sort(ofOther: $0)] }
      return (id, StepCost.Outlook(counts, rate: acceptance[prospect.sort], others: others))
    }
    let counts = cost.worthwhile(
      rows: step.count, written: step.wanted, extra: drafter.cost, drafts: Dictionary(uniqueKeysWithValues: drafts),
      room: room.all)
    scheduler.makeRoom(forDrafts: counts, in: &step)
    try drafter.draft(&step, prospects, sampler: sampler)
  }

  /// Learns from a step.
  func computed(
    _ step: EngineStep, _ chosen: [ID: ChosenTokens], features: TensorData?, seconds: Double
  ) throws {
    // What prompts cost by the token is another matter.
    if step.parts.allSatisfy(\.isWriting) { cost.observe(rows: step.count, seconds: seconds) }
    for part in step.parts where part.isWriting {
      guard let prospect = prospects[part.id], let tokens = chosen[part.id]?.tokens else { continue }
      learn(&acceptances[part.id]!, part, prospect, tokens)
    }
    try drafter.computed(step, chosen, features: features)
  }

  private func learn(_ acceptance: inout Acceptance, _ part: EngineStep.Part, _ prospect: Prospect, _ tokens: [Int32]) {
    // A draft that was there is judged by the first token even if it was not computed.
    let ways = ([part.drafts(nil)] + part.branches.indices.map { part.drafts($0) }).enumerated().map { way, drafts in
      drafts.isEmpty && way < prospect.tokens.count ? prospect.tokens[way].prefix(1) : drafts
    }
    var isOpen = true
    for (way, drafts) in ways.enumerated() {
      guard let first = drafts.first else {
        if way == 0 { acceptance.skip(sort: prospect.sort) }
        continue
      }
      // Ways behind the one that the text took say nothing.
      guard isOpen else { break }
      let isTaken = first == tokens.first
      acceptance.observe(isTaken, sort: way == 0 ? prospect.sort : Acceptance.sort(ofOther: way - 1))
      guard isTaken else { continue }
      isOpen = false
      for (draft, token) in zip(drafts, tokens).dropFirst() {
        acceptance.observe(draft == token, sort: prospect.sort)
        if draft != token { break }
      }
    }
    for way in max(0, ways.count - 1)..<Acceptance.others { acceptance.skip(sort: Acceptance.sort(ofOther: way)) }
  }
}
