// Regular expressions as people write them for structured output: those of ECMA 262, which JSON Schema refers to, as far as they
// describe regular sets of texts. `\d` and `\w` are ASCII, `.` is everything but a line break.
//
// Tokenizer files have another dialect with another purpose (`Formats` searches texts with it); here an expression becomes a grammar.
// What has no place in a grammar (look-around, references, word boundaries) is refused by name.

/// Parts of an expression that read characters, and where it is held to the ends of the text.
indirect enum RegexNode: Sendable {
  case set(ScalarRanges)
  case sequence([RegexNode])
  case alternatives([RegexNode])
  case repeated(RegexNode, least: Int, most: Int?)
  case atStart, atEnd
}

/// Reads one expression.
struct RegexParser: ScalarReader {
  let text: [Unicode.Scalar]
  var position = 0
  private var depth = 0
  private var ignoresCase = false
  private var dotMatchesAll = false

  private static let maximumDepth = 100
  private static let maximumCount = 1_000_000_000

  static func parse(_ pattern: String) throws(GrammarError) -> RegexNode {
    var parser = RegexParser(pattern)
    let node = try parser.alternatives()
    guard parser.position == parser.text.count else {
      throw parser.error(.syntax, "a closing bracket has no opening one; write \\) for the character")
    }
    return node
  }

  private init(_ pattern: String) { text = Array(pattern.unicodeScalars) }

  func error(_ code: GrammarError.Code, _ what: String) -> GrammarError {
    var shown = String(String.UnicodeScalarView(text.prefix(200)))
    if text.count > 200 { shown += "…" }
    return GrammarError(code, "The regular expression '\(shown)' cannot be used (character \(position)): \(what).")
  }

  private mutating func alternatives() throws(GrammarError) -> RegexNode {
    depth += 1
    guard depth <= Self.maximumDepth else {
      throw error(.tooLarge, "it is nested more than \(Self.maximumDepth) deep")
    }
    defer { depth -= 1 }
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func sequence() throws(GrammarError) -> RegexNode {
    var parts: [RegexNode] = []
    while let scalar = next, scalar != "|", scalar != ")" { parts.append(try quantified(try atom())) }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func quantified(_ atom: RegexNode) throws(GrammarError) -> RegexNode {
    var node = atom
    var quantifiers = 0
    while true {
      let (least, most): (Int, Int?)
      switch next {
      case "*": (least, most) = (0, nil)
      case "+": (least, most) = (1, nil)
      case "?": (least, most) = (0, 1)
      case "{":
        guard let counts = try counts() else { return node }
        (least, most) = counts
      default: return node
      }
      quantifiers += 1
      guard quantifiers <= 1 else {
        throw error(.syntax, "two quantifiers follow each other; put brackets around the first")
      }
      position += 1
      // Whether as much or as little as possible: the set of texts is the same.
      _ = take("?")
      if next == "+" { throw error(.unsupported, "possessive quantifiers are not supported") }
      node = .repeated(node, least: least, most: most)
    }
  }

  /// Reads `{2}`, `{2,}` or `{2,3}` up to its last brace; nil, with nothing read, for a brace that is only text.
  private mutating func counts() throws(GrammarError) -> (least: Int, most: Int?)? {
    let start = position
    position += 1
    guard let least = try number() else {
      position = start
      return nil
    }
    var most: Int? = least
    if take(",") { most = try number() }
    guard next == "}" else {
      position = start
      return nil
    }
    if let most, most < least { throw error(.syntax, "a repetition has a maximum below its minimum") }
    return (least, most)
  }

  private mutating func number() throws(GrammarError) -> Int? {
    var value: Int?
    while let digit = next, ("0"..."9").contains(digit) {
      value = (value ?? 0) * 10 + Int(digit.value - 48)
      guard value! <= Self.maximumCount else { throw error(.tooLarge, "a repetition is beyond \(Self.maximumCount)") }
      position += 1
    }
    return value
  }

  private mutating func atom() throws(GrammarError) -> RegexNode {
    let start = next
    if start == "{", try counts() != nil { throw error(.syntax, "a quantifier has nothing to repeat") }
    let scalar = try scalar()
    switch scalar {
    case "(": return try group()
    case "[": return .set(cased(try set()))
    case ".": return .set(dotMatchesAll ? .all : RegexSets.lineBreaks.complement)
    case "^": return .atStart
    case "$": return .atEnd
    case "*", "+", "?": throw error(.syntax, "a quantifier has nothing to repeat; write \\\(scalar) for the character")
    case "\\": return try escape()
    default: return .set(cased(ScalarRanges(scalar)))
    }
  }

  private func cased(_ set: ScalarRanges) -> ScalarRanges { ignoresCase ? set.ignoringCase : set }

  private mutating func group() throws(GrammarError) -> RegexNode {
    let saved = (ignoresCase, dotMatchesAll)
    defer { (ignoresCase, dotMatchesAll) = saved }
    if take("?") {
      if take("=") || take("!") {
        throw error(.unsupported, "look-ahead is not supported; say directly what is allowed")
      }
      if take("<=") || take("<!") {
        throw error(.unsupported, "look-behind is not supported; say directly what is allowed")
      }
      if take(">") { throw error(.unsupported, "atomic groups are not supported") }
      if take("<") || take("P<") {
        while try scalar() != ">" {}
      } else if !take(":") {
        let holdsToTheEnd = try flags()
        if holdsToTheEnd {
          let rest = try alternatives()
          guard take(")") || (next == nil && depth == 1) else { throw error(.syntax, "a group has no end") }
          return rest
        }
      }
    }
    let body = try alternatives()
    guard take(")") else { throw error(.syntax, "a group has no end") }
    return body
  }

  /// Reads the flags of `(?i:`, and `(?i)` at the beginning of the whole expression; true for the second.
  private mutating func flags() throws(GrammarError) -> Bool {
    let isFirst = position == 2
    var isOn = true
    while true {
      switch try scalar() {
      case "i": ignoresCase = isOn
      case "s": dotMatchesAll = isOn
      case "-": isOn = false
      case ":": return false
      case ")" where isFirst: return true
      case let other:
        throw error(
          .unsupported, "a group begins with '?' and '\(other)'; only flags i and s, names and (?: are supported")
      }
    }
  }

  private mutating func escape() throws(GrammarError) -> RegexNode {
    switch next {
    case "b", "B": throw error(.unsupported, "word boundaries are not supported")
    case "A":
      position += 1
      return .atStart
    case "z", "Z":
      position += 1
      return .atEnd
    case "1", "2", "3", "4", "5", "6", "7", "8", "9", "k":
      throw error(.unsupported, "references to groups are not supported")
    default: return .set(cased(try escapedSet()))
    }
  }

  /// What an escape stands for, inside or outside brackets; the backslash has been read.
  private mutating func escapedSet() throws(GrammarError) -> ScalarRanges {
    let scalar = try scalar()
    switch scalar {
    case "d": return RegexSets.digit
    case "D": return RegexSets.digit.complement
    case "w": return RegexSets.word
    case "W": return RegexSets.word.complement
    case "s": return RegexSets.space
    case "S": return RegexSets.space.complement
    case "p", "P":
      var name = ""
      guard take("{") else { throw error(.syntax, "a property is written \\p{L}") }
      while !take("}") { name.unicodeScalars.append(try self.scalar()) }
      guard let set = RegexSets.property(name) else {
        throw error(.unsupported, "the property '\(name)' is not known; general categories such as L, Lu, Nd are")
      }
      return scalar == "P" ? set.complement : set
    case "n": return ScalarRanges("\n")
    case "r": return ScalarRanges("\r")
    case "t": return ScalarRanges("\t")
    case "f": return ScalarRanges("\u{C}")
    case "v": return ScalarRanges("\u{B}")
    case "0": return ScalarRanges("\0")
    case "x": return ScalarRanges(try hexadecimal(digits: 2))
    case "u":
      // Two escapes may stand for the halves of one scalar.
      let first = try hexadecimalValue(digits: 4)
      guard (0xD800..<0xDC00).contains(first), take("\\u") else { return ScalarRanges(try checked(first)) }
      let second = try hexadecimalValue(digits: 4)
      guard (0xDC00..<0xE000).contains(second) else { throw error(.syntax, "a surrogate stands alone") }
      return ScalarRanges(try checked(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)))
    case "c":
      let letter = try self.scalar()
      guard letter.properties.isAlphabetic, letter.isASCII else { throw error(.syntax, "\\c needs a letter") }
      return ScalarRanges(Unicode.Scalar(letter.value & 31)!)
    default:
      guard !scalar.isASCII || !scalar.properties.isAlphabetic else {
        throw error(.unsupported, "the escape \\\(scalar) is not known")
      }
      return ScalarRanges(scalar)
    }
  }

  private mutating func hexadecimal(digits: Int) throws(GrammarError) -> Unicode.Scalar {
    try checked(try hexadecimalValue(digits: digits))
  }

  private func checked(_ value: UInt32) throws(GrammarError) -> Unicode.Scalar {
    guard let scalar = Unicode.Scalar(value) else { throw error(.syntax, "there is no character of that number") }
    return scalar
  }

  private mutating func hexadecimalValue(digits: Int) throws(GrammarError) -> UInt32 {
    var spelled = ""
    if take("{") {
      while !take("}") { spelled.unicodeScalars.append(try scalar()) }
    } else {
      for _ in 0..<digits { spelled.unicodeScalars.append(try scalar()) }
    }
    guard spelled.count <= 6, spelled.allSatisfy(\.isHexDigit), let value = UInt32(spelled, radix: 16) else {
      throw error(.syntax, "'\(spelled)' is not a hexadecimal number")
    }
    return value
  }

  /// Reads a class after its opening bracket.
  private mutating func set() throws(GrammarError) -> ScalarRanges {
    let isInverted = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    // In ECMA 262 `[]` is the empty class; elsewhere the bracket is its first member. Neither is what anybody means.
    if next == "]" { throw error(.syntax, "a class is empty; write [\\]] for the bracket") }
    while !take("]") {
      if next == "[", position + 1 < text.count, text[position + 1] == ":" {
        position += 2
        var name = ""
        while !take(":]") { name.unicodeScalars.append(try scalar()) }
        guard let set = RegexSets.posix(name) else { throw error(.unsupported, "the class '\(name)' is not known") }
        ranges += set.ranges
        continue
      }
      let low = try member()
      guard next == "-", position + 1 < text.count, text[position + 1] != "]" else {
        ranges += low.ranges
        continue
      }
      position += 1
      let high = try member()
      guard let first = low.only, let last = high.only else {
        // `[\w-.]`: the hyphen is a member.
        ranges += low.ranges + high.ranges + [45...45]
        continue
      }
      guard first <= last else { throw error(.syntax, "a range in a class is the wrong way round") }
      ranges.append(first...last)
    }
    let set = ScalarRanges(ranges)
    return isInverted ? cased(set).complement : set
  }

  private mutating func member() throws(GrammarError) -> ScalarRanges {
    let scalar = try scalar()
    if scalar != "\\" { return ScalarRanges(scalar) }
    if take("b") { return ScalarRanges("\u{8}") }
    return try escapedSet()
  }
}

extension ScalarRanges {
  fileprivate var only: UInt32? { ranges.count == 1 && ranges[0].count == 1 ? ranges[0].lowerBound : nil }
}
