// The methods of strings that a chat template can call: Python's, without those that only concern bytes.

extension TemplateRenderer {
  static let stringMethods: Set<String> = [
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "partition", "rpartition", "startswith", "endswith",
    "replace", "upper", "lower", "title", "capitalize", "swapcase", "casefold", "find", "rfind", "index", "rindex",
    "count", "join", "format", "format_map", "isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum", "isspace",
    "isupper", "islower", "istitle", "isascii", "removeprefix", "removesuffix", "center", "ljust", "rjust", "zfill",
    "expandtabs",
  ]

  func call(
    _ name: String, ofString text: String, _ arguments: TemplateArguments
  ) throws(FormatsError) -> TemplateValue {
    try charge(4 * text.utf8.count)
    switch name {
    case "format": return .string(try format(text, arguments))
    case "format_map":
      guard case .dictionary(let members) = try bind(arguments, name, ["mapping"], required: 1)[0] else {
        throw failure("format_map needs a dictionary.")
      }
      let named = zip(members.keys, members.values).compactMap { key, value in
        key.string.map { (name: $0, value: value) }
      }
      return .string(try format(text, TemplateArguments(named: named)))
    case "strip", "lstrip", "rstrip":
      let characters = try string(bind(arguments, name, ["chars"])[0], name)
      return .string(PythonText.strip(text, characters, left: name != "rstrip", right: name != "lstrip"))
    case "split", "rsplit": return try split(name, text, arguments)
    case "splitlines":
      let keepsEnds = try bind(arguments, name, ["keepends"])[0]?.isTrue ?? false
      return try list(PythonText.lines(text, keepsEnds: keepsEnds))
    case "partition", "rpartition": return try partition(name, text, try needed(arguments, name))
    case "startswith", "endswith": return try hasAffix(name, text, arguments)
    case "removeprefix":
      let affix = try needed(arguments, name)
      return .string(Self.hasPrefix(text, affix) ? Self.dropping(first: affix.utf8.count, text) : text)
    case "removesuffix":
      let affix = try needed(arguments, name)
      return .string(Self.hasSuffix(text, affix) ? Self.dropping(last: affix.utf8.count, text) : text)
    case "replace":
      let bound = try bind(arguments, name, ["old", "new", "count"], required: 2)
      guard let old = try string(bound[0], name), let new = try string(bound[1], name) else {
        throw failure("replace needs two strings.")
      }
      return .string(try replace(text, old, new, limit: try integer(bound[2], name)))
    case "join":
      var pieces: [String] = []
      for element in try elements(of: try bind(arguments, name, ["iterable"], required: 1)[0]!, for: name) {
        guard let piece = try string(element, name) else { throw failure("join needs strings, but found none.") }
        pieces.append(piece)
      }
      try charge(text.utf8.count * pieces.count)
      return .string(pieces.joined(separator: text))
    case "find", "rfind", "index", "rindex", "count": return try search(name, text, arguments)
    case "center", "ljust", "rjust", "zfill", "expandtabs": return try padded(name, text, arguments)
    default:
      _ = try bind(arguments, name, [])
      return Self.changed(name, text)
    }
  }

  /// The methods without arguments.
  private static func changed(_ name: String, _ text: String) -> TemplateValue {
    func all(_ isWanted: (Unicode.Scalar) -> Bool) -> TemplateValue {
      .bool(!text.isEmpty && text.unicodeScalars.allSatisfy(isWanted))
    }
    switch name {
    case "upper": return .string(PythonText.upper(text))
    case "lower": return .string(PythonText.lower(text))
    case "casefold": return .string(PythonText.lower(text).replacing("ß", with: "ss").replacing("ς", with: "σ"))
    case "title": return .string(PythonText.title(text))
    case "capitalize": return .string(PythonText.capitalize(text))
    case "swapcase": return .string(PythonText.swapCase(text))
    case "isdecimal": return all { $0.properties.numericType == .decimal }
    case "isdigit": return all { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
    case "isnumeric": return all { $0.properties.numericType != nil }
    case "isalpha": return all(PythonText.isAlphabetic)
    case "isalnum": return all { PythonText.isAlphabetic($0) || $0.properties.numericType != nil }
    case "isspace": return all(PythonText.isSpace)
    case "isascii": return .bool(text.utf8.allSatisfy { $0 < 0x80 })
    case "isupper": return .bool(PythonText.isCase(text, upper: true))
    case "islower": return .bool(PythonText.isCase(text, upper: false))
    case "istitle": return .bool(PythonText.isTitle(text))
    default: preconditionFailure("the string method \(name) is listed but missing")
    }
  }

  /// A list of strings.
  func list(_ texts: [String]) throws(FormatsError) -> TemplateValue { try sequence(.list, texts.map { .string($0) }) }

  /// The one string that a method needs.
  private func needed(_ arguments: TemplateArguments, _ name: String) throws(FormatsError) -> String {
    guard let text = try string(bind(arguments, name, ["text"], required: 1)[0], name) else {
      throw failure("\(name) needs a string, not none.")
    }
    return text
  }

  /// Replaces with the size of the result charged beforehand.
  func replace(_ text: String, _ old: String, _ new: String, limit: Int?) throws(FormatsError) -> String {
    try charge(4 * text.utf8.count + 8 * old.utf8.count)
    // A negative limit is none.
    let limit = limit.flatMap { $0 < 0 ? nil : $0 }
    let places =
      old.isEmpty ? text.unicodeScalars.count + 1 : PythonText.places(of: Array(old.utf8), in: Array(text.utf8)).count
    try charge(new.utf8.count, times: min(places, limit ?? places))
    return PythonText.replace(text, old, new, limit: limit)
  }

  private func split(_ name: String, _ text: String, _ arguments: TemplateArguments) throws(FormatsError)
    -> TemplateValue
  {
    let bound = try bind(arguments, name, ["sep", "maxsplit"])
    let separator = try string(bound[0], name)
    guard separator != "" else { throw failure("the separator of \(name) is not empty.") }
    let limit = try integer(bound[1], name).flatMap { $0 < 0 ? nil : $0 }
    let pieces =
      name == "split"
      ? PythonText.split(text, separator, limit: limit) : PythonText.splitFromRight(text, separator, limit: limit)
    return try list(pieces)
  }

  private func partition(_ name: String, _ text: String, _ separator: String) throws(FormatsError) -> TemplateValue {
    guard !separator.isEmpty else { throw failure("the separator of \(name) is not empty.") }
    let fromLeft = name == "partition"
    let pieces =
      fromLeft
      ? PythonText.split(text, separator, limit: 1) : PythonText.splitFromRight(text, separator, limit: 1)
    if pieces.count == 2 { return .tuple([.string(pieces[0]), .string(separator), .string(pieces[1])]) }
    let empty = TemplateValue.string("")
    return .tuple(fromLeft ? [.string(text), empty, empty] : [empty, empty, .string(text)])
  }

  private static func hasPrefix(_ text: String, _ prefix: String) -> Bool { text.utf8.starts(with: prefix.utf8) }
  private static func hasSuffix(_ text: String, _ suffix: String) -> Bool {
    text.utf8.reversed().starts(with: suffix.utf8.reversed())
  }
  private static func dropping(first count: Int, _ text: String) -> String {
    String(decoding: text.utf8.dropFirst(count), as: UTF8.self)
  }
  private static func dropping(last count: Int, _ text: String) -> String {
    String(decoding: text.utf8.dropLast(count), as: UTF8.self)
  }

  /// The part of the text that `start` and `end` leave, as code points, and where it begins.
  private func window(
    _ text: String, _ start: TemplateValue?, _ end: TemplateValue?, _ name: String
  ) throws(FormatsError) -> (scalars: ArraySlice<Unicode.Scalar>, isPossible: Bool) {
    let scalars = Array(text.unicodeScalars)
    func place(_ index: Int) -> Int { index < 0 ? max(0, index + scalars.count) : index }
    let first = place(try integer(start, name) ?? 0)
    let last = min(place(try integer(end, name) ?? scalars.count), scalars.count)
    guard first <= last else { return ([], first <= scalars.count && first <= last) }
    return (scalars[first..<last], true)
  }

  private func hasAffix(_ name: String, _ text: String, _ arguments: TemplateArguments) throws(FormatsError)
    -> TemplateValue
  {
    let bound = try bind(arguments, name, ["prefix", "start", "end"], required: 1)
    var affixes = [bound[0]!]
    if case .sequence(let sequence) = bound[0]!, sequence.kind == .tuple { affixes = sequence.elements }
    let (scalars, isPossible) = try window(text, bound[1], bound[2], name)
    let part = bound[1] == nil && bound[2] == nil ? text : PythonText.text(scalars)
    for affix in affixes {
      guard let affix = try string(affix, name) else { throw failure("\(name) needs strings, but found none.") }
      if isPossible, name == "startswith" ? Self.hasPrefix(part, affix) : Self.hasSuffix(part, affix) {
        return .bool(true)
      }
    }
    return .bool(false)
  }

  private func search(_ name: String, _ text: String, _ arguments: TemplateArguments) throws(FormatsError)
    -> TemplateValue
  {
    let bound = try bind(arguments, name, ["sub", "start", "end"], required: 1)
    guard let needle = try string(bound[0], name) else { throw failure("\(name) needs a string, not none.") }
    let (scalars, isPossible) = try window(text, bound[1], bound[2], name)
    let bytes = Array(PythonText.text(scalars).utf8)
    let fromRight = name.hasPrefix("r")
    var found: Int?
    if name == "count" {
      if needle.isEmpty { return .integer(isPossible ? scalars.count + 1 : 0) }
      return .integer(PythonText.places(of: Array(needle.utf8), in: bytes).count)
    } else if needle.isEmpty {
      found = isPossible ? (fromRight ? scalars.endIndex : scalars.startIndex) : nil
    } else if fromRight {
      // The last place is the first of the mirrored bytes; overlapping places count.
      let places = PythonText.places(of: needle.utf8.reversed(), in: bytes.reversed(), isFirstEnough: true)
      found = places.first.map { bytes.count - $0 - needle.utf8.count }
    } else {
      found = PythonText.places(of: Array(needle.utf8), in: bytes, isFirstEnough: true).first
    }
    guard let found else {
      guard name.hasSuffix("find") else { throw failure("\(name) finds no such text; test with 'in' first.") }
      return .integer(-1)
    }
    // Bytes become code points.
    if needle.isEmpty { return .integer(found) }
    return .integer(scalars.startIndex + bytes[..<found].count { $0 & 0xC0 != 0x80 })
  }

  private func padded(_ name: String, _ text: String, _ arguments: TemplateArguments) throws(FormatsError)
    -> TemplateValue
  {
    let takesFill = name != "zfill" && name != "expandtabs"
    let bound = try bind(
      arguments, name, takesFill ? ["width", "fillchar"] : ["width"], required: name == "expandtabs" ? 0 : 1)
    let width = try integer(bound[0], name) ?? 8
    try charge(max(0, width))
    if name == "expandtabs" {
      try charge(max(0, width), times: text.utf8.count { $0 == 9 })
      return .string(Self.expandingTabs(text, width))
    }
    let fill = takesFill ? try string(bound[1], name) ?? " " : "0"
    guard fill.unicodeScalars.count == 1 else { throw failure("\(name) fills with exactly one character.") }
    let missing = max(0, width - text.unicodeScalars.count)
    func filling(_ count: Int) -> String { String(repeating: fill, count: count) }
    switch name {
    case "ljust": return .string(text + filling(missing))
    case "rjust": return .string(filling(missing) + text)
    case "center":
      // Python puts the odd one to the left if the width is odd.
      let left = missing / 2 + (missing & width & 1)
      return .string(filling(left) + text + filling(missing - left))
    default:
      guard let first = text.utf8.first, first == 0x2B || first == 0x2D else { return .string(filling(missing) + text) }
      return .string(String(text.unicodeScalars.prefix(1)) + filling(missing) + Self.dropping(first: 1, text))
    }
  }

  private static func expandingTabs(_ text: String, _ width: Int) -> String {
    var result = String.UnicodeScalarView()
    var column = 0
    for scalar in text.unicodeScalars {
      if scalar == "\t" {
        let count = width > 0 ? width - column % width : 0
        result.append(contentsOf: repeatElement(" ", count: count))
        column += count
      } else {
        result.append(scalar)
        column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
      }
    }
    return String(result)
  }
}
