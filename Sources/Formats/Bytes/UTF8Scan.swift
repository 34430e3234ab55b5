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
}
