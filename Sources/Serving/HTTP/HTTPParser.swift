// Requests out of the bytes of a connection: HTTP/1.1 and 1.0 (RFC 9112).
//
// Stricter than the standard asks for where leniency is how requests are smuggled past a proxy: lines end in CR LF, a length is
// given once and in one way, names of headers are tokens directly before their colon, folded lines are refused.
//
// Invariant: whatever the bytes and however they are cut, the same requests come out, or the same error at the same place; what is
// kept of a request that is not whole is bounded by the limits.

internal import NIOCore

/// Reads one request after another.
struct HTTPParser {
  enum Event {
    /// All of a request.
    case request(HTTPRequest, keepAlive: Bool, isOld: Bool)
    /// The client waits for a word before it sends the body.
    case expectsContinue
  }

  private enum Place {
    case line, headers, body, chunkSize, chunk, chunkEnd, trailers
  }

  private let limits: HTTPConfiguration
  private var place = Place.line
  /// Bytes of the line being read in which no end was found.
  private var searched = 0
  /// Bytes of the head, or of trailers and sizes of chunks.
  private var headBytes = 0
  private var request = HTTPParser.empty
  private var isOld = false
  private var framing = Framing()
  /// Bytes of the body, or of the chunk, that are still to come.
  private var left = 0

  /// What headers say about the message itself.
  private struct Framing {
    var length: Int?
    var isChunked = false
    var hasHost = false
    var closes = false
    var keepsAlive = false
    var expectsContinue = false
  }

  private static let empty = HTTPRequest(method: "", path: "", query: "", headers: HTTPHeaders(), body: [])

  init(_ limits: HTTPConfiguration) { self.limits = limits }

  /// Whether nothing of a next request has come.
  var isBetweenRequests: Bool { place == .line && searched == 0 }

  /// Reads on.
  ///
  /// - Returns: what was completed; nil: more bytes are needed.
  /// - Throws: what is wrong; nothing that comes after it can be understood.
  mutating func next(_ buffer: inout ByteBuffer) throws(APIError) -> Event? {
    while true {
      switch place {
      case .body, .chunk:
        take(&buffer)
        if left > 0 { return nil }
        if place == .body { return finish() }
        place = .chunkEnd
      case .line, .headers, .chunkSize, .chunkEnd, .trailers:
        guard let event = try line(&buffer) else { return nil }
        switch event {
        case .goesOn: break
        case .continues: return .expectsContinue
        case .isWhole: return finish()
        }
      }
    }
  }

  private mutating func take(_ buffer: inout ByteBuffer) {
    let count = min(left, buffer.readableBytes)
    buffer.withUnsafeReadableBytes { request.body.append(contentsOf: $0[..<count]) }
    buffer.moveReaderIndex(forwardBy: count)
    left -= count
  }

  private mutating func finish() -> Event {
    let keepAlive = !framing.closes && (!isOld || framing.keepsAlive)
    let event = Event.request(request, keepAlive: keepAlive, isOld: isOld)
    let limits = limits
    self = HTTPParser(limits)
    return event
  }

  // MARK: Lines

  private enum LineEvent { case goesOn, continues, isWhole }

  /// Reads one line, if there is one.
  private mutating func line(_ buffer: inout ByteBuffer) throws(APIError) -> LineEvent? {
    var end: Int?
    var result = Result<LineEvent, APIError>.success(.goesOn)
    buffer.withUnsafeReadableBytes { bytes in
      end = bytes[min(searched, bytes.count)...].firstIndex(of: 0x0A)
      result = Result { () throws(APIError) in
        guard let end else {
          if place == .line { try checkMethod(bytes) }
          try count(bytes.count)
          return .goesOn
        }
        try count(end + 1)
        guard end > 0, bytes[end - 1] == 0x0D else {
          throw APIError(.badRequest, "A line of the request does not end in CR LF.", code: "invalid_http")
        }
        return try read(UnsafeRawBufferPointer(rebasing: bytes[..<(end - 1)]))
      }
    }
    let event = try result.get()
    guard let end else {
      searched = buffer.readableBytes
      return nil
    }
    buffer.moveReaderIndex(forwardBy: end + 1)
    headBytes += end + 1
    searched = 0
    return event
  }

  /// Garbage is known by its first bytes.
  private func checkMethod(_ bytes: UnsafeRawBufferPointer) throws(APIError) {
    if bytes.count == 1 && bytes[0] == 0x0D { return }
    let method = bytes.prefix { $0 != 0x20 }
    guard method.count <= 32, method.allSatisfy(Self.isToken) else {
      throw APIError(.badRequest, "This is not HTTP: no method begins the request.", code: "invalid_http")
    }
  }

  private func count(_ line: Int) throws(APIError) {
    let bytes = headBytes + line
    if bytes <= limits.head { return }
    if place == .line {
      throw APIError(
        .uriTooLong, "The request's first line is longer than \(limits.head) bytes.", code: "uri_too_long")
    }
    throw APIError(
      .headTooLarge, "The request's headers are larger than \(limits.head) bytes.", code: "headers_too_large")
  }

  private mutating func read(_ line: UnsafeRawBufferPointer) throws(APIError) -> LineEvent {
    switch place {
    case .line:
      // An empty line in front of a request is left over from clients of old.
      if line.isEmpty { return .goesOn }
      try requestLine(line)
      place = .headers
    case .headers:
      if line.isEmpty { return try endOfHead() }
      try header(line)
    case .chunkSize:
      try chunkSize(line)
    case .chunkEnd:
      guard line.isEmpty else { throw Self.malformed("a chunk of the body is longer than its size says") }
      place = .chunkSize
    case .trailers:
      if line.isEmpty { return .isWhole }
    case .body, .chunk: preconditionFailure("bodies have no lines")
    }
    return .goesOn
  }

  private static func malformed(_ problem: String) -> APIError {
    APIError(.badRequest, "The request is not HTTP/1.1: \(problem).", code: "invalid_http")
  }

  // MARK: The head

  private mutating func requestLine(_ line: UnsafeRawBufferPointer) throws(APIError) {
    let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
    guard parts.count == 3, !parts[0].isEmpty, parts[0].count <= 32, parts[0].allSatisfy(Self.isToken) else {
      throw Self.malformed("its first line is not METHOD PATH VERSION")
    }
    switch parts[2] {
    case _ where parts[2].elementsEqual("HTTP/1.1".utf8): isOld = false
    case _ where parts[2].elementsEqual("HTTP/1.0".utf8): isOld = true
    default: throw Self.malformed("its version is neither HTTP/1.1 nor HTTP/1.0")
    }
    var target = parts[1]
    guard target.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw Self.malformed("its path has bytes of no URL") }
    if target.starts(with: "http://".utf8) || target.starts(with: "https://".utf8) {
      // As proxies are asked: host and path.
      let host = target.firstIndex(of: UInt8(ascii: "/"))! + 2
      target = target[host...].firstIndex(of: UInt8(ascii: "/")).map { target[$0...] } ?? target[target.endIndex...]
    } else if target.first != UInt8(ascii: "/"), !target.elementsEqual("*".utf8) {
      throw Self.malformed("its path does not begin with /")
    }
    request.method = String(decoding: parts[0], as: UTF8.self)
    let mark = target.firstIndex(of: UInt8(ascii: "?"))
    request.path = target.isEmpty ? "/" : String(decoding: target[..<(mark ?? target.endIndex)], as: UTF8.self)
    request.query = mark.map { String(decoding: target[($0 + 1)...], as: UTF8.self) } ?? ""
  }

  private mutating func header(_ line: UnsafeRawBufferPointer) throws(APIError) {
    if request.headers.count >= limits.headers {
      throw APIError(
        .headTooLarge, "The request has more than \(limits.headers) headers.", code: "headers_too_large")
    }
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0, line[..<colon].allSatisfy(Self.isToken) else {
      throw Self.malformed("a header is not NAME: VALUE")
    }
    var value = line[(colon + 1)...]
    while let first = value.first, first == 0x20 || first == 0x09 { value.removeFirst() }
    while let last = value.last, last == 0x20 || last == 0x09 { value.removeLast() }
    guard value.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }) else {
      throw Self.malformed("a header has control characters")
    }
    let name = line[..<colon]
    request.headers.append(name: name, value: value)
    switch colon {
    case 4 where Self.same(name, "host"):
      if framing.hasHost { throw Self.malformed("it has two Host headers") }
      framing.hasHost = true
    case 6 where Self.same(name, "expect"):
      guard Self.same(value, "100-continue") else {
        throw APIError(.expectationFailed, "Nothing but 100-continue can be expected.", code: "invalid_http")
      }
      framing.expectsContinue = true
    case 10 where Self.same(name, "connection"):
      for option in value.split(separator: UInt8(ascii: ",")) {
        let word = option.filter { $0 != 0x20 && $0 != 0x09 }
        if Self.same(word[...], "close") { framing.closes = true }
        if Self.same(word[...], "keep-alive") { framing.keepsAlive = true }
      }
    case 14 where Self.same(name, "content-length"):
      let digits = value.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      guard digits, (1...18).contains(value.count), framing.length == nil else {
        throw Self.malformed("its Content-Length is not one number")
      }
      framing.length = value.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
    case 17 where Self.same(name, "transfer-encoding"):
      guard Self.same(value, "chunked"), !framing.isChunked, !isOld else {
        throw Self.malformed("its Transfer-Encoding is not chunked")
      }
      framing.isChunked = true
    default: break
    }
  }

  private mutating func endOfHead() throws(APIError) -> LineEvent {
    if !framing.hasHost && !isOld { throw Self.malformed("it has no Host header") }
    if framing.isChunked && framing.length != nil {
      throw Self.malformed("it has both a Content-Length and a Transfer-Encoding")
    }
    if framing.length ?? 0 > limits.body { throw tooLarge }
    if framing.isChunked {
      (place, headBytes) = (.chunkSize, 0)
    } else {
      left = framing.length ?? 0
      if left == 0 { return .isWhole }
      // Room for what is announced is made only as it comes, beyond what a usual request has.
      request.body.reserveCapacity(min(left, 1 << 16))
      place = .body
    }
    return framing.expectsContinue && !isOld ? .continues : .goesOn
  }

  // MARK: The body

  private var tooLarge: APIError {
    APIError(
      .tooLarge, "The request's body is larger than \(limits.body) bytes, which this server takes.",
      code: "body_too_large")
  }

  private mutating func chunkSize(_ line: UnsafeRawBufferPointer) throws(APIError) {
    // What follows a semicolon means nothing here.
    let digits = line.prefix { $0 != UInt8(ascii: ";") && $0 != 0x20 && $0 != 0x09 }
    guard (1...15).contains(digits.count) else { throw Self.malformed("a chunk of the body has no size") }
    var size = 0
    for digit in digits {
      guard let value = Self.hexadecimal(digit) else { throw Self.malformed("a chunk's size is not hexadecimal") }
      size = size << 4 | value
    }
    if size > limits.body - request.body.count { throw tooLarge }
    // Only trailers count from here on, and each size by itself.
    headBytes = 0
    left = size
    place = size == 0 ? .trailers : .chunk
  }

  // MARK: Bytes

  private static func hexadecimal(_ byte: UInt8) -> Int? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte - UInt8(ascii: "a")) + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte - UInt8(ascii: "A")) + 10
    default: nil
    }
  }

  /// Bit b of word w: whether the byte 64 w + b may be part of a token (RFC 9110, 5.6.2).
  private static let tokens: (UInt64, UInt64) = {
    var words: (UInt64, UInt64) = (0, 0)
    let others = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for byte in others.utf8 {
      if byte < 64 { words.0 |= 1 << UInt64(byte) } else { words.1 |= 1 << UInt64(byte - 64) }
    }
    return words
  }()

  private static func isToken(_ byte: UInt8) -> Bool {
    byte < 0x80 && (byte < 64 ? tokens.0 >> UInt64(byte) : tokens.1 >> UInt64(byte - 64)) & 1 == 1
  }

  /// Whether the bytes are a text in lower case but for their case.
  private static func same(_ bytes: some Sequence<UInt8>, _ text: String) -> Bool {
    bytes.lazy.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }.elementsEqual(text.utf8)
  }
}
