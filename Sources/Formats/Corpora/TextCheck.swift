// Is it text? A look at the beginning, the middle and the end of a file.

enum TextCheck {
  private static let window = 1 << 18
  /// Bytes per thousand that may be no UTF-8 (old texts have a few).
  private static let tolerated = 10

  /// Throws `FormatsError.Code.binary` where the bytes are not UTF-8 text.
  static func check(_ text: UnsafeBufferPointer<UInt8>, path: String) throws(FormatsError) {
    guard let base = text.baseAddress else { return }
    for start in Set([0, max(0, text.count / 2 - window / 2), max(0, text.count - window)]) {
      let end = min(text.count, start + window)
      var position = start
      // The window may begin inside a character.
      while position < end, start > 0, text[position] & 0xC0 == 0x80, position < start + 3 { position += 1 }
      var invalid = 0
      while position < end {
        if text[position] == 0 {
          throw FormatsError(
            .binary,
            "'\(path)' is not text: there is a zero byte at \(position). Give a UTF-8 text file "
              + "(unpack archives, convert UTF-16).")
        }
        let (value, length) = UTF8Scan.scalar(base, position, text.count)
        if value == UTF8Scan.replacement, length == 1 { invalid += 1 }
        position += length
      }
      if invalid * 1000 > (end - start) * tolerated {
        throw FormatsError(
          .binary, "'\(path)' is not UTF-8 text: \(invalid) of \(end - start) bytes are invalid. Convert it to UTF-8.")
      }
    }
  }
}
