// Grammars in text as llama.cpp has them (GBNF): `root ::= "a" [b-z]* ("x" | y){2,3}`, comments behind `#`, escapes as in C.
//
// A rule goes on to the next name that stands before `::=`, whatever the line breaks. Rules that begin with themselves are rewritten if
// they do so directly (`a ::= a "x" | "b"`), else refused when the grammar is compiled.

extension Grammar {
  /// Reads a grammar whose whole texts are those of the rule `root`.
  package init(gbnf text: String) throws(GrammarError) {
    var parser = GBNFParser(text)
    self = try parser.grammar()
  }
}

private struct GBNFParser: ScalarReader {
  let text: [Unicode.Scalar]
  var position = 0
  private var depth = 0
  private var built = Grammar()
  private var rules: [String: Int] = [:]
  private var isDefined: Set<String> = []

  private static let maximumDepth = 100

  init(_ text: String) { self.text = Array(text.unicodeScalars) }

  func error(_ code: GrammarError.Code, _ what: String) -> GrammarError {
    let before = text[..<min(position, text.count)]
    let line = before.count { $0 == "\n" } + 1
    let column = before.count - (before.lastIndex(of: "\n").map { $0 + 1 } ?? 0) + 1
    return GrammarError(code, "The grammar cannot be used (line \(line), column \(column)): \(what).")
  }

  mutating func grammar() throws(GrammarError) -> Grammar {
    skipSpace()
    while position < text.count {
      guard let name = ruleName() else { throw error(.syntax, "expected a rule: name ::= …") }
      let rule = number(name)
      guard isDefined.insert(name).inserted else { throw error(.syntax, "the rule '\(name)' is defined twice") }
      built.define(rule, as: try alternatives())
      guard next != ")" else { throw error(.syntax, "a closing bracket has no opening one") }
    }
    guard let root = rules["root"], isDefined.contains("root") else {
      throw error(.syntax, "there is no rule 'root', with which texts begin")
    }
    for name in rules.keys.sorted() where !isDefined.contains(name) {
      throw error(.syntax, "the rule '\(name)' is used, but not defined")
    }
    built.root = root
    return built
  }

  private mutating func skipSpace() {
    while let scalar = next {
      if scalar == "#" {
        while next != nil, next != "\n" { position += 1 }
      } else if scalar.properties.isWhitespace {
        position += 1
      } else {
        return
      }
    }
  }

  private mutating func name() -> String? {
    var result = ""
    while let scalar = next, scalar.isASCII,
      scalar.properties.isAlphabetic || scalar.properties.numericType != nil
        || scalar == "-" || scalar == "_"
    {
      result.unicodeScalars.append(scalar)
      position += 1
    }
    return result.isEmpty ? nil : result
  }

  /// Reads a name and `::=`; nothing if something else stands here.
  private mutating func ruleName() -> String? {
    let start = position
    if let name = name() {
      skipSpace()
      if take("::=") {
        skipSpace()
        return name
      }
    }
    position = start
    return nil
  }

  private mutating func number(_ name: String) -> Int {
    if let known = rules[name] { return known }
    let number = built.declare(name)
    rules[name] = number
    return number
  }

  private mutating func alternatives() throws(GrammarError) -> GrammarExpression {
    depth += 1
    guard depth <= Self.maximumDepth else {
      throw error(.tooLarge, "it is nested more than \(Self.maximumDepth) deep")
    }
    defer { depth -= 1 }
    var branches = [try sequence()]
    while take("|") {
      skipSpace()
      branches.append(try sequence())
    }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func sequence() throws(GrammarError) -> GrammarExpression {
    var parts: [GrammarExpression] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      let start = position
      if ruleName() != nil {
        position = start
        break
      }
      parts.append(try quantified(try element()))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func element() throws(GrammarError) -> GrammarExpression {
    let result: GrammarExpression
    if take("\"") {
      var bytes: [UInt8] = []
      while !take("\"") { bytes += String(try character()).utf8 }
      result = .bytes(bytes)
    } else if take("[") {
      result = .scalars(try set())
    } else if take("(") {
      skipSpace()
      result = try alternatives()
      guard take(")") else { throw error(.syntax, "a bracket has no end") }
    } else if take(".") {
      result = .scalars(.all)
    } else if next == "<" || next == "!" {
      throw error(.unsupported, "tokens in grammars (<…>) are not supported; write their text in quotes")
    } else if let name = name() {
      result = .rule(number(name))
    } else {
      throw error(.syntax, "expected text in quotes, a class, a rule's name or a bracket, but found '\(try scalar())'")
    }
    return result
  }

  private mutating func quantified(_ element: GrammarExpression) throws(GrammarError) -> GrammarExpression {
    var result = element
    var quantifiers = 0
    skipSpace()
    while let scalar = next {
      switch scalar {
      case "*": result = .repeated(result, least: 0, most: nil)
      case "+": result = .repeated(result, least: 1, most: nil)
      case "?": result = .optional(result)
      case "{":
        position += 1
        skipSpace()
        guard let least = try count() else { throw error(.syntax, "a repetition is written {2}, {2,} or {2,3}") }
        var most: Int? = least
        if take(",") {
          skipSpace()
          most = try count()
        }
        guard next == "}" else { throw error(.syntax, "a repetition is written {2}, {2,} or {2,3}") }
        if let most, most < least { throw error(.syntax, "a repetition has a maximum below its minimum") }
        result = .repeated(result, least: least, most: most)
      default: return result
      }
      quantifiers += 1
      guard quantifiers <= Self.maximumDepth else { throw error(.tooLarge, "too many repetitions of repetitions") }
      position += 1
      skipSpace()
    }
    return result
  }

  private mutating func count() throws(GrammarError) -> Int? {
    var value: Int?
    while let digit = next, ("0"..."9").contains(digit) {
      value = (value ?? 0) * 10 + Int(digit.value - 48)
      guard value! <= 1_000_000_000 else { throw error(.tooLarge, "a repetition is beyond 1000000000") }
      position += 1
    }
    skipSpace()
    return value
  }

  /// A character of a literal or a class, escaped or not.
  private mutating func character() throws(GrammarError) -> Unicode.Scalar {
    let scalar = try scalar()
    guard scalar == "\\" else { return scalar }
    let escape = try self.scalar()
    switch escape {
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "x": return try hexadecimal(2)
    case "u": return try hexadecimal(4)
    case "U": return try hexadecimal(8)
    case "\\", "\"", "[", "]", "-", "^", "/": return escape
    default: throw error(.syntax, "the escape \\\(escape) is not known")
    }
  }

  private mutating func hexadecimal(_ digits: Int) throws(GrammarError) -> Unicode.Scalar {
    var spelled = ""
    for _ in 0..<digits { spelled.unicodeScalars.append(try scalar()) }
    guard spelled.allSatisfy(\.isHexDigit), let scalar = UInt32(spelled, radix: 16).flatMap(Unicode.Scalar.init) else {
      throw error(.syntax, "'\(spelled)' is not the number of a character")
    }
    return scalar
  }

  private mutating func set() throws(GrammarError) -> ScalarRanges {
    let isInverted = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    while !take("]") {
      let low = try character()
      if next == "-", position + 1 < text.count, text[position + 1] != "]" {
        position += 1
        let high = try character()
        guard low <= high else { throw error(.syntax, "a range in a class is the wrong way round") }
        ranges.append(low.value...high.value)
      } else {
        ranges.append(low.value...low.value)
      }
    }
    let set = ScalarRanges(ranges)
    return isInverted ? set.complement : set
  }
}
