// Replies of HTTP/1.1 out of the bytes of a connection (RFC 9112), as much of them as has come.
//
// It reads only what a proxy and a load generator need, the status, the length and whether the connection lives on; all else
// stays bytes. That costs a tenth of a general parser.
//
// Invariant: the parts do not depend on how the bytes were cut.

internal import Core
package import NIOCore

/// The beginning of a reply.
package struct ReplyHead {
  package var status: Int
  /// The lines between the first and the empty one, with their ends.
  package var fields: ByteBuffer
  /// Whether another request may follow on the connection.
  package var keepsAlive: Bool
  /// Server-sent events.
  package var isEventStream: Bool
  /// Bytes of the body, where it says so.
  package var length: Int?
}

/// What cannot be a reply.
package struct ReplyError: Error {
  package let message: String
}

/// Reads the replies of one connection.
package struct ReplyReader {
  package enum Part {
    case head(ReplyHead)
    case body(ByteBuffer)
    case end
  }

  private enum State {
    case head
    case sized(Int)
    case chunkSize
    case chunk(Int)
    case chunkEnd
    case trailers
    /// The body ends with the connection.
    case open
  }

  private var state = State.head

  package init() {}

  private static let longestHead = 64 << 10

  /// Whether a reply is under way.
  package var isInside: Bool { if case .head = state { false } else { true } }
  /// Whether the end of the connection is the end of a reply.
  package var endsWithConnection: Bool { if case .open = state { true } else { false } }

  /// The next part; nil: more bytes are needed.
  package mutating func next(_ buffer: inout ByteBuffer) throws(ReplyError) -> Part? {
    while true {
      switch state {
      case .head:
        guard let head = try readHead(&buffer) else { return nil }
        // 100 Continue and its like come before the reply.
        if head.status < 200 { continue }
        return .head(head)
      case .sized(let left):
        if left == 0 { return end() }
        guard let part = buffer.readSlice(length: min(left, buffer.readableBytes)), part.readableBytes > 0 else {
          return nil
        }
        state = .sized(left - part.readableBytes)
        return .body(part)
      case .chunkSize:
        guard let line = try readLine(&buffer) else { return nil }
        let digits = line.readableBytesView.prefix { $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: " ") }
        guard let size = Int(String(decoding: digits, as: UTF8.self), radix: 16), size >= 0 else {
          throw ReplyError(message: "a chunk without a size")
        }
        state = size == 0 ? .trailers : .chunk(size)
      case .chunk(let left):
        guard let part = buffer.readSlice(length: min(left, buffer.readableBytes)), part.readableBytes > 0 else {
          return nil
        }
        state = part.readableBytes == left ? .chunkEnd : .chunk(left - part.readableBytes)
        return .body(part)
      case .chunkEnd:
        guard try readLine(&buffer) != nil else { return nil }
        state = .chunkSize
      case .trailers:
        guard let line = try readLine(&buffer) else { return nil }
        if line.readableBytes == 0 { return end() }
      case .open:
        guard let part = buffer.readSlice(length: buffer.readableBytes), part.readableBytes > 0 else { return nil }
        return .body(part)
      }
    }
  }

  private mutating func end() -> Part {
    state = .head
    return .end
  }

  private mutating func readHead(_ buffer: inout ByteBuffer) throws(ReplyError) -> ReplyHead? {
    guard let length = Self.headLength(buffer) else {
      if buffer.readableBytes > Self.longestHead { throw ReplyError(message: "a head without an end") }
      return nil
    }
    guard var lines = buffer.readSlice(length: length), let first = try readLine(&lines) else { return nil }
    let status = first.getString(at: first.readerIndex + 9, length: 3).flatMap { Int($0) }
    guard first.getString(at: first.readerIndex, length: 5) == "HTTP/", let status else {
      throw ReplyError(message: "a first line that is not HTTP's")
    }
    let isOld = first.getString(at: first.readerIndex, length: 8) == "HTTP/1.0"
    let empty = lines.getInteger(at: lines.writerIndex - 2, as: UInt8.self) == 0x0D ? 2 : 1
    lines.moveWriterIndex(to: max(lines.readerIndex, lines.writerIndex - empty))
    var head = ReplyHead(status: status, fields: lines, keepsAlive: !isOld, isEventStream: false)
    var (isChunked, isWrong) = (false, false)
    lines.readFields { name, value in
      // Most are not among the four: their lengths tell.
      switch name.count {
      case 14 where Self.same(name, "content-length"):
        let digits = value.prefix { (0x30...0x39).contains($0) }
        isWrong = isWrong || digits.isEmpty || digits.count != value.count || digits.count > 18
        head.length = digits.prefix(18).reduce(0) { 10 * $0 + Int($1 - 0x30) }
      case 12 where Self.same(name, "content-type"):
        head.isEventStream = Self.same(value.prefix(17), "text/event-stream")
      case 10 where Self.same(name, "connection"):
        if Self.same(value, "close") {
          head.keepsAlive = false
        } else if Self.same(value, "keep-alive") {
          head.keepsAlive = true
        }
      case 17 where Self.same(name, "transfer-encoding"):
        isChunked = Self.same(value.suffix(7), "chunked")
      default: break
      }
    }
    if isWrong { throw ReplyError(message: "a length that is no number") }
    if status < 200 { return head }
    if status == 204 || status == 304 {
      state = .sized(0)
    } else if isChunked {
      (state, head.length) = (.chunkSize, nil)
    } else if let length = head.length {
      state = .sized(length)
    } else {
      (state, head.keepsAlive) = (.open, false)
    }
    return head
  }

  /// Bytes up to and with the empty line.
  private static func headLength(_ buffer: ByteBuffer) -> Int? {
    buffer.withUnsafeReadableBytes { bytes in
      guard let base = bytes.baseAddress else { return nil }
      var start = 0
      while let found = memchr(base + start, 0x0A, bytes.count - start) {
        let next = UnsafeRawPointer(found) - base + 1
        if next - start == 1 || (next - start == 2 && bytes[start] == 0x0D) { return next }
        start = next
      }
      return nil
    }
  }

  /// A line without its end.
  private func readLine(_ buffer: inout ByteBuffer) throws(ReplyError) -> ByteBuffer? {
    let length = buffer.withUnsafeReadableBytes { bytes -> Int? in
      guard let base = bytes.baseAddress, let found = memchr(base, 0x0A, bytes.count) else { return nil }
      return UnsafeRawPointer(found) - base
    }
    guard let length, var line = buffer.readSlice(length: length) else {
      if buffer.readableBytes > Self.longestHead { throw ReplyError(message: "a line without an end") }
      return nil
    }
    buffer.moveReaderIndex(forwardBy: 1)
    if line.getInteger(at: line.writerIndex - 1, as: UInt8.self) == 0x0D {
      line.moveWriterIndex(to: line.writerIndex - 1)
    }
    return line
  }

  /// Whether bytes are `lower`, in any case.
  private static func same(_ bytes: Slice<UnsafeRawBufferPointer>, _ lower: StaticString) -> Bool {
    lower.withUTF8Buffer { lower in bytes.elementsEqual(lower) { $0 == $1 || $0 | 0x20 == $1 } }
  }
}

extension ByteBuffer {
  /// Gives the fields of a head, a line each, without the space around values.
  func readFields(_ take: (_ name: Slice<UnsafeRawBufferPointer>, _ value: Slice<UnsafeRawBufferPointer>) -> Void) {
    withUnsafeReadableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      var start = 0
      while let found = memchr(base + start, 0x0A, bytes.count - start) {
        let end = UnsafeRawPointer(found) - base
        defer { start = end + 1 }
        guard let colon = memchr(base + start, 0x3A, end - start) else { continue }
        let middle = UnsafeRawPointer(colon) - base
        var value = bytes[(middle + 1)..<end]
        while let first = value.first, first == 0x20 || first == 9 { value.removeFirst() }
        while let last = value.last, last == 0x20 || last == 9 || last == 0x0D { value.removeLast() }
        take(bytes[start..<middle], value)
      }
    }
  }
}
