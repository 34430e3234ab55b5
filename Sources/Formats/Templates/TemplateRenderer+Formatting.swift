// Formatting: Python's `%` on strings and `str.format`, for text, integers and floats.
// https://docs.python.org/3/library/stdtypes.html#printf-style-string-formatting
// https://docs.python.org/3/library/string.html#format-specification-mini-language

/// How one value is put into a field.
private struct FormatField {
  var fill: Unicode.Scalar = " "
  /// "<", ">", "^" or "=" (padding behind the sign).
  var alignment: Unicode.Scalar?
  /// "-", "+" or " ".
  var sign: Unicode.Scalar = "-"
  var isAlternate = false
  var width = 0
  var grouping: Unicode.Scalar?
  var precision: Int?
  var type: Unicode.Scalar?

  /// `text` padded to the width; `sign` and prefixes stand in `head`.
  func padded(_ head: String, _ text: String, standard: Unicode.Scalar) -> String {
    let missing = width - head.unicodeScalars.count - text.unicodeScalars.count
    guard missing > 0 else { return head + text }
    func filling(_ count: Int) -> String { String(repeating: String(fill), count: count) }
    switch alignment ?? standard {
    case "<": return head + text + filling(missing)
    case "^": return filling(missing / 2) + head + text + filling(missing - missing / 2)
    case "=": return head + filling(missing) + text
    default: return filling(missing) + head + text
    }
  }
}

extension TemplateRenderer {
  private static let maximumWidth = 10_000

  // MARK: printf style

  /// `format % value`: a tuple has one value for each directive, a dictionary is asked by name.
  func percentFormat(_ format: String, _ value: TemplateValue) throws(FormatsError) -> String {
    try charge(8 * format.utf8.count)
    var positional = [value]
    if case .sequence(let sequence) = value, sequence.kind.typeName == "tuple" { positional = sequence.elements }
    var used = 0
    func next() throws(FormatsError) -> TemplateValue {
      guard used < positional.count else { throw failure("the format has more directives than there are values.") }
      used += 1
      return positional[used - 1]
    }
    var result = ""
    var scalars = format.unicodeScalars[...]
    while let scalar = scalars.popFirst() {
      guard scalar == "%" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      var named: TemplateValue?
      if scalars.first == "(" {
        guard let end = scalars.firstIndex(of: ")") else { throw failure("a name in a format is not closed.") }
        named = try item(of: value, .string(String(scalars[scalars.index(after: scalars.startIndex)..<end])))
        if named?.isUndefined == true { throw failure("the format names a value that is not there.") }
        scalars = scalars[scalars.index(after: end)...]
        used = positional.count
      }
      var field = FormatField()
      while let flag = scalars.first, "-+ #0".unicodeScalars.contains(flag) {
        scalars.removeFirst()
        switch flag {
        case "-": field.alignment = "<"
        case "#": field.isAlternate = true
        case "0":
          if field.alignment == nil { (field.fill, field.alignment) = ("0", "=") }
        default: if field.sign != "+" { field.sign = flag }
        }
      }
      if field.alignment == "<" { field.fill = " " }
      func number() throws(FormatsError) -> Int? {
        if scalars.first == "*" {
          scalars.removeFirst()
          return try integer(try next(), "'*' in a format")
        }
        return try digits(&scalars)
      }
      if let width = try number() {
        field.width = Int(clamping: width.magnitude)
        if width < 0 { (field.alignment, field.fill) = ("<", " ") }
      }
      if scalars.first == "." {
        scalars.removeFirst()
        field.precision = try number() ?? 0
      }
      while let letter = scalars.first, "hlL".unicodeScalars.contains(letter) { scalars.removeFirst() }
      guard let type = scalars.popFirst() else { throw failure("the format ends within a directive.") }
      if type == "%" {
        result += "%"
        continue
      }
      let value = if let named { named } else { try next() }
      result += try self.field(field, percent: type, value)
    }
    // Python takes a list for a mapping, which need not be used up.
    let isMapping =
      switch value {
      case .dictionary: true
      case .sequence(let sequence): sequence.kind == .list
      default: false
      }
    guard isMapping || used >= positional.count else {
      throw failure("the format has fewer directives than there are values.")
    }
    return result
  }

  private func digits(_ scalars: inout Substring.UnicodeScalarView) throws(FormatsError) -> Int? {
    var value: Int?
    while let scalar = scalars.first, ("0"..."9").contains(scalar) {
      scalars.removeFirst()
      value = (value ?? 0) * 10 + Int(scalar.value - 48)
      guard let value, value <= Self.maximumWidth else {
        throw failure("a width or precision in a format is larger than \(Self.maximumWidth).")
      }
    }
    return value
  }

  private func field(
    _ field: FormatField, percent type: Unicode.Scalar, _ value: TemplateValue
  ) throws(FormatsError) -> String {
    guard field.width <= Self.maximumWidth, (field.precision ?? 0) <= Self.maximumWidth else {
      throw failure("a width or precision in a format is larger than \(Self.maximumWidth).")
    }
    try charge(field.width)
    var field = field
    field.type = type
    switch type {
    case "s", "r", "a":
      if field.fill == "0" { (field.fill, field.alignment) = (" ", nil) }
      let text = type == "s" ? try text(of: value) : try representation(of: value)
      let cut = field.precision.map { String(text.unicodeScalars.prefix(max(0, $0))) } ?? text
      return field.padded("", cut, standard: ">")
    case "c":
      if let text = value.string, text.unicodeScalars.count == 1 { return field.padded("", text, standard: ">") }
      guard let code = value.integer.flatMap(UInt32.init(exactly:)), let scalar = Unicode.Scalar(code) else {
        throw failure("%c needs one character.")
      }
      return field.padded("", String(scalar), standard: ">")
    case "d", "i", "u", "o", "x", "X":
      var integer = value.integer
      if integer == nil, case .float(let number) = value, "diu".unicodeScalars.contains(type) {
        integer = Int(exactly: number.rounded(.towardZero))
      }
      guard let integer else { throw failure("%\(type) needs an integer, but got a \(value.typeName).") }
      if type == "i" || type == "u" { field.type = "d" }
      return integerField(field, integer)
    case "e", "E", "f", "F", "g", "G":
      guard let number = value.number else { throw failure("%\(type) needs a number, but got a \(value.typeName).") }
      return floatField(field, number)
    default: throw failure("a format has no directive %\(type).")
    }
  }

  private func sign(_ field: FormatField, isNegative: Bool) -> String {
    isNegative ? "-" : field.sign == "-" ? "" : String(field.sign)
  }

  private func integerField(_ field: FormatField, _ value: Int) -> String {
    let (radix, prefix): (Int, String) =
      switch field.type {
      case "x": (16, "0x")
      case "X": (16, "0X")
      case "o": (8, "0o")
      case "b": (2, "0b")
      default: (10, "")
      }
    var digits = String(value.magnitude, radix: radix, uppercase: field.type == "X")
    if let precision = field.precision, digits.utf8.count < precision {
      digits = String(repeating: "0", count: precision - digits.utf8.count) + digits
    }
    if let grouping = field.grouping { digits = Self.grouped(digits, grouping, radix == 10 ? 3 : 4) }
    let head = sign(field, isNegative: value < 0) + (field.isAlternate ? prefix : "")
    return field.padded(head, digits, standard: ">")
  }

  private func floatField(_ field: FormatField, _ value: Double) -> String {
    let type = field.type ?? "f"
    let isPercent = type == "%"
    let conversion = isPercent ? "f" : Character(type)
    let magnitude = (isPercent ? value * 100 : value).magnitude
    var digits: String
    if value.isFinite {
      let precision = field.precision ?? 6
      digits = PythonNumbers.printed(magnitude, conversion, precision: precision, isAlternate: field.isAlternate)
    } else {
      digits = value.isNaN ? "nan" : "inf"
      if type.properties.isUppercase { digits = digits.uppercased() }
    }
    if let grouping = field.grouping {
      let whole = digits.prefix { $0 >= "0" && $0 <= "9" }
      digits = Self.grouped(String(whole), grouping, 3) + digits.dropFirst(whole.count)
    }
    let isNegative = value.sign == .minus && !value.isNaN
    return field.padded(sign(field, isNegative: isNegative), digits + (isPercent ? "%" : ""), standard: ">")
  }

  private static func grouped(_ digits: String, _ separator: Unicode.Scalar, _ size: Int) -> String {
    var result = String.UnicodeScalarView()
    let scalars = Array(digits.unicodeScalars)
    for (index, digit) in scalars.enumerated() {
      if index > 0, (scalars.count - index) % size == 0 { result.append(separator) }
      result.append(digit)
    }
    return String(result)
  }

  // MARK: str.format

  /// `format.format(...)`: `{}`, `{0}`, `{name}`, `{name.attribute[item]}`, with `!r` and `:specification`.
  func format(_ format: String, _ arguments: TemplateArguments) throws(FormatsError) -> String {
    var automatic = 0
    return try self.format(format[...].unicodeScalars, arguments, &automatic, level: 0)
  }

  private func format(
    _ format: Substring.UnicodeScalarView, _ arguments: TemplateArguments, _ automatic: inout Int, level: Int
  ) throws(FormatsError) -> String {
    guard level < 3 else { throw failure("fields of a format are nested too deep.") }
    try charge(8 * format.count)
    var result = ""
    var scalars = format
    while let scalar = scalars.popFirst() {
      if scalar == "}" {
        guard scalars.popFirst() == "}" else { throw failure("a single '}' in a format; write '}}'.") }
        result += "}"
      } else if scalar != "{" {
        result.unicodeScalars.append(scalar)
      } else if scalars.first == "{" {
        scalars.removeFirst()
        result += "{"
      } else {
        var open = 1
        let close = scalars.firstIndex { scalar in
          open += scalar == "{" ? 1 : scalar == "}" ? -1 : 0
          return open == 0
        }
        guard let end = close else { throw failure("a '{' in a format is not closed; write '{{' for the character.") }
        result += try field(scalars[..<end], arguments, &automatic, level)
        scalars = scalars[scalars.index(after: end)...]
      }
    }
    return result
  }

  private func field(
    _ content: Substring.UnicodeScalarView, _ arguments: TemplateArguments, _ automatic: inout Int, _ level: Int
  ) throws(FormatsError) -> String {
    let nameEnd = content.firstIndex { $0 == ":" || $0 == "!" } ?? content.endIndex
    var value = try self.value(content[..<nameEnd], arguments, &automatic)
    var rest = content[nameEnd...]
    if rest.first == "!" {
      rest.removeFirst()
      switch rest.popFirst() {
      case "s": value = .string(try text(of: value))
      case "r", "a": value = .string(try representation(of: value))
      default: throw failure("a conversion in a format is !s or !r.")
      }
    }
    if rest.first == ":" { rest.removeFirst() }
    let specification = try format(rest, arguments, &automatic, level: level + 1)
    return try formatted(value, specification)
  }

  /// What `name.attribute[item]` reaches; an empty name is the next value without a name.
  private func value(
    _ path: Substring.UnicodeScalarView, _ arguments: TemplateArguments, _ automatic: inout Int
  ) throws(FormatsError) -> TemplateValue {
    let nameEnd = path.firstIndex { $0 == "." || $0 == "[" } ?? path.endIndex
    let name = String(path[..<nameEnd])
    var value: TemplateValue
    if name.isEmpty || name.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
      let index = Int(name) ?? automatic
      if name.isEmpty { automatic += 1 }
      guard arguments.positional.indices.contains(index) else { throw failure("the format has no value \(index).") }
      value = arguments.positional[index]
    } else {
      guard let named = arguments.named.first(where: { $0.name == name }) else {
        throw failure("the format has no value named '\(name)'.")
      }
      value = named.value
    }
    var rest = path[nameEnd...]
    while let mark = rest.popFirst() {
      if mark == "." {
        let end = rest.firstIndex { $0 == "." || $0 == "[" } ?? rest.endIndex
        value = try attribute(of: value, String(rest[..<end]))
        rest = rest[end...]
      } else {
        guard mark == "[", let end = rest.firstIndex(of: "]") else {
          throw failure("a field of a format is malformed.")
        }
        let key = String(rest[..<end])
        value = try item(of: value, Int(key).map { .integer($0) } ?? .string(key))
        rest = rest[rest.index(after: end)...]
      }
    }
    return value
  }

  /// `format(value, specification)`
  private func formatted(_ value: TemplateValue, _ specification: String) throws(FormatsError) -> String {
    guard !specification.isEmpty else { return try text(of: value) }
    var field = FormatField()
    var scalars = specification[...].unicodeScalars
    let marks = "<>^=".unicodeScalars
    if let second = scalars.dropFirst().first, marks.contains(second) {
      (field.fill, field.alignment) = (scalars.removeFirst(), second)
      scalars.removeFirst()
    } else if let first = scalars.first, marks.contains(first) {
      field.alignment = scalars.removeFirst()
    }
    if let sign = scalars.first, "+- ".unicodeScalars.contains(sign) { field.sign = scalars.removeFirst() }
    if scalars.first == "#" { field.isAlternate = scalars.popFirst() != nil }
    if scalars.first == "0" {
      scalars.removeFirst()
      if field.alignment == nil { (field.fill, field.alignment) = ("0", "=") }
    }
    field.width = try digits(&scalars) ?? 0
    if let grouping = scalars.first, grouping == "," || grouping == "_" { field.grouping = scalars.removeFirst() }
    if scalars.first == "." {
      scalars.removeFirst()
      guard let precision = try digits(&scalars) else { throw failure("a format lacks the digits of its precision.") }
      field.precision = precision
    }
    field.type = scalars.popFirst()
    guard scalars.isEmpty else { throw failure("the format '\(specification)' is malformed.") }
    try charge(field.width)
    return try formatted(value, field)
  }

  private func formatted(_ value: TemplateValue, _ field: FormatField) throws(FormatsError) -> String {
    let type = field.type
    if let text = value.string, type == nil || type == "s" {
      let cut = field.precision.map { String(text.unicodeScalars.prefix($0)) } ?? text
      return field.padded("", cut, standard: "<")
    }
    if let integer = value.integer, type == nil || "dxXobc".unicodeScalars.contains(type!), field.precision == nil {
      if type == "c" {
        guard let scalar = UInt32(exactly: integer).flatMap(Unicode.Scalar.init) else { throw failure("no character.") }
        return field.padded("", String(scalar), standard: "<")
      }
      return integerField(field, integer)
    }
    if let number = value.number, let type, "eEfFgG%".unicodeScalars.contains(type) { return floatField(field, number) }
    if case .float(let number) = value, type == nil, field.precision == nil {
      let text = PythonNumbers.text(number.magnitude)
      return field.padded(sign(field, isNegative: number.sign == .minus), text, standard: ">")
    }
    throw failure("a value of type \(value.typeName) has no such format.")
  }
}
