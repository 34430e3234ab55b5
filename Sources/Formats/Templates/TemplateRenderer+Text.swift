// What the values of a chat template look like: Python's `str` and `repr`, and JSON as Python's `json.dumps` writes it.

extension TemplateRenderer {
  /// `str(value)`: what `{{ value }}` writes.
  func text(of value: TemplateValue) throws(FormatsError) -> String {
    switch value {
    case .string(let text):
      try charge(text.utf8.count)
      return text
    case .undefined: return ""
    case .callable(.joiner(let joiner)):
      throw failure(
        "a joiner is called to be written: {{ name() }}; its separator is '\(try text(of: joiner.separator))'.")
    default: return try representation(of: value)
    }
  }

  /// `repr(value)`: strings in quotes.
  func representation(of value: TemplateValue) throws(FormatsError) -> String {
    var text = ""
    try represent(value, &text)
    return text
  }

  private func represent(_ value: TemplateValue, _ result: inout String) throws(FormatsError) {
    try charge(16)
    switch value {
    case .undefined: result += "Undefined"
    case .null: result += "None"
    case .bool(let value): result += value ? "True" : "False"
    case .integer(let value): result += String(value)
    case .float(let value): result += PythonNumbers.text(value)
    case .string(let text):
      try charge(2 * text.utf8.count)
      result += PythonText.quoted(text)
    case .sequence(let sequence): try represent(sequence, &result)
    case .dictionary(let dictionary):
      result += "{"
      for (index, (key, value)) in zip(dictionary.keys, dictionary.values).enumerated() {
        if index > 0 { result += ", " }
        try represent(key, &result)
        result += ": "
        try represent(value, &result)
      }
      result += "}"
    case .callable(.macro(let macro, _)): result += "<Macro \(PythonText.quoted(macro.name))>"
    case .namespace, .loop, .callable:
      throw failure("a value of type \(value.typeName) cannot be written; write one of its attributes or call it.")
    }
  }

  private func represent(_ sequence: TemplateSequence, _ result: inout String) throws(FormatsError) {
    switch sequence.kind {
    case .iterator:
      throw failure("a generator, as map and select give, cannot be written; add |list or |join.")
    case .range(let start, let stop, let step):
      result += "range(\(start), \(stop)" + (step == 1 ? ")" : ", \(step))")
      return
    case .list: result += "["
    case .tuple, .group: result += "("
    case .keys, .values, .items: result += sequence.kind.typeName + "(["
    }
    for (index, element) in sequence.elements.enumerated() {
      if index > 0 { result += ", " }
      try represent(element, &result)
    }
    switch sequence.kind {
    case .list: result += "]"
    case .tuple, .group: result += sequence.elements.count == 1 ? ",)" : ")"
    default: result += "])"
    }
  }

  // MARK: JSON

  /// How `tojson` writes.
  struct JSONStyle {
    /// What one level of indentation is; nil for one line.
    var indent: String?
    var itemSeparator = ", "
    var keySeparator = ": "
    var isASCII = false
    var sortsKeys = false
  }

  func json(of value: TemplateValue, _ style: JSONStyle) throws(FormatsError) -> String {
    var text = ""
    try writeJSON(value, style, level: 0, &text)
    return text
  }

  private func writeJSON(
    _ value: TemplateValue, _ style: JSONStyle, level: Int, _ result: inout String
  ) throws(FormatsError) {
    try charge(16)
    switch value {
    case .null: result += "null"
    case .bool(let value): result += value ? "true" : "false"
    case .integer(let value): result += String(value)
    case .float(let value): result += Self.jsonNumber(value)
    case .string(let text): try writeJSON(text, style, &result)
    case .sequence(let sequence) where sequence.kind == .list || sequence.kind.typeName == "tuple":
      guard !sequence.elements.isEmpty else {
        result += "[]"
        return
      }
      result += "["
      for (index, element) in sequence.elements.enumerated() {
        if index > 0 { result += style.itemSeparator }
        try breakLine(style, level + 1, &result)
        try writeJSON(element, style, level: level + 1, &result)
      }
      try breakLine(style, level, &result)
      result += "]"
    case .dictionary(let dictionary):
      guard !dictionary.isEmpty else {
        result += "{}"
        return
      }
      result += "{"
      var members = Array(zip(dictionary.keys, dictionary.values))
      if style.sortsKeys { members = try sorted(members) { $0.0 } }
      for (index, (key, value)) in members.enumerated() {
        if index > 0 { result += style.itemSeparator }
        try breakLine(style, level + 1, &result)
        try writeJSON(Self.jsonKey(key), style, &result)
        result += style.keySeparator
        try writeJSON(value, style, level: level + 1, &result)
      }
      try breakLine(style, level, &result)
      result += "}"
    default:
      throw failure(
        "tojson cannot write a value of type \(value.typeName)"
          + (value.isUndefined ? "; is a variable or attribute misspelled or not passed?" : "."))
    }
  }

  private func breakLine(_ style: JSONStyle, _ level: Int, _ result: inout String) throws(FormatsError) {
    guard let indent = style.indent else { return }
    try charge(indent.utf8.count * level)
    result += "\n" + String(repeating: indent, count: level)
  }

  private static func jsonNumber(_ value: Double) -> String {
    value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : PythonNumbers.text(value)
  }

  /// Keys are strings in JSON.
  private static func jsonKey(_ key: TemplateValue) -> String {
    switch key {
    case .string(let text): text
    case .bool(let value): value ? "true" : "false"
    case .integer(let value): String(value)
    case .float(let value): jsonNumber(value)
    default: "null"
    }
  }

  private func writeJSON(_ text: String, _ style: JSONStyle, _ result: inout String) throws(FormatsError) {
    try charge(2 * text.utf8.count)
    func escape(_ unit: UInt16) -> String {
      let digits = String(unit, radix: 16)
      return "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
    }
    var scalars = String.UnicodeScalarView()
    scalars.append("\"")
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\":
        scalars.append("\\")
        scalars.append(scalar)
      case "\n": scalars.append(contentsOf: "\\n".unicodeScalars)
      case "\r": scalars.append(contentsOf: "\\r".unicodeScalars)
      case "\t": scalars.append(contentsOf: "\\t".unicodeScalars)
      case "\u{8}": scalars.append(contentsOf: "\\b".unicodeScalars)
      case "\u{C}": scalars.append(contentsOf: "\\f".unicodeScalars)
      default:
        if scalar.value < 0x20 || (style.isASCII && scalar.value >= 0x7F) {
          for unit in String(scalar).utf16 { scalars.append(contentsOf: escape(unit).unicodeScalars) }
        } else {
          scalars.append(scalar)
        }
      }
    }
    scalars.append("\"")
    result += String(scalars)
  }
}
