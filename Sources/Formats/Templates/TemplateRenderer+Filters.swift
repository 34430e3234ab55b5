// The filters of a chat template: Jinja 2's, without those that are random, that make HTML links or that print Python
// objects. Autoescape is off, as `transformers` has it, so that `safe` changes nothing.

extension TemplateRenderer {
  func apply(
    filter name: String, to value: TemplateValue, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue {
    try step { () throws(FormatsError) in
      if let result = try textFilter(name, value, arguments) { return result }
      if let result = try numberFilter(name, value, arguments) { return result }
      if let result = try sequenceFilter(name, value, arguments) { return result }
      if let result = try selectingFilter(name, value, arguments) { return result }
      throw FormatsError(.unsupported, templateLine: line, "there is no filter '\(name)' in chat templates.")
    }
  }

  /// Filters that take the text of a value; nil if the name is another's.
  private func textFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue? {
    switch name {
    case "upper", "lower", "capitalize", "string", "safe", "title", "escape", "e", "forceescape", "striptags",
      "wordcount":
      _ = try bind(arguments, name, [])
      let text = try text(of: value)
      try charge(4 * text.utf8.count)
      switch name {
      case "upper": return .string(PythonText.upper(text))
      case "lower": return .string(PythonText.lower(text))
      case "capitalize": return .string(PythonText.capitalize(text))
      case "title": return .string(Self.title(text))
      case "escape", "e", "forceescape": return .string(Self.escaped(text))
      case "striptags": return .string(Self.withoutTags(text))
      case "wordcount": return .integer(Self.wordCount(text))
      default: return .string(text)
      }
    case "trim":
      let characters = try string(bind(arguments, name, ["chars"])[0], name)
      return .string(PythonText.strip(try text(of: value), characters))
    case "replace":
      let bound = try bind(arguments, name, ["old", "new", "count"], required: 2)
      let limit = try integer(bound[2], name)
      return .string(try replace(try text(of: value), try text(of: bound[0]!), try text(of: bound[1]!), limit: limit))
    case "center":
      return try call("center", ofString: try text(of: value), try renamed(arguments, name, ["width"], [.integer(80)]))
    case "indent": return .string(try indented(value, arguments))
    case "truncate": return try truncated(value, arguments)
    case "format":
      let format = try text(of: value)
      guard arguments.named.isEmpty || arguments.positional.isEmpty else {
        throw failure("format takes values with names or without, but not both.")
      }
      return .string(
        try percentFormat(
          format,
          arguments.named.isEmpty
            ? .tuple(arguments.positional) : try call(.callable(.global("dict")), arguments)))
    case "urlencode":
      _ = try bind(arguments, name, [])
      return .string(try urlEncoded(value))
    case "tojson":
      return .string(try json(of: value, try jsonStyle(arguments)))
    default: return nil
    }
  }

  /// The arguments with defaults filled in, without names.
  private func renamed(
    _ arguments: TemplateArguments, _ function: String, _ names: [String], _ standards: [TemplateValue]
  ) throws(FormatsError) -> TemplateArguments {
    let bound = try bind(arguments, function, names)
    return TemplateArguments(positional: zip(bound, standards).map { $0 ?? $1 })
  }

  private func jsonStyle(_ arguments: TemplateArguments) throws(FormatsError) -> JSONStyle {
    let bound = try bind(arguments, "tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
    var style = JSONStyle()
    style.isASCII = bound[0]?.isTrue ?? false
    style.sortsKeys = bound[3]?.isTrue ?? false
    switch bound[1] {
    case nil, .some(.null): break
    case .string(let text): style.indent = text
    case .some(let value):
      guard let count = try integer(value, "the indent of tojson") else { break }
      try charge(max(0, count))
      style.indent = String(repeating: " ", count: max(0, count))
    }
    if style.indent != nil { style.itemSeparator = "," }
    if let separators = bound[2], !isNone(separators) {
      let pair = try elements(of: separators, for: "the separators of tojson")
      guard pair.count == 2, let item = try string(pair[0], "tojson"), let key = try string(pair[1], "tojson") else {
        throw failure("the separators of tojson are two strings, as in separators=(',', ':').")
      }
      (style.itemSeparator, style.keySeparator) = (item, key)
    }
    return style
  }

  func isNone(_ value: TemplateValue) -> Bool { if case .null = value { true } else { false } }

  /// Jinja's own: words begin after spaces, hyphens and opening brackets.
  private static func title(_ text: String) -> String {
    var result = ""
    var word: [Unicode.Scalar] = []
    func flush() {
      guard let first = word.first else { return }
      result += first.properties.uppercaseMapping + PythonText.lower(PythonText.text(word.dropFirst()))
      word = []
    }
    for scalar in text.unicodeScalars {
      if PythonText.isSpace(scalar) || "-({[<".unicodeScalars.contains(scalar) {
        flush()
        result.unicodeScalars.append(scalar)
      } else {
        word.append(scalar)
      }
    }
    flush()
    return result
  }

  private static func escaped(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { result, scalar in
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "'": result += "&#39;"
      case "\"": result += "&#34;"
      default: result.unicodeScalars.append(scalar)
      }
    }
  }

  /// Without comments and tags, with single spaces, and with the entities of `escape` read back.
  private static func withoutTags(_ text: String) -> String {
    var rest = text[...]
    var plain = ""
    for (open, close) in [("<!--", "-->"), ("<", ">")] {
      plain = ""
      while let start = rest.firstRange(of: open) {
        guard let end = rest[start.lowerBound...].firstRange(of: close) else { break }
        plain += rest[..<start.lowerBound]
        rest = rest[end.upperBound...]
      }
      plain += rest
      rest = plain[...]
    }
    var result = PythonText.split(plain, nil, limit: nil).joined(separator: " ")
    for (entity, character) in [("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&#34;", "\""), ("&quot;", "\"")] {
      result = result.replacing(entity, with: character)
    }
    return result.replacing("&amp;", with: "&")
  }

  /// Runs of letters, digits and underscores.
  private static func wordCount(_ text: String) -> Int {
    var count = 0
    var isInside = false
    for scalar in text.unicodeScalars {
      let isWord = scalar == "_" || PythonText.isAlphabetic(scalar) || scalar.properties.numericType != nil
      if isWord, !isInside { count += 1 }
      isInside = isWord
    }
    return count
  }

  private func indented(_ value: TemplateValue, _ arguments: TemplateArguments) throws(FormatsError) -> String {
    let bound = try bind(arguments, "indent", ["width", "first", "blank"])
    let indentation: String
    if case .string(let text) = bound[0] {
      indentation = text
    } else {
      let width = max(0, try integer(bound[0], "indent") ?? 4)
      try charge(width)
      indentation = String(repeating: " ", count: width)
    }
    guard let text = value.string else { throw failure("indent needs a string, but got a \(value.typeName).") }
    let lines = PythonText.lines(text + "\n")
    try charge(text.utf8.count + indentation.utf8.count * lines.count)
    let isBlank = bound[2]?.isTrue ?? false
    var result = bound[1]?.isTrue == true ? indentation : ""
    for (index, line) in lines.enumerated() {
      if index > 0 { result += "\n" + (isBlank || !line.isEmpty ? indentation : "") }
      result += line
    }
    return result
  }

  private func truncated(_ value: TemplateValue, _ arguments: TemplateArguments) throws(FormatsError) -> TemplateValue {
    let bound = try bind(arguments, "truncate", ["length", "killwords", "end", "leeway"])
    let end = try string(bound[2], "truncate") ?? "..."
    let length = try integer(bound[0], "truncate") ?? 255
    let leeway = try integer(bound[3], "truncate") ?? 5
    let ending = end.unicodeScalars.count
    guard length >= ending, leeway >= 0 else {
      throw failure("truncate needs a length of at least \(ending), but got \(length).")
    }
    let excess = try self.length(of: value) - length
    guard excess > leeway else { return value }
    guard let text = value.string else { throw failure("truncate needs a string, but got a \(value.typeName).") }
    try charge(8 * text.utf8.count)
    let kept = String(text.unicodeScalars.prefix(length - ending))
    return .string((bound[1]?.isTrue == true ? kept : PythonText.splitFromRight(kept, " ", limit: 1)[0]) + end)
  }

  private func urlEncoded(_ value: TemplateValue) throws(FormatsError) -> String {
    func quoted(_ value: TemplateValue, inQuery: Bool) throws(FormatsError) -> String {
      let text = try text(of: value)
      try charge(3 * text.utf8.count)
      return text.utf8.reduce(into: "") { result, byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
          result.unicodeScalars.append(Unicode.Scalar(byte))
        case 0x2F where !inQuery: result += "/"
        case 0x20 where inQuery: result += "+"
        default: result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
      }
    }
    let pairs: [TemplateValue]
    switch value {
    case .dictionary(let dictionary): pairs = dictionary.items
    case .sequence(let sequence): pairs = sequence.take()
    default: return try quoted(value, inQuery: false)
    }
    var parts: [String] = []
    for pair in pairs {
      let pair = try elements(of: pair, for: "urlencode")
      guard pair.count == 2 else { throw failure("urlencode takes a string, a dictionary or pairs.") }
      parts.append(try quoted(pair[0], inQuery: true) + "=" + (try quoted(pair[1], inQuery: true)))
    }
    return parts.joined(separator: "&")
  }

  /// Filters that make numbers, and `default`; nil if the name is another's.
  private func numberFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue? {
    switch name {
    case "default", "d":
      let bound = try bind(arguments, name, ["default_value", "boolean"])
      let isReplaced = value.isUndefined || (bound[1]?.isTrue == true && !value.isTrue)
      return isReplaced ? bound[0] ?? .string("") : value
    case "int":
      let bound = try bind(arguments, name, ["default", "base"])
      if case .undefined(let what) = value { throw failure("\(what) is undefined.") }
      return integer(from: value, base: try integer(bound[1], name) ?? 10) ?? bound[0] ?? .integer(0)
    case "float":
      let bound = try bind(arguments, name, ["default"])
      if case .undefined(let what) = value { throw failure("\(what) is undefined.") }
      let number = value.number ?? value.string.flatMap(PythonNumbers.float)
      return number.map { .float($0) } ?? bound[0] ?? .float(0)
    case "abs":
      _ = try bind(arguments, name, [])
      if let integer = value.integer {
        return integer < 0 ? try signed(.integer(integer), isNegative: true) : .integer(integer)
      }
      guard let number = value.number else { throw failure("abs needs a number, but got a \(value.typeName).") }
      return .float(number.magnitude)
    case "round": return try rounded(value, arguments)
    default: return nil
    }
  }

  private func integer(from value: TemplateValue, base: Int) -> TemplateValue? {
    if let integer = value.integer { return .integer(integer) }
    if let text = value.string, (2...36).contains(base), let integer = PythonNumbers.integer(text, base: base) {
      return .integer(integer)
    }
    // "42.23" gives 42.
    let number = value.number ?? value.string.flatMap(PythonNumbers.float)
    return number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .integer($0) }
  }

  private func rounded(_ value: TemplateValue, _ arguments: TemplateArguments) throws(FormatsError) -> TemplateValue {
    let bound = try bind(arguments, "round", ["precision", "method"])
    let places = try integer(bound[0], "round") ?? 0
    let method = try string(bound[1], "round") ?? "common"
    guard let number = value.number else { throw failure("round needs a number, but got a \(value.typeName).") }
    switch method {
    case "common":
      if let integer = value.integer, places >= 0 { return .integer(integer) }
      let result = PythonNumbers.rounded(number, places: places)
      return value.integer == nil ? .float(result) : .integer(Int(exactly: result) ?? 0)
    case "ceil", "floor":
      let scale = PythonNumbers.power(10, Double(places))
      let scaled = number * scale
      return .float((method == "ceil" ? scaled.rounded(.up) : scaled.rounded(.down)) / scale)
    default: throw failure("the method of round is 'common', 'ceil' or 'floor', not '\(method)'.")
    }
  }
}
