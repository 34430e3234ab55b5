// Decoding UTF-8 in place, tolerating what is not UTF-8: every byte that starts no valid sequence is one U+FFFD.
// Valid means Unicode 16, table 3-7 (no overlong forms, no surrogates, nothing above U+10FFFF).

package enum UTF8Scan {
  package static let replacement: UInt32 = 0xFFFD

  /// The scalar at `position` and its length in bytes; `end` bounds the reading. An invalid byte is (U+FFFD, 1).
  @inline(__always)
  package static func scalar(
    _ text: UnsafePointer<UInt8>, _ position: Int, _ end: Int
  ) -> (value: UInt32, length: Int) {
    let first = UInt32(text[position])
    if first < 0x80 { return (first, 1) }
    return multibyte(text, position, end, first)
  }

  /// How many bytes a character has that begins with `lead`, in valid UTF-8.
  @inline(__always)
  package static func length(lead: UInt8) -> Int { lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4 }

  @inline(never)
  private static func multibyte(
    _ text: UnsafePointer<UInt8>, _ position: Int, _ end: Int, _ first: UInt32
  ) -> (value: UInt32, length: Int) {
    @inline(__always) func continuation(_ offset: Int) -> UInt32? {
      guard position + offset < end else { return nil }
      let byte = UInt32(text[position + offset])
      return byte & 0xC0 == 0x80 ? byte & 0x3F : nil
    }
    if first >= 0xC2, first < 0xE0 {
      guard let a = continuation(1) else { return (replacement, 1) }
      return ((first & 0x1F) << 6 | a, 2)
    }
    if first >= 0xE0, first < 0xF0 {
      guard let a = continuation(1), let b = continuation(2) else { return (replacement, 1) }
      let value = (first & 0x0F) << 12 | a << 6 | b
      return value >= 0x800 && !(0xD800...0xDFFF).contains(value) ? (value, 3) : (replacement, 1)
    }
    if first >= 0xF0, first < 0xF5 {
      guard let a = continuation(1), let b = continuation(2), let c = continuation(3) else { return (replacement, 1) }
      let value = (first & 0x07) << 18 | a << 12 | b << 6 | c
      return value >= 0x10000 && value <= 0x10FFFF ? (value, 4) : (replacement, 1)
    }
    return (replacement, 1)
  }

  /// Calls `body` with each scalar value in order.
  @inline(__always)
  package static func forEachScalar(in text: UnsafeBufferPointer<UInt8>, _ body: (UInt32) -> Void) {
    guard let base = text.baseAddress else { return }
    var position = 0
    while position < text.count {
      let (value, length) = scalar(base, position, text.count)
      body(value)
      position += length
    }
  }

  /// Whether all bytes are ASCII.
  package static func isASCII(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    let raw = UnsafeRawBufferPointer(text)
    var position = 0
    while position + 8 <= raw.count {
      if raw.loadUnaligned(fromByteOffset: position, as: UInt64.self) & 0x8080_8080_8080_8080 != 0 { return false }
      position += 8
    }
    return raw[position...].allSatisfy { $0 < 0x80 }
  }

  /// Whether the bytes are valid UTF-8.
  package static func isValid(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let base = text.baseAddress, !isASCII(text) else { return true }
    var position = 0
    while position < text.count {
      let (value, length) = scalar(base, position, text.count)
      if value == replacement, length == 1 { return false }
      position += length
    }
    return true
  }

  /// Appends the bytes of a scalar value.
  @inline(__always)
  package static func append(_ value: UInt32, to bytes: inout [UInt8]) {
    switch value {
    case 0..<0x80: bytes.append(UInt8(value))
    case 0x80..<0x800:
      bytes.append(UInt8(0xC0 | value >> 6))
      bytes.append(UInt8(0x80 | value & 0x3F))
    case 0x800..<0x10000:
      bytes.append(UInt8(0xE0 | value >> 12))
      bytes.append(UInt8(0x80 | value >> 6 & 0x3F))
      bytes.append(UInt8(0x80 | value & 0x3F))
    default:
      bytes.append(UInt8(0xF0 | value >> 18))
      bytes.append(UInt8(0x80 | value >> 12 & 0x3F))
      bytes.append(UInt8(0x80 | value >> 6 & 0x3F))
      bytes.append(UInt8(0x80 | value & 0x3F))
    }
  }
}
