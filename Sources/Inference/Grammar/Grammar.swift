// The one form that schemas, regular expressions, choices and grammars in text are brought into: rules over bytes.
//
// Invariant: an expression says which sequences of bytes it stands for and nothing else: no priorities, no captures. Characters are
// sets of Unicode scalars, which become ranges of UTF-8 bytes when the grammar is compiled (`GrammarNetwork`).

/// What a rule stands for.
package indirect enum GrammarExpression: Sendable, Hashable {
  /// These bytes.
  case bytes([UInt8])
  /// One scalar of a set, in UTF-8.
  case scalars(ScalarRanges)
  /// All of them, one after the other; none of them is the empty text.
  case sequence([GrammarExpression])
  /// One of them; of none there is no text at all.
  case alternatives([GrammarExpression])
  /// So many times; without `most`, any number.
  case repeated(GrammarExpression, least: Int, most: Int?)
  /// Elements in their order with a separator between those that are there.
  case list([GrammarListElement], separator: GrammarExpression)
  /// Texts of both; neither may refer to rules.
  case both(GrammarExpression, GrammarExpression)
  /// Texts of the first that are none of the second; neither may refer to rules.
  case except(GrammarExpression, GrammarExpression)
  /// Another rule, by its number.
  case rule(Int)

  /// The empty text.
  static let empty = GrammarExpression.sequence([])
  /// No text.
  static let nothing = GrammarExpression.alternatives([])

  static func text(_ text: String) -> GrammarExpression { .bytes(Array(text.utf8)) }
  static func optional(_ body: GrammarExpression) -> GrammarExpression { .repeated(body, least: 0, most: 1) }
  /// One ASCII character of a range.
  static func ascii(_ range: ClosedRange<Character>) -> GrammarExpression {
    .scalars(ScalarRanges([UInt32(range.lowerBound.asciiValue!)...UInt32(range.upperBound.asciiValue!)]))
  }
}

extension GrammarExpression {
  /// The same where rules have numbers that are higher by `first`.
  fileprivate func renumbered(from first: Int) -> GrammarExpression {
    switch self {
    case .bytes, .scalars: return self
    case .sequence(let parts): return .sequence(parts.map { $0.renumbered(from: first) })
    case .alternatives(let branches): return .alternatives(branches.map { $0.renumbered(from: first) })
    case .repeated(let body, let least, let most):
      return .repeated(body.renumbered(from: first), least: least, most: most)
    case .list(let elements, let separator):
      return .list(
        elements.map { GrammarListElement($0.body.renumbered(from: first), least: $0.least, most: $0.most) },
        separator: separator.renumbered(from: first))
    case .both(let left, let right): return .both(left.renumbered(from: first), right.renumbered(from: first))
    case .except(let left, let right): return .except(left.renumbered(from: first), right.renumbered(from: first))
    case .rule(let rule): return .rule(first + rule)
    }
  }
}

/// An element of a list that may have separators around it.
package struct GrammarListElement: Sendable, Hashable {
  var body: GrammarExpression
  /// How often it is there.
  var least: Int
  /// Without it, any number of times.
  var most: Int?

  init(_ body: GrammarExpression, least: Int = 1, most: Int? = 1) {
    self.body = body
    self.least = least
    self.most = most
  }
}

/// Rules that refer to each other.
package struct Grammar: Sendable {
  struct Rule: Sendable {
    /// For messages.
    var name: String
    var body: GrammarExpression
  }

  private(set) var rules: [Rule] = []
  /// The rule that whole texts fulfil.
  var root = 0
  /// What was asked for and is fulfilled only in part, in sentences for people.
  package internal(set) var notices: [String] = []

  init() {}

  /// A new rule, which stands for nothing until it is defined.
  mutating func declare(_ name: String) -> Int {
    rules.append(Rule(name: name, body: .nothing))
    return rules.count - 1
  }

  mutating func define(_ rule: Int, as body: GrammarExpression) { rules[rule].body = body }

  /// A grammar of one rule.
  init(_ body: GrammarExpression, name: String = "root") {
    define(declare(name), as: body)
  }

  /// Takes the rules of another grammar in; what its texts are.
  mutating func include(_ other: Grammar) -> GrammarExpression {
    let first = rules.count
    rules += other.rules.map { Rule(name: $0.name, body: $0.body.renumbered(from: first)) }
    notices += other.notices.filter { !notices.contains($0) }
    return .rule(first + other.root)
  }

  /// One of some texts, each exactly as it is.
  package init(choices: [String]) throws(GrammarError) {
    guard !choices.isEmpty else { throw GrammarError(.empty, "There is no choice to choose from; give at least one.") }
    self.init(.alternatives(choices.map { .text($0) }))
  }
}
