// Members of a JSON object that a client sent.
//
// Invariant: every member is read or named as unknown: nothing that a client asks for is ignored silently.

internal import Core

/// Reads an object.
struct Fields {
  private let object: JSONObject
  /// In front of names in messages: `stream_options.`.
  private let path: String
  /// Of each member: whether somebody has read it.
  private var seen: [Bool]

  init(_ object: JSONObject, path: String = "") {
    (self.object, self.path) = (object, path)
    seen = Array(repeating: false, count: object.count)
  }

  /// Reads an object that is a member of this one.
  func inside(_ name: String, _ object: JSONObject) -> Fields { Fields(object, path: "\(path)\(name).") }

  /// The object that a request's body is.
  init(body: [UInt8]) throws(APIError) {
    let value: JSONValue
    do {
      value = try body.withUnsafeBytes { try JSONValue(parsing: $0) }
    } catch {
      let reason = (error as? JSONError)?.message ?? "\(error)"
      throw APIError(.badRequest, "The body is not JSON: \(reason).", code: "invalid_json")
    }
    guard case .object(let object) = value else {
      throw APIError(.badRequest, "The body is \(value.kind), not an object.", code: "invalid_json")
    }
    self.init(object)
  }

  /// A member as it is; nil if it is missing or null.
  mutating func value(_ name: String) -> JSONValue? {
    guard let position = object.position(of: name) else { return nil }
    seen[position] = true
    if case .null = object[position] { return nil }
    return object[position]
  }

  private mutating func read<Value>(
    _ name: String, _ what: String, _ convert: (JSONValue) -> Value?
  ) throws(APIError) -> Value? {
    guard let value = value(name) else { return nil }
    guard let result = convert(value) else { throw wrong(name, "must be \(what), not \(value.json.prefix(40))") }
    return result
  }

  func wrong(_ name: String, _ problem: String) -> APIError {
    APIError(.badRequest, "'\(path)\(name)' \(problem).", parameter: path + name, code: "invalid_value")
  }

  mutating func string(_ name: String) throws(APIError) -> String? { try read(name, "a string", \.string) }
  mutating func flag(_ name: String) throws(APIError) -> Bool? { try read(name, "true or false", \.bool) }
  mutating func array(_ name: String) throws(APIError) -> [JSONValue]? { try read(name, "an array", \.array) }
  mutating func object(_ name: String) throws(APIError) -> JSONObject? { try read(name, "an object", \.object) }

  mutating func number(_ name: String) throws(APIError) -> Double? {
    try read(name, "a number") { $0.double.flatMap { $0.isFinite ? $0 : nil } }
  }

  mutating func integer(_ name: String, _ range: ClosedRange<Int>) throws(APIError) -> Int? {
    guard let result = try read(name, "an integer", \.integer) else { return nil }
    guard range.contains(result) else {
      throw wrong(name, "is \(result); it must be from \(range.lowerBound) to \(range.upperBound)")
    }
    return result
  }

  mutating func required<Value>(_ name: String, _ value: Value?) throws(APIError) -> Value {
    guard let value else {
      throw APIError(
        .badRequest, "'\(path)\(name)' is missing.", parameter: path + name, code: "missing_required_parameter")
    }
    return value
  }

  /// A string or several.
  mutating func strings(_ name: String) throws(APIError) -> [String]? {
    try read(name, "a string or an array of strings") { value in
      if let one = value.string { return [one] }
      guard let array = value.array else { return nil }
      let strings = array.compactMap(\.string)
      return strings.count == array.count ? strings : nil
    }
  }

  /// A string that is kept: of no more than 256 bytes.
  mutating func short(_ name: String) throws(APIError) -> String? {
    guard let text = try string(name) else { return nil }
    if text.utf8.count > 256 { throw wrong(name, "has \(text.utf8.count) bytes; 256 are the most") }
    return text
  }

  /// A string or several, of which a search is made: 16 of no more than 1024 bytes together.
  mutating func few(_ name: String) throws(APIError) -> [String]? {
    guard let texts = try strings(name) else { return nil }
    let bytes = texts.reduce(0) { $0 + $1.utf8.count }
    if texts.count > 16 || bytes > 1024 {
      throw wrong(name, "has \(texts.count) texts of \(bytes) bytes; 16 of 1024 bytes are the most")
    }
    return texts
  }

  /// Token numbers.
  mutating func tokens(_ name: String) throws(APIError) -> [Int32]? {
    try read(name, "an array of token numbers", { $0.tokens })
  }

  /// Members that are taken and change nothing here.
  mutating func ignore(_ names: String...) {
    for name in names { if let position = object.position(of: name) { seen[position] = true } }
  }

  /// - Throws: if there are members that nobody has read.
  func finish() throws(APIError) {
    guard let place = seen.indices.first(where: { !seen[$0] && object[$0] != .null }) else { return }
    let unknown = object.keys[place]
    throw APIError(
      .badRequest, "Unknown parameter: '\(path)\(unknown)'.", parameter: path + unknown, code: "unknown_parameter")
  }
}

extension JSONValue {
  /// An array of token numbers.
  var tokens: [Int32]? {
    guard let array else { return nil }
    let tokens = array.compactMap { $0.integer.flatMap { Int32(exactly: $0) } }
    return tokens.count == array.count ? tokens : nil
  }
}
