// A strict pull parser for JSON (RFC 8259) over bytes in place: the caller asks for what it expects.
//
// Why not JSONDecoder: it does not report duplicate names (which a weights header must not have), and it is slow on
// tokenizer files of ten megabytes. Nesting is limited, numbers must fit their type, strings must be valid UTF-8.

/// Reads one JSON text from front to back.
package struct JSONReader {
  /// What a value is, by its first character.
  package enum Kind: Sendable {
    case object, array, string, number, boolean, null
  }

  private let text: UnsafeBufferPointer<UInt8>
  package private(set) var position = 0
  private var depth = 0
  private static let maximumDepth = 128

  package init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

  /// The kind of the value that comes next.
  package mutating func kind() throws(FormatsError) -> Kind {
    switch try peek() {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
    case UInt8(ascii: "n"): return .null
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    default: throw error("a value was expected")
    }
  }

  /// Reads an object; `body` must read or skip the value of each name.
  package mutating func object(
    _ body: (inout JSONReader, _ name: String) throws(FormatsError) -> Void
  ) throws(FormatsError) {
    try members { (reader) throws(FormatsError) in
      try reader.string()
    } value: { (reader, name) throws(FormatsError) in
      try body(&reader, name)
    }
  }

  /// Reads an object whose names are read by `name`, for names that need no String.
  package mutating func members<Name>(
    name: (inout JSONReader) throws(FormatsError) -> Name,
    value: (inout JSONReader, Name) throws(FormatsError) -> Void
  ) throws(FormatsError) {
    try open(UInt8(ascii: "{"))
    if try !closes(UInt8(ascii: "}")) {
      repeat {
        let name = try name(&self)
        try expect(UInt8(ascii: ":"))
        try value(&self, name)
      } while try !ends(UInt8(ascii: "}"))
    }
    depth -= 1
  }

  /// Reads an array; `body` must read or skip each element.
  package mutating func array(_ body: (inout JSONReader) throws(FormatsError) -> Void) throws(FormatsError) {
    try open(UInt8(ascii: "["))
    if try !closes(UInt8(ascii: "]")) {
      repeat { try body(&self) } while try !ends(UInt8(ascii: "]"))
    }
    depth -= 1
  }

  /// Reads an integer of 64 bits.
  package mutating func integer() throws(FormatsError) -> Int {
    _ = try peek()
    let start = position
    if position < text.count, text[position] == UInt8(ascii: "-") { position += 1 }
    let digits = position
    var value = 0
    while position < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[position]) {
      let digit = Int(text[position] - UInt8(ascii: "0"))
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (next, overflow2) = tens.subtractingReportingOverflow(digit)  // negative: holds Int.min
      guard !overflow, !overflow2 else { throw error("a number is too large") }
      value = next
      position += 1
    }
    guard position > digits, position - digits == 1 || text[digits] != UInt8(ascii: "0") else {
      throw error("an integer was expected")
    }
    if position < text.count, [UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E")].contains(text[position]) {
      throw error("an integer was expected, not a fraction")
    }
    if digits > start { return value }
    guard value != Int.min else { throw error("a number is too large") }
    return -value
  }

  /// Reads any number, to the precision of Double.
  package mutating func number() throws(FormatsError) -> Double {
    guard try kind() == .number else { throw error("a number was expected") }
    let start = position
    try skipNumber()
    return Double(String(decoding: text[start..<position], as: UTF8.self)) ?? .nan
  }

  /// Reads `true` or `false`.
  package mutating func boolean() throws(FormatsError) -> Bool {
    let isTrue = try peek() == UInt8(ascii: "t")
    try literal(isTrue ? "true" : "false")
    return isTrue
  }

  /// Reads a string.
  package mutating func string() throws(FormatsError) -> String {
    var bytes: [UInt8] = []
    if let range = try stringBytes(into: &bytes) {
      guard let plain = String(validating: text[range], as: UTF8.self) else { throw error("a string is not UTF-8") }
      return plain
    }
    guard let unescaped = String(validating: bytes, as: UTF8.self) else { throw error("a string is not UTF-8") }
    return unescaped
  }

  /// Reads a string as bytes: either its range in the text, if nothing is escaped, or nil and the bytes in `buffer`.
  package mutating func stringBytes(into buffer: inout [UInt8]) throws(FormatsError) -> Range<Int>? {
    guard try peek() == UInt8(ascii: "\"") else { throw error("a string was expected") }
    position += 1
    let start = position
    while position < text.count {
      let byte = text[position]
      if byte == UInt8(ascii: "\"") {
        position += 1
        return start..<position - 1
      }
      if byte == UInt8(ascii: "\\") { break }
      if byte < 0x20 { throw error("a control character stands in a string") }
      position += 1
    }
    buffer.removeAll(keepingCapacity: true)
    buffer.append(contentsOf: text[start..<min(position, text.count)])
    while position < text.count {
      let byte = text[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return nil
      case UInt8(ascii: "\\"): try escape(into: &buffer)
      case 0..<0x20: throw error("a control character stands in a string")
      default: buffer.append(byte)
      }
    }
    throw error("a string has no end")
  }

  /// Skips the next value, checking only its form.
  package mutating func skip() throws(FormatsError) {
    switch try kind() {
    case .object: try object { (reader, _) throws(FormatsError) in try reader.skip() }
    case .array: try array { (reader) throws(FormatsError) in try reader.skip() }
    case .string:
      var buffer: [UInt8] = []
      _ = try stringBytes(into: &buffer)
    case .number: try skipNumber()
    case .boolean: _ = try boolean()
    case .null: try literal("null")
    }
  }

  /// Reads `null` if it is next.
  package mutating func null() throws(FormatsError) -> Bool {
    guard try kind() == .null else { return false }
    try literal("null")
    return true
  }

  /// Checks that only whitespace is left.
  package mutating func end() throws(FormatsError) {
    skipSpace()
    guard position == text.count else { throw error("there is more text after the value") }
  }

  private mutating func skipSpace() {
    while position < text.count {
      switch text[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  private mutating func peek() throws(FormatsError) -> UInt8 {
    skipSpace()
    guard position < text.count else { throw error("the text ends too early") }
    return text[position]
  }

  private mutating func expect(_ byte: UInt8) throws(FormatsError) {
    guard try peek() == byte else { throw error("'\(Character(Unicode.Scalar(byte)))' was expected") }
    position += 1
  }

  private mutating func open(_ byte: UInt8) throws(FormatsError) {
    try expect(byte)
    depth += 1
    guard depth <= Self.maximumDepth else { throw error("it is nested more than \(Self.maximumDepth) deep") }
  }

  private mutating func closes(_ byte: UInt8) throws(FormatsError) -> Bool {
    guard try peek() == byte else { return false }
    position += 1
    return true
  }

  /// After an element: true at the closing byte, false at a comma.
  private mutating func ends(_ close: UInt8) throws(FormatsError) -> Bool {
    let byte = try peek()
    guard byte == close || byte == UInt8(ascii: ",") else { throw error("',' or the closing bracket was expected") }
    position += 1
    return byte == close
  }

  private mutating func literal(_ word: StaticString) throws(FormatsError) {
    _ = try peek()
    let end = position + word.utf8CodeUnitCount
    guard end <= text.count,
      word.withUTF8Buffer({ text[position..<end].elementsEqual($0) })
    else { throw error("'\(word)' was expected") }
    position = end
  }

  private mutating func skipNumber() throws(FormatsError) {
    func isDigit(_ position: Int) -> Bool {
      position < text.count && (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[position])
    }
    if text[position] == UInt8(ascii: "-") { position += 1 }
    guard isDigit(position) else { throw error("a number was expected") }
    if text[position] == UInt8(ascii: "0"), isDigit(position + 1) { throw error("a number starts with 0") }
    while isDigit(position) { position += 1 }
    if position < text.count, text[position] == UInt8(ascii: ".") {
      position += 1
      guard isDigit(position) else { throw error("digits were expected after the point") }
      while isDigit(position) { position += 1 }
    }
    if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      if position < text.count, [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(text[position]) { position += 1 }
      guard isDigit(position) else { throw error("digits were expected in the exponent") }
      while isDigit(position) { position += 1 }
    }
  }

  private mutating func escape(into buffer: inout [UInt8]) throws(FormatsError) {
    guard position < text.count else { throw error("a string has no end") }
    let byte = text[position]
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(byte)
    case UInt8(ascii: "b"): buffer.append(0x08)
    case UInt8(ascii: "f"): buffer.append(0x0C)
    case UInt8(ascii: "n"): buffer.append(0x0A)
    case UInt8(ascii: "r"): buffer.append(0x0D)
    case UInt8(ascii: "t"): buffer.append(0x09)
    case UInt8(ascii: "u"):
      var value = try hexadecimal()
      if (0xD800...0xDBFF).contains(value), position + 1 < text.count, text[position] == UInt8(ascii: "\\"),
        text[position + 1] == UInt8(ascii: "u")
      {
        position += 2
        let low = try hexadecimal()
        guard (0xDC00...0xDFFF).contains(low) else { throw error("half of a surrogate pair stands alone") }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else { throw error("half of a surrogate pair stands alone") }
      buffer.append(contentsOf: UTF8.encode(scalar)!)
    default: throw error("a string has an unknown escape")
    }
  }

  private mutating func hexadecimal() throws(FormatsError) -> UInt32 {
    guard position + 4 <= text.count else { throw error("a string has no end") }
    var value: UInt32 = 0
    for byte in text[position..<position + 4] {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("four hexadecimal digits are missing")
      }
      value = value << 4 | UInt32(digit)
    }
    position += 4
    return value
  }

  /// The error of malformed text at this place.
  package func error(_ what: String) -> FormatsError {
    FormatsError(.malformed, "Malformed JSON at byte \(position): \(what).")
  }
}
