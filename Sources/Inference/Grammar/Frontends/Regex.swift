// A regular expression as a grammar: of whole texts, or of texts that contain a match.

extension Grammar {
  /// The texts that a regular expression matches as a whole.
  package init(regex pattern: String, _ budget: GrammarBudget = GrammarBudget()) throws(GrammarError) {
    self.init(try Regex(pattern, budget).expression(searching: false) { .scalars($0) })
  }
}

/// A parsed regular expression.
struct Regex {
  /// Ways to match, each with where it is held to the ends of the text.
  private struct Way {
    var isAtStart = false
    var isAtEnd = false
    var parts: [RegexNode] = []
  }

  private let node: RegexNode
  private let pattern: String
  private let budget: GrammarBudget

  init(_ pattern: String, _ budget: GrammarBudget) throws(GrammarError) {
    (self.pattern, self.budget) = (pattern, budget)
    try budget.spend(pattern.utf8.count, "the regular expression '\(pattern.prefix(200))'")
    node = try RegexParser.parse(pattern)
  }

  /// The texts that match.
  ///
  /// - Parameters:
  ///   - searching: whether a match may lie anywhere in the text.
  ///   - spelled: how a character of a set is written.
  func expression(
    searching: Bool, spelled: (ScalarRanges) -> GrammarExpression
  ) throws(GrammarError) -> GrammarExpression {
    let anything = GrammarExpression.repeated(spelled(.all), least: 0, most: nil)
    var branches: [GrammarExpression] = []
    for way in try ways(node) {
      var parts: [GrammarExpression] = []
      for part in way.parts { parts.append(try plain(part, spelled)) }
      if searching, !way.isAtStart { parts.insert(anything, at: 0) }
      if searching, !way.isAtEnd { parts.append(anything) }
      branches.append(.sequence(parts))
    }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  /// Takes `^` from the beginnings and `$` from the ends.
  private func ways(_ node: RegexNode) throws(GrammarError) -> [Way] {
    guard hasAnchor(node) else { return [Way(parts: [node])] }
    switch node {
    case .atStart: return [Way(isAtStart: true)]
    case .atEnd: return [Way(isAtEnd: true)]
    case .alternatives(let branches):
      var result: [Way] = []
      for branch in branches { result += try ways(branch) }
      return result
    case .sequence(let parts):
      var result = [Way()]
      for (index, part) in parts.enumerated() {
        var longer: [Way] = []
        let more = try ways(part)
        for way in result {
          for next in more {
            try budget.spend(way.parts.count, "the regular expression '\(pattern.prefix(200))'")
            if next.isAtStart, !(way.parts.isEmpty) { throw misplaced("^") }
            if way.isAtEnd, !next.parts.isEmpty { throw misplaced("$") }
            longer.append(
              Way(
                isAtStart: way.isAtStart || next.isAtStart, isAtEnd: way.isAtEnd || next.isAtEnd,
                parts: way.parts + next.parts))
          }
        }
        guard longer.count <= 1000 else { throw misplaced(index == 0 ? "^" : "$") }
        result = longer
      }
      return result
    case .repeated, .set: throw misplaced("^ or $")
    }
  }

  private func misplaced(_ anchor: String) -> GrammarError {
    GrammarError(
      .unsupported,
      "The regular expression '\(pattern.prefix(200))' cannot be used: \(anchor) is only supported at its ends.")
  }

  private func hasAnchor(_ node: RegexNode) -> Bool {
    switch node {
    case .atStart, .atEnd: true
    case .set: false
    case .sequence(let parts), .alternatives(let parts): parts.contains(where: hasAnchor)
    case .repeated(let body, _, _): hasAnchor(body)
    }
  }

  private func plain(
    _ node: RegexNode, _ spelled: (ScalarRanges) -> GrammarExpression
  ) throws(GrammarError) -> GrammarExpression {
    switch node {
    case .set(let set): return set.isEmpty ? .nothing : spelled(set)
    case .sequence(let parts):
      var result: [GrammarExpression] = []
      for part in parts { result.append(try plain(part, spelled)) }
      return .sequence(result)
    case .alternatives(let parts):
      var result: [GrammarExpression] = []
      for part in parts { result.append(try plain(part, spelled)) }
      return .alternatives(result)
    case .repeated(let body, let least, let most): return .repeated(try plain(body, spelled), least: least, most: most)
    case .atStart, .atEnd: throw misplaced("^ or $")
    }
  }

  /// Whether a text has a match, in the spelling that strings of JSON have it in.
  func isFound(inStringSpelled text: String) throws(GrammarError) -> Bool {
    let automaton = try FlatAutomaton(expression(searching: true, spelled: JSONRules.spelled), budget)
    return automaton.accepts(JSONRules.spelling(text).utf8.reduce(0) { automaton.next($0, $1) })
  }

  // MARK: Lengths

  /// The expression as one class that is repeated, if that is all there is.
  var repeatedSet: (set: ScalarRanges, least: Int, most: Int?)? {
    guard let ways = try? ways(node), ways.count == 1, ways[0].isAtStart, ways[0].isAtEnd, ways[0].parts.count == 1,
      case .repeated(.set(let set), let least, let most) = ways[0].parts[0]
    else { return nil }
    return (set, least, most)
  }

  /// How many characters matching texts have, at least and at most.
  var lengths: (least: Int, most: Int?) {
    guard let ways = try? ways(node) else { return (0, nil) }
    let lengths = ways.map { way -> (least: Int, most: Int?) in
      let (least, most) = Self.lengths(.sequence(way.parts))
      return (least, way.isAtStart && way.isAtEnd ? most : nil)
    }
    return Self.union(lengths)
  }

  private static func union(_ lengths: [(least: Int, most: Int?)]) -> (least: Int, most: Int?) {
    let most = lengths.reduce(Int?(0)) { $0 == nil || $1.most == nil ? nil : max($0!, $1.most!) }
    return (lengths.map(\.least).min() ?? 0, most)
  }

  private static func lengths(_ node: RegexNode) -> (least: Int, most: Int?) {
    switch node {
    case .atStart, .atEnd: return (0, 0)
    case .set: return (1, 1)
    case .sequence(let parts):
      return parts.map(lengths).reduce((0, 0)) { sum, next in
        (sum.0 &+ next.least, sum.1 == nil || next.most == nil ? nil : sum.1! &+ next.most!)
      }
    case .alternatives(let parts): return union(parts.map(lengths))
    case .repeated(let body, let least, let most):
      let one = lengths(body)
      // Saturating: counts of counts may be beyond any number.
      func product(_ left: Int, _ right: Int) -> Int { min(left, 1 << 30) * min(right, 1 << 30) }
      return (product(one.least, least), most.flatMap { most in one.most.map { product($0, most) } })
    }
  }
}
