// Writes JSON for programs (compact, one line) and JSON5 for people (indented, keys without quotes).
//
// Invariant: what is written reads back as an equal value, with one exception: JSON has no NaN or infinity, so there
// they are written as null.

extension JSONValue {
  /// Compact JSON on one line, without a line break at the end.
  public var json: String {
    var writer = JSONWriter(json5: false)
    writer.compact(self)
    return writer.text
  }

  /// Indented JSON, one member a line, ending in a line break.
  public var indentedJSON: String {
    var writer = JSONWriter(json5: false)
    writer.indented(self, level: 0)
    return writer.text + "\n"
  }

  /// Indented JSON5, one member a line (short lists on one line), ending in a line break.
  public var json5: String {
    var writer = JSONWriter(json5: true)
    writer.indented(self, level: 0)
    return writer.text + "\n"
  }
}

private struct JSONWriter {
  let json5: Bool
  var text = ""

  /// The longest list that is kept on one line, in characters.
  static let lineLength = 80

  mutating func compact(_ value: JSONValue) {
    let separator = json5 ? ", " : ","
    switch value {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .string(let value): string(value)
    case .number(let value): number(value)
    case .array(let elements):
      text += "["
      for (index, element) in elements.enumerated() {
        if index > 0 { text += separator }
        compact(element)
      }
      text += "]"
    case .object(let object):
      text += json5 && !object.isEmpty ? "{ " : "{"
      for (index, (name, value)) in object.enumerated() {
        if index > 0 { text += separator }
        key(name)
        compact(value)
      }
      text += json5 && !object.isEmpty ? " }" : "}"
    }
  }

  mutating func indented(_ value: JSONValue, level: Int) {
    let inner = String(repeating: "  ", count: level + 1)
    let outer = String(repeating: "  ", count: level)
    switch value {
    case .object(let object) where !object.isEmpty:
      text += "{\n"
      for (index, (name, value)) in object.enumerated() {
        text += inner
        key(name)
        indented(value, level: level + 1)
        text += json5 || index + 1 < object.count ? ",\n" : "\n"
      }
      text += outer + "}"
    case .array(let elements) where !elements.isEmpty:
      var line = JSONWriter(json5: json5)
      line.compact(value)
      let hasObjects = elements.contains { $0.object?.isEmpty == false }
      if !hasObjects, line.text.utf8.count <= Self.lineLength {
        text += line.text
        return
      }
      text += "[\n"
      for (index, element) in elements.enumerated() {
        text += inner
        indented(element, level: level + 1)
        text += json5 || index + 1 < elements.count ? ",\n" : "\n"
      }
      text += outer + "]"
    case .object, .array, .string, .number, .bool, .null:
      compact(value)
    }
  }

  private mutating func key(_ name: String) {
    if json5, isIdentifier(name) { text += name } else { string(name) }
    text += json5 ? ": " : ":"
  }

  private func isIdentifier(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
    return name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"):
        true
      default: false
      }
    }
  }

  private mutating func number(_ value: JSONNumber) {
    if json5 {
      text += value.text
    } else if let plain = try? JSONValue(parsing: value.text), case .number = plain {
      text += value.text
    } else if let integer = value.integer(Int.self) {
      text += String(integer)
    } else {
      let double = value.double
      text += double.isFinite ? JSONNumber(double).text : "null"
    }
  }

  private mutating func string(_ value: String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      // The two line separators are legal in JSON, but end a line for some readers of JSON lines.
      case "\u{0}"..<"\u{20}", "\u{7F}", "\u{2028}", "\u{2029}":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
