// A grammar's rules as nondeterministic automata over bytes: the first half of compiling a grammar.
//
// Thompson's construction ("Regular expression search algorithm", 1968), with edges that call rules beside those that read a byte.
// Repetitions that are large when written out become calls with a count, so that a limit of a billion costs what one costs.

/// Automata with empty edges, one for each rule, in one space of states.
struct NetworkDraft {
  struct ByteEdge: Hashable {
    var low: UInt8
    var high: UInt8
    var target: Int32
  }

  /// An edge that reads a text of a rule. `least` and `most` say how many more of them follow on the first.
  struct Call: Hashable {
    var rule: Int32
    var least: Int32
    /// `Int32.max` for any number.
    var most: Int32
    var target: Int32
  }

  struct Rule {
    var name: String
    var start: Int32
    var end: Int32

    /// For messages.
    var title: String { name.isEmpty ? "a pattern" : name.hasPrefix("a ") ? name : "the rule '\(name)'" }
  }

  private(set) var empty: [[Int32]] = []
  private(set) var bytes: [[ByteEdge]] = []
  private(set) var calls: [[Call]] = []
  private(set) var rules: [Rule] = []
  /// The rules of repeated bodies.
  private var repeated: [GrammarExpression: Int32] = [:]
  /// Without calls, as sets of texts are computed with.
  private let isFlat: Bool
  private let budget: GrammarBudget

  /// The most states and edges of a whole grammar.
  static let maximumStates = 1_000_000
  static let maximumEdges = 4_000_000
  /// How many states a counted repetition may have to be written out.
  private static let writtenOut = 64
  private static let maximumFlatStates = 50_000

  init(_ grammar: Grammar, _ budget: GrammarBudget) throws(GrammarError) {
    (isFlat, self.budget) = (false, budget)
    for rule in grammar.rules { rules.append(Rule(name: rule.name, start: state(), end: state())) }
    for (index, rule) in grammar.rules.enumerated() {
      let end = try emit(Self.withoutLeftRecursion(rule.body, of: index), from: rules[index].start)
      empty[Int(end)].append(rules[index].end)
    }
  }

  /// One expression without rules.
  init(flat expression: GrammarExpression, _ budget: GrammarBudget) throws(GrammarError) {
    (isFlat, self.budget) = (true, budget)
    rules.append(Rule(name: "", start: state(), end: state()))
    let end = try emit(expression, from: rules[0].start)
    empty[Int(end)].append(rules[0].end)
  }

  /// `a = a x | b` as `b x*`, which is the same.
  private static func withoutLeftRecursion(_ body: GrammarExpression, of rule: Int) -> GrammarExpression {
    guard case .alternatives(let branches) = body else { return body }
    var tails: [GrammarExpression] = []
    var bases: [GrammarExpression] = []
    for branch in branches {
      if case .sequence(let parts) = branch, parts.first == .rule(rule) {
        tails.append(.sequence(Array(parts.dropFirst())))
      } else if branch != .rule(rule) {
        bases.append(branch)
      }
    }
    if bases.count == branches.count { return body }
    return .sequence([.alternatives(bases), .repeated(.alternatives(tails), least: 0, most: nil)])
  }

  private mutating func state() -> Int32 {
    empty.append([])
    bytes.append([])
    calls.append([])
    return Int32(empty.count - 1)
  }

  /// Appends what an expression reads behind a state and returns where it ends.
  private mutating func emit(_ expression: GrammarExpression, from start: Int32) throws(GrammarError) -> Int32 {
    let most = isFlat ? Self.maximumFlatStates : Self.maximumStates
    guard empty.count < most else {
      throw GrammarError(
        .tooLarge,
        isFlat
          ? "A pattern is too large to be combined with other conditions on the same text: it has more than \(most) states."
          : "The grammar is too large: it has more than \(most) states. Use fewer or smaller repetitions and lists.")
    }
    try budget.spend(1, rules.last?.title ?? "its rules")
    switch expression {
    case .bytes(let text):
      var last = start
      for byte in text { last = read(byte...byte, from: last) }
      return last
    case .scalars(let set):
      let end = state()
      for sequence in set.utf8 {
        var last = start
        for range in sequence.dropLast() { last = read(range, from: last) }
        bytes[Int(last)].append(ByteEdge(low: sequence.last!.lowerBound, high: sequence.last!.upperBound, target: end))
      }
      return end
    case .sequence(let parts):
      var last = start
      for part in parts { last = try emit(part, from: last) }
      return last
    case .alternatives(let branches):
      let end = state()
      for branch in branches {
        let first = state()
        empty[Int(start)].append(first)
        empty[Int(try emit(branch, from: first))].append(end)
      }
      return end
    case .repeated(let body, let least, let most): return try emit(body, least, most, from: start)
    case .list(let elements, let separator): return try emit(elements, separator, from: start)
    case .both(let left, let right):
      return try splice(FlatAutomaton(left, budget), FlatAutomaton(right, budget), keeps: { $0 && $1 }, from: start)
    case .except(let left, let right):
      return try splice(FlatAutomaton(left, budget), FlatAutomaton(right, budget), keeps: { $0 && !$1 }, from: start)
    case .rule(let rule):
      if isFlat {
        throw GrammarError(.unsupported, "Conditions on one text cannot be combined if one of them refers to itself.")
      }
      return call(Int32(rule), least: 0, most: 0, from: start)
    }
  }

  private mutating func read(_ range: ClosedRange<UInt8>, from start: Int32) -> Int32 {
    let end = state()
    bytes[Int(start)].append(ByteEdge(low: range.lowerBound, high: range.upperBound, target: end))
    return end
  }

  private mutating func call(_ rule: Int32, least: Int32, most: Int32, from start: Int32) -> Int32 {
    let end = state()
    calls[Int(start)].append(Call(rule: rule, least: least, most: most, target: end))
    return end
  }

  // MARK: Repetitions and lists

  private mutating func emit(
    _ body: GrammarExpression, _ least: Int, _ most: Int?, from start: Int32
  ) throws(GrammarError) -> Int32 {
    if let most, most < least { return state() }
    if most == 0 { return start }
    let (size, overflows) = Self.size(body).multipliedReportingOverflow(by: max(least, most ?? 1))
    if isFlat || (!overflows && size <= Self.writtenOut) || (least <= 1 && most ?? 1 == 1) {
      if isFlat, overflows || size > Self.maximumFlatStates {
        throw GrammarError(
          .tooLarge, "A repetition of up to \(most ?? least) cannot be combined with other conditions on the same text."
        )
      }
      return try written(body, least, most, from: start)
    }
    let rule = try ruleOf(body)
    func count(_ value: Int) -> Int32 { Int32(clamping: value) }
    let end = call(
      rule, least: count(max(least - 1, 0)), most: most.map { min(count($0 - 1), .max - 1) } ?? .max, from: start)
    if least == 0 { empty[Int(start)].append(end) }
    return end
  }

  private mutating func written(
    _ body: GrammarExpression, _ least: Int, _ most: Int?, from start: Int32
  ) throws(GrammarError) -> Int32 {
    var last = start
    guard let most else {
      for _ in 1..<max(least, 1) { last = try emit(body, from: last) }
      // The last turn is the one that is repeated.
      let (loop, end) = (state(), state())
      empty[Int(last)].append(loop)
      let turn = try emit(body, from: loop)
      empty[Int(turn)] += [loop, end]
      if least == 0 { empty[Int(loop)].append(end) }
      return end
    }
    for _ in 0..<least { last = try emit(body, from: last) }
    let end = state()
    for _ in least..<most {
      empty[Int(last)].append(end)
      // A state of its own, so that what loops back to it does not leave through `end` of another turn.
      let next = state()
      empty[Int(last)].append(next)
      last = try emit(body, from: next)
    }
    empty[Int(last)].append(end)
    return end
  }

  /// The rule that stands for a repeated body.
  private mutating func ruleOf(_ body: GrammarExpression) throws(GrammarError) -> Int32 {
    if case .rule(let rule) = body { return Int32(rule) }
    if let known = repeated[body] { return known }
    let rule = Int32(rules.count)
    repeated[body] = rule
    rules.append(Rule(name: "a repetition", start: state(), end: state()))
    let end = try emit(body, from: rules[Int(rule)].start)
    empty[Int(end)].append(rules[Int(rule)].end)
    return rule
  }

  /// About how many states an expression takes. What many tokens consist of counts for more: its tokens are found only once if it is
  /// not written out.
  private static func size(_ expression: GrammarExpression) -> Int {
    func sum(_ parts: [GrammarExpression]) -> Int { parts.reduce(0) { $0 &+ min(size($1), 1 << 40) } }
    switch expression {
    case .bytes(let text): return text.count
    case .scalars(let set): return set.ranges.reduce(0) { $0 + $1.count } <= 22 ? 1 : 16
    case .sequence(let parts), .alternatives(let parts): return 1 + sum(parts)
    case .repeated(let body, let least, let most):
      let (product, overflows) = size(body).multipliedReportingOverflow(by: max(least, most ?? 1, 1))
      return overflows ? 1 << 40 : min(product, 1 << 40)
    case .list(let elements, let separator): return sum(elements.map(\.body)) + elements.count * size(separator)
    case .both(let left, let right), .except(let left, let right): return size(left) + size(right)
    case .rule: return 16
    }
  }

  /// Two rows of states side by side: nothing was written yet, or something was, so that a separator comes first.
  private mutating func emit(
    _ elements: [GrammarListElement], _ separator: GrammarExpression, from start: Int32
  ) throws(GrammarError) -> Int32 {
    var (nothing, something) = (state(), state())
    empty[Int(start)].append(nothing)
    for element in elements {
      let (before, after) = (state(), state())
      empty[Int(nothing)].append(before)
      empty[Int(try emit(separator, from: something))].append(before)
      let more = GrammarExpression.sequence([separator, element.body])
      let first = try emit(element.body, from: before)
      let last = try emit(more, max(element.least - 1, 0), element.most.map { max($0 - 1, 0) }, from: first)
      if element.most != 0 { empty[Int(last)].append(after) }
      if element.least == 0 {
        let stillNothing = state()
        empty[Int(something)].append(after)
        empty[Int(nothing)].append(stillNothing)
        nothing = stillNothing
      } else {
        nothing = state()
      }
      something = after
    }
    let end = state()
    empty[Int(nothing)].append(end)
    empty[Int(something)].append(end)
    return end
  }

  // MARK: Sets of texts

  /// Appends the product of two automata: the texts for which `keeps` says so of being in the first and in the second.
  private mutating func splice(
    _ left: FlatAutomaton, _ right: FlatAutomaton, keeps: (Bool, Bool) -> Bool, from start: Int32
  ) throws(GrammarError) -> Int32 {
    let end = state()
    let first = state()
    empty[Int(start)].append(first)
    var known = [[Int32(0), 0]: first]
    var waiting: [[Int32]] = [[0, 0]]
    while let pair = waiting.popLast() {
      let from = known[pair]!
      if keeps(left.accepts(pair[0]), right.accepts(pair[1])) { empty[Int(from)].append(end) }
      guard known.count < Self.maximumFlatStates else {
        throw GrammarError(.tooLarge, "Conditions on one text are too large together; use simpler patterns or limits.")
      }
      try budget.spend(256, "conditions on one text")
      var byte = 0
      while byte < 256 {
        // A run of bytes that go the same way on both sides.
        let next = [left.next(pair[0], UInt8(byte)), right.next(pair[1], UInt8(byte))]
        var last = byte
        while last < 255, left.next(pair[0], UInt8(last + 1)) == next[0],
          right.next(pair[1], UInt8(last + 1)) == next[1]
        {
          last += 1
        }
        if next[0] >= 0 {
          if known[next] == nil {
            known[next] = state()
            waiting.append(next)
          }
          bytes[Int(from)].append(ByteEdge(low: UInt8(byte), high: UInt8(last), target: known[next]!))
        }
        byte = last + 1
      }
    }
    return end
  }
}
