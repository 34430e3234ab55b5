// Words of PTX text.
//
// Names hold letters, digits, `_`, `$` and begin with a letter or with `%`; behind a dot they are directives and modifiers,
// which may have `::` inside. Numbers are decimal, `0x`, `0b`, octal with a leading 0, or the bits of a float (`0f`, `0d`).

struct PTXLexer {
  enum Token: Hashable {
    /// `ld`, `%r1`, `_`
    case name(String)
    /// `.global`, `.shared::cta`: without the dot.
    case dotted(String)
    case integer(Int64)
    /// `8.0`, of `.version`.
    case version(Int, Int)
    case float32(UInt32)
    case float64(UInt64)
    case string(String)
    case mark(UInt8)
    case end
  }

  private let bytes: [UInt8]
  private var place = 0
  private(set) var token = Token.end
  /// Where the token begins.
  private var start = 0

  init(_ text: String) throws(PTXError) {
    bytes = Array(text.utf8)
    try advance()
  }

  /// An error at the token.
  func error(_ problem: String) -> PTXError {
    let before = bytes[..<start]
    let line = before.lazy.filter { $0 == UInt8(ascii: "\n") }.count + 1
    let column = start - (before.lastIndex(of: UInt8(ascii: "\n")) ?? -1)
    return PTXError(line: line, column: column, problem: problem)
  }

  private func byte(_ offset: Int = 0) -> UInt8 { place + offset < bytes.count ? bytes[place + offset] : 0 }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")) || byte == UInt8(ascii: "_")
      || byte == UInt8(ascii: "$")
  }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

  /// Reads the next token.
  mutating func advance() throws(PTXError) {
    try skipSpace()
    start = place
    guard place < bytes.count else {
      token = .end
      return
    }
    let first = byte()
    switch first {
    case UInt8(ascii: "."):
      place += 1
      token = .dotted(try word(inside: true))
    case UInt8(ascii: "%"):
      place += 1
      // Parts of special registers: %tid.x
      var name = "%" + (try word(inside: false))
      if byte() == UInt8(ascii: "."), "xyzw".utf8.contains(byte(1)), !Self.isLetter(byte(2)), !Self.isDigit(byte(2)) {
        name += ".\(Character(UnicodeScalar(byte(1))))"
        place += 2
      }
      token = .name(name)
    case UInt8(ascii: "\""):
      place += 1
      let begin = place
      while place < bytes.count, byte() != UInt8(ascii: "\"") { place += 1 }
      guard place < bytes.count else { throw error("the string has no end: close it with \"") }
      token = .string(String(decoding: bytes[begin..<place], as: UTF8.self))
      place += 1
    case _ where Self.isDigit(first): try number()
    case _ where Self.isLetter(first): token = .name(try word(inside: false))
    default:
      token = .mark(first)
      place += 1
    }
  }

  private mutating func skipSpace() throws(PTXError) {
    while place < bytes.count {
      if byte() <= 0x20 {
        place += 1
      } else if byte() == UInt8(ascii: "/"), byte(1) == UInt8(ascii: "/") {
        while place < bytes.count, byte() != UInt8(ascii: "\n") { place += 1 }
      } else if byte() == UInt8(ascii: "/"), byte(1) == UInt8(ascii: "*") {
        start = place
        place += 2
        while place < bytes.count, !(byte() == UInt8(ascii: "*") && byte(1) == UInt8(ascii: "/")) { place += 1 }
        guard place < bytes.count else { throw error("the comment has no end: close it with */") }
        place += 2
      } else {
        return
      }
    }
  }

  /// - Parameter inside: whether `::` may be in it.
  private mutating func word(inside: Bool) throws(PTXError) -> String {
    let begin = place
    while true {
      if Self.isLetter(byte()) || Self.isDigit(byte()) {
        place += 1
      } else if inside, byte() == UInt8(ascii: ":"), byte(1) == UInt8(ascii: ":") {
        place += 2
      } else {
        break
      }
    }
    guard place > begin else { throw error("a name is missing here") }
    return String(decoding: bytes[begin..<place], as: UTF8.self)
  }

  private mutating func number() throws(PTXError) {
    let second = byte() == UInt8(ascii: "0") ? byte(1) | 0x20 : 0
    var radix = 10
    switch second {
    case UInt8(ascii: "f"), UInt8(ascii: "d"):
      place += 2
      let digits = second == UInt8(ascii: "f") ? 8 : 16
      guard let bits = UInt64(digitsAhead(), radix: 16), place - start == 2 + digits else {
        throw error("0\(Character(UnicodeScalar(second))) is followed by \(digits) hexadecimal digits, a float's bits")
      }
      token = digits == 8 ? .float32(UInt32(bits)) : .float64(bits)
      return
    case UInt8(ascii: "x"): radix = 16
    case UInt8(ascii: "b"): radix = 2
    case UInt8(ascii: "0")...UInt8(ascii: "9"): radix = 8
    default: break
    }
    if radix == 16 || radix == 2 { place += 2 }
    var digits = digitsAhead()
    if digits.last == "U" { digits.removeLast() }
    guard let value = UInt64(digits, radix: radix) else {
      throw error("'\(String(decoding: bytes[start..<place], as: UTF8.self))' is no number of 64 bits")
    }
    if radix == 10, byte() == UInt8(ascii: "."), Self.isDigit(byte(1)) {
      place += 1
      let rest = digitsAhead()
      guard let minor = Int(rest) else { throw error("floats are written as their bits: 0f3F800000") }
      token = .version(Int(value), minor)
      return
    }
    token = .integer(Int64(bitPattern: value))
  }

  private mutating func digitsAhead() -> String {
    let begin = place
    while Self.isDigit(byte()) || Self.isLetter(byte()) { place += 1 }
    return String(decoding: bytes[begin..<place], as: UTF8.self)
  }
}
