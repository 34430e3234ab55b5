// From drafts to automata without empty edges: the subset construction (Rabin and Scott, 1959), where a call of a rule counts as one
// more letter. Texts that begin alike then share their way, which is what keeps the stacks of a matcher few.
//
// Invariant: every state that is given out leads to the end of its rule.

/// Makes the states of rules.
struct Subsets {
  struct State {
    var bytes: [NetworkDraft.ByteEdge] = []
    var calls: [NetworkDraft.Call] = []
    var accepts = false
  }

  let draft: NetworkDraft
  /// Rules that have the empty text.
  let nullable: [Bool]
  private let isAlive: [Bool]
  private var seen: [Int32]
  private var turn: Int32 = 0
  private let budget: GrammarBudget

  init(_ draft: NetworkDraft, _ budget: GrammarBudget) {
    (self.draft, self.budget) = (draft, budget)
    let emptyBefore = draft.statesBeforeEnd(reading: false)
    nullable = draft.rules.map { emptyBefore[Int($0.start)] }
    isAlive = draft.statesBeforeEnd(reading: true)
    seen = [Int32](repeating: 0, count: draft.empty.count)
  }

  /// Whether a rule has any text.
  func hasText(_ rule: Int) -> Bool { isAlive[Int(draft.rules[rule].start)] }

  /// The states of a rule, its start first; one without edges if it has no text.
  mutating func states(of rule: Int) throws(GrammarError) -> [State] {
    guard hasText(rule) else { return [State()] }
    if let states = try deterministic(of: rule, limit: 20_000) { return states }
    return try asDrafted(of: rule)
  }

  /// The states of a rule, its start first; nil if there would be more than `limit` of them, or too much work.
  mutating func deterministic(of rule: Int, limit: Int) throws(GrammarError) -> [State]? {
    var known: [[Int32]: Int32] = [:]
    var sets: [[Int32]] = []
    var result: [State] = []
    var work = 0
    func number(_ set: [Int32]) -> Int32 {
      if let number = known[set] { return number }
      let number = Int32(sets.count)
      known[set] = number
      sets.append(set)
      return number
    }
    _ = number(closure([draft.rules[rule].start]))
    while result.count < sets.count {
      let set = sets[result.count]
      work += set.count
      guard sets.count <= limit, work <= 40 * limit + 2_000_000 else { return nil }
      try budget.spend(8 + 4 * set.count, draft.rules[rule].title)
      var state = State()
      state.accepts = set.contains(draft.rules[rule].end)
      for (range, targets) in segments(set.flatMap { draft.bytes[Int($0)] }) {
        let target = number(closure(targets))
        if let last = state.bytes.last, last.target == target, last.high &+ 1 == range.lowerBound {
          state.bytes[state.bytes.count - 1].high = range.upperBound
        } else {
          state.bytes.append(.init(low: range.lowerBound, high: range.upperBound, target: target))
        }
      }
      var targets: [NetworkDraft.Call: [Int32]] = [:]
      var order: [NetworkDraft.Call] = []
      for call in set.flatMap({ draft.calls[Int($0)] }) where isUseful(call) {
        var letter = call
        letter.target = 0
        if targets[letter] == nil { order.append(letter) }
        targets[letter, default: []].append(call.target)
      }
      for letter in order {
        var call = letter
        call.target = number(closure(targets[letter]!))
        state.calls.append(call)
      }
      result.append(state)
    }
    return result
  }

  /// The states of a rule as they were drafted, without the empty edges, the start first.
  ///
  /// - Throws: if they have too many edges.
  mutating func asDrafted(of rule: Int) throws(GrammarError) -> [State] {
    var numbers = [draft.rules[rule].start: Int32(0)]
    var waiting = [draft.rules[rule].start]
    var result: [State] = []
    var edges = 0
    func number(_ state: Int32) -> Int32 {
      if let number = numbers[state] { return number }
      let number = Int32(waiting.count)
      numbers[state] = number
      waiting.append(state)
      return number
    }
    while result.count < waiting.count {
      let set = closure([waiting[result.count]])
      var state = State()
      state.accepts = set.contains(draft.rules[rule].end)
      for edge in set.flatMap({ draft.bytes[Int($0)] }) where isAlive[Int(edge.target)] {
        state.bytes.append(.init(low: edge.low, high: edge.high, target: number(edge.target)))
      }
      for call in set.flatMap({ draft.calls[Int($0)] }) where isUseful(call) {
        var call = call
        call.target = number(call.target)
        state.calls.append(call)
      }
      edges += state.bytes.count + state.calls.count
      guard edges <= NetworkDraft.maximumEdges else {
        throw GrammarError(
          .tooLarge,
          "The grammar is too ambiguous: \(draft.rules[rule].title) has more than \(NetworkDraft.maximumEdges) ways to go on. Let fewer "
            + "optional parts follow each other.")
      }
      try budget.spend(8 + 4 * set.count + state.bytes.count, draft.rules[rule].title)
      result.append(state)
    }
    return result
  }

  private func isUseful(_ call: NetworkDraft.Call) -> Bool {
    isAlive[Int(call.target)] && isAlive[Int(draft.rules[Int(call.rule)].start)]
  }

  /// What is reached without reading, as far as it leads to the end; sorted.
  private mutating func closure(_ states: [Int32]) -> [Int32] {
    turn += 1
    var result: [Int32] = []
    var waiting = states
    while let state = waiting.popLast() {
      if seen[Int(state)] == turn || !isAlive[Int(state)] { continue }
      seen[Int(state)] = turn
      result.append(state)
      waiting += draft.empty[Int(state)]
      for call in draft.calls[Int(state)] where nullable[Int(call.rule)] { waiting.append(call.target) }
    }
    return result.sorted()
  }

  /// Edges as ranges that do not overlap, each with all of its targets.
  private func segments(_ edges: [NetworkDraft.ByteEdge]) -> [(ClosedRange<UInt8>, [Int32])] {
    let alive = edges.filter { isAlive[Int($0.target)] }
    if alive.count == 1 { return [(alive[0].low...alive[0].high, [alive[0].target])] }
    var bounds = [Bool](repeating: false, count: 257)
    for edge in alive {
      bounds[Int(edge.low)] = true
      bounds[Int(edge.high) + 1] = true
    }
    let starts = (0...256).filter { bounds[$0] }
    var targets = [[Int32]](repeating: [], count: max(starts.count - 1, 0))
    var place = [Int](repeating: 0, count: 257)
    for (index, start) in starts.enumerated() { place[start] = index }
    for edge in alive {
      for index in place[Int(edge.low)]..<place[Int(edge.high) + 1] { targets[index].append(edge.target) }
    }
    return targets.indices.filter { !targets[$0].isEmpty }.map {
      (UInt8(starts[$0])...UInt8(starts[$0 + 1] - 1), targets[$0])
    }
  }
}
