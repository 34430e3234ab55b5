// JSON (RFC 8259) in grammar rules: what any value looks like, and how characters are written inside strings.

/// White space between the tokens of JSON.
package enum JSONWhitespace: Sendable, Hashable {
  /// `{"a":1}`
  case none
  /// A space, or a line break and up to 32 spaces or tabs, at each place where JSON allows it, or nothing.
  case flexible
}

/// Rules that all JSON grammars share, made when they are asked for.
struct JSONRules {
  var grammar = Grammar()
  let whitespace: JSONWhitespace
  private var made: [String: Int] = [:]

  init(whitespace: JSONWhitespace) { self.whitespace = whitespace }

  private mutating func shared(
    _ name: String, _ body: (inout JSONRules) -> GrammarExpression
  ) -> GrammarExpression {
    if let rule = made[name] { return .rule(rule) }
    let rule = grammar.declare(name)
    made[name] = rule
    let body = body(&self)
    grammar.define(rule, as: body)
    return .rule(rule)
  }

  // MARK: Structure

  var space: GrammarExpression {
    mutating get {
      guard whitespace == .flexible else { return .empty }
      return shared("white space") { _ in
        .optional(
          .alternatives([
            .text(" "),
            .sequence([
              .text("\n"), .repeated(.scalars(ScalarRanges([9...9, 32...32])), least: 0, most: 32),
            ]),
          ]))
      }
    }
  }

  var comma: GrammarExpression { mutating get { .sequence([.text(","), space]) } }

  mutating func member(_ key: GrammarExpression, _ value: GrammarExpression) -> GrammarExpression {
    .sequence([key, .text(":"), space, value, space])
  }

  /// `{`, members with commas between them, `}`; members end with white space.
  mutating func object(_ members: [GrammarListElement]) -> GrammarExpression {
    .sequence([.text("{"), space, .list(members, separator: comma), .text("}")])
  }

  /// `[`, elements with commas between them, `]`.
  mutating func array(_ elements: GrammarExpression) -> GrammarExpression {
    .sequence([.text("["), space, elements, .text("]")])
  }

  // MARK: Values

  var null: GrammarExpression { .text("null") }
  var boolean: GrammarExpression { .alternatives([.text("true"), .text("false")]) }

  var value: GrammarExpression {
    mutating get {
      shared("value") { rules in
        .alternatives([
          rules.anyObject, rules.anyArray, rules.string, rules.number, rules.boolean, rules.null,
        ])
      }
    }
  }

  var anyObject: GrammarExpression {
    mutating get {
      shared("object") { rules in
        let member = rules.member(rules.string, rules.value)
        return rules.object([GrammarListElement(member, least: 0, most: nil)])
      }
    }
  }

  var anyArray: GrammarExpression {
    mutating get {
      shared("array") { rules in
        let element = GrammarExpression.sequence([rules.value, rules.space])
        return rules.array(.list([GrammarListElement(element, least: 0, most: nil)], separator: rules.comma))
      }
    }
  }

  // Numbers have at most 18 digits before and behind the point, so that readers with 64 bits keep them and no model writes
  // digits for ever.
  var integer: GrammarExpression {
    mutating get {
      shared("integer") { _ in .sequence([.optional(.text("-")), Self.digits]) }
    }
  }

  var number: GrammarExpression {
    mutating get {
      shared("number") { rules in
        .sequence([
          .optional(.text("-")), Self.digits,
          .optional(.sequence([.text("."), .repeated(.ascii("0"..."9"), least: 1, most: 18)])),
          .optional(
            .sequence([
              .alternatives([.text("e"), .text("E")]), .optional(.alternatives([.text("+"), .text("-")])),
              .repeated(.ascii("0"..."9"), least: 1, most: 2),
            ])),
        ])
      }
    }
  }

  private static let digits = GrammarExpression.alternatives([
    .text("0"), .sequence([.ascii("1"..."9"), .repeated(.ascii("0"..."9"), least: 0, most: 17)]),
  ])

  // MARK: Strings

  var string: GrammarExpression {
    mutating get {
      shared("string") { _ in .sequence([.text("\""), .repeated(Self.character, least: 0, most: nil), .text("\"")]) }
    }
  }

  mutating func string(least: Int, most: Int?) -> GrammarExpression {
    let character = shared("character") { _ in Self.character }
    return shared("string of \(least) to \(most.map(String.init) ?? "any number of") characters") { _ in
      .sequence([.text("\""), .repeated(character, least: least, most: most), .text("\"")])
    }
  }

  /// A string whose content is given.
  static func quoted(_ content: GrammarExpression) -> GrammarExpression {
    .sequence([.text("\""), content, .text("\"")])
  }

  /// What need not be escaped.
  private static let plain = ScalarRanges([0...0x1F, 0x22...0x22, 0x5C...0x5C, 0x7F...0x7F]).complement

  /// A character in any spelling. Halves of surrogate pairs are left out: many readers refuse them alone.
  static let character: GrammarExpression = {
    let digit = GrammarExpression.scalars(ScalarRanges([48...57, 65...70, 97...102]))
    let notD = GrammarExpression.scalars(ScalarRanges([48...57, 65...67, 69...70, 97...99, 101...102]))
    return .alternatives([
      .scalars(plain),
      .sequence([.text("\\"), .scalars(ScalarRanges("\"\\/bfnrt".unicodeScalars.map { $0.value...$0.value }))]),
      .sequence([
        .text("\\u"),
        .alternatives([
          .sequence([notD, digit, digit, digit]),
          .sequence([.alternatives([.text("D"), .text("d")]), .ascii("0"..."7"), digit, digit]),
        ]),
      ]),
    ])
  }()

  /// A character of a set in the one spelling that `spelling(_:)` gives it, so that equal strings are equal bytes.
  static func spelled(_ set: ScalarRanges) -> GrammarExpression {
    let escaped = set.subtracting(plain)
    if escaped.isEmpty { return .scalars(set) }
    var ways: [GrammarExpression] = []
    let unescaped = set.intersection(plain)
    if !unescaped.isEmpty { ways.append(.scalars(unescaped)) }
    for range in escaped.ranges {
      for value in range { ways.append(.text(spelling(String(Unicode.Scalar(value)!)))) }
    }
    return .alternatives(ways)
  }

  /// The content of a string between its quotes.
  static func spelling(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{8}": result += "\\b"
      case "\u{C}": result += "\\f"
      case "\0"..<" ", "\u{7F}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

extension Grammar {
  /// Any JSON object, which is what `json_object` asks for.
  package static func json(whitespace: JSONWhitespace = .flexible) -> Grammar {
    var rules = JSONRules(whitespace: whitespace)
    guard case .rule(let root) = rules.anyObject else { preconditionFailure("an object is a rule") }
    rules.grammar.root = root
    return rules.grammar
  }
}
