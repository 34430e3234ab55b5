// JSON values as they come in pieces: where they end, and what an object that stands for a call says.

internal import Core

/// Follows one JSON object or list to its end.
struct JSONScan: Sendable {
  private(set) var isOpen: Bool
  /// Whether the value has ended.
  private(set) var isOver = false
  private(set) var depth = 0
  private(set) var isInString = false
  private var isEscaped = false

  init(isOpen: Bool = false) { self.isOpen = isOpen }

  static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

  /// Reads a byte of the value.
  mutating func take(_ byte: UInt8) {
    if isInString {
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = true
      } else if byte == UInt8(ascii: "\"") {
        isInString = false
      }
      return
    }
    switch byte {
    case UInt8(ascii: "\""): isInString = true
    case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
    case UInt8(ascii: "}"), UInt8(ascii: "]"):
      depth -= 1
      if depth <= 0 { (isOpen, isOver) = (false, true) }
    default: break
    }
  }

  /// Reads to the end of the value; how many bytes were read.
  mutating func take(_ text: ArraySlice<UInt8>) -> Int {
    for (count, byte) in text.enumerated() {
      take(byte)
      if !isOpen { return count + 1 }
    }
    return text.count
  }
}

/// Follows an object such as `{"name": "f", "arguments": {…}}`; the arguments may also be `parameters`, in any order.
struct CallObject: Sendable {
  private var scan: JSONScan
  private enum Member { case name, arguments, other }

  /// The text of the key that is being read, then that of a name.
  private var word: [UInt8] = []
  /// The member whose value is being read; nil before its colon.
  private var member: Member?
  /// All of it, until there is a name.
  private(set) var text: [UInt8] = []
  private(set) var hasName = false
  /// A name that was not given out yet.
  var newName: String?
  /// Arguments that were not given out yet.
  var newArguments: [UInt8] = []

  init(isOpen: Bool = false) { scan = JSONScan(isOpen: isOpen) }

  var isOpen: Bool { scan.isOpen }

  /// Reads to the end of the object, or to its name; how many bytes were read.
  mutating func take(_ bytes: ArraySlice<UInt8>) -> Int {
    for (count, byte) in bytes.enumerated() {
      let (depth, wasInString) = (scan.depth, scan.isInString)
      scan.take(byte)
      if !hasName { text.append(byte) }
      if depth == 0 { continue }
      if depth == 1, !wasInString, byte == UInt8(ascii: ":"), member == nil {
        beginValue()
      } else if depth == 1, !wasInString, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") {
        endValue()
      } else if member != .arguments {
        // A value of no interest need not be kept.
        if member != .other { word.append(byte) }
      } else if depth > 1 || wasInString || scan.isInString || !JSONScan.isSpace(byte) {
        // White space before and behind is none of the arguments'.
        newArguments.append(byte)
      }
      if !isOpen || newName != nil { return count + 1 }
    }
    return bytes.count
  }

  private mutating func beginValue() {
    switch Self.unquoted(word) {
    case "name": member = hasName ? .other : .name
    case "arguments", "parameters": member = .arguments
    default: member = .other
    }
    word = []
  }

  private mutating func endValue() {
    if member == .name, let name = Self.unquoted(word) {
      newName = name
      hasName = true
      text = []
    }
    (word, member) = ([], nil)
  }

  private static func unquoted(_ bytes: [UInt8]) -> String? {
    guard let value = try? JSONValue(parsing: String(decoding: bytes, as: UTF8.self)) else { return nil }
    return value.string
  }
}
