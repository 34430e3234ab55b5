// Regular expressions as Oniguruma reads them (the engine behind `Split` and `Replace` of tokenizer.json), as far as
// tokenizers use them: classes with properties and intersections, groups, look-around, the three kinds of quantifiers.
// What is not understood is refused, never guessed.

struct PatternParser {
  private let text: [Unicode.Scalar]
  private var position = 0
  private var ignoresCase = false
  private var dotMatchesNewline = false
  private var depth = 0

  private static let maximumDepth = 64
  private static let maximumCount = 1000

  /// Parses a whole expression.
  static func parse(_ pattern: String) throws(FormatsError) -> PatternNode {
    var parser = PatternParser(text: Array(pattern.unicodeScalars))
    let node = try parser.alternatives()
    guard parser.position == parser.text.count else { throw parser.error("a closing bracket has no opening one") }
    return node
  }

  private init(text: [Unicode.Scalar]) { self.text = text }

  private func error(_ what: String) -> FormatsError {
    FormatsError(
      .unsupported,
      "The pattern '\(String(String.UnicodeScalarView(text)))' cannot be used (character \(position)): \(what).")
  }

  private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

  private mutating func take(_ literal: String) -> Bool {
    let scalars = Array(literal.unicodeScalars)
    guard position + scalars.count <= text.count, text[position..<position + scalars.count].elementsEqual(scalars)
    else { return false }
    position += scalars.count
    return true
  }

  private mutating func scalar() throws(FormatsError) -> Unicode.Scalar {
    guard let scalar = next else { throw error("it ends too early") }
    position += 1
    return scalar
  }

  private mutating func alternatives() throws(FormatsError) -> PatternNode {
    depth += 1
    guard depth <= Self.maximumDepth else { throw error("it is nested more than \(Self.maximumDepth) deep") }
    defer { depth -= 1 }
    let (savedCase, savedDot) = (ignoresCase, dotMatchesNewline)
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    (ignoresCase, dotMatchesNewline) = (savedCase, savedDot)
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func sequence() throws(FormatsError) -> PatternNode {
    var parts: [PatternNode] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      let atom = try atom()
      parts.append(try quantified(atom))
    }
    return parts.count == 1 ? parts[0] : parts.isEmpty ? .empty : .sequence(parts)
  }

  private mutating func quantified(_ atom: PatternNode) throws(FormatsError) -> PatternNode {
    var node = atom
    while let scalar = next {
      var bounds: (minimum: Int, maximum: Int)
      var mayBePossessive = true
      switch scalar {
      case "*": bounds = (0, .max)
      case "+": bounds = (1, .max)
      case "?": bounds = (0, 1)
      case "{":
        guard let counts = try counts() else { return node }
        bounds = counts
        mayBePossessive = false  // in this syntax `{2}+` is one repetition of another
      default: return node
      }
      position += 1
      let mode: PatternNode.Repetition.Mode =
        take("?") ? .lazy : mayBePossessive && take("+") ? .possessive : .greedy
      node = .repeated(node, .init(minimum: bounds.minimum, maximum: bounds.maximum, mode: mode))
    }
    return node
  }

  /// Reads `{2}`, `{2,}`, `{,3}` or `{2,3}` up to its last brace; nil, with nothing read, for a brace that is only text.
  private mutating func counts() throws(FormatsError) -> (minimum: Int, maximum: Int)? {
    let start = position
    position += 1
    func number(_ at: inout Int) -> Int? {
      var value: Int?
      while at < text.count, let digit = Int(String(text[at])), value ?? 0 < 100_000 {
        value = (value ?? 0) * 10 + digit
        at += 1
      }
      return value
    }
    let minimum = number(&position)
    var maximum = minimum
    let hasComma = next == ","
    if hasComma {
      position += 1
      maximum = number(&position)
    }
    guard next == "}", minimum != nil || maximum != nil else {
      position = start
      return nil
    }
    guard minimum ?? 0 <= Self.maximumCount, maximum ?? 0 <= Self.maximumCount, minimum ?? 0 <= maximum ?? .max else {
      throw error("a repetition is not within 0 and \(Self.maximumCount)")
    }
    return (minimum ?? 0, maximum ?? .max)
  }

  private mutating func atom() throws(FormatsError) -> PatternNode {
    let scalar = try scalar()
    switch scalar {
    case "(": return try group()
    case "[": return .set(ScalarSet(cased(try setBody())))
    case ".":
      let newline = ScalarSet.Item.range(10...10)
      return .set(ScalarSet(dotMatchesNewline ? .range(0...0x10FFFF) : .not(newline)))
    case "^": return .assertion(.lineStart)
    case "$": return .assertion(.lineEnd)
    case "*", "+", "?": throw error("a quantifier has nothing to repeat")
    case "\\": return try escape()
    default: return .set(ScalarSet(cased(.range(scalar.value...scalar.value))))
    }
  }

  private func cased(_ item: ScalarSet.Item) -> ScalarSet.Item { ignoresCase ? .ignoringCase(item) : item }

  private mutating func group() throws(FormatsError) -> PatternNode {
    let (savedCase, savedDot) = (ignoresCase, dotMatchesNewline)
    defer { (ignoresCase, dotMatchesNewline) = (savedCase, savedDot) }
    var wrap: (PatternNode) -> PatternNode = { $0 }
    if take("?") {
      if take(":") {
      } else if take("=") {
        wrap = { .look($0, isAhead: true, isNegative: false) }
      } else if take("!") {
        wrap = { .look($0, isAhead: true, isNegative: true) }
      } else if take("<=") {
        wrap = { .look($0, isAhead: false, isNegative: false) }
      } else if take("<!") {
        wrap = { .look($0, isAhead: false, isNegative: true) }
      } else if take(">") {
        wrap = { .atomic($0) }
      } else if take("<") || take("P<") {
        while try scalar() != ">" {}
      } else if try flags() {  // (?i) holds to the end of the enclosing group
        let rest = try alternatives()
        guard next == ")" || next == nil else { throw error("a flag group has no end") }
        return rest
      }
    }
    let body = try alternatives()
    guard take(")") else { throw error("a group has no end") }
    if case .look(_, isAhead: false, _) = wrap(body), body.fixedLength == nil {
      throw error("what look-behind looks for has no fixed length")
    }
    return wrap(body)
  }

  /// Reads the flags of `(?i:` and `(?i)`; true for the second form. The flags hold until the caller resets them.
  private mutating func flags() throws(FormatsError) -> Bool {
    var isOn = true
    while true {
      switch try scalar() {
      case "i": ignoresCase = isOn
      case "s", "m": dotMatchesNewline = isOn
      case "-": isOn = false
      case ":": return false
      case ")": return true
      default: throw error("a group of an unknown kind")
      }
    }
  }

  private mutating func escape() throws(FormatsError) -> PatternNode {
    switch next {
    case "A": return assertion(.textStart)
    case "z": return assertion(.textEnd)
    case "Z": return assertion(.textEndOrLastNewline)
    case "b": return assertion(.wordBoundary)
    case "B": return assertion(.noWordBoundary)
    case "1", "2", "3", "4", "5", "6", "7", "8", "9", "k": throw error("references to groups are not supported")
    default: return .set(ScalarSet(cased(try escapedItem())))
    }
  }

  private mutating func assertion(_ assertion: PatternNode.Assertion) -> PatternNode {
    position += 1
    return .assertion(assertion)
  }

  /// What an escape stands for, inside or outside brackets; the backslash has been read.
  private mutating func escapedItem() throws(FormatsError) -> ScalarSet.Item {
    let scalar = try scalar()
    func only(_ value: UInt32) -> ScalarSet.Item { .range(value...value) }
    switch scalar {
    case "s": return ScalarSet.whitespace
    case "S": return .not(ScalarSet.whitespace)
    case "d": return ScalarSet.digit
    case "D": return .not(ScalarSet.digit)
    case "w": return ScalarSet.word
    case "W": return .not(ScalarSet.word)
    case "h", "H":
      let digits = ScalarSet.named("xdigit")!
      return scalar == "h" ? digits : .not(digits)
    case "p", "P":
      var name = ""
      if take("{") {
        while let scalar = next, scalar != "}" {
          name.unicodeScalars.append(scalar)
          position += 1
        }
        guard take("}") else { throw error("a property has no end") }
      } else {
        name.unicodeScalars.append(try self.scalar())
      }
      let isInverted = name.hasPrefix("^") != (scalar == "P")
      guard let item = ScalarSet.named(name.hasPrefix("^") ? String(name.dropFirst()) : name) else {
        throw error("the property '\(name)' is not known")
      }
      return isInverted ? .not(item) : item
    case "n": return only(10)
    case "r": return only(13)
    case "t": return only(9)
    case "f": return only(12)
    case "v": return only(11)
    case "a": return only(7)
    case "e": return only(27)
    case "0": return only(0)
    case "x": return only(try hexadecimal(digits: 2))
    case "u": return only(try hexadecimal(digits: 4))
    default:
      guard !scalar.properties.isAlphabetic else { throw error("the escape \\\(scalar) is not known") }
      return only(scalar.value)
    }
  }

  private mutating func hexadecimal(digits: Int) throws(FormatsError) -> UInt32 {
    var spelled = ""
    if take("{") {
      while let scalar = next, scalar != "}" {
        spelled.unicodeScalars.append(scalar)
        position += 1
      }
      _ = take("}")
    } else {
      while spelled.count < digits, let scalar = next, scalar.properties.isASCIIHexDigit {
        spelled.unicodeScalars.append(scalar)
        position += 1
      }
    }
    guard let value = UInt32(spelled, radix: 16), value <= 0x10FFFF else { throw error("no character number") }
    return value
  }

  /// Reads a class after its opening bracket, with ranges, nested classes and `&&`.
  private mutating func setBody() throws(FormatsError) -> ScalarSet.Item {
    depth += 1
    guard depth <= Self.maximumDepth else { throw error("it is nested more than \(Self.maximumDepth) deep") }
    defer { depth -= 1 }
    let isInverted = take("^")
    var intersected: [ScalarSet.Item] = []
    var items: [ScalarSet.Item] = []
    var isFirst = true
    while true {
      if next == "]", !isFirst { break }
      if take("&&") {
        intersected.append(.anyOf(items))
        items = []
        continue
      }
      isFirst = false
      if take("[:") {
        var name = ""
        let isNot = take("^")
        while !take(":]") { name.unicodeScalars.append(try scalar()) }
        guard let item = ScalarSet.named(name) else { throw error("the class '\(name)' is not known") }
        items.append(isNot ? .not(item) : item)
        continue
      }
      let scalar = try scalar()
      var item = ScalarSet.Item.range(scalar.value...scalar.value)
      if scalar == "[" { item = try setBody() } else if scalar == "\\" { item = try escapedItem() }
      guard case .range(let low) = item, low.count == 1, next == "-", position + 1 < text.count,
        text[position + 1] != "]", text[position + 1] != "["
      else {
        items.append(item)
        continue
      }
      position += 1
      let last = try self.scalar()
      var high = ScalarSet.Item.range(last.value...last.value)
      if last == "\\" { high = try escapedItem() }
      guard case .range(let high) = high, high.count == 1, high.lowerBound >= low.lowerBound else {
        throw error("a range in a class is the wrong way round")
      }
      items.append(.range(low.lowerBound...high.lowerBound))
    }
    position += 1
    if !intersected.isEmpty { items = [.allOf(intersected + [.anyOf(items)])] }
    return isInverted ? .not(.anyOf(items)) : items.count == 1 ? items[0] : .anyOf(items)
  }
}
