// A deterministic automaton of one expression without rules, for computing with sets of texts.

/// An automaton with one way for each byte.
struct FlatAutomaton {
  private var table: [Int32] = []
  private var ends: [Bool] = []

  init(_ expression: GrammarExpression, _ budget: GrammarBudget) throws(GrammarError) {
    let draft = try NetworkDraft(flat: expression, budget)
    var subsets = Subsets(draft, budget)
    guard let states = try subsets.deterministic(of: 0, limit: 20_000) else {
      throw GrammarError(.tooLarge, "A pattern is too large to be combined with other conditions on the same text.")
    }
    table = [Int32](repeating: -1, count: 256 * states.count)
    for (index, state) in states.enumerated() {
      ends.append(state.accepts)
      for edge in state.bytes {
        for byte in Int(edge.low)...Int(edge.high) { table[256 * index + byte] = edge.target }
      }
    }
  }

  /// The state after a byte; -1, from which nothing is accepted, if there is none. The first state is 0.
  func next(_ state: Int32, _ byte: UInt8) -> Int32 { state < 0 ? -1 : table[256 * Int(state) + Int(byte)] }

  func accepts(_ state: Int32) -> Bool { state >= 0 && ends[Int(state)] }
}
