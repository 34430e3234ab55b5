// Writes JSON for programs (compact, one line) and JSON5 for people (indented, keys without quotes).
//
// Invariant: what is written reads back as an equal value, with one exception: JSON has no NaN or infinity, so there
// they are written as null.

extension JSONValue {
  /// Compact JSON on one line, without a line break at the end.
  public var json: String {
    String(decoding: jsonBytes, as: UTF8.self)
  }

  /// The same as UTF-8.
  package var jsonBytes: [UInt8] {
    var writer = JSONWriter(json5: false)
    writer.bytes.reserveCapacity(512)
    writer.compact(self)
    return writer.bytes
  }

  /// Indented JSON, one member a line, ending in a line break.
  public var indentedJSON: String {
    var writer = JSONWriter(json5: false)
    writer.indented(self, level: 0)
    return String(decoding: writer.bytes, as: UTF8.self) + "\n"
  }

  /// Indented JSON5, one member a line (short lists on one line), ending in a line break.
  public var json5: String {
    var writer = JSONWriter(json5: true)
    writer.indented(self, level: 0)
    return String(decoding: writer.bytes, as: UTF8.self) + "\n"
  }
}

private struct JSONWriter {
  let json5: Bool
  var bytes: [UInt8] = []

  /// The longest list that is kept on one line, in characters.
  static let lineLength = 80

  mutating func compact(_ value: JSONValue) {
    let separator = json5 ? ", " : ","
    switch value {
    case .null: write("null")
    case .bool(let value): write(value ? "true" : "false")
    case .string(let value): string(value)
    case .number(let value): number(value)
    case .array(let elements):
      write("[")
      for (index, element) in elements.enumerated() {
        if index > 0 { write(separator) }
        compact(element)
      }
      write("]")
    case .object(let object):
      write(json5 && !object.isEmpty ? "{ " : "{")
      for (index, (name, value)) in object.enumerated() {
        if index > 0 { write(separator) }
        key(name)
        compact(value)
      }
      write(json5 && !object.isEmpty ? " }" : "}")
    }
  }

  mutating func indented(_ value: JSONValue, level: Int) {
    let inner = String(repeating: "  ", count: level + 1)
    let outer = String(repeating: "  ", count: level)
    switch value {
    case .object(let object) where !object.isEmpty:
      write("{\n")
      for (index, (name, value)) in object.enumerated() {
        write(inner)
        key(name)
        indented(value, level: level + 1)
        write(json5 || index + 1 < object.count ? ",\n" : "\n")
      }
      write(outer + "}")
    case .array(let elements) where !elements.isEmpty:
      var line = JSONWriter(json5: json5)
      line.compact(value)
      let hasObjects = elements.contains { $0.object?.isEmpty == false }
      if !hasObjects, line.bytes.count <= Self.lineLength {
        bytes += line.bytes
        return
      }
      write("[\n")
      for (index, element) in elements.enumerated() {
        write(inner)
        indented(element, level: level + 1)
        write(json5 || index + 1 < elements.count ? ",\n" : "\n")
      }
      write(outer + "]")
    case .object, .array, .string, .number, .bool, .null:
      compact(value)
    }
  }

  private mutating func key(_ name: String) {
    if json5, isIdentifier(name) { write(name) } else { string(name) }
    write(json5 ? ": " : ":")
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

  private mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }

  private mutating func number(_ value: JSONNumber) {
    if json5 || value.isPlain {
      write(value.text)
    } else if let integer = value.integer(Int.self) {
      write(String(integer))
    } else {
      let double = value.double
      write(double.isFinite ? JSONNumber(double).text : "null")
    }
  }

  /// Runs of what stands for itself are copied.
  private mutating func string(_ value: String) {
    bytes.append(UInt8(ascii: "\""))
    var value = value
    value.withUTF8 { text in
      var (start, index) = (0, 0)
      while index < text.count {
        let byte = text[index]
        var length = 1
        let escape: String
        switch byte {
        case UInt8(ascii: "\""): escape = "\\\""
        case UInt8(ascii: "\\"): escape = "\\\\"
        case 0x0A: escape = "\\n"
        case 0x0D: escape = "\\r"
        case 0x09: escape = "\\t"
        case 0..<0x20, 0x7F: escape = Self.escape(UInt32(byte))
        // The two line separators U+2028 and U+2029 are legal in JSON, but end a line for some readers of JSON lines.
        case 0xE2 where text[index + 1] == 0x80 && text[index + 2] & 0xFE == 0xA8:
          length = 3
          escape = Self.escape(0x2000 | UInt32(text[index + 2]) - 0x80)
        default:
          index += 1
          continue
        }
        bytes.append(contentsOf: text[start..<index])
        write(escape)
        index += length
        start = index
      }
      bytes.append(contentsOf: text[start...])
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private static func escape(_ scalar: UInt32) -> String {
    let digits = String(scalar, radix: 16)
    return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
  }
}
