// A JSON document as a value: what configuration, events and the metadata of model files are read into.
//
// Invariant: nothing is lost that a reader may ask for: objects keep the order of their keys, numbers keep the digits
// that were written (so an integer of 64 bits is exact), keys are unique.

/// A JSON value.
public enum JSONValue: Sendable, Equatable {
  case object(JSONObject)
  case array([JSONValue])
  case string(String)
  case number(JSONNumber)
  case bool(Bool)
  case null

  /// The member of an object, or nil if this is no object or lacks the key.
  public subscript(key: String) -> JSONValue? { object?[key] }

  /// The object, if this is one.
  public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  /// The elements, if this is an array.
  public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  /// The text, if this is a string.
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  /// The truth value, if this is one.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The number, if this is one.
  public var double: Double? { if case .number(let value) = self { value.double } else { nil } }
  /// The number, if this is one and is an integer that fits.
  public var integer: Int? { if case .number(let value) = self { value.integer() } else { nil } }

  /// What kind of value this is, for messages: "an object", "a string", ...
  public var kind: String {
    switch self {
    case .object: "an object"
    case .array: "a list"
    case .string: "a string"
    case .number: "a number"
    case .bool: "true or false"
    case .null: "null"
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .number(JSONNumber(value)) }
  public init(floatLiteral value: Double) { self = .number(JSONNumber(value)) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
  public init(nilLiteral: ()) { self = .null }
}

/// A number as it was written.
public struct JSONNumber: Sendable, Equatable {
  /// The text of the number: JSON, or JSON5 (`0xFF`, `.5`, `+1`, `NaN`, `-Infinity`).
  public let text: String

  /// - Parameter text: a JSON5 number; the parser is the one that checks it.
  init(unchecked text: String) { self.text = text }

  public init(_ value: some BinaryInteger) { text = String(value) }

  /// The shortest text that reads back as the same value.
  public init(_ value: Double) { text = Self.text(value.description) }

  /// The shortest text that reads back as the same `Float`.
  public init(_ value: Float) { text = Self.text(value.description) }

  /// Swift's `3.0`, `1e-05`, `inf` as JSON5 has them.
  private static func text(_ description: String) -> String {
    switch description {
    case "inf": "Infinity"
    case "-inf": "-Infinity"
    case "nan", "-nan", "snan": "NaN"
    default: description.hasSuffix(".0") ? String(description.dropLast(2)) : description
    }
  }

  /// The nearest `Double`.
  public var double: Double {
    if let hexadecimal { return hexadecimal.negative ? -Double(hexadecimal.magnitude) : Double(hexadecimal.magnitude) }
    var digits = text[...]
    if digits.last == "." { digits.removeLast() }
    // Only NaN and Infinity, which Swift spells nan and infinity in any case, have other letters.
    return Double(digits) ?? .nan
  }

  /// The nearest `Float`, rounded once.
  public var float: Float {
    if hexadecimal != nil { return Float(double) }
    return Float(text.last == "." ? text.dropLast() : text[...]) ?? .nan
  }

  /// The value as an integer, if it is one (`1e6` is) and fits.
  public func integer<T: FixedWidthInteger>(_ type: T.Type = Int.self) -> T? {
    if let value = T(text) { return value }
    if let hexadecimal {
      if !hexadecimal.negative { return T(exactly: hexadecimal.magnitude) }
      return T(exactly: 0 - Int128(hexadecimal.magnitude))
    }
    let value = double
    // Beyond 2^53 not every integer is a Double, so that an exponent may have rounded.
    return value.magnitude <= 0x1p53 ? T(exactly: value) : nil
  }

  /// Whether the text is JSON as well: `[-]digits[.digits][e[+-]digits]`, without a leading 0.
  var isPlain: Bool {
    var text = text
    return text.withUTF8 { bytes in
      var position = 0
      func next() -> UInt8 { position < bytes.count ? bytes[position] : 0 }
      func digits() -> Int {
        let start = position
        while case UInt8(ascii: "0")...UInt8(ascii: "9") = next() { position += 1 }
        return position - start
      }
      if next() == UInt8(ascii: "-") { position += 1 }
      let leading = next()
      let whole = digits()
      if whole == 0 || (leading == UInt8(ascii: "0") && whole > 1) { return false }
      if next() == UInt8(ascii: ".") {
        position += 1
        if digits() == 0 { return false }
      }
      if next() | 0x20 == UInt8(ascii: "e") {
        position += 1
        if next() == UInt8(ascii: "-") || next() == UInt8(ascii: "+") { position += 1 }
        if digits() == 0 { return false }
      }
      return position == bytes.count
    }
  }

  private var hexadecimal: (negative: Bool, magnitude: UInt64)? {
    var digits = text[...]
    let negative = digits.first == "-"
    if negative || digits.first == "+" { digits.removeFirst() }
    guard digits.hasPrefix("0x") || digits.hasPrefix("0X") else { return nil }
    return UInt64(digits.dropFirst(2), radix: 16).map { (negative, $0) }
  }
}

/// The members of a JSON object in the order in which they were written.
public struct JSONObject: Sendable, Equatable, Sequence {
  /// The keys, in order.
  public private(set) var keys: [String] = []
  private var values: [JSONValue] = []
  /// Where keys stand; empty as long as there are few, which are compared one by one.
  private var positions: [String: Int] = [:]
  private static let few = 16

  public init() {}

  /// From members in order; a repeated key keeps its first place and its last value.
  public init(_ members: some Sequence<(String, JSONValue)>) {
    keys.reserveCapacity(members.underestimatedCount)
    values.reserveCapacity(members.underestimatedCount)
    for (key, value) in members where !append(key, value) { self[key] = value }
  }

  public var count: Int { keys.count }
  public var isEmpty: Bool { keys.isEmpty }

  /// The value of a key. Setting appends a new key at the end; setting nil removes the key.
  public subscript(key: String) -> JSONValue? {
    get { position(of: key).map { values[$0] } }
    set {
      switch (position(of: key), newValue) {
      case (let position?, let value?):
        values[position] = value
      case (nil, let value?):
        add(key, value)
      case (let position?, nil):
        keys.remove(at: position)
        values.remove(at: position)
        positions = [:]
        if keys.count > Self.few { index() }
      case (nil, nil):
        break
      }
    }
  }

  /// Appends a member, looking its key up only once; false, with nothing kept of it, if the key is there already.
  mutating func append(_ key: String, _ value: JSONValue) -> Bool {
    if keys.count <= Self.few {
      if keys.contains(key) { return false }
      add(key, value)
      return true
    }
    if let former = positions.updateValue(keys.count, forKey: key) {
      positions[key] = former
      return false
    }
    keys.append(key)
    values.append(value)
    return true
  }

  /// The value at a place of `keys`.
  package subscript(position: Int) -> JSONValue { values[position] }

  /// The place of a key.
  package func position(of key: String) -> Int? {
    keys.count <= Self.few ? keys.firstIndex(of: key) : positions[key]
  }

  /// Appends a member whose key is new.
  private mutating func add(_ key: String, _ value: JSONValue) {
    keys.append(key)
    values.append(value)
    if keys.count > Self.few + 1 { positions[key] = keys.count - 1 } else if keys.count > Self.few { index() }
  }

  private mutating func index() { positions = Dictionary(uniqueKeysWithValues: keys.enumerated().map { ($1, $0) }) }

  public func makeIterator() -> some IteratorProtocol<(String, JSONValue)> { zip(keys, values).makeIterator() }

  /// Equal keys with equal values; the order does not count.
  public static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.count == right.count && left.allSatisfy { key, value in right[key] == value }
  }
}
