// Cuts a chat template into tokens, as Jinja 2 does with trim_blocks and lstrip_blocks on, which is how `transformers`
// configures it: the line break after a block tag and the spaces before one that begins its line are not text; "-" in a
// tag strips all whitespace on its side and "+" keeps it.
//
// Invariant: every step consumes at least one character; a text is cut up whole or refused with the line.
// https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control

struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  private var tokens: [TemplateToken] = []

  /// The tokens of a template, the last of which is `.end`.
  static func tokens(of text: String) throws(FormatsError) -> [TemplateToken] {
    var lexer = TemplateLexer(text)
    try lexer.run()
    return lexer.tokens
  }

  /// Line breaks become "\n", and one at the very end is no part of the template.
  private init(_ text: String) {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(text.utf8.count)
    var previous: Unicode.Scalar = " "
    for scalar in text.unicodeScalars {
      if scalar == "\r" { scalars.append("\n") } else if scalar != "\n" || previous != "\r" { scalars.append(scalar) }
      previous = scalar
    }
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  // MARK: Outside of tags

  private mutating func run() throws(FormatsError) {
    while position < source.count {
      let start = position
      var open = start
      while open < source.count, !(source[open] == "{" && isTagMark(at: open + 1)) { open += 1 }
      guard open < source.count else {
        append(text: start..<open)
        break
      }
      let mark = source[open + 1]
      append(text: strippedText(start, before: open, stripsIndent: mark != "{"))
      advance(to: open + 2)
      if position < source.count, source[position] == "-" || source[position] == "+" { position += 1 }
      switch mark {
      case "#": try skipComment()
      case "{": try tag(.outputBegin, .outputEnd, closing: "}")
      default: if !(try takeRaw()) { try tag(.blockBegin, .blockEnd, closing: "%") }
      }
    }
    tokens.append(TemplateToken(kind: .end, line: line))
  }

  private func isTagMark(at index: Int) -> Bool {
    guard index < source.count else { return false }
    return source[index] == "{" || source[index] == "%" || source[index] == "#"
  }

  /// The text from `start` up to a tag at `open`, without the whitespace that the tag strips.
  private func strippedText(_ start: Int, before open: Int, stripsIndent: Bool) -> Range<Int> {
    let sign: Unicode.Scalar = open + 2 < source.count ? source[open + 2] : " "
    var end = open
    if sign == "-" {
      while end > start, PythonText.isSpace(source[end - 1]) { end -= 1 }
    } else if sign != "+", stripsIndent {
      while end > start, source[end - 1] != "\n", PythonText.isSpace(source[end - 1]) { end -= 1 }
      // Something other than space stands before the tag on its line.
      if end > 0, source[end - 1] != "\n" { end = open }
    }
    return start..<end
  }

  private mutating func append(text range: Range<Int>) {
    guard !range.isEmpty else { return }
    var text = String.UnicodeScalarView()
    text.append(contentsOf: source[range])
    tokens.append(TemplateToken(kind: .text(String(text)), line: line))
  }

  private mutating func advance(to end: Int) {
    while position < end {
      if source[position] == "\n" { line += 1 }
      position += 1
    }
  }

  private mutating func skipSpace() {
    while position < source.count, PythonText.isSpace(source[position]) { advance(to: position + 1) }
  }

  private func matches(_ text: String, at index: Int) -> Bool {
    var index = index
    for scalar in text.unicodeScalars {
      guard index < source.count, source[index] == scalar else { return false }
      index += 1
    }
    return true
  }

  private mutating func skipComment() throws(FormatsError) {
    let begin = line
    while position < source.count {
      if matches("#}", at: position) {
        advance(to: position + 2)
        if position < source.count, source[position] == "\n" { advance(to: position + 1) }
        return
      }
      if matches("-#}", at: position) {
        advance(to: position + 3)
        skipSpace()
        return
      }
      if matches("+#}", at: position) {
        advance(to: position + 3)
        return
      }
      advance(to: position + 1)
    }
    throw FormatsError(.malformed, templateLine: begin, "the comment is not closed; end it with '#}'.")
  }

  /// After "{%": takes a whole raw block, if it is one.
  private mutating func takeRaw() throws(FormatsError) -> Bool {
    var index = skippingSpace(position)
    guard matches("raw", at: index) else { return false }
    index = skippingSpace(index + 3)
    let strips = matches("-%}", at: index)
    guard strips || matches("%}", at: index) else { return false }
    let begin = line
    advance(to: index + (strips ? 3 : 2))
    if strips { skipSpace() }
    let start = position
    for open in start..<max(start, source.count) where matches("{%", at: open) {
      var index = open + 2
      if index < source.count, source[index] == "-" || source[index] == "+" { index += 1 }
      index = skippingSpace(index)
      guard matches("endraw", at: index) else { continue }
      index = skippingSpace(index + 6)
      guard matches("%}", at: index) || matches("-%}", at: index) || matches("+%}", at: index) else { continue }
      append(text: strippedText(start, before: open, stripsIndent: true))
      advance(to: index)
      closeTag("%")
      return true
    }
    throw FormatsError(.malformed, templateLine: begin, "the raw block is not closed; end it with '{% endraw %}'.")
  }

  private func skippingSpace(_ index: Int) -> Int {
    var index = index
    while index < source.count, PythonText.isSpace(source[index]) { index += 1 }
    return index
  }

  /// Takes the end of a tag, if it stands here, with the whitespace that it strips.
  @discardableResult
  private mutating func closeTag(_ closing: Unicode.Scalar) -> Bool {
    let end = "\(closing)}"
    if matches("-" + end, at: position) {
      advance(to: position + 3)
      skipSpace()
    } else if closing == "%", matches("+" + end, at: position) {
      advance(to: position + 3)
    } else if matches(end, at: position) {
      advance(to: position + 2)
      if closing == "%", position < source.count, source[position] == "\n" { advance(to: position + 1) }
    } else {
      return false
    }
    return true
  }

  // MARK: Within tags

  private mutating func tag(
    _ begin: TemplateToken.Kind, _ end: TemplateToken.Kind, closing: Unicode.Scalar
  ) throws(FormatsError) {
    let first = line
    tokens.append(TemplateToken(kind: begin, line: line))
    var brackets: [String] = []
    while true {
      skipSpace()
      guard position < source.count else {
        throw FormatsError(.malformed, templateLine: first, "the tag is not closed; end it with '\(closing)}'.")
      }
      let place = line
      if brackets.isEmpty, closeTag(closing) {
        tokens.append(TemplateToken(kind: end, line: place))
        return
      }
      tokens.append(TemplateToken(kind: try word(&brackets), line: place))
    }
  }

  private mutating func word(_ brackets: inout [String]) throws(FormatsError) -> TemplateToken.Kind {
    let scalar = source[position]
    switch scalar {
    case "0"..."9": return try number()
    case "'", "\"": return .string(try string())
    case "_": return .name(name())
    default: if scalar.properties.isXIDStart { return .name(name()) }
    }
    for symbol in Self.symbols where matches(symbol, at: position) {
      switch symbol {
      case "{": brackets.append("}")
      case "(": brackets.append(")")
      case "[": brackets.append("]")
      case "}", ")", "]":
        guard let expected = brackets.popLast() else { throw failure("'\(symbol)' closes nothing.") }
        guard expected == symbol else { throw failure("'\(symbol)' stands where '\(expected)' should.") }
      default: break
      }
      position += symbol.unicodeScalars.count
      return .symbol(symbol)
    }
    throw failure("the character \(PythonText.quoted(String(scalar))) means nothing in a tag.")
  }

  /// Longest first.
  private static let symbols = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",",
  ]

  private mutating func name() -> String {
    let start = position
    while position < source.count, source[position].properties.isXIDContinue { position += 1 }
    return text(start..<position)
  }

  private func text(_ range: Range<Int>) -> String {
    var text = String.UnicodeScalarView()
    text.append(contentsOf: source[range])
    return String(text)
  }

  private mutating func digits() -> String {
    var digits = ""
    while position < source.count {
      let scalar = source[position]
      if ("0"..."9").contains(scalar) {
        digits.unicodeScalars.append(scalar)
      } else if scalar != "_" || position + 1 >= source.count || !("0"..."9").contains(source[position + 1]) {
        break
      }
      position += 1
    }
    return digits
  }

  private mutating func number() throws(FormatsError) -> TemplateToken.Kind {
    // After a dot it is an index: `message.0.1`.
    let isIndex = position > 0 && source[position - 1] == "."
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)]
    where matches(prefix, at: position) {
      position += 2
      let digits = name().replacing("_", with: "")
      guard let value = Int(digits, radix: radix) else { throw failure("\(prefix)\(digits) is no number that fits.") }
      return .integer(value)
    }
    var text = digits()
    var isFloat = false
    if !isIndex, position + 1 < source.count, source[position] == ".", ("0"..."9").contains(source[position + 1]) {
      position += 1
      text += "." + digits()
      isFloat = true
    }
    if !isIndex, position < source.count, source[position] == "e" || source[position] == "E" {
      var index = position + 1
      if index < source.count, source[index] == "+" || source[index] == "-" { index += 1 }
      if index < source.count, ("0"..."9").contains(source[index]) {
        text += self.text(position..<index)
        position = index
        text += digits()
        isFloat = true
      }
    }
    if isFloat, let value = Double(text) { return .float(value) }
    guard text == "0" || text.first != "0" || text.allSatisfy({ $0 == "0" }) else {
      throw failure("a number does not begin with 0, but this is \(text).")
    }
    guard let value = Int(text) else { throw failure("the integer \(text) is too large; 64 bits is the most.") }
    return .integer(value)
  }

  private mutating func string() throws(FormatsError) -> String {
    let quote = source[position]
    let begin = line
    var result = String.UnicodeScalarView()
    position += 1
    while position < source.count {
      let scalar = source[position]
      if scalar == quote {
        position += 1
        return String(result)
      }
      advance(to: position + 1)
      if scalar == "\\" { try escape(into: &result) } else { result.append(scalar) }
    }
    throw FormatsError(.malformed, templateLine: begin, "the string is not closed.")
  }

  /// What follows a backslash, as in Python; an unknown escape is kept as it stands.
  private mutating func escape(into result: inout String.UnicodeScalarView) throws(FormatsError) {
    guard position < source.count else { return }
    let scalar = source[position]
    advance(to: position + 1)
    switch scalar {
    case "\n": break
    case "\\", "'", "\"": result.append(scalar)
    case "a": result.append("\u{7}")
    case "b": result.append("\u{8}")
    case "f": result.append("\u{C}")
    case "n": result.append("\n")
    case "r": result.append("\r")
    case "t": result.append("\t")
    case "v": result.append("\u{B}")
    case "x": result.append(try codePoint(digits: 2...2, radix: 16))
    case "u": result.append(try codePoint(digits: 4...4, radix: 16))
    case "U": result.append(try codePoint(digits: 8...8, radix: 16))
    case "0"..."7":
      position -= 1
      result.append(try codePoint(digits: 1...3, radix: 8))
    case "N": throw failure("\\N{...} is not supported; write the character itself.")
    default:
      result.append("\\")
      result.append(scalar)
    }
  }

  private mutating func codePoint(digits: ClosedRange<Int>, radix: Int) throws(FormatsError) -> Unicode.Scalar {
    var value: UInt32 = 0
    var count = 0
    while count < digits.upperBound, position < source.count, source[position].isASCII,
      let digit = Character(source[position]).hexDigitValue, digit < radix
    {
      value = value << (radix == 16 ? 4 : 3) | UInt32(digit)
      position += 1
      count += 1
    }
    guard count >= digits.lowerBound, let scalar = Unicode.Scalar(value) else {
      throw failure("the escape in a string names no character.")
    }
    return scalar
  }

  private func failure(_ problem: String) -> FormatsError {
    FormatsError(.malformed, templateLine: line, problem)
  }
}
