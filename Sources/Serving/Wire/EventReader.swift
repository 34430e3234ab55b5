// Server-sent events out of the bytes of a stream (WHATWG HTML, "Server-sent events"), each whole.

internal import Core
package import NIOCore

/// Cuts a stream into events. The bytes of all that it gives are the bytes that it was given.
package struct EventReader {
  private var bytes = ByteBuffer()
  /// Up to where, from the reader's place, no event ends.
  private var seen = 0

  package init() {}

  package mutating func append(_ more: ByteBuffer) {
    if bytes.readableBytes == 0 {
      bytes = more
    } else {
      var more = more
      bytes.writeBuffer(&more)
    }
  }

  /// The next event with the empty line behind it.
  package mutating func next() -> ByteBuffer? {
    let length = bytes.withUnsafeReadableBytes { bytes -> Int? in
      guard let base = bytes.baseAddress else { return nil }
      while let found = memchr(base + seen, 0x0A, bytes.count - seen) {
        let end = UnsafeRawPointer(found) - base
        // An empty line: two ends of lines, the second of which may be of two bytes.
        if end > 0, bytes[end - 1] == 0x0A || (end > 1 && bytes[end - 1] == 0x0D && bytes[end - 2] == 0x0A) {
          return end + 1
        }
        seen = end + 1
      }
      return nil
    }
    guard let length else { return nil }
    seen = 0
    return bytes.readSlice(length: length)
  }

  /// What has not become an event.
  package mutating func rest() -> ByteBuffer {
    defer { (bytes, seen) = (ByteBuffer(), 0) }
    return bytes
  }
}

extension ByteBuffer {
  /// What stands behind `data:` in an event of one such line.
  package var eventData: ByteBufferView? {
    let view = readableBytesView
    guard view.starts(with: "data:".utf8) else { return nil }
    let data = view.dropFirst(view.dropFirst(5).first == UInt8(ascii: " ") ? 6 : 5)
    return data.prefix { $0 != 0x0A && $0 != 0x0D }
  }
}
