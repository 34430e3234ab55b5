// A compiled grammar: for each rule an automaton whose edges read a byte or call a rule (a recursive transition network; Woods,
// "Transition network grammars for natural language analysis", 1970).
//
// Invariants: every state leads to the end of its rule, so that whatever was accepted can be finished. Every call reads at least one
// byte: rules that may be empty can also be passed by. No rule begins with itself.

/// The automata of a grammar, read by `GrammarWalker`.
package final class GrammarNetwork: Sendable {
  typealias ByteEdge = NetworkDraft.ByteEdge
  typealias Call = NetworkDraft.Call

  /// The edges of state `q` are `byteEdges[byteStarts[q] ..< byteStarts[q + 1]]`, and `calls` likewise.
  let byteEdges: [ByteEdge]
  let byteStarts: [Int32]
  let calls: [Call]
  let callStarts: [Int32]
  /// States in which a text of their rule may end.
  let accepts: [Bool]
  /// The first state of each rule.
  let starts: [Int32]
  /// The order in which rules can begin each other: what a rule begins with has a higher rank.
  let ranks: [Int32]
  let root: Int32
  /// Whether the empty text fulfils the grammar.
  let acceptsNothing: Bool
  /// The bytes that are read from each state, a bit for each class.
  let first: [ByteClassSet]
  /// The bytes that can come behind a text of each state's rule, or begin another turn of it.
  let follow: [ByteClassSet]
  /// The same without another turn.
  let leave: [ByteClassSet]
  /// Bytes that no edge tells apart are of one class.
  let classes: [UInt8]
  /// A byte of each class.
  let representatives: [UInt8]

  /// States in which a rule can only end.
  func isFinal(_ state: Int32) -> Bool {
    accepts[Int(state)] && byteStarts[Int(state)] == byteStarts[Int(state) + 1]
      && callStarts[Int(state)] == callStarts[Int(state) + 1]
  }

  /// How many states all rules have together.
  package var stateCount: Int { accepts.count }

  /// - Throws: `GrammarError` if no text fulfils the grammar, if a rule begins with itself, or if it is too large.
  package init(_ grammar: Grammar, _ budget: GrammarBudget = GrammarBudget()) throws(GrammarError) {
    let draft = try NetworkDraft(grammar, budget)
    var subsets = Subsets(draft, budget)
    guard subsets.hasText(grammar.root) else {
      throw GrammarError(
        .empty, "No text fulfils the grammar: its conditions exclude each other, or a rule has no end.")
    }
    var (byteEdges, calls) = ([ByteEdge](), [Call]())
    var (byteStarts, callStarts) = ([Int32(0)], [Int32(0)])
    var (accepts, starts) = ([Bool](), [Int32]())
    for rule in draft.rules.indices {
      let states = try subsets.states(of: rule)
      let base = Int32(accepts.count)
      starts.append(base)
      for state in states {
        byteEdges += state.bytes.map { ByteEdge(low: $0.low, high: $0.high, target: $0.target + base) }
        calls += state.calls.map { call in
          let least = subsets.nullable[Int(call.rule)] ? 0 : call.least
          return Call(rule: call.rule, least: least, most: call.most, target: call.target + base)
        }
        byteStarts.append(Int32(byteEdges.count))
        callStarts.append(Int32(calls.count))
        accepts.append(state.accepts)
      }
      guard accepts.count <= NetworkDraft.maximumStates, byteEdges.count + calls.count <= NetworkDraft.maximumEdges
      else {
        throw GrammarError(
          .tooLarge,
          "The grammar is too large: it has more than \(NetworkDraft.maximumStates) states or \(NetworkDraft.maximumEdges) edges "
            + "at \(draft.rules[rule].title). Use fewer or smaller repetitions, lists and alternatives.")
      }
    }
    self.byteEdges = byteEdges
    self.byteStarts = byteStarts
    self.calls = calls
    self.callStarts = callStarts
    self.accepts = accepts
    self.starts = starts
    root = Int32(grammar.root)
    acceptsNothing = subsets.nullable[grammar.root]
    (classes, representatives) = Self.byteClasses(byteEdges)
    let order = try Self.leftOrder(draft, starts: starts, calls: calls, callStarts: callStarts)
    var ranks = [Int32](repeating: 0, count: order.count)
    for (place, rule) in order.enumerated() { ranks[rule] = Int32(order.count - 1 - place) }
    self.ranks = ranks
    let first = Self.firstBytes(order, byteEdges, byteStarts, calls, callStarts, starts, classes)
    self.first = first
    follow = Self.followingBytes(first, calls, callStarts, accepts, starts, turns: true)
    leave = Self.followingBytes(first, calls, callStarts, accepts, starts, turns: false)
  }

  /// Rules in an order in which each comes behind those that it can begin with.
  private static func leftOrder(
    _ draft: NetworkDraft, starts: [Int32], calls: [Call], callStarts: [Int32]
  ) throws(GrammarError) -> [Int] {
    var order: [Int] = []
    var marks = [UInt8](repeating: 0, count: starts.count)
    func callees(_ rule: Int) -> [Int] {
      let start = Int(starts[rule])
      return calls[Int(callStarts[start])..<Int(callStarts[start + 1])].map { Int($0.rule) }
    }
    for rule in starts.indices where marks[rule] == 0 {
      // Depth first, with a stack of its own: grammars from outside may be deep.
      marks[rule] = 1
      var path = [(rule: rule, left: callees(rule))]
      while let (current, left) = path.last {
        guard let next = left.last else {
          marks[current] = 2
          order.append(current)
          path.removeLast()
          continue
        }
        path[path.count - 1].left.removeLast()
        if marks[next] == 1 {
          throw GrammarError(
            .leftRecursion,
            "The rule '\(draft.rules[next].name)' begins with itself; let something come before it refers to itself.")
        }
        if marks[next] == 0 {
          marks[next] = 1
          path.append((next, callees(next)))
        }
      }
    }
    return order
  }

  private static func byteClasses(_ edges: [ByteEdge]) -> (classes: [UInt8], representatives: [UInt8]) {
    var begins = [Bool](repeating: false, count: 257)
    for edge in edges {
      begins[Int(edge.low)] = true
      begins[Int(edge.high) + 1] = true
    }
    begins[0] = true
    var classes = [UInt8](repeating: 0, count: 256)
    var representatives: [UInt8] = []
    for byte in 0..<256 {
      if begins[byte] { representatives.append(UInt8(byte)) }
      classes[byte] = UInt8(representatives.count - 1)
    }
    return (classes, representatives)
  }

  /// - Parameter order: rules behind those that they begin with.
  private static func firstBytes(
    _ order: [Int], _ byteEdges: [ByteEdge], _ byteStarts: [Int32], _ calls: [Call], _ callStarts: [Int32],
    _ starts: [Int32], _ classes: [UInt8]
  ) -> [ByteClassSet] {
    var result = [ByteClassSet](repeating: ByteClassSet(), count: byteStarts.count - 1)
    func fill(_ state: Int) {
      for edge in byteEdges[Int(byteStarts[state])..<Int(byteStarts[state + 1])] {
        result[state].insert(classes[Int(edge.low)]...classes[Int(edge.high)])
      }
      for call in calls[Int(callStarts[state])..<Int(callStarts[state + 1])] {
        result[state].formUnion(result[Int(starts[Int(call.rule)])])
      }
    }
    for rule in order { fill(Int(starts[rule])) }
    let isStart = Set(starts)
    for state in result.indices where !isStart.contains(Int32(state)) { fill(state) }
    return result
  }

  private static func followingBytes(
    _ first: [ByteClassSet], _ calls: [Call], _ callStarts: [Int32], _ accepts: [Bool], _ starts: [Int32], turns: Bool
  ) -> [ByteClassSet] {
    var ruleOf = [Int](repeating: 0, count: first.count)
    for (rule, start) in starts.enumerated() {
      for state in Int(start)..<(rule + 1 < starts.count ? Int(starts[rule + 1]) : first.count) { ruleOf[state] = rule }
    }
    var follow = [ByteClassSet](repeating: ByteClassSet(), count: starts.count)
    // Rules at whose end another rule may end hand their bytes on.
    var heirs = [Set<Int>](repeating: [], count: starts.count)
    for state in first.indices {
      for call in calls[Int(callStarts[state])..<Int(callStarts[state + 1])] {
        follow[Int(call.rule)].formUnion(first[Int(call.target)])
        if turns, call.most > 0 { follow[Int(call.rule)].formUnion(first[Int(starts[Int(call.rule)])]) }
        if accepts[Int(call.target)] { heirs[ruleOf[state]].insert(Int(call.rule)) }
      }
    }
    var waiting = Set(starts.indices)
    while let rule = waiting.popFirst() {
      for heir in heirs[rule] {
        var more = follow[heir]
        more.formUnion(follow[rule])
        if more != follow[heir] {
          follow[heir] = more
          waiting.insert(heir)
        }
      }
    }
    return ruleOf.map { follow[$0] }
  }
}

/// A set of classes of bytes.
struct ByteClassSet: Sendable, Hashable {
  private var words = SIMD4<UInt64>()

  mutating func insert(_ range: ClosedRange<UInt8>) {
    for value in range { words[Int(value) >> 6] |= 1 << UInt64(value & 63) }
  }

  mutating func formUnion(_ other: ByteClassSet) { words |= other.words }

  func contains(_ value: UInt8) -> Bool { words[Int(value) >> 6] & (1 << UInt64(value & 63)) != 0 }

  var isEmpty: Bool { words == SIMD4() }
  /// The only member, if there is one and no more.
  var only: UInt8? {
    guard (0..<4).reduce(0, { $0 + words[$1].nonzeroBitCount }) == 1 else { return nil }
    return (0..<4).first { words[$0] != 0 }.map { UInt8(64 * $0 + words[$0].trailingZeroBitCount) }
  }
}
