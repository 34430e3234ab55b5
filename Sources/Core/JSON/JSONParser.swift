// Reads JSON (RFC 8259) and JSON5 (spec.json5.org: comments, trailing commas, unquoted keys, single quotes,
// hexadecimal, NaN and Infinity).
//
// Invariant: a text is either read whole or refused with the line and column of the first offence; nothing is guessed.

/// A text that is not JSON.
public struct JSONError: CodedError {
  public enum Code: Sendable, Equatable { case syntax, duplicateKey, tooDeep, notUTF8 }

  public let code: Code
  /// From 1.
  public let line: Int
  /// From 1, in bytes.
  public let column: Int
  /// What was found and what is allowed there, without the place.
  public let problem: String

  public var message: String { "line \(line), column \(column): \(problem)" }
}

extension JSONValue {
  /// What a text may be written in.
  public enum Dialect: Sendable { case json, json5 }

  /// Reads a whole text.
  public init(parsing text: String, as dialect: Dialect = .json) throws(JSONError) {
    var copy = text
    let result: Result<JSONValue, JSONError> = copy.withUTF8 { bytes in
      Result { () throws(JSONError) in try JSONValue(parsing: UnsafeRawBufferPointer(bytes), as: dialect) }
    }
    self = try result.get()
  }

  /// Reads a whole text given as UTF-8 bytes.
  public init(parsing bytes: UnsafeRawBufferPointer, as dialect: Dialect = .json) throws(JSONError) {
    var parser = JSONParser(bytes: bytes.bindMemory(to: UInt8.self), json5: dialect == .json5)
    self = try parser.document()
  }
}

/// A recursive-descent parser over UTF-8 bytes.
private struct JSONParser {
  let bytes: UnsafeBufferPointer<UInt8>
  let json5: Bool
  var position = 0
  var depth = 0

  /// Deep enough for any real document, shallow enough for any stack.
  static let maximumDepth = 200

  mutating func document() throws(JSONError) -> JSONValue {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    let result = try value()
    try skipSpace()
    guard position == bytes.count else { throw failure("\(found) after the end of the document") }
    return result
  }

  // MARK: Values

  private mutating func value() throws(JSONError) -> JSONValue {
    try skipSpace()
    switch peek ?? 0 {
    case UInt8(ascii: "{"): return .object(try object())
    case UInt8(ascii: "["): return .array(try array())
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "'") where json5: return .string(try string())
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
    case UInt8(ascii: "+") where json5: return .number(try number())
    case UInt8(ascii: ".") where json5: return .number(try number())
    default: break
    }
    let start = position
    let word = identifier()
    switch word {
    case "true": return .bool(true)
    case "false": return .bool(false)
    case "null": return .null
    case "NaN" where json5, "Infinity" where json5: return .number(JSONNumber(unchecked: word))
    case "": throw failure("expected a value, but found \(found)")
    default:
      position = start
      throw failure("\(word) is not a value; put text in quotes: \"\(word)\"")
    }
  }

  private mutating func object() throws(JSONError) -> JSONObject {
    try descend()
    var result = JSONObject()
    while true {
      try skipSpace()
      if take("}") { break }
      let start = position
      let key = try key()
      try skipSpace()
      guard take(":") else { throw failure("expected ':' after the key \"\(key)\", but found \(found)") }
      guard result.append(key, try value()) else {
        position = start
        throw failure("the key \"\(key)\" stands twice in one object; keep one", .duplicateKey)
      }
      try skipSpace()
      if take("}") { break }
      guard take(",") else { throw failure("expected ',' or '}' in an object, but found \(found)") }
      if !json5 {
        try skipSpace()
        if peek == UInt8(ascii: "}") { throw failure("JSON allows no comma before '}'") }
      }
    }
    depth -= 1
    return result
  }

  private mutating func array() throws(JSONError) -> [JSONValue] {
    try descend()
    var result: [JSONValue] = []
    while true {
      try skipSpace()
      if take("]") { break }
      result.append(try value())
      try skipSpace()
      if take("]") { break }
      guard take(",") else { throw failure("expected ',' or ']' in a list, but found \(found)") }
      if !json5 {
        try skipSpace()
        if peek == UInt8(ascii: "]") { throw failure("JSON allows no comma before ']'") }
      }
    }
    depth -= 1
    return result
  }

  private mutating func descend() throws(JSONError) {
    position += 1
    depth += 1
    if depth > Self.maximumDepth {
      throw failure("values are nested more than \(Self.maximumDepth) deep", .tooDeep)
    }
  }

  private mutating func key() throws(JSONError) -> String {
    if peek == UInt8(ascii: "\"") || (json5 && peek == UInt8(ascii: "'")) { return try string() }
    guard json5 else { throw failure("expected a key in double quotes or '}', but found \(found)") }
    let name = identifier()
    guard !name.isEmpty else { throw failure("expected a key or '}', but found \(found)") }
    return name
  }

  /// Letters, digits, `_`, `$` and whatever is beyond ASCII; not beginning with a digit. Empty if there is none.
  private mutating func identifier() -> String {
    let start = position
    while let byte = peek {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
        UInt8(ascii: "$"), 0x80...:
        position += 1
      case UInt8(ascii: "0")...UInt8(ascii: "9") where position > start:
        position += 1
      default:
        return String(decoding: bytes[start..<position], as: UTF8.self)
      }
    }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  // MARK: Numbers

  private mutating func number() throws(JSONError) -> JSONNumber {
    let start = position
    if peek == UInt8(ascii: "-") || peek == UInt8(ascii: "+") { position += 1 }
    if json5, peek == UInt8(ascii: "N") || peek == UInt8(ascii: "I") {
      let word = identifier()
      guard word == "NaN" || word == "Infinity" else {
        position = start
        throw failure("not a number")
      }
    } else if json5, peek == UInt8(ascii: "0"), byte(1) == UInt8(ascii: "x") || byte(1) == UInt8(ascii: "X") {
      position += 2
      let digits = position
      while let byte = peek, Character(Unicode.Scalar(byte)).isHexDigit { position += 1 }
      guard (1...16).contains(position - digits) else {
        position = start
        throw failure("a hexadecimal number has 1 to 16 digits")
      }
    } else {
      let whole = takeDigits()
      if whole > 1, bytes[position - whole] == UInt8(ascii: "0") {
        position = start
        throw failure("a number does not begin with 0 unless it is 0")
      }
      var fraction = 0
      if take(".") {
        fraction = takeDigits()
        if fraction == 0, !json5 { throw failure("expected a digit after '.', but found \(found)") }
      }
      guard whole > 0 || (json5 && fraction > 0) else { throw failure("expected a digit, but found \(found)") }
      if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
        position += 1
        if peek == UInt8(ascii: "-") || peek == UInt8(ascii: "+") { position += 1 }
        guard takeDigits() > 0 else { throw failure("expected the digits of an exponent, but found \(found)") }
      }
    }
    // `12abc` is no number followed by a word.
    let end = position
    if !identifier().isEmpty {
      let word = String(decoding: bytes[start..<position], as: UTF8.self)
      position = start
      throw failure("\(word) is not a number; put text in quotes: \"\(word)\"")
    }
    return JSONNumber(unchecked: String(decoding: bytes[start..<end], as: UTF8.self))
  }

  private mutating func takeDigits() -> Int {
    let start = position
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    return position - start
  }

  // MARK: Strings

  private mutating func string() throws(JSONError) -> String {
    let quote = bytes[position]
    let opening = position
    position += 1
    var result = ""
    while true {
      let start = position
      while let byte = peek, byte != quote, byte != UInt8(ascii: "\\"), byte >= 0x20 || (json5 && byte == 9) {
        position += 1
      }
      if position > start {
        guard let piece = String(validating: bytes[start..<position], as: UTF8.self) else {
          throw failure("the string is not UTF-8", .notUTF8)
        }
        // The whole string, in most cases.
        if result.isEmpty { result = piece } else { result += piece }
      }
      guard let byte = peek else {
        position = opening
        throw failure("the string is not closed")
      }
      if byte == quote {
        position += 1
        return result
      }
      guard byte == UInt8(ascii: "\\") else {
        throw failure("\(found) within a string; write it as an escape such as \\n")
      }
      position += 1
      try escape(into: &result)
    }
  }

  private mutating func escape(into result: inout String) throws(JSONError) {
    guard let byte = peek else { throw failure("the string is not closed") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"):
      result.unicodeScalars.append(Unicode.Scalar(byte))
    case UInt8(ascii: "b"): result += "\u{8}"
    case UInt8(ascii: "f"): result += "\u{C}"
    case UInt8(ascii: "n"): result += "\n"
    case UInt8(ascii: "r"): result += "\r"
    case UInt8(ascii: "t"): result += "\t"
    case UInt8(ascii: "u"): result.unicodeScalars.append(try unicodeEscape())
    case UInt8(ascii: "'") where json5: result += "'"
    case UInt8(ascii: "v") where json5: result += "\u{B}"
    case UInt8(ascii: "0") where json5: result += "\0"
    case UInt8(ascii: "x") where json5: result.unicodeScalars.append(Unicode.Scalar(UInt8(try hexDigits(2))))
    case UInt8(ascii: "\n") where json5: break
    case UInt8(ascii: "\r") where json5: _ = take("\n")
    default:
      position -= 1
      throw failure("no escape begins with \(found); write a backslash as \\\\")
    }
  }

  private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
    let start = position
    let first = try hexDigits(4)
    if let scalar = Unicode.Scalar(first) { return scalar }
    if first < 0xDC00, take("\\"), take("u") {
      let second = try hexDigits(4)
      if (0xDC00..<0xE000).contains(second),
        let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
      {
        return scalar
      }
    }
    position = start
    throw failure("half of a surrogate pair is no character")
  }

  private mutating func hexDigits(_ count: Int) throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
        throw failure("expected \(count) hexadecimal digits, but found \(found)")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  // MARK: Bytes

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func byte(_ ahead: Int) -> UInt8? { position + ahead < bytes.count ? bytes[position + ahead] : nil }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard let byte = peek, UInt32(byte) == character.value else { return false }
    position += 1
    return true
  }

  private mutating func skipSpace() throws(JSONError) {
    while let byte = peek {
      switch byte {
      case 0x20, 0x0A, 0x0D, 0x09:
        position += 1
      case 0x0B, 0x0C:
        guard json5 else { return }
        position += 1
      case 0xC2 where json5 && self.byte(1) == 0xA0:
        position += 2
      case UInt8(ascii: "/") where json5:
        try skipComment()
      default:
        return
      }
    }
  }

  private mutating func skipComment() throws(JSONError) {
    let start = position
    switch byte(1) {
    case UInt8(ascii: "/"):
      while let byte = peek, byte != 0x0A, byte != 0x0D { position += 1 }
    case UInt8(ascii: "*"):
      position += 2
      while !(peek == UInt8(ascii: "*") && byte(1) == UInt8(ascii: "/")) {
        guard position < bytes.count else {
          position = start
          throw failure("the comment is not closed")
        }
        position += 1
      }
      position += 2
    default:
      throw failure("expected // or /* for a comment")
    }
  }

  /// What stands at the current position, for messages.
  private var found: String {
    guard let byte = peek else { return "the end of the text" }
    switch byte {
    case 0x0A, 0x0D: return "the end of the line"
    case 0x21..<0x7F: return "'\(Character(Unicode.Scalar(byte)))'"
    case 0x20: return "a space"
    default:
      let hexadecimal = String(byte, radix: 16, uppercase: true)
      return "the byte 0x\(hexadecimal.count < 2 ? "0" : "")\(hexadecimal)"
    }
  }

  private func failure(_ problem: String, _ code: JSONError.Code = .syntax) -> JSONError {
    let before = bytes[..<min(position, bytes.count)]
    let line = before.count { $0 == 0x0A } + 1
    let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    return JSONError(code: code, line: line, column: before.endIndex - lineStart + 1, problem: problem)
  }
}
